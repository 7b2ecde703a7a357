//! What a model is made of, as data: written into every checkpoint, so that a
//! file alone is enough to rebuild its model.

use cerberus_data::DatasetInfo;
use serde::{Deserialize, Serialize};

/// A kind of task the default heads can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskKind {
    /// One class for the whole image.
    Classify,
    /// A class and a box for every object.
    Detect,
    /// A class for every pixel.
    Segment,
}

impl TaskKind {
    /// All kinds, in the order in which they are trained and reported.
    pub const ALL: [TaskKind; 3] = [TaskKind::Classify, TaskKind::Detect, TaskKind::Segment];

    /// The name on command lines, in files and in reports.
    pub fn name(self) -> &'static str {
        match self {
            TaskKind::Classify => "classify",
            TaskKind::Detect => "detect",
            TaskKind::Segment => "segment",
        }
    }

    /// Whether the data set has labels for it.
    pub fn is_labelled_in(self, info: &DatasetInfo) -> bool {
        match self {
            TaskKind::Classify => info.has_classes,
            TaskKind::Detect => info.has_objects,
            TaskKind::Segment => info.has_masks,
        }
    }
}

impl std::fmt::Display for TaskKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for TaskKind {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        let known = TaskKind::ALL.map(TaskKind::name).join(", ");
        let found = TaskKind::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| format!("there is no task {name:?}; the tasks are {known}"))
    }
}

/// How much each task's loss counts in the sum that is minimised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskWeights {
    /// Weight of the classification loss.
    pub classify: f64,
    /// Weight of the detection loss.
    pub detect: f64,
    /// Weight of the segmentation loss.
    pub segment: f64,
}

impl Default for TaskWeights {
    fn default() -> Self {
        Self { classify: 1.0, detect: 1.0, segment: 1.5 }
    }
}

impl TaskWeights {
    /// The weight of one task.
    pub fn of(&self, kind: TaskKind) -> f64 {
        match kind {
            TaskKind::Classify => self.classify,
            TaskKind::Detect => self.detect,
            TaskKind::Segment => self.segment,
        }
    }
}

/// Everything that determines a model's structure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Rows, columns and channels of the images.
    pub image: [usize; 3],
    /// Class names; masks count background before them.
    pub classes: Vec<String>,
    /// Output channels of each convolution, stage by stage; a max-pool halves
    /// the image between stages.
    pub stages: Vec<Vec<usize>>,
    /// The heads, in order.
    pub tasks: Vec<TaskKind>,
}

impl ModelConfig {
    /// The default model for a data set's images and classes.
    pub fn for_data(info: &DatasetInfo, tasks: &[TaskKind]) -> Self {
        Self {
            image: [info.height, info.width, info.channels],
            classes: info.classes.clone(),
            stages: vec![vec![32], vec![64, 64], vec![128, 128], vec![128, 128]],
            tasks: tasks.to_vec(),
        }
    }

    /// Checks that a model can be built from this, whoever wrote it.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let channels = self.stages.iter().flatten();
        if self.stages.len() < 3 || self.stages.iter().any(Vec::is_empty) || channels.clone().any(|&c| c == 0)
        {
            return Err(format!(
                "the trunk {:?} must have at least three stages, none of them empty",
                self.stages
            ));
        }
        if channels.clone().any(|&c| c > 1 << 14) || self.stages.len() > 12 {
            return Err(format!("the trunk {:?} is larger than any this program writes", self.stages));
        }
        if self.classes.is_empty() || self.classes.len() > 254 {
            return Err(format!("{} classes; there must be 1 to 254", self.classes.len()));
        }
        let unit = 1 << (self.stages.len() - 1);
        let [height, width, channels] = self.image;
        let fits = |side: usize| side > 0 && side.is_multiple_of(unit);
        if !fits(height) || !fits(width) || channels == 0 {
            return Err(format!(
                "images of {height}x{width} pixels and {channels} channels do not fit; both sides must be multiples of {unit}"
            ));
        }
        if self.tasks.is_empty() {
            return Err("there is no task".into());
        }
        Ok(())
    }
}
