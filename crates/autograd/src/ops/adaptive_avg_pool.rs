//! The mean of a given number of windows.

use cerberus_tensor::Element;
use cerberus_tensor::windows::Windows;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` is the mean over windows `floor(o in / out) .. ceil((o + 1) in / out)`, which
/// overlap where the sizes do not divide. `dx = dy / count` in each window. One window along
/// every axis is global pooling.
pub struct AdaptiveAvgPool;

#[cfg(feature = "proofs")]
impl Proof for AdaptiveAvgPool {
    fn facts() -> Facts {
        Facts::new(
            "adaptive_avg_pool",
            Group::Vision,
            "y = mean of x over out windows",
            "dx = dy / count over the window",
        )
        .shapes("x [N, image.., C], y [N, size.., C]")
        .torch("F.adaptive_avg_pool2d(a, size)")
        .linear(&[0])
        .large(&[&[7, 40, 41, 3]])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, x: &[usize], size: [usize; 2]| {
            let torch = format!("adaptive_avg_pool(a, {size:?})");
            case!(format!("adaptive_avg_pool{kind}"), torch, [sample(1, x)], |x| x.adaptive_avg_pool(&size))
        };
        vec![
            case("", &[2, 5, 4, 2], [3, 2]),
            case(": global", &[2, 3, 4, 2], [1, 1]).alike_along(0, &[1, 2]),
            case(": more windows than positions", &[1, 2, 2, 2], [3, 3]),
            case(": empty batch", &[0, 4, 4, 2], [2, 2]),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("adaptive_avg_pool: image [4, 4] to [3]", || {
            let _ = super::zeros::<f64>(&[1, 4, 4, 2]).adaptive_avg_pool(&[3]);
        })]
    }
}

impl<T: Element> Var<T> {
    /// The mean of `size` windows over images `[N, image.., C]`; see [`AdaptiveAvgPool`].
    ///
    /// # Panics
    /// If `size` does not have as many extents as the image, or one is 0.
    #[track_caller]
    pub fn adaptive_avg_pool(self, size: &[usize]) -> Var<T> {
        let windows = Windows::adaptive(
            "adaptive_avg_pool",
            super::avg_pool::image("adaptive_avg_pool", self.shape()),
            size,
        );
        let axes = 1..self.shape().len() - 1;
        self.linear_map("adaptive_avg_pool", windows.mean(false), axes, &windows.output())
    }
}
