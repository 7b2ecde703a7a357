//! The logistic function and its logarithms, for losses from logits.
//!
//! Everything follows from `e = exp(-|x|)`, which cannot overflow and is
//! computed for a block of values at once. No probability is ever inside a
//! logarithm, so there is no `ln(p + eps)` and nothing breaks at `p = 0`.

use cerberus_tensor::{Element, Tensor};

use super::pieces::rewrite_rows;

/// Number of exponentials computed together.
const BLOCK: usize = 512;

/// A logit `x` as probabilities and their logarithms.
#[derive(Clone, Copy)]
pub(crate) struct Logistic<T> {
    /// `1 / (1 + e⁻ˣ)`.
    pub p: T,
    /// `1 - p`, without cancellation.
    pub q: T,
    /// `ln p`.
    pub log_p: T,
    /// `ln (1 - p)`.
    pub log_q: T,
}

impl<T: Element> Logistic<T> {
    /// From `x` and `e = exp(-|x|)`.
    #[inline(always)]
    fn new(x: T, e: T) -> Self {
        let large = T::ONE / (T::ONE + e);
        let small = e * large;
        // ln of the larger probability is -ln(1 + e); that of the smaller is |x| less.
        let near = -e.ln_1p();
        let far = near - x.abs();
        if x < T::ZERO {
            Self { p: small, q: large, log_p: far, log_q: near }
        } else {
            Self { p: large, q: small, log_p: near, log_q: far }
        }
    }
}

/// With `f(index, logistic) = (loss, dloss/dlogit)`, replaces every logit by its
/// derivative; returns the sum of the losses and the derivatives.
pub(crate) fn logistic_loss<T: Element>(
    logits: Tensor<T>,
    f: impl Fn(usize, Logistic<T>) -> (T, T) + Sync,
) -> (f64, Tensor<T>) {
    rewrite_rows(logits, 1, |start, piece| {
        let mut sum = 0.0;
        let mut exponentials = [T::ZERO; BLOCK];
        for (block, x) in piece.chunks_mut(BLOCK).enumerate() {
            let e = &mut exponentials[..x.len()];
            e.iter_mut().zip(&*x).for_each(|(e, x)| *e = -x.abs());
            T::exp_slice(e);
            let first = start + block * BLOCK;
            for (place, (x, &e)) in x.iter_mut().zip(&*e).enumerate() {
                let (loss, gradient) = f(first + place, Logistic::new(*x, e));
                sum += loss.as_f64();
                *x = gradient;
            }
        }
        sum
    })
}
