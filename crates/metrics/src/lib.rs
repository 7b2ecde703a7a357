//! Metrics of a model's predictions: each is updated with one batch or image at a time and read at the end.
//!
//! | task | metric | where |
//! |---|---|---|
//! | classification | top-1 and top-k accuracy | [`TopKAccuracy`] |
//! | | balanced accuracy, F1, precision and recall, from one confusion matrix | [`ConfusionMatrix`] |
//! | | calibration: ECE, MCE, Brier, NLL, temperature | [`Calibration`], [`ClassSamples`], [`fit_temperature`] |
//! | multi-label classification | average precision | [`AveragePrecision`] |
//! | segmentation | IoU, Dice, accuracies, from one confusion matrix | [`ConfusionMatrix`] |
//! | | agreement of outlines | [`BoundaryF1`] |
//! | detection | COCO mean average precision and recall, per class and size, curves | [`CocoEvaluator`] |
//! | regression, depth | MAE, RMSE, R2, AbsRel, SqRel, delta | [`RegressionErrors`] |
//!
//! [`Estimate`] is the mean of a metric over runs, people or pictures, with its interval.
//! [`Tracker`] is no metric: it links the boxes of a film from frame to frame.
//!
//! Metrics work on plain slices and know nothing of tensors. They count in integers where the definition allows it, and
//! add in the order of the samples, so the result does not depend on how the samples were split into batches. None
//! keeps pixels; three keep data for each sample or detection, because an exact average precision and a fitted
//! temperature depend on all of them.
#![forbid(unsafe_code)]

mod accuracy;
mod average_precision;
mod boundary;
pub mod boxes;
mod calibration;
pub mod coco;
mod confusion;
mod estimate;
mod regression;
pub mod tracking;

pub use accuracy::{TopKAccuracy, argmax};
pub use average_precision::AveragePrecision;
pub use boundary::BoundaryF1;
pub use boxes::BBox;
pub use calibration::{CALIBRATION_BINS, Calibration, ClassSamples, Reliability, fit_temperature};
pub use coco::{CocoEvaluator, CocoReport, CocoSummary};
pub use confusion::{ConfusionMatrix, IGNORED_CLASS};
pub use estimate::Estimate;
pub use regression::RegressionErrors;
pub use tracking::{Tracker, TrackerOptions};
