//! One of two values, by a condition.

use cerberus_tensor::{Element, Tensor};

use crate::operation::{Inputs, Operation, SavedVars, Saves, two_vars};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = a` where the condition is not 0, `b` elsewhere; `da = dy` there, `db = dy`
/// elsewhere. A value that is not taken has no influence, even if it is NaN or
/// infinite.
pub struct Where<T: Element = f64> {
    condition: Tensor<T>,
}

impl<T: Element> Operation<T> for Where<T> {
    fn name(&self) -> &'static str {
        "where"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [a, b] = inputs.take();
        let shape = [&b, &self.condition]
            .into_iter()
            .fold(a.dims(), |shape, x| shape.broadcast(&x.dims()).expect("checked when applied"));
        let [a, b, condition] = [a, b, self.condition.clone()].map(|x| x.broadcast_to(&shape).contiguous());
        let (a, b, condition) = (a.data(), b.data(), condition.data());
        Tensor::from_fn(&shape, |i| if condition[i].is_zero() { b[i] } else { a[i] })
    }

    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let zero = || super::zeros(dy.shape());
        two_vars(
            wants,
            || Var::where_(&self.condition, dy.clone(), zero()),
            || Var::where_(&self.condition, zero(), dy.clone()),
        )
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for Where<T> {
    fn facts() -> Facts {
        Facts::new(
            "where",
            Group::Elementwise,
            "y = a where the condition holds, b elsewhere",
            "da = dy there, db = dy elsewhere",
        )
        .shapes("any three that broadcast")
        .torch("torch.where(condition, a, b)")
        .linear(&[0, 1])
        .large(&[&[11_001, 3], &[11_001, 3]])
    }

    fn cases() -> Vec<Case> {
        let condition = || Tensor::<f64>::from_vec(vec![1.0, 0.0, 1.0], &[3]);
        let torch = "torch.where(torch.tensor([True, False, True]), a, b)";
        let case = |kind: &str, a: &[usize], b: &[usize]| {
            case!(format!("where{kind}"), torch, [sample(1, a), sample(2, b)], |a, b| {
                Var::where_(&condition().cast(), a, b)
            })
        };
        let special = Tensor::from_vec(vec![f64::NAN, 1.0, f64::INFINITY], &[3]);
        vec![
            case("", &[2, 3], &[2, 3]),
            case(": broadcast", &[2, 1], &[3]),
            case(": rank 0", &[], &[]),
            case(": empty batch", &[0, 3], &[1, 3]).zero_gradient(1),
            case!("where: what is not taken does not matter", torch, [sample(3, &[3]), special], |a, b| {
                Var::where_(&condition().cast(), a, b)
            })
            .special(),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("where: condition [2], a [3] and b [3] do not broadcast", || {
            let _ = Var::where_(&Tensor::zeros(&[2]), super::zeros::<f64>(&[3]), super::zeros(&[3]));
        })]
    }
}

impl<T: Element> Var<T> {
    /// `a` where `condition` is not 0, `b` elsewhere, with broadcasting; see [`Where`].
    ///
    /// # Panics
    /// If the three shapes do not broadcast.
    #[track_caller]
    pub fn where_(condition: &Tensor<T>, a: Var<T>, b: Var<T>) -> Var<T> {
        let common = a
            .value()
            .dims()
            .broadcast(&b.value().dims())
            .and_then(|shape| shape.broadcast(&condition.dims()));
        assert!(
            common.is_some(),
            "where: condition {:?}, a {:?} and b {:?} do not broadcast",
            condition.shape(),
            a.shape(),
            b.shape()
        );
        Var::apply(Where { condition: condition.clone() }, vec![a, b])
    }
}
