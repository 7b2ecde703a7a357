//! Channels rearranged into pixels (Shi et al., 2016).

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y[h r + i, w r + j, c] = x[h, w, c r² + i r + j]`; `dx` is `dy` moved back.
pub struct PixelShuffle;

#[cfg(feature = "proofs")]
impl Proof for PixelShuffle {
    fn facts() -> Facts {
        Facts::new(
            "pixel_shuffle",
            Group::Vision,
            "y[h r + i, w r + j, c] = x[h, w, c r² + i r + j]",
            "dx = dy put back",
        )
        .shapes("x [N, H, W, C r²], y [N, H r, W r, C]")
        .torch("F.pixel_shuffle(a, r)")
        .composed()
        .linear(&[0])
        .large(&[&[5, 31, 33, 8]])
    }

    fn cases() -> Vec<Case> {
        let torch = "nhwc(F.pixel_shuffle(nchw(a), 2))";
        vec![
            case!("pixel_shuffle", torch, [sample(1, &[2, 2, 3, 8])], |x| x.pixel_shuffle(2)),
            case!(
                "pixel_shuffle: by three",
                "nhwc(F.pixel_shuffle(nchw(a), 3))",
                [sample(1, &[1, 1, 2, 18])],
                |x| x.pixel_shuffle(3)
            ),
            case!("pixel_shuffle: empty batch", "a.reshape(0, 4, 6, 1)", [sample(1, &[0, 2, 3, 4])], |x| x
                .pixel_shuffle(2)),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![
            ErrorCase::new("pixel_shuffle: x [1, 2, 2, 6] by 2", || {
                let _ = super::zeros::<f64>(&[1, 2, 2, 6]).pixel_shuffle(2);
            }),
            ErrorCase::new("pixel_shuffle: x [1, 2, 2, 6] by 3: the channels", || {
                let _ = super::zeros::<f64>(&[1, 2, 2, 6]).pixel_shuffle(3);
            }),
            ErrorCase::new("pixel_shuffle: x [1, 2, 2, 4] by 0: the channels", || {
                let _ = super::zeros::<f64>(&[1, 2, 2, 4]).pixel_shuffle(0);
            }),
            ErrorCase::new("pixel_shuffle: x [2, 2, 4] by 2", || {
                let _ = super::zeros::<f64>(&[2, 2, 4]).pixel_shuffle(2);
            }),
        ]
    }
}

impl<T: Element> Var<T> {
    /// Every `r²` channels become a square of pixels; see [`PixelShuffle`].
    ///
    /// # Panics
    /// If this is not `[N, H, W, C r²]`.
    #[track_caller]
    pub fn pixel_shuffle(self, r: usize) -> Var<T> {
        let &[n, h, w, channels] = self.shape() else {
            panic!("pixel_shuffle: x {:?} by {r}: x must be [N, H, W, C r²]", self.shape())
        };
        let square = r.checked_mul(r).filter(|&square| square > 0);
        let fits = square.is_some_and(|square| channels % square == 0);
        assert!(fits, "pixel_shuffle: x {:?} by {r}: the channels must be a multiple of r²", self.shape());
        let c = channels / (r * r);
        self.reshape(&[n * h, w, c, r, r]).permute(&[0, 3, 1, 4, 2]).reshape(&[n, h * r, w * r, c])
    }
}
