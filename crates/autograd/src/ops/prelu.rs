//! The ReLU with a learned slope (He et al., 2015).

use cerberus_tensor::{Element, Tensor};

use crate::operation::{Inputs, Operation, SavedVars, Saves, two_vars};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = x` where `x > 0`, `slope x` elsewhere, with `slope [C]` along the last
/// dimension or a single number; `dx = dy` or `slope dy`, `dslope = Σ dy x` where
/// `x` is not positive.
pub struct Prelu;

impl<T: Element> Operation<T> for Prelu {
    fn name(&self) -> &'static str {
        "prelu"
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x, slope] = inputs.take();
        x.zip(slope, |x, slope| if x > T::ZERO { x } else { slope * x })
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let (x, slope) = (saved.input(0), saved.input(1));
        let negative = super::elu::not_positive(&x);
        let passes = super::relu::passes(x.clone());
        two_vars(
            wants,
            || dy.clone() * (passes + slope * negative.clone()),
            || dy.clone() * x.clone() * negative.clone(),
        )
    }
}

#[cfg(feature = "proofs")]
impl Proof for Prelu {
    fn facts() -> Facts {
        Facts::new(
            "prelu",
            Group::Elementwise,
            "y = x where x > 0, slope x elsewhere",
            "dx = dy or slope dy, dslope = Σ dy x where x ≤ 0",
        )
        .shapes("x [.., C], slope [C] or [1]")
        .torch("F.prelu(a, b)")
        .kinks("slope at x = 0")
        .linear(&[1])
    }

    fn cases() -> Vec<Case> {
        let case = |kind: &str, x: &[usize], slope: &[usize]| {
            let torch = "torch.where(a > 0, a, b * a)";
            case!(format!("prelu{kind}"), torch, [sample(1, x), sample(2, slope)], |x, slope| x.prelu(slope))
        };
        vec![
            case("", &[2, 3, 4], &[4]),
            case(": one slope", &[2, 3], &[1]),
            case(": empty batch", &[0, 3], &[3]).zero_gradient(1),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("prelu: slope [2] must be [1] or the last extent of x [2, 3]", || {
            let _ = super::zeros::<f64>(&[2, 3]).prelu(super::zeros(&[2]));
        })]
    }

    fn large_cases() -> Vec<Case> {
        vec![case!("prelu", "F.prelu(a, b)", [sample(1, &[5001, 7]), sample(2, &[7])], |x, slope| x
            .prelu(slope))]
    }
}

impl<T: Element> Var<T> {
    /// The ReLU with a learned slope; see [`Prelu`].
    ///
    /// # Panics
    /// If `slope` is neither `[1]` nor `[C]`.
    #[track_caller]
    pub fn prelu(self, slope: Var<T>) -> Var<T> {
        let fits =
            slope.shape() == [1] || (slope.shape().len() == 1 && self.shape().last() == slope.shape().last());
        assert!(
            fits,
            "prelu: slope {:?} must be [1] or the last extent of x {:?}",
            slope.shape(),
            self.shape()
        );
        Var::record(Prelu, vec![self, slope])
    }
}
