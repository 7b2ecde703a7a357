//! Tensors side by side along a new dimension.

use cerberus_tensor::Element;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` has the inputs one after another along a new dimension `axis`; each `dx` is its
/// part of `dy`.
pub struct Stack;

#[cfg(feature = "proofs")]
impl Proof for Stack {
    fn facts() -> Facts {
        Facts::new("stack", Group::Shape, "y = the inputs along a new axis", "each dx = its part of dy")
            .shapes("all equal")
            .torch("torch.stack((a, b, ..), axis)")
            .composed()
            .linear(&[0, 1])
            .large(&[&[200, 203], &[200, 203]])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, shape: &[usize]| {
            let inputs = [sample(1, shape), sample(2, shape)];
            let [a, b] = inputs;
            case!(format!("stack{kind}"), "torch.stack((a, b), 1)", [a, b], |a, b| Var::stack(vec![a, b], 1))
        };
        vec![
            case("", &[2, 3]),
            case(": empty batch", &[0, 3]),
            case!("stack: rank 0", "torch.stack((a, b))", [sample(1, &[]), sample(2, &[])], |a, b| {
                Var::stack(vec![a, b], 0)
            }),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("stack: shapes [2, 3] and [3, 2] differ", || {
            let _ = Var::stack(vec![super::zeros::<f64>(&[2, 3]), super::zeros(&[3, 2])], 0);
        })]
    }
}

impl<T: Element> Var<T> {
    /// The parts along a new dimension `axis`; see [`Stack`].
    ///
    /// # Panics
    /// If there is no part, the shapes differ or `axis` is beyond their rank.
    #[track_caller]
    pub fn stack(parts: Vec<Var<T>>, axis: usize) -> Var<T> {
        let shape = parts.first().expect("stack: at least one part").shape().to_vec();
        assert!(axis <= shape.len(), "stack: axis {axis} is beyond the rank of {shape:?}");
        let raised = parts.into_iter().map(|part| {
            assert!(part.shape() == shape, "stack: shapes {shape:?} and {:?} differ", part.shape());
            part.reshape(&[&shape[..axis], &[1], &shape[axis..]].concat())
        });
        Var::concat(raised.collect(), axis)
    }
}
