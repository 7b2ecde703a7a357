//! What the one look at the test part leaves for the page: of each task its worst mistakes, and how often each class
//! occurs where no confusion matrix counts it.
//!
//! Each batch is seen once, as it is scored. Kept are the predictions of a handful of pictures, never the pictures, so
//! that the memory does not grow with the part.

use cerberus_data::Batch;
use cerberus_multitask::config::HeadConfig;
use cerberus_multitask::model::MultiTaskModel;
use cerberus_multitask::tasks::Prediction;

use super::judge::judge;

/// Mistakes that are kept of each task.
const KEPT: usize = 8;

/// A prediction that was wrong.
#[derive(Clone, Debug)]
pub(crate) struct Mistake {
    /// The larger, the worse.
    pub badness: f64,
    /// The sample's index in its part.
    pub index: usize,
    /// What is wrong, in a few words.
    pub told: String,
    pub prediction: Prediction,
}

/// What was seen of one task.
pub(crate) struct TaskPass {
    head: HeadConfig,
    /// Worst first; of equals the one that came first.
    pub worst: Vec<Mistake>,
    /// Objects, or pictures, of each class.
    pub support: Vec<u64>,
}

/// What was seen of every task.
pub(crate) struct TestPass {
    tasks: Vec<TaskPass>,
}

impl TestPass {
    /// Nothing yet, of these tasks.
    pub fn new(model: &MultiTaskModel) -> Self {
        let task = |head: &HeadConfig| TaskPass {
            head: head.clone(),
            worst: Vec::with_capacity(KEPT + 1),
            support: vec![0; head.classes.len()],
        };
        Self { tasks: model.tasks().iter().map(|head| task(head.config())).collect() }
    }

    /// Looks at a batch and what every task says of it, in the model's order.
    pub fn see(&mut self, batch: &Batch, predictions: &[Vec<Prediction>]) {
        for (task, predictions) in self.tasks.iter_mut().zip(predictions) {
            task.count(batch);
            for (place, prediction) in predictions.iter().enumerate().take(batch.len()) {
                let Some((badness, told)) = judge(&task.head, prediction, (batch, place)) else { continue };
                let last = task.worst.last().map(|mistake| mistake.badness);
                if task.worst.len() == KEPT && last.is_some_and(|last| last >= badness) {
                    continue;
                }
                let after = task.worst.partition_point(|mistake| mistake.badness >= badness);
                let (index, prediction) = (batch.indices[place], prediction.clone());
                task.worst.insert(after, Mistake { badness, index, told, prediction });
                task.worst.truncate(KEPT);
            }
        }
    }

    /// What was seen of the task of this name.
    pub fn of(&self, name: &str) -> Option<&TaskPass> {
        self.tasks.iter().find(|task| task.head.name == name)
    }
}

impl TaskPass {
    fn count(&mut self, batch: &Batch) {
        let objects = batch.objects_of(&self.head.label).into_iter().flatten().flatten();
        let sets = batch.class_sets_of(&self.head.label).into_iter().flatten();
        let shown =
            sets.flat_map(|set| set.iter().enumerate().filter(|(_, there)| **there).map(|(class, _)| class));
        for class in objects.filter(|object| !object.crowd).map(|object| object.class).chain(shown) {
            if let Some(count) = self.support.get_mut(class) {
                *count += 1;
            }
        }
    }
}
