//! Positions added at both ends of dimensions.

use cerberus_tensor::shape::sum_of;
use cerberus_tensor::{Element, Tensor};

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` is `x` with positions before and after: a constant, the image mirrored about
/// its edge, or its edge repeated. `dx` is `dy` at the middle, plus the gradients of
/// the copies at the edges.
pub struct Pad;

#[cfg(feature = "proofs")]
impl Proof for Pad {
    fn facts() -> Facts {
        Facts::new(
            "pad",
            Group::Shape,
            "y = x with positions before and after each axis",
            "dx = dy of the middle and of the copies",
        )
        .shapes("any, and (before, after) for each axis")
        .torch("F.pad(a, pads, mode)")
        .linear(&[0])
        .nan("a constant stays a constant")
        .large(&[&[200, 203]])
    }

    fn cases() -> Vec<Case> {
        let case =
            |name: &str, x: &[usize], torch: &'static str, pads: &'static [(usize, usize)], mode: PadMode| {
                case!(format!("pad: {name}"), torch, [sample(1, x)], |x| x.pad(pads, mode))
            };
        vec![
            case(
                "constant",
                &[2, 3],
                "F.pad(a, (2, 0, 1, 1), value=0.5)",
                &[(1, 1), (2, 0)],
                PadMode::Constant(0.5),
            ),
            case(
                "reflect",
                &[1, 3, 4, 2],
                "F.pad(a.permute(0, 3, 1, 2), (0, 2, 2, 1), mode='reflect').permute(0, 2, 3, 1)",
                &[(0, 0), (2, 1), (0, 2), (0, 0)],
                PadMode::Reflect,
            ),
            case(
                "replicate",
                &[1, 3, 2, 2],
                "F.pad(a.permute(0, 3, 1, 2), (3, 2, 2, 1), mode='replicate').permute(0, 2, 3, 1)",
                &[(0, 0), (2, 1), (3, 2), (0, 0)],
                PadMode::Replicate,
            ),
            case("empty batch", &[0, 3], "F.pad(a, (1, 1))", &[(0, 0), (1, 1)], PadMode::Constant(0.0)),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![
            ErrorCase::new("pad: [(1, 1)] must be one pair for each dimension of [2, 3]", || {
                let _ = super::zeros::<f64>(&[2, 3]).pad(&[(1, 1)], PadMode::Replicate);
            }),
            ErrorCase::new("pad: to reflect 2 positions, axis 0 of shape [2] must be longer", || {
                let _ = super::zeros::<f64>(&[2]).pad(&[(2, 0)], PadMode::Reflect);
            }),
        ]
    }
}

/// The values of the added positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// This number.
    Constant(f64),
    /// The image mirrored about its first and last position, which are not repeated.
    Reflect,
    /// The first and the last position, repeated.
    Replicate,
}

impl<T: Element> Var<T> {
    /// `pads[axis]` positions before and after, for every axis; see [`Pad`].
    ///
    /// # Panics
    /// If there is not one pair for each axis, if an axis is too short to be
    /// mirrored, or has no edge to repeat.
    #[track_caller]
    pub fn pad(self, pads: &[(usize, usize)], mode: PadMode) -> Var<T> {
        let shape = self.value().dims();
        assert!(pads.len() == shape.len(), "pad: {pads:?} must be one pair for each dimension of {shape:?}");
        let padded = pads.iter().enumerate().filter(|(_, pads)| **pads != (0, 0));
        padded.fold(self, |x, (axis, &(before, after))| {
            let len = shape[axis];
            let total = sum_of("pad", &[before, len, after]);
            x.value().dims().with(axis, total);
            let longest = before.max(after);
            match mode {
                PadMode::Constant(value) => {
                    let edge = |extent| {
                        let shape = x.value().dims().with(axis, extent);
                        Var::constant(Tensor::full(T::from_f64(value), &shape))
                    };
                    Var::concat(vec![edge(before), x.clone(), edge(after)], axis)
                }
                PadMode::Reflect => {
                    assert!(
                        longest < len,
                        "pad: to reflect {longest} positions, axis {axis} of shape {shape:?} must be longer"
                    );
                    // The distance from the first position, reflected at the last one.
                    let source = |i: usize| {
                        i.abs_diff(before).min(2 * (len - 1) + before - i.min(2 * (len - 1) + before))
                    };
                    x.select_along("pad", axis, (0..total).map(|i| Some(source(i))))
                }
                PadMode::Replicate => {
                    assert!(len > 0, "pad: axis {axis} of shape {shape:?} has no edge to replicate");
                    let source = |i: usize| i.saturating_sub(before).min(len - 1);
                    x.select_along("pad", axis, (0..total).map(|i| Some(source(i))))
                }
            }
        })
    }
}
