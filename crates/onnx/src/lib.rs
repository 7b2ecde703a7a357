//! Networks as ONNX files, for the programs that run them elsewhere.
//!
//! [`export_layer`] translates any layer, [`export_model`] a model with all its
//! heads. A forward pass in evaluation is recorded (`recording.rs`), its operations
//! become operators (`lower/`), and the file keeps the paths of the parameters and
//! a description of what goes in and what comes out (`model.rs`).
//!
//! The chapter `docs/onnx.md` tells users what is in a file and how to run it.
#![forbid(unsafe_code)]

mod error;
mod export;
mod fold;
mod graph;
mod layout;
mod lower;
mod model;
mod names;
pub mod proto;
mod recording;
mod values;
mod windows;

pub use error::ExportError;
pub use export::{BATCH, IR_VERSION, OPSET, Signature, export, export_layer, save};
pub use model::{DESCRIPTION, IMAGES, Preprocessing, export_model, output_names};
pub use values::save_values;
