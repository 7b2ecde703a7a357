//! The mean of every window, over images of any number of dimensions.

use cerberus_tensor::Element;
use cerberus_tensor::windows::{Sliding, Windows};

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` is the mean of `x` over each window, `dx = dy / count` in it, summed where windows
/// overlap. Padding counts as zeros if `count_padding`, else only positions in the image do; what a
/// window of [`Sliding::ceil_mode`] has beyond the padding never counts.
pub struct AvgPool;

#[cfg(feature = "proofs")]
impl Proof for AvgPool {
    fn facts() -> Facts {
        Facts::new(
            "avg_pool",
            Group::Vision,
            "y = mean of x over each window",
            "dx = dy / count over the window",
        )
        .shapes("x [N, image.., C] with an image of 1, 2 or 3 dimensions")
        .torch("F.avg_pool1d, F.avg_pool2d, F.avg_pool3d")
        .linear(&[0])
        .large(&[&[9, 1001, 4]])
    }

    fn cases() -> Vec<Case> {
        let torch = "avg_pool(a, (3, 2), (2, 1), (1, 1), ";
        let spec = Sliding { kernel: [3, 2], stride: [2, 1], padding: [1, 1], ceil_mode: false };
        let in_ceil_mode = Sliding { kernel: [4, 2], stride: [3, 2], padding: [1, 0], ceil_mode: true };
        vec![
            case!("avg_pool: 1d", "avg_pool(a, (2,), (2,), (0,), True)", [sample(1, &[2, 5, 2])], |x| {
                x.avg_pool(Sliding::<1>::square(2))
            }),
            case!(
                "avg_pool: 2d, padding counts",
                format!("{torch} True)"),
                [sample(1, &[2, 4, 3, 2])],
                |x| x.avg_pool(spec)
            ),
            case!(
                "avg_pool: 2d, padding does not count",
                format!("{torch} False)"),
                [sample(1, &[2, 4, 3, 2])],
                |x| x.avg_pool_exclude_padding(spec)
            ),
            case!(
                "avg_pool: 2d, ceil mode, padding counts",
                "avg_pool(a, (4, 2), (3, 2), (1, 0), True, True)",
                [sample(1, &[2, 4, 5, 2])],
                |x| x.avg_pool(in_ceil_mode)
            ),
            case!(
                "avg_pool: 2d, ceil mode, padding does not count",
                "avg_pool(a, (4, 2), (3, 2), (1, 0), False, True)",
                [sample(1, &[2, 4, 5, 2])],
                |x| x.avg_pool_exclude_padding(in_ceil_mode)
            ),
            case!(
                "avg_pool: 3d",
                "avg_pool(a, (2, 2, 2), (1, 1, 1), (0, 0, 0), True)",
                [sample(1, &[1, 3, 2, 3, 2])],
                |x| x.avg_pool(Sliding { stride: [1; 3], ..Sliding::square(2) })
            )
            // The windows are as high as the image.
            .alike_along(0, &[2]),
            case!(
                "avg_pool: empty batch",
                "avg_pool(a, (2,), (2,), (0,), True)",
                [sample(1, &[0, 4, 2])],
                |x| x.avg_pool(Sliding::<1>::square(2))
            ),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn misuse(len: usize, kernel: usize, stride: usize, padding: usize) {
            let spec = Sliding { kernel: [kernel], stride: [stride], padding: [padding], ceil_mode: false };
            let _ = super::zeros::<f64>(&[2, len, 1]).avg_pool(spec);
        }
        vec![
            ErrorCase::new(
                "avg_pool: image [3] with Sliding { kernel: [4], stride: [4], padding: [0], ceil_mode: false }",
                || misuse(3, 4, 4, 0),
            ),
            ErrorCase::new(
                "avg_pool: image [3] with Sliding { kernel: [2], stride: [0], padding: [0], ceil_mode: false }",
                || misuse(3, 2, 0, 0),
            ),
            ErrorCase::new(
                "avg_pool: image [3] with Sliding { kernel: [2], stride: [1], padding: [2], ceil_mode: false }",
                || misuse(3, 2, 1, 2),
            ),
            // An image must not be padding alone.
            ErrorCase::new(
                "avg_pool: image [0] with Sliding { kernel: [2], stride: [1], padding: [1], ceil_mode: false }",
                || misuse(0, 2, 1, 1),
            ),
        ]
    }
}

impl<T: Element> Var<T> {
    /// The mean of every window of images `[N, image.., C]`, in which padding
    /// counts as zeros; see [`AvgPool`].
    ///
    /// # Panics
    /// If the image does not have the windows' dimensions or is smaller than a window.
    #[track_caller]
    pub fn avg_pool<const D: usize>(self, spec: Sliding<D>) -> Var<T> {
        self.averaged(spec, true)
    }

    /// [`avg_pool`](Self::avg_pool) over the pixels of the image alone, without padding.
    ///
    /// # Panics
    /// If the image does not have the windows' dimensions or is smaller than a window.
    #[track_caller]
    pub fn avg_pool_exclude_padding<const D: usize>(self, spec: Sliding<D>) -> Var<T> {
        self.averaged(spec, false)
    }

    #[track_caller]
    fn averaged<const D: usize>(self, spec: Sliding<D>, count_padding: bool) -> Var<T> {
        let windows = Windows::sliding("avg_pool", image("avg_pool", self.shape()), &spec);
        let map = windows.mean(count_padding);
        self.linear_map("avg_pool", map, 1..D + 1, &windows.output())
    }
}

/// The extents between batch and channels.
///
/// # Panics
/// If there are none.
#[track_caller]
pub(super) fn image<'a>(operation: &str, x: &'a [usize]) -> &'a [usize] {
    assert!(x.len() > 2, "{operation}: x {x:?} must be [N, image.., C]");
    &x[1..x.len() - 1]
}
