//! `y = alpha x + beta` with two fixed numbers.

use cerberus_tensor::{Element, Tensor};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves, one};
use crate::tape::Var;

/// `y = alpha x + beta`; `dx = alpha dy`.
pub struct Affine {
    /// The factor.
    pub alpha: f64,
    /// What is added.
    pub beta: f64,
}

impl<T: Element> Operation<T> for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        let (alpha, beta) = (T::from_f64(self.alpha), T::from_f64(self.beta));
        x.map(|x| alpha * x + beta)
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        one(dy.scale(T::from_f64(self.alpha)))
    }

    fn cases() -> Vec<Case> {
        vec![Case::unary("affine", sample(1, &[2, 3]), |x| x.affine(-1.7, 0.4))]
    }
}

impl<T: Element> Var<T> {
    /// `alpha x + beta`; see [`Affine`].
    #[track_caller]
    pub fn affine(self, alpha: f64, beta: f64) -> Var<T> {
        Var::apply(Affine { alpha, beta }, vec![self])
    }

    /// `alpha x`.
    #[track_caller]
    pub fn scale(self, alpha: f64) -> Var<T> {
        self.affine(alpha, 0.0)
    }
}

impl<T: Element> std::ops::Neg for Var<T> {
    type Output = Var<T>;
    fn neg(self) -> Var<T> {
        self.scale(-1.0)
    }
}
