//! The forward pass of a step, the variables that gradients are taken with
//! respect to, and the tasks' gradients. [`step`](super::step) decides, this
//! module computes.

use std::sync::Arc;

use cerberus_autograd::ops::Peers;
use cerberus_autograd::{GradientSink, ParamId, Var, backward_into, depends_on, grad, grad_each};
use cerberus_data::Batch;
use cerberus_nn::{BufferUpdates, Context, Module, ModuleTensor};
use cerberus_tensor::{Element, Tensor};

use super::input::GradientsWrt;
use crate::model::MultiTaskModel;
use cerberus_balance::diagnostics::Conflicts;
use cerberus_balance::{BalanceError, Gramian, Products, TaskGradients};

/// The tasks' losses, and everything in a forward pass that gradients need.
pub(super) struct Pass<T: Element> {
    /// `None` for tasks without labels.
    pub losses: Vec<Option<Var<T>>>,
    /// How many samples each loss is taken over.
    pub labels: Vec<usize>,
    /// The shared variables that gradients are taken with respect to.
    pub shared: Vec<(String, Var<T>)>,
    /// In feature mode, what the trunk computed, in the same order.
    outputs: Vec<Var<T>>,
    /// Each head's parameters.
    pub heads: Vec<Vec<(ParamId, Var<T>)>>,
    pub shared_ids: Vec<ParamId>,
    pub updates: BufferUpdates<T>,
    /// For passes that meet, a zero that depends on all features.
    nothing: Option<Var<T>>,
}

impl<T: Element> Pass<T> {
    /// Whether gradients are taken with respect to the trunk's parameters.
    pub fn is_by_parameters(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Gives a task without labels here the loss 0, if its gradients are asked for: at norms that join all shards, those
    /// of the others' losses come back through this shard's values.
    pub fn follow(&mut self, tasks: &[usize]) {
        for &task in tasks {
            if self.losses[task].is_none() {
                self.losses[task].clone_from(&self.nothing);
            }
        }
    }

    pub fn values(&self) -> Vec<T> {
        self.losses.iter().map(|loss| loss.as_ref().map_or(T::ZERO, |loss| loss.value().item())).collect()
    }
}

/// The forward pass and the losses. In feature mode the shared variables are all
/// features if `all`, else only those that a loss depends on.
pub(super) fn forward<T: Element>(
    model: &MultiTaskModel<T>,
    batch: &Batch,
    seed: [u64; 2],
    (wrt, all): (GradientsWrt, bool),
    peers: Option<Arc<dyn Peers>>,
) -> Pass<T> {
    let mut context = Context::training(seed[0], seed[1]);
    let meets = peers.is_some();
    peers.into_iter().for_each(|peers| context.join(peers));
    let mut features = model.features(batch, &mut context);
    let nothing = |map: &mut Var<T>| map.clone().sum_all().scale(0.0);
    let nothing = if meets && wrt.is_parameters() {
        features.maps_mut().map(nothing).reduce(|a, b| a + b)
    } else {
        None
    };
    let (mut shared, mut outputs) = (Vec::new(), Vec::new());
    if !wrt.is_parameters() {
        let info = model.trunk().info([0, 0]);
        let whole = info.whole.into_iter().flat_map(|whole| whole.joined.into_iter().chain(whole.alone));
        let maps = info.stages.into_iter().chain(info.neck).chain(whole);
        for (map, info) in features.maps_mut().zip(maps) {
            let leaf = context.leaf(map.value().clone());
            shared.push((info.name, leaf.clone()));
            outputs.push(std::mem::replace(map, leaf));
        }
    }
    let losses = model.losses(&features, batch, &mut context);
    let labels = (0..losses.len()).map(|task| model.labelled(task, &features, batch).len()).collect();
    if !all {
        let leaves: Vec<&Var<T>> = shared.iter().map(|(_, leaf)| leaf).collect();
        let tapped = depends_on(&losses.iter().flatten().collect::<Vec<_>>(), &leaves);
        let (mut of_leaf, mut of_output) = (tapped.iter(), tapped.iter());
        shared.retain(|_| of_leaf.next() == Some(&true));
        outputs.retain(|_| of_output.next() == Some(&true));
    }
    // The trunk's parameters are shared; a head's belong to its task. Frozen ones take no part.
    let mut of = |module: &dyn Module<T>, path: &str| {
        let mut found: Vec<(String, ParamId, Var<T>)> = Vec::new();
        module.visit(path, &mut |path, entry| {
            if let ModuleTensor::Parameter(parameter) = entry
                && parameter.is_trainable()
            {
                found.push((path, parameter.id(), context.parameter(parameter)));
            }
        });
        found
    };
    let mut shared_ids = Vec::new();
    let trunk = of(model.trunk(), "trunk");
    if wrt.is_parameters() {
        for (path, id, var) in trunk {
            shared.push((path, var));
            shared_ids.push(id);
        }
    }
    let heads = model.tasks().iter().map(|task| {
        let own = of(&**task, "");
        own.into_iter().map(|(_, id, var)| (id, var)).collect()
    });
    let heads: Vec<Vec<(ParamId, Var<T>)>> = heads.collect();
    Pass { losses, labels, shared, outputs, heads, shared_ids, updates: context.finish(), nothing }
}

pub(super) type HeadGradients<T> = Vec<(ParamId, Tensor<T>)>;

/// The gradients of the tasks that take part, with respect to the shared variables and to each task's own head. They
/// are zero for a task without labels.
pub(super) fn task_gradients<T: Element>(
    pass: &Pass<T>,
    tasks: &[usize],
) -> (TaskGradients<T>, HeadGradients<T>) {
    together(pass, tasks.iter().map(|&task| gradients_of(pass, task)))
}

/// The gradients of a task with respect to the shared variables, and to its own head.
pub(super) fn gradients_of<T: Element>(pass: &Pass<T>, task: usize) -> (Vec<Tensor<T>>, HeadGradients<T>) {
    let head = &pass.heads[task];
    let wrt: Vec<&Var<T>> =
        pass.shared.iter().map(|(_, var)| var).chain(head.iter().map(|(_, var)| var)).collect();
    let mut row = match &pass.losses[task] {
        Some(loss) if loss.is_recorded() => grad(&[loss], &wrt),
        _ => wrt.iter().map(|var| Tensor::zeros(var.shape())).collect(),
    };
    let own = row.split_off(pass.shared.len());
    (row, head.iter().map(|(id, _)| *id).zip(own).collect())
}

/// The gradients of tasks, computed one by one.
pub(super) fn together<T: Element>(
    pass: &Pass<T>,
    tasks: impl Iterator<Item = (Vec<Tensor<T>>, HeadGradients<T>)>,
) -> (TaskGradients<T>, HeadGradients<T>) {
    let (rows, own): (Vec<_>, Vec<_>) = tasks.unzip();
    let names = pass.shared.iter().map(|(name, _)| name.clone()).collect();
    (TaskGradients::new(rows, names), own.concat())
}

/// The products of the gradients of the tasks that take part, and each task's
/// gradients of its own head, without holding the gradients of all shared variables
/// at once.
pub(super) fn streamed_products<T: Element>(pass: &Pass<T>, tasks: &[usize]) -> (Products, HeadGradients<T>) {
    let losses: Vec<&Var<T>> =
        tasks.iter().map(|&task| pass.losses[task].as_ref().expect("a task with labels")).collect();
    let shared = pass.shared.len();
    // After the shared variables come each head's, with the row of its task.
    let own: Vec<(usize, &(ParamId, Var<T>))> = tasks
        .iter()
        .enumerate()
        .flat_map(|(row, &task)| pass.heads[task].iter().map(move |parameter| (row, parameter)))
        .collect();
    let wrt: Vec<&Var<T>> =
        pass.shared.iter().map(|(_, var)| var).chain(own.iter().map(|(_, (_, var))| var)).collect();
    let mut products = Products::new(tasks.len());
    let mut heads = Vec::new();
    grad_each(&losses, &wrt, |place, mut gradients| {
        if place < shared {
            products.insert(place, pass.shared[place].0.clone(), gradients);
        } else {
            let (row, (id, _)) = own[place - shared];
            heads.extend(gradients[row].take().map(|gradient| (*id, gradient.into_dense())));
        }
    });
    (products, heads)
}

/// The features' gradients summed over the images.
pub(super) fn summed<T: Element>(gradients: &TaskGradients<T>) -> TaskGradients<T> {
    let rows = gradients.rows().iter().map(|row| row.iter().map(|part| part.sum(&[0])).collect());
    TaskGradients::new(rows.collect(), gradients.names().to_vec())
}

/// The gradients of the trunk's parameters, when the features move along `direction`, and the buffers' new values.
pub(super) fn apply_features<T: Element>(
    pass: Pass<T>,
    direction: Vec<Tensor<T>>,
    sink: &mut impl GradientSink<T>,
) -> BufferUpdates<T> {
    let Pass { losses, shared, outputs, heads, updates, .. } = pass;
    drop((losses, shared, heads));
    // <Z, c> has gradient c at the features Z, from which the trunk's backward pass starts.
    let products =
        outputs.into_iter().zip(direction).map(|(output, c)| (output * Var::constant(c)).sum_all());
    let total = products.reduce(|a, b| a + b).expect("a trunk has features");
    if total.is_recorded() {
        backward_into(total, sink);
    }
    updates
}

/// Conflicts over all parts, and over each stage of the trunk; `tasks` are the rows' places in the model.
pub(super) fn conflicts_of(products: &Products, tasks: &[usize]) -> Vec<(String, Conflicts)> {
    let stage = |name: &str| -> String {
        let inner = name.strip_prefix("trunk.").unwrap_or(name);
        inner.split('.').next().unwrap_or(inner).to_string()
    };
    let mut scopes: Vec<String> = products.names().map(stage).collect();
    scopes.dedup();
    let mut all = Vec::new();
    let mut add = |scope: String, gramian: Result<Gramian, BalanceError>| {
        if let Ok(gramian) = gramian {
            let mut found = Conflicts::of(&gramian);
            found.pairs.iter_mut().for_each(|pair| pair.tasks = pair.tasks.map(|place| tasks[place]));
            all.push((scope, found));
        }
    };
    add("all".into(), products.gramian());
    for scope in scopes {
        let gramian = products.gramian_of(|name| stage(name) == scope);
        add(scope, gramian);
    }
    all
}

/// The sum of the losses that exist, each times its task's weight.
///
/// # Panics
/// If there is none.
#[track_caller]
pub(super) fn weighted<T: Element>(losses: Vec<Option<Var<T>>>, weights: &[f64]) -> Var<T> {
    let parts = losses.into_iter().zip(weights).filter_map(|(loss, &weight)| Some(loss?.scale(weight)));
    parts.reduce(|a, b| a + b).expect("at least one task takes part")
}
