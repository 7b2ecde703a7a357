//! The end of a run: the best model on the test part.

use std::time::Instant;

use cerberus_data::Split;
use cerberus_multitask::tasks::Metric;
use cerberus_nn::Module;
use cerberus_tensor::Tensor;

use super::{Observer, Trainer};
use crate::error::TrainError;
use crate::evaluate::{figures, score_seen, shared};
use crate::page::{TestPass, Tested};
use crate::report::{Summary, write_samples};
use crate::saved;

impl Trainer {
    /// Evaluates the best model on the test split and writes the results.
    pub(super) fn summarise(&mut self, observer: &mut dyn Observer) -> Result<Summary, TrainError> {
        let clock = Instant::now();
        let last = self.model.tensors();
        if self.writes() {
            saved::load_into(&self.folder.best(), &mut self.model)?;
        }
        self.share_weights();
        // A test picture that cannot be read must not lose what was trained and measured so far.
        let mut pass = TestPass::new(&self.model);
        let tested = self.test(observer, &mut pass).and_then(|metrics| {
            if self.writes() {
                write_samples(&self.folder, &self.model, &self.dataset)?;
            }
            Ok(metrics)
        });
        self.state.seconds += clock.elapsed().as_secs_f64();
        let (metrics, failure) = match tested {
            Ok(metrics) => (metrics, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let figures = shared(self.shards.group(), figures(&self.model, &metrics));
        let split = self.scored(Split::Test);
        let summary = Summary::new(&self.config, &self.model, &self.state, &self.dataset, &figures);
        let summary = summary.scored_on(split);
        let mut last = last.into_iter();
        self.model.visit_mut("", &mut |_, mut entry| {
            *entry.value_mut() = last.next().expect("the model has the tensors it had").1;
        });
        if self.writes() {
            self.folder.write_json(&self.folder.summary(), &summary)?;
            self.watch
                .end(&self.view(), &Tested { split, summary: &summary, metrics: &metrics, pass: &pass });
        }
        failure.map_or(Ok(summary), Err)
    }

    /// The metrics of the test part; `pass` sees the predictions there.
    fn test(
        &self,
        observer: &mut dyn Observer,
        pass: &mut TestPass,
    ) -> Result<Vec<Box<dyn Metric>>, TrainError> {
        let split = self.scored(Split::Test);
        if self.dataset.is_empty(split) {
            return Ok(Vec::new());
        }
        let of = self.samples(split);
        let (group, samples) = (self.shards.group(), self.config.samples);
        score_seen(group, &self.model, &self.dataset, (split, samples), &mut |batch, predictions| {
            pass.see(batch, predictions);
            observer.evaluating(split, batch.len(), of);
        })
    }

    /// Gives every process the weights of the first.
    fn share_weights(&mut self) {
        let group = self.shards.group();
        if group.size() == 1 {
            return;
        }
        let values = self.model.tensors().into_iter().flat_map(|(_, tensor)| tensor.to_vec());
        let bytes = group.broadcast(values.flat_map(f32::to_le_bytes).collect());
        let mut values = bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
        self.model.visit_mut("", &mut |_, mut entry| {
            let shape = entry.value_mut().shape().to_vec();
            let own = values.by_ref().take(shape.iter().product()).collect();
            *entry.value_mut() = Tensor::from_vec(own, &shape);
        });
    }
}
