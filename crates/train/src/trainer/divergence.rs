//! What is reported and saved when a loss or a gradient is not finite.

use cerberus_data::Batch;
use cerberus_nn::shards::step_of_shard;
use cerberus_nn::{Context, Module};

use super::Trainer;
use crate::error::TrainError;
use crate::start::layer_of;

impl Trainer {
    /// The error of a step that changed nothing because something was not finite: `loss` is the first task whose loss
    /// was not finite, with its value and its shard. The run as it was before the step is saved beside the other
    /// checkpoints, if its weights are finite. Every process of a group gets the same error.
    pub(crate) fn diverged(&self, batch: &Batch, loss: Option<(usize, f32, usize)>) -> TrainError {
        let group = self.shards.group();
        let kept = self.keep_weights();
        let kept = self.text_of(0, || kept);
        let step = self.state.step;
        let Some((task, value, shard)) = loss else {
            return TrainError::DivergedGradient { step, kept };
        };
        let shard = if self.config.sync_norm { self.shard_to_blame(batch).unwrap_or(shard) } else { shard };
        let owner = self.shards.owner(shard);
        let place = self.text_of(owner, || {
            let place = self.first_layer_not_finite(batch, shard);
            place.unwrap_or_else(|| "every layer's output is finite, the loss made of the last is not".into())
        });
        let at = match (self.shards.count(), group.size()) {
            (1, _) => String::new(),
            (_, 1) => format!(", in shard {shard}"),
            _ => format!(", in shard {shard} of rank {owner}"),
        };
        TrainError::Diverged {
            task: self.model.tasks()[task].name().to_string(),
            value,
            step,
            at,
            place,
            kept,
        }
    }

    /// The first shard in which something is not finite if norms use its own statistics: if they use those of all shards,
    /// it spoils the others, too.
    fn shard_to_blame(&self, batch: &Batch) -> Option<usize> {
        let is_wrong = |shard: usize| u8::from(self.first_layer_not_finite(batch, shard).is_some());
        let own = self.shards.own().map(|shard| vec![is_wrong(shard)]).collect();
        self.shards.gather(own).iter().position(|wrong| wrong[..] == [1])
    }

    /// What one rank has to say, told to all.
    fn text_of(&self, rank: usize, text: impl FnOnce() -> String) -> String {
        let group = self.shards.group();
        let own = if group.rank() == rank { text() } else { String::new() };
        String::from_utf8_lossy(&group.gather(own.into_bytes()).wait()[rank]).into_owned()
    }

    /// Saves the run as it is, if its weights are finite; returns what happened to them.
    fn keep_weights(&self) -> String {
        if !self.model.tensors().iter().all(|(_, tensor)| tensor.all_finite()) {
            return "the step before it made weights that are not finite, which are not kept".into();
        }
        let path = self.folder.before_divergence();
        match self.save_run(&path) {
            Ok(()) => format!("the weights from before it are in {}", path.display()),
            Err(error) => format!("the weights from before it could not be kept ({error})"),
        }
    }

    /// The place of the first value in the forward pass on a shard of this process's part of a batch that is not finite, if
    /// norms use the statistics of the shard.
    fn first_layer_not_finite(&self, batch: &Batch, shard: usize) -> Option<String> {
        let samples = self.samples_of_step();
        let range = self.shards.samples(shard, samples);
        let batch = &batch.narrow(range.start - self.shards.own_samples(samples).start, range.len());
        if !batch.images.all_finite() {
            return Some("the images themselves hold values that are not finite".into());
        }
        if let Some((name, _)) = batch.inputs.iter().find(|(_, input)| !input.values.all_finite()) {
            return Some(format!("the input {name} itself holds values that are not finite"));
        }
        // The same random numbers as in the step.
        let mut context = Context::training(self.config.seed, step_of_shard(self.state.step, shard));
        context.trace_layers();
        let features = self.model.features(batch, &mut context);
        let _ = self.model.losses(&features, batch, &mut context);
        let first = context.traced().iter().find(|layer| !layer.is_finite);
        let place = first.map(|layer| {
            let parameters = self.model.parameters();
            let path = parameters.into_iter().find(|(_, parameter)| parameter.id() == layer.parameter);
            let path = path.map_or_else(|| "a layer".into(), |(path, _)| path);
            let (path, shape) = (layer_of(&path), &layer.shape);
            format!("the first output that is not finite is that of {path}, of shape {shape:?}")
        });
        context.discard();
        place
    }
}
