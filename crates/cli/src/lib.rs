//! The command-line programs: options, progress and messages.
//!
//! - [`train`]: trains one trunk with several heads into a run's folder;
//! - [`predict`]: the predictions of a trained model for pictures;
//! - [`evaluate`]: scores a trained model on data;
//! - [`explain`]: what in a picture each head's answer rests on;
//! - [`export`]: writes a trained model as an ONNX file;
//! - [`import`]: makes a model of the weights in a file of PyTorch;
//! - [`inspect`]: shows what a data set holds;
//! - [`personal`]: one person's own classes beside a base model;
//! - [`runs`]: lists and compares the runs of a folder;
//! - [`shell`]: shared by all of them;
//! - [`together`]: for those that may be one of several processes.
//!
//! Each is a `main` that reads the command line of the process and returns its exit
//! code: 2 for a wrong option, 1 for any other failure. The examples of the same names
//! are these functions and nothing else.
#![forbid(unsafe_code)]

mod display;
pub mod evaluate;
pub mod explain;
pub mod export;
mod found;
pub mod import;
pub mod inspect;
mod look;
pub mod personal;
mod pictures;
pub mod predict;
mod rates;
pub mod runs;
mod senses;
pub mod settings;
pub mod shell;
pub mod together;
pub mod train;

pub use cerberus_report::chart;
