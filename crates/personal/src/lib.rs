//! One base model, many people: what each person teaches it, in a small store beside a base that is never written.
//!
//! A picture goes through the frozen trunk of the base once; what is kept of it is its [embedding](base), the vector
//! that the base's classifier ends with. From the embeddings of what a person has shown, a [recogniser]
//! of their own classes is computed in milliseconds, in closed form or by a few Newton steps. Everything learned is a
//! deterministic function of a log of what was shown, so that forgetting a class gives the bits of never having taught
//! it, and undoing is exact.
//!
//! - [`heads`]: classifiers of embeddings: prototypes, ridge, logistic, anchored to the base, Gaussian;
//! - [`base`]: the base model as people share it, with what it [knows](knowledge) of its own classes;
//! - [`hash`]: how a base is known, and how that is remembered;
//! - [`labelled`](mod@labelled): embeddings of what labelled pictures show: images, objects, pixels;
//! - [`recogniser`]: a person's classes beside the base's, with thresholds, chosen by leave-one-out;
//! - [`style`]: the statistics of a person's pictures, for all heads;
//! - [`adapters`], [`tune`](mod@tune): FiLM, residual adapters, norms and LoRA, tuned on labelled pictures;
//! - [`adapted`]: those of one person, as a store keeps them and puts them on;
//! - [`store`]: the folder of one person: the log, the locks, the atomic writes;
//! - [`people`]: many of them, served from one base.
#![forbid(unsafe_code)]

pub mod adapted;
pub mod adapters;
pub mod base;
mod error;
pub mod hash;
pub mod heads;
pub mod knowledge;
pub mod labelled;
mod matrix;
pub mod people;
pub mod recogniser;
pub mod store;
pub mod style;
#[cfg(test)]
mod tests;
pub mod tune;

pub use adapted::{Adapted, AdapterKind};
pub use base::{Base, Kind, Slot};
pub use error::PersonalError;
pub use knowledge::Knowledge;
pub use labelled::{Labelled, labelled};
pub use matrix::Matrix;
pub use people::People;
pub use recogniser::{Examples, Recognised, Recogniser, Way};
pub use store::{Log, Portable, Shown, Step, Store};
pub use style::Style;
