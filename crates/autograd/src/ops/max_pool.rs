//! The largest value of every window, over images of any number of dimensions.

use cerberus_tensor::Element;
use cerberus_tensor::linear_map::LinearMap;
use cerberus_tensor::windows::{Sliding, Windows};

use super::linear_map::{Mapped, Origin};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` is the maximum of `x` over each window, per channel; `dx = dy` at its place (the
/// first if several are equal), summed where windows overlap. NaN wins. For images of two
/// dimensions [`MaxPool2d`](super::MaxPool2d) has kernels of its own.
pub struct MaxPool;

#[cfg(feature = "proofs")]
impl Proof for MaxPool {
    fn facts() -> Facts {
        Facts::new(
            "max_pool",
            Group::Vision,
            "y = max of x over each window",
            "dx = dy where the maximum came from",
        )
        .shapes("x [N, image.., C] with an image of 1, 2 or 3 dimensions")
        .torch("F.max_pool1d, F.max_pool2d, F.max_pool3d")
        .kinks("all to the first of equals")
    }

    fn cases() -> Vec<Case> {
        vec![
            case!("max_pool: 1d", "max_pool(a, (3,), (2,), (1,))", [sample(1, &[2, 5, 2])], |x| {
                x.max_pool(Sliding { kernel: [3], stride: [2], padding: [1], ceil_mode: false })
            }),
            case!("max_pool: 2d", "max_pool(a, (3, 2), (2, 1), (1, 1))", [sample(1, &[2, 4, 3, 2])], |x| {
                x.max_pool(Sliding { kernel: [3, 2], stride: [2, 1], padding: [1, 1], ceil_mode: false })
            }),
            case!(
                "max_pool: 2d, ceil mode",
                "max_pool(a, (3, 2), (2, 2), (0, 1), True)",
                [sample(1, &[2, 4, 3, 2])],
                |x| x.max_pool(Sliding { kernel: [3, 2], stride: [2, 2], padding: [0, 1], ceil_mode: true })
            ),
            case!(
                "max_pool: 3d",
                "max_pool(a, (2, 2, 2), (1, 1, 1), (0, 0, 0))",
                [sample(1, &[1, 3, 2, 3, 2])],
                |x| x.max_pool(Sliding { stride: [1; 3], ..Sliding::square(2) })
            ),
            case!("max_pool: empty batch", "max_pool(a, (2,), (2,), (0,))", [sample(1, &[0, 4, 2])], |x| {
                x.max_pool(Sliding::<1>::square(2))
            }),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new(
            "max_pool: image [3] with Sliding { kernel: [4], stride: [4], padding: [0], ceil_mode: false }",
            || {
                let _ = super::zeros::<f64>(&[2, 3, 1]).max_pool(Sliding::<1>::square(4));
            },
        )]
    }

    fn large_cases() -> Vec<Case> {
        let spec = Sliding { kernel: [3], stride: [2], padding: [1], ceil_mode: false };
        vec![case!("max_pool", "max_pool(a, (3,), (2,), (1,))", [sample(1, &[5, 801, 8])], |x| x
            .max_pool(spec))]
    }
}

impl<T: Element> Var<T> {
    /// The largest value of every window of images `[N, image.., C]`; see [`MaxPool`].
    ///
    /// # Panics
    /// If the image does not have the windows' dimensions or is smaller than a window.
    #[track_caller]
    pub fn max_pool<const D: usize>(self, spec: Sliding<D>) -> Var<T> {
        let windows = Windows::sliding("max_pool", super::avg_pool::image("max_pool", self.shape()), &spec);
        winners(self, "max_pool", windows)
    }
}

/// The largest value of every window, as a choice of positions.
#[track_caller]
pub(super) fn winners<T: Element>(x: Var<T>, operation: &'static str, windows: Windows) -> Var<T> {
    let shape = x.shape();
    let to = [&shape[..1], &windows.output(), &shape[shape.len() - 1..]].concat();
    let map = LinearMap::select(x.value().len(), windows.winners(x.value()).into_iter().map(Some));
    let rank = shape.len();
    let mapped = Mapped::new(operation, map, shape, 0..rank, &to).with_origin(Origin::Largest(windows));
    Var::record(mapped, vec![x])
}
