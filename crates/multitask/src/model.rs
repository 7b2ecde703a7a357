//! The whole animal: a trunk, run once, and the heads that look at it.

use cerberus_autograd::Var;
use cerberus_nn::{Context, Entry, EntryMut, Init, Module, join};
use cerberus_tensor::{Element, Tensor};

use crate::config::{ModelConfig, TaskKind};
use crate::tasks::{Answer, Classify, Detect, Prediction, Segment, Task};
use crate::trunk::ConvTrunk;

/// One trunk with any set of tasks.
pub struct MultiTaskModel<T: Element = f32> {
    trunk: ConvTrunk<T>,
    tasks: Vec<Box<dyn Task<T>>>,
}

impl<T: Element> MultiTaskModel<T> {
    /// The model that `config` describes, with fresh weights from `seed`.
    ///
    /// # Panics
    /// If the stages cannot carry the heads: fewer than three, or none at all.
    #[track_caller]
    pub fn new(config: &ModelConfig, seed: u64) -> Self {
        let mut init = Init::new(seed);
        let [height, width, channels] = config.image;
        let trunk = ConvTrunk::new(channels, &config.stages, &mut init);
        let image = [height, width];
        let outputs = trunk.channels();
        let (deepest, merged) = (outputs[outputs.len() - 1], trunk.merged_channels());
        let stride = 1 << (outputs.len() - 2);
        let classes = config.classes.len();
        let tasks = config.tasks.iter().map(|kind| -> Box<dyn Task<T>> {
            match kind {
                TaskKind::Classify => Box::new(Classify::new(deepest, classes, &mut init)),
                TaskKind::Detect => Box::new(Detect::new(image, stride, merged, classes, &mut init)),
                TaskKind::Segment => {
                    let fine = outputs[outputs.len() - 3];
                    Box::new(Segment::new(image, [merged, fine], classes + 1, &mut init))
                }
            }
        });
        let tasks = tasks.collect();
        Self { trunk, tasks }
    }

    /// A model of your own trunk and tasks.
    pub fn from_parts(trunk: ConvTrunk<T>, tasks: Vec<Box<dyn Task<T>>>) -> Self {
        Self { trunk, tasks }
    }

    /// The shared body.
    pub fn trunk(&self) -> &ConvTrunk<T> {
        &self.trunk
    }

    /// The tasks, in order.
    pub fn tasks(&self) -> &[Box<dyn Task<T>>] {
        &self.tasks
    }

    /// Every task's raw outputs for images `[N, H, W, C]`; the trunk runs once.
    #[track_caller]
    pub fn forward(&self, images: Var<T>, context: &mut Context<T>) -> Vec<Prediction<T>> {
        let features = self.trunk.forward(images, context);
        self.tasks.iter().map(|task| task.forward(&features, context)).collect()
    }

    /// Every task's answers for images `[N, H, W, C]`: one list per task.
    #[track_caller]
    pub fn predict(&self, images: Tensor<T>) -> Vec<Vec<Answer>> {
        let predictions = self.forward(Var::constant(images), &mut Context::evaluation());
        self.tasks.iter().zip(&predictions).map(|(task, prediction)| task.decode(prediction)).collect()
    }
}

/// Paths read `trunk.stage1.block1.conv.weight`, `heads.detect.heat.conv.weight`.
impl<T: Element> Module<T> for MultiTaskModel<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, Entry<'a, T>)) {
        let Self { trunk, tasks } = self;
        trunk.visit(&join(path, "trunk"), f);
        for task in tasks {
            task.visit(&join(path, &format!("heads.{}", task.name())), f);
        }
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, EntryMut<'a, T>)) {
        let Self { trunk, tasks } = self;
        trunk.visit_mut(&join(path, "trunk"), f);
        for task in tasks {
            let name = format!("heads.{}", task.name());
            task.visit_mut(&join(path, &name), f);
        }
    }
}
