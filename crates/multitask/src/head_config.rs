//! The configuration of a head, the same for every kind.

use serde::{Deserialize, Serialize};

/// A head: its name, its kind, its label and its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadConfig {
    /// The name in reports and paths.
    pub name: String,
    /// The kind of head, one of [`kinds`](crate::tasks::kinds).
    pub kind: String,
    /// The label of the data it learns from.
    pub label: String,
    /// The label's class names, or names of values.
    pub classes: Vec<String>,
    /// How much its loss counts in the sum that is minimised.
    pub weight: f64,
    /// Further options.
    #[serde(default)]
    pub options: HeadOptions,
}

/// Options that heads have in common; a head ignores those that do not apply to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeadOptions {
    /// The input of several from which alone the head answers; all of them if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The stages of the trunk that the head uses, counted from 1, shallow to deep; empty leaves the choice to the
    /// head.
    pub levels: Vec<usize>,
    /// The share of features dropped before the last layer in training.
    pub dropout: f64,
    /// The share of a class target that is spread over all classes.
    pub label_smoothing: f64,
    /// A weight per class (for masks, the background comes first).
    pub class_weights: Option<Vec<f64>>,
    /// The exponent of the focal loss, used instead of cross-entropy.
    pub focal: Option<f64>,
    /// A number per class that is added to the logits in training: the logarithm of the class's share, times a
    /// temperature.
    pub logit_adjustment: Option<Vec<f64>>,
}

impl HeadConfig {
    /// The number of classes or values.
    pub fn outputs(&self) -> usize {
        self.classes.len()
    }
}
