//! The maximum of a given number of windows.

use cerberus_tensor::Element;
use cerberus_tensor::windows::Windows;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` is the maximum over windows `floor(o in / out) .. ceil((o + 1) in / out)`, which
/// overlap where the sizes do not divide. `dx = dy` at the place of the maximum, the
/// first if several are equal. One window along every axis is global pooling.
pub struct AdaptiveMaxPool;

#[cfg(feature = "proofs")]
impl Proof for AdaptiveMaxPool {
    fn facts() -> Facts {
        Facts::new(
            "adaptive_max_pool",
            Group::Vision,
            "y = maximum of x over out windows",
            "dx = dy where the maximum came from",
        )
        .shapes("x [N, image.., C], y [N, size.., C]")
        .torch("F.adaptive_max_pool2d(a, size)")
        .kinks("all to the first of equals")
        .large(&[&[7, 40, 41, 3]])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, x: &[usize], size: [usize; 2]| {
            let torch = format!("adaptive_max_pool(a, {size:?})");
            case!(format!("adaptive_max_pool{kind}"), torch, [sample(1, x)], |x| x.adaptive_max_pool(&size))
        };
        vec![
            case("", &[2, 5, 4, 2], [3, 2]),
            case(": global", &[2, 3, 4, 2], [1, 1]),
            case(": more windows than positions", &[1, 2, 2, 2], [3, 3]),
            case(": empty batch", &[0, 4, 4, 2], [2, 2]),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("adaptive_max_pool: image [4, 4] to [3]", || {
            let _ = super::zeros::<f64>(&[1, 4, 4, 2]).adaptive_max_pool(&[3]);
        })]
    }
}

impl<T: Element> Var<T> {
    /// The maximum of `size` windows over images `[N, image.., C]`; see [`AdaptiveMaxPool`].
    ///
    /// # Panics
    /// If `size` does not have as many extents as the image, or one is 0.
    #[track_caller]
    pub fn adaptive_max_pool(self, size: &[usize]) -> Var<T> {
        let windows = Windows::adaptive(
            "adaptive_max_pool",
            super::avg_pool::image("adaptive_max_pool", self.shape()),
            size,
        );
        super::max_pool::winners(self, "adaptive_max_pool", windows)
    }
}
