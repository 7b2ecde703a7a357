//! The end of a residual block: a sum and its ReLU in one pass.

use cerberus_tensor::{Element, Tensor, relu};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, two_vars};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y = max(a + b, 0)`; `da = db = dy` where `y > 0`, 0 elsewhere, the kink
/// included (He et al., "Deep Residual Learning", 2016, figure 2).
///
/// The shapes broadcast as in NumPy; the engine sums the gradients back.
pub struct AddRelu;

impl<T: Element> Operation<T> for AddRelu {
    fn name(&self) -> &'static str {
        "add_relu"
    }

    fn saves(&self) -> Saves {
        Saves::OUTPUT
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [a, b] = inputs.take();
        a.zip(b, |a, b| relu(a + b))
    }

    fn backward(&self, mut saved: Saved<T>, dy: Tensor<T>, wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let dz = dy.zip(saved.output(), |dy, y| if y > T::ZERO { dy } else { T::ZERO });
        vec![wants[0].then(|| dz.clone().into()), wants[1].then(|| dz.into())]
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        dy: Var<T>,
        wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        let dz = dy * super::relu::passes(saved.output());
        two_vars(wants, || dz.clone(), || dz.clone())
    }
}

#[cfg(feature = "proofs")]
impl Proof for AddRelu {
    fn facts() -> Facts {
        Facts::new("add_relu", Group::Elementwise, "y = max(a + b, 0)", "da = db = dy where y > 0")
            .shapes(BROADCAST)
            .torch("F.relu(a + b)")
            .kinks("0 at a + b = 0")
    }

    fn cases() -> Vec<Case> {
        let mut all = broadcast_cases!("add_relu", "F.relu(a + b)", sample, sample, |a, b| a.add_relu(b));
        // On another scale than `a`, so that no sum comes near the kink.
        all.iter_mut().for_each(|case| case.inputs[1] = case.inputs[1].clone().map(|x| 0.37 * x + 0.013));
        all.push(case!(
            "add_relu: a row",
            "F.relu(a + 0.37 * b)",
            [sample(1, &[2, 3, 4]), sample(3, &[4])],
            |a, b| a.add_relu(b.scale(0.37))
        ));
        all
    }

    fn error_cases() -> Vec<ErrorCase> {
        broadcast_errors!("add_relu", |a, b| a.add_relu(b))
    }

    fn large_cases() -> Vec<Case> {
        let (a, b) = (sample(1, &[5, 7001]), sample(2, &[5, 7001]));
        vec![case!("add_relu", "F.relu(a + b)", [a, b], |a, b| a.add_relu(b))]
    }
}

impl<T: Element> Var<T> {
    /// `max(self + other, 0)`, with broadcasting; see [`AddRelu`].
    #[track_caller]
    pub fn add_relu(self, other: Var<T>) -> Var<T> {
        super::assert_broadcast("add_relu", self.shape(), other.shape());
        if self.is_taken_apart() || other.is_taken_apart() {
            return (self + other).relu();
        }
        Var::record(AddRelu, vec![self, other])
    }
}
