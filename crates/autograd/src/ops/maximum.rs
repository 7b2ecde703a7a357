//! The larger of two numbers, element by element.

use cerberus_tensor::{Element, Tensor};

use crate::operation::{Inputs, Operation, SavedVars, Saves, two_vars};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` is the larger of `a` and `b`; `dy` goes to the one that was taken, half to
/// each of two equals. NaN if either is NaN.
pub struct Maximum;

/// The part of `dy` that goes to `a`, which is compared with `b`.
fn share<T: Element>(a: &Tensor<T>, b: &Tensor<T>) -> Tensor<T> {
    a.clone().zip(b.clone(), |a, b| {
        if a == b {
            T::from_f64(0.5)
        } else if a > b {
            T::ONE
        } else {
            T::ZERO
        }
    })
}

impl<T: Element> Operation<T> for Maximum {
    fn name(&self) -> &'static str {
        "maximum"
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [a, b] = inputs.take();
        a.zip(b, |a, b| if a.is_nan() || a > b { a } else { b })
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (a, b) = (saved.input(0).into_value(), saved.input(1).into_value());
        let part = |a, b| dy.clone() * Var::constant(share(a, b));
        two_vars(wants, || part(&a, &b), || part(&b, &a))
    }
}

#[cfg(feature = "proofs")]
impl Proof for Maximum {
    fn facts() -> Facts {
        Facts::new("maximum", Group::Elementwise, "y = max(a, b)", "dy to the one that was taken")
            .shapes(BROADCAST)
            .torch("torch.maximum(a, b)")
            .kinks("half to each of two equals")
    }

    fn cases() -> Vec<Case> {
        let mut all = broadcast_cases!("maximum", "torch.maximum(a, b)", sample, sample, |a, b| a.maximum(b));
        // The samples are evenly spaced values that could be equal: halfway between them
        // there are no ties.
        all.iter_mut().for_each(|case| case.inputs[1] = case.inputs[1].clone().map(|b| 0.9 * b + 0.013));
        let ties = Tensor::from_vec(vec![1.0, -2.0, 0.0], &[3]);
        all.push(
            case!("maximum: ties", "torch.maximum(a, b)", [ties.clone(), ties], |a, b| a.maximum(b))
                .special(),
        );
        // Where one of the two is never taken, its gradient is zero.
        all.iter_mut().filter(|case| case.name.ends_with("rank 0")).for_each(|case| {
            let taken = usize::from(case.inputs[1].item() >= case.inputs[0].item());
            case.zero_gradient.push(1 - taken);
        });
        all
    }

    fn error_cases() -> Vec<ErrorCase> {
        broadcast_errors!("maximum", |a, b| a.maximum(b))
    }

    fn large_cases() -> Vec<Case> {
        let (a, b) = (sample(1, &[5, 7001]), sample(2, &[7001]));
        vec![case!("maximum", "torch.maximum(a, b)", [a, b], |a, b| a.maximum(b))]
    }
}

impl<T: Element> Var<T> {
    /// The larger of two, with broadcasting; see [`Maximum`].
    #[track_caller]
    pub fn maximum(self, other: Var<T>) -> Var<T> {
        super::assert_broadcast("maximum", self.shape(), other.shape());
        Var::record(Maximum, vec![self, other])
    }
}
