//! The shared trunk: which channels of its maps each head reads, and how alike the maps of two trunks are.
//!
//! [`reliance`] holds a model's maps fixed and asks what happens to each target when a channel changes, by the slope
//! and by the experiment; [`reliance_through`] counts what reaches it through deeper stages as well. [`Overlap`] compares two heads by the result; [`Cka`] compares two trunks.

mod cka;
mod overlap;
mod reliance;
mod through;

pub use cka::Cka;
pub use overlap::Overlap;
pub use reliance::{Ablation, Answers, Reliance, maps_of, reliance, reliance_on};
pub use through::reliance_through;
