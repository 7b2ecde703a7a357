//! What the page needs from the evaluation on the test part: the worst mistakes of each task, and the counts of its
//! classes if no confusion matrix has them.
//!
//! Each batch is seen once, as it is scored. Only a handful of predictions is kept, and no picture, so that memory does
//! not grow with the part.

use cerberus_data::Batch;
use cerberus_multitask::config::HeadConfig;
use cerberus_multitask::model::MultiTaskModel;
use cerberus_multitask::tasks::Prediction;

use super::judge::judge;

/// The number of mistakes kept for each task.
const KEPT: usize = 8;

/// A prediction that was wrong.
#[derive(Clone, Debug)]
pub(crate) struct Mistake {
    /// Larger is worse.
    pub badness: f64,
    /// The sample's index in its part.
    pub index: usize,
    /// What is wrong, in a few words.
    pub told: String,
    pub prediction: Prediction,
}

/// The results of one task.
pub(crate) struct TaskPass {
    head: HeadConfig,
    /// Worst first; of equal ones the earliest first.
    pub worst: Vec<Mistake>,
    /// Objects, or pictures, of each class.
    pub support: Vec<u64>,
}

/// The results of every task.
pub(crate) struct TestPass {
    tasks: Vec<TaskPass>,
}

impl TestPass {
    /// The empty results of the model's tasks.
    pub fn new(model: &MultiTaskModel) -> Self {
        let task = |head: &HeadConfig| TaskPass {
            head: head.clone(),
            worst: Vec::with_capacity(KEPT + 1),
            support: vec![0; head.classes.len()],
        };
        Self { tasks: model.tasks().iter().map(|head| task(head.config())).collect() }
    }

    /// Adds a batch and every task's predictions for it, in the model's order.
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

    /// The results of the task of this name.
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
