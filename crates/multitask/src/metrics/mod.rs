//! Scores of what a model predicts, each fed a batch or an image at a time and read at the end.
//!
//! | task | metric | where |
//! |---|---|---|
//! | classification | top-1 and top-k accuracy | [`TopKAccuracy`] |
//! | segmentation | IoU, Dice, accuracies, from one confusion matrix | [`ConfusionMatrix`] |
//! | detection | COCO mean average precision and recall | [`CocoEvaluator`] |
//!
//! Metrics work on plain slices and know nothing of tensors. They count in integers and divide once, so the
//! result does not depend on how the samples were split into batches.

mod accuracy;
pub mod coco;
mod confusion;

pub use accuracy::TopKAccuracy;
pub use coco::{CocoEvaluator, CocoReport, CocoSummary};
pub use confusion::{ConfusionMatrix, IGNORED_CLASS};
