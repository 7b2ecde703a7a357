//! A tensor repeated along its dimensions.

use cerberus_tensor::Element;
use cerberus_tensor::shape::product_of;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` is `x` repeated `times[axis]` times along every axis; `dx` sums `dy` over the
/// repetitions.
pub struct Tile;

#[cfg(feature = "proofs")]
impl Proof for Tile {
    fn facts() -> Facts {
        Facts::new("tile", Group::Shape, "y = x repeated along each axis", "dx = Σ dy over the repetitions")
            .shapes("any, and a number for each axis")
            .torch("torch.tile(a, times)")
            .linear(&[0])
            .large(&[&[60, 101]])
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("tile", "a.tile(2, 3)", [sample(1, &[2, 3])], |x| x.tile(&[2, 3])),
            case!("tile: rank 0", "a", [sample(1, &[])], |x| x.tile(&[])),
            case!("tile: empty batch", "a.tile(1, 2)", [sample(1, &[0, 3])], |x| x.tile(&[1, 2])),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("tile: [2] must be one number for each dimension of [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).tile(&[2]);
        })]
    }
}

impl<T: Element> Var<T> {
    /// Repeated `times[axis]` times along every axis; see [`Tile`].
    ///
    /// # Panics
    /// If there is not one number for each axis.
    #[track_caller]
    pub fn tile(self, times: &[usize]) -> Var<T> {
        let fits = times.len() == self.shape().len();
        assert!(fits, "tile: {times:?} must be one number for each dimension of {:?}", self.shape());
        times.iter().enumerate().filter(|(_, times)| **times != 1).fold(self, |x, (axis, &times)| {
            let extent = x.shape()[axis];
            let total = product_of("tile", &[extent, times]);
            x.value().dims().with(axis, total);
            x.select_along("tile", axis, (0..total).map(|i| Some(i % extent)))
        })
    }
}
