//! The position of the largest value. It is an integer, so no gradient can get lost
//! in it unseen.

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `argmax` is the position of the largest value along an axis, the first if
/// several are equal, as integers: no gradient flows back.
pub struct Argmax;

#[cfg(feature = "proofs")]
impl Proof for Argmax {
    fn facts() -> Facts {
        Facts::new(
            "argmax",
            Group::Reduction,
            "the place of the largest x along axis, as integers",
            "none: integers",
        )
        .shapes("any, and a non-empty axis of it")
        .torch("torch.argmax(a, axis)")
        .composed()
        .large(&[&[3001, 11]])
    }

    fn cases() -> Vec<Case> {
        // Integers cannot be differentiated; the values they point at can.
        let pick = |name: &str, torch: &str, x: Tensor<f64>| {
            case!(format!("argmax: {name}"), torch, [x], |x| {
                let (places, outer) = (x.argmax(1), x.shape()[0]);
                let inner = x.shape()[2..].to_vec();
                let there = x.gather(1, &places, &[&[outer, 1], &inner[..]].concat());
                there.reshape(&[&[outer], &inner[..]].concat())
            })
        };
        let torch = "torch.gather(a, 1, a.argmax(1, keepdim=True))[:, 0]";
        let ties = Tensor::from_vec(vec![1.0, 2.0, 2.0, 3.0, 3.0, 0.0], &[2, 3]);
        vec![
            pick("the values there", torch, sample(1, &[3, 4])),
            pick("an axis in the middle", torch, sample(2, &[2, 5, 3])),
            pick("ties", "a[[0, 1], [1, 0]]", ties).special(),
            pick("empty batch", torch, sample(1, &[0, 4])),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("argmax: axis 1 of shape [2, 0] is empty", || {
            let _ = super::zeros::<f64>(&[2, 0]).argmax(1);
        })]
    }
}

impl<T: Element> Var<T> {
    /// The position of the largest value along `axis`, row-major over the other
    /// dimensions; see [`Argmax`].
    ///
    /// # Panics
    /// If there is no such axis or it is empty.
    #[track_caller]
    pub fn argmax(&self, axis: usize) -> Vec<usize> {
        super::extreme::places("argmax", self.value(), axis, |x, best| x > best)
    }
}
