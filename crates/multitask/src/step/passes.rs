//! The passes over a batch that is cut into shards, and sums over all shards.
//!
//! With `n_s` the samples of shard `s` that have a label for a task and `L_s` the task's loss over them, the task's loss
//! over the batch is `L = Σ_s (n_s / Σ n) L_s`: the mean over the labelled samples, where the shards' losses are means
//! over theirs. A shard without a label of the task adds nothing. Every loss is multiplied by its share as soon as the
//! counts of all shards are known, so that whatever is computed from it is a plain sum over shards, along the fixed tree:
//! the gradients of the weighted loss, each task's gradients of the parameters, the products of gradients of features.
//!
//! Batch norms use the statistics of their shard; the running ones become the mean over the shards that have new ones. Or
//! they use those of the whole batch, and the passes of all shards [meet](cerberus_nn::sync_norm) at each norm. A loss then
//! depends on the values of all shards, so that those without a label of its task go back from a loss of 0.
//!
//! A batch that is not cut is one pass, and nothing is multiplied, copied or added.

use std::sync::Arc;

use cerberus_autograd::{Gradients, ParamId, backward_into};
use cerberus_balance::{Products, TaskGradients};
use cerberus_data::Batch;
use cerberus_distributed::Message;
use cerberus_nn::BufferUpdates;
use cerberus_nn::optim::{Owners, StepGradients};
use cerberus_nn::shards::{backward_over_shards, backward_to_owners, mean_updates, step_of_shard};
use cerberus_nn::sync_norm::{SyncNorm, Way};
use cerberus_tensor::concat::concat;
use cerberus_tensor::{Element, Tensor};

use super::input::{GradientsWrt, StepInput, StepResult};
use super::pass::{self, HeadGradients, Pass, forward, summed, weighted};
use crate::model::MultiTaskModel;

/// The passes of this process's shards, and each task's loss over all shards.
pub(super) struct Passes<'a, T: Element> {
    model: &'a MultiTaskModel<T>,
    input: &'a StepInput<'a>,
    sync: Option<SyncNorm>,
    pub own: Vec<Pass<T>>,
    losses: Vec<T>,
    tasks: Vec<usize>,
    not_finite: Option<(usize, T, usize)>,
}

impl<'a, T: Element> Passes<'a, T> {
    /// The forward passes of this process's shards; see [`forward`].
    pub fn forward(
        model: &'a MultiTaskModel<T>,
        batch: &Batch,
        input: &'a StepInput,
        wrt: (GradientsWrt, bool),
    ) -> Self {
        Self::of_shards(model, &input.cut(batch), input, wrt)
    }

    /// The same for a batch that is cut already.
    pub fn of_shards(
        model: &'a MultiTaskModel<T>,
        shards: &[impl AsRef<Batch> + Sync],
        input: &'a StepInput,
        (wrt, all): (GradientsWrt, bool),
    ) -> Self {
        // The shards must have the same maps, so that those of one can be added to those of another.
        let wrt = (wrt, all || !input.shards.is_whole());
        let seed = |shard| [input.seed[0], step_of_shard(input.seed[1], shard)];
        let own = input.shards.own().zip(shards.iter().map(AsRef::as_ref));
        let sync = input.sync(model);
        let mut own: Vec<Pass<T>> = match &sync {
            None => own.map(|(shard, batch)| forward(model, batch, seed(shard), wrt, None)).collect(),
            Some(sync) => sync.run(own.collect(), Way::Forward, |(shard, batch), peers| {
                forward(model, batch, seed(shard), wrt, Some(peers))
            }),
        };
        let known =
            Known::of(&own.iter().map(|pass| (pass.values(), &pass.labels[..])).collect::<Vec<_>>(), input);
        if !input.shards.is_whole() {
            for pass in &mut own {
                for (task, loss) in pass.losses.iter_mut().enumerate() {
                    let share = known.share(pass.labels[task], task);
                    *loss = loss.take().map(|loss| loss.scale(share));
                }
            }
        }
        let losses: Vec<T> = known.losses();
        let not_finite = known.not_finite(&losses);
        let tasks = known.tasks();
        own.iter_mut().for_each(|pass| pass.follow(&tasks));
        Self { model, input, sync, own, losses, tasks, not_finite }
    }

    /// The places of the tasks that any shard has labels for.
    pub fn tasks(&self) -> &[usize] {
        &self.tasks
    }

    /// Leaves out all tasks but these.
    pub fn restrict(&mut self, tasks: &[usize]) {
        self.tasks = tasks.to_vec();
    }

    /// Each task's loss; 0 for one without labels.
    pub fn values(&self) -> &[T] {
        &self.losses
    }

    /// The result of the step before the strategy's decision.
    pub fn result(&self) -> StepResult<T> {
        StepResult { not_finite: self.not_finite, ..StepResult::new(self.losses.clone(), self.tasks.clone()) }
    }

    /// The gradients of the weighted sum of the losses, and the buffers' new values.
    pub fn backward(self, weights: &[f64]) -> (Gradients<T>, BufferUpdates<T>) {
        match self.backward_to(None, weights) {
            (StepGradients::Everywhere(gradients), updates) => (gradients, updates),
            _ => unreachable!("without owners, everybody gets them"),
        }
    }

    /// The same, where only the owners of the parameters may need their gradients.
    pub fn backward_to(
        self,
        owners: Option<&Arc<Owners>>,
        weights: &[f64],
    ) -> (StepGradients<T>, BufferUpdates<T>) {
        let Self { model, input, sync, own, .. } = self;
        let over = (&input.shards, input.messages, sync.as_ref());
        backward_to_owners(model, over, owners, own, |pass, sink| {
            let Pass { losses, labels, shared, heads, updates, .. } = pass;
            // Heads without labels have no gradients, which others need not wait for.
            let without = labels.iter().zip(&heads).filter(|(labels, _)| **labels == 0);
            without.flat_map(|(_, head)| head).for_each(|(id, _)| sink.skip(*id));
            drop((shared, heads));
            if losses.iter().any(Option::is_some) {
                let loss = weighted(losses, weights);
                // A shard may have labels of frozen parts alone.
                if loss.is_recorded() {
                    backward_into(loss, sink);
                }
            }
            updates
        })
    }

    /// The gradients of the tasks that take part: with respect to the shared parameters, or to the features of all
    /// images, and each head's.
    pub fn task_gradients(&self) -> (TaskGradients<T>, HeadGradients<T>) {
        if self.input.shards.is_whole() {
            return pass::task_gradients(&self.own[0], &self.tasks);
        }
        let mut found = self.of_each();
        let (names, tasks) = (found[0].0.names().to_vec(), self.tasks.len());
        if self.own[0].is_by_parameters() {
            let templates: Vec<Tensor<T>> = rows_and_heads(&found[0]);
            let sums = self.sum_like(&templates, found.drain(..).map(|of_shard| rows_and_heads(&of_shard)));
            return self.split(sums, names, tasks);
        }
        let heads = self.head_sums(&found);
        let rows = self.rows_of_all(found.iter().map(|(gradients, _)| gradients), tasks, names.len());
        (TaskGradients::new(rows, names), heads)
    }

    /// The gradients of each of this process's shards.
    fn of_each(&self) -> Vec<Found<T>> {
        let Some(sync) = &self.sync else {
            return self.own.iter().map(|pass| pass::task_gradients(pass, &self.tasks)).collect();
        };
        // One task after another, each a backward pass in which the shards meet.
        let of_task = |&task: &usize| {
            sync.run(self.own.iter().collect(), Way::Backward, |pass, _| pass::gradients_of(pass, task))
        };
        let of_tasks: Vec<Vec<_>> = self.tasks.iter().map(of_task).collect();
        let of_shard = |(place, pass): (usize, &Pass<T>)| {
            pass::together(pass, of_tasks.iter().map(|shards| shards[place].clone()))
        };
        self.own.iter().enumerate().map(of_shard).collect()
    }

    /// The gradients of this process's features, the products of those of all images, and the sums of the heads'. With
    /// `is_summed`, the products are those of the gradients summed over the images.
    pub fn feature_products(&self, is_summed: bool) -> (Vec<TaskGradients<T>>, Products, HeadGradients<T>) {
        let found = self.of_each();
        let heads = self.head_sums(&found);
        let own: Vec<TaskGradients<T>> = found.into_iter().map(|(gradients, _)| gradients).collect();
        let products = if is_summed {
            let names = own[0].names().to_vec();
            let parts: Vec<Vec<Tensor<T>>> =
                own.iter().map(|gradients| summed(gradients).rows().concat()).collect();
            let sums = self.sum_like(&parts[0].clone(), parts.into_iter());
            let rows = sums.chunks(names.len().max(1)).map(<[_]>::to_vec).collect();
            TaskGradients::new(rows, names).products()
        } else {
            let each: Vec<Products> = own.iter().map(TaskGradients::products).collect();
            let sums = self.input.shards.sum(each.iter().map(Products::numbers), Message::Exact);
            each[0].clone().with_numbers(&sums)
        };
        (own, products, heads)
    }

    /// All parameters' gradients, when the shared variables move along `direction`: that of the parameters, or that of
    /// the features of all images.
    pub fn apply(self, direction: Direction<T>, heads: HeadGradients<T>) -> (Gradients<T>, BufferUpdates<T>) {
        let Self { model, input, sync, own, .. } = self;
        match direction {
            Direction::Parameters(direction) => {
                let mut gradients: Gradients<T> = own[0].shared_ids.iter().copied().zip(direction).collect();
                gradients.extend(heads);
                let updates = own.into_iter().map(|pass| pass.updates).collect();
                (gradients, mean_updates(model, &input.shards, updates))
            }
            Direction::Features(directions) => {
                let over = (&input.shards, input.messages, sync.as_ref());
                let own = own.into_iter().zip(directions).collect();
                let (mut gradients, updates) =
                    backward_over_shards(model, over, own, |(pass, direction), sink| {
                        pass::apply_features(pass, direction, sink)
                    });
                gradients.extend(heads);
                (gradients, updates)
            }
        }
    }

    /// The part of a direction of all images' features that belongs to each of this process's shards.
    pub fn own_part(&self, direction: &[Tensor<T>]) -> Vec<Vec<Tensor<T>>> {
        let shards = &self.input.shards;
        if shards.is_whole() {
            return vec![direction.to_vec()];
        }
        let of = |shard| {
            let range = shards.samples(shard, self.input.samples);
            direction.iter().map(|part| part.narrow(0, range.start, range.len()).contiguous()).collect()
        };
        shards.own().map(of).collect()
    }

    /// The tasks' gradients and the heads' from their sums.
    fn split(&self, mut sums: Vec<Tensor<T>>, names: Vec<String>, tasks: usize) -> Found<T> {
        let heads = sums.split_off(tasks * names.len());
        let rows = sums.chunks(names.len().max(1)).map(<[_]>::to_vec).collect();
        (TaskGradients::new(rows, names), self.head_ids().into_iter().zip(heads).collect())
    }

    fn head_ids(&self) -> Vec<ParamId> {
        self.tasks.iter().flat_map(|&task| self.own[0].heads[task].iter().map(|(id, _)| *id)).collect()
    }

    fn head_sums(&self, found: &[Found<T>]) -> HeadGradients<T> {
        let of =
            |(_, heads): &Found<T>| heads.iter().map(|(_, gradient)| gradient.clone()).collect::<Vec<_>>();
        if self.input.shards.is_whole() {
            return found[0].1.clone();
        }
        let sums = self.sum_like(&of(&found[0]), found.iter().map(of));
        self.head_ids().into_iter().zip(sums).collect()
    }

    /// Sums over the shards of lists of tensors with the shapes of `like`.
    fn sum_like(&self, like: &[Tensor<T>], own: impl Iterator<Item = Vec<Tensor<T>>>) -> Vec<Tensor<T>> {
        let flat = |tensors: Vec<Tensor<T>>| tensors.iter().flat_map(Tensor::to_vec).collect::<Vec<T>>();
        let sums = self.input.shards.sum(own.map(flat), self.input.messages);
        let mut rest = &sums[..];
        let mut cut = |shape: &[usize]| {
            let (values, after) = rest.split_at(shape.iter().product());
            rest = after;
            Tensor::from_vec(values.to_vec(), shape)
        };
        like.iter().map(|tensor| cut(tensor.shape())).collect()
    }

    /// The rows of all shards' features, image after image.
    fn rows_of_all<'b>(
        &self,
        own: impl Iterator<Item = &'b TaskGradients<T>>,
        tasks: usize,
        parts: usize,
    ) -> Vec<Vec<Tensor<T>>>
    where
        T: 'b,
    {
        let shards = &self.input.shards;
        let own: Vec<&TaskGradients<T>> = own.collect();
        let part = |task: usize, part: usize| {
            let shape = own[0].rows()[task][part].shape().to_vec();
            let bytes =
                |gradients: &&TaskGradients<T>| numbers_to_bytes(&gradients.rows()[task][part].to_vec());
            let all = shards.gather(own.iter().map(bytes).collect());
            let of_shard = |(shard, bytes): (usize, Vec<u8>)| {
                let mut shape = shape.clone();
                shape[0] = shards.samples(shard, self.input.samples).len();
                Tensor::from_vec(numbers_from_bytes(&bytes), &shape)
            };
            concat(&all.into_iter().enumerate().map(of_shard).collect::<Vec<_>>(), 0)
        };
        (0..tasks).map(|task| (0..parts).map(|place| part(task, place)).collect()).collect()
    }
}

/// Where a step moves the shared variables.
pub(super) enum Direction<T: Element> {
    /// The trunk's parameters.
    Parameters(Vec<Tensor<T>>),
    /// The features of each of this process's shards.
    Features(Vec<Vec<Tensor<T>>>),
}

type Found<T> = (TaskGradients<T>, HeadGradients<T>);

fn rows_and_heads<T: Element>((gradients, heads): &Found<T>) -> Vec<Tensor<T>> {
    gradients.rows().iter().flatten().chain(heads.iter().map(|(_, gradient)| gradient)).cloned().collect()
}

/// What all shards know of each other after their forward passes.
pub(super) struct Known {
    /// For each shard and task, the number of labels and the mean loss over them.
    table: Vec<Vec<(f64, f64)>>,
    labels: Vec<f64>,
    is_whole: bool,
}

impl Known {
    /// From the losses and labels of this process's shards.
    pub fn of<T: Element>(own: &[(Vec<T>, &[usize])], input: &StepInput) -> Self {
        let row = |(losses, labels): &(Vec<T>, &[usize])| {
            let cells = losses.iter().zip(*labels).flat_map(|(loss, &labels)| [labels as f64, loss.as_f64()]);
            numbers_to_bytes(&cells.collect::<Vec<f64>>())
        };
        let all = input.shards.gather(own.iter().map(row).collect());
        let pairs = |bytes: Vec<u8>| {
            numbers_from_bytes::<f64>(&bytes).chunks(2).map(|cell| (cell[0], cell[1])).collect()
        };
        let table: Vec<Vec<(f64, f64)>> = all.into_iter().map(pairs).collect();
        let labels = (0..table[0].len()).map(|task| table.iter().map(|row| row[task].0).sum()).collect();
        Self { table, labels, is_whole: input.shards.is_whole() }
    }

    /// The share of a shard with so many labels in a task's loss.
    fn share(&self, labels: usize, task: usize) -> f64 {
        labels as f64 / self.labels[task].max(1.0)
    }

    pub fn tasks(&self) -> Vec<usize> {
        (0..self.labels.len()).filter(|&task| self.labels[task] > 0.0).collect()
    }

    /// Each task's loss over all shards.
    pub fn losses<T: Element>(&self) -> Vec<T> {
        let loss = |task: usize| {
            let parts = self.table.iter().map(|row| match row[task] {
                (_, loss) if self.is_whole => loss,
                (0.0, _) => 0.0,
                (labels, loss) => labels / self.labels[task] * loss,
            });
            T::from_f64(parts.reduce(|a, b| a + b).unwrap_or(0.0))
        };
        (0..self.labels.len()).map(loss).collect()
    }

    /// The first task whose loss over all shards is not finite, that loss, and the first shard to blame.
    fn not_finite<T: Element>(&self, losses: &[T]) -> Option<(usize, T, usize)> {
        let task = losses.iter().position(|loss| !loss.is_finite())?;
        let wrong = |row: &Vec<(f64, f64)>| row[task].0 > 0.0 && !row[task].1.is_finite();
        let shard = self.table.iter().position(wrong).unwrap_or(0);
        Some((task, losses[task], shard))
    }
}

fn numbers_to_bytes<T: Element>(numbers: &[T]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.as_f64().to_le_bytes()).collect()
}

fn numbers_from_bytes<T: Element>(bytes: &[u8]) -> Vec<T> {
    bytes.as_chunks::<8>().0.iter().map(|&x| T::from_f64(f64::from_le_bytes(x))).collect()
}
