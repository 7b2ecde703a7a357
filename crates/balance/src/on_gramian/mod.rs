//! Strategies whose weights depend on the Gramian alone, as functions from
//! lengths, cosines and a preference to weights.
//!
//! All work on unit rows and use the lengths only where the formula has them, so
//! the scale of the gradients does not matter. The direction is always `d = Jᵀw`.
//! The comment of each function says what it does with gradients that are zero,
//! equal or opposite, and tests check it; a gradient that is not finite never
//! gets here, because [`Gramian::new`](super::Gramian::new) refuses it.

mod aligned;
mod bargaining;
mod conflict_averse;
mod dual_cone;
mod equal_angle;
mod krum;
mod min_norm;
mod surgery;

pub use aligned::{AlignedScale, aligned};
pub use bargaining::fair_grad;
pub use conflict_averse::{Rescale, ca_grad};
pub use dual_cone::{dual_projection, up_grad};
pub use equal_angle::{con_fig, imtl_g};
pub use krum::krum;
pub use min_norm::{Normaliser, mgda, mgda_normalised};
pub use surgery::{Orders, Vaccine, grad_vac, pc_grad};
