//! The end of a residual block: a sum and its rectifier in one pass.

use cerberus_tensor::{Element, Tensor, relu};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves};
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

    fn cases() -> Vec<Case> {
        // On another scale than `a`, so that no sum comes near the kink.
        let other = |b: &[usize]| sample(2, b).map(|x| 0.37 * x + 0.013);
        let case = |name, a: &[usize], b: &[usize]| Case::binary(name, sample(1, a), other(b), Var::add_relu);
        vec![case("add_relu", &[3, 4], &[3, 4]), case("add_relu: a row", &[2, 3, 4], &[4])]
    }
}

impl<T: Element> Var<T> {
    /// `max(self + other, 0)`, with broadcasting; see [`AddRelu`].
    #[track_caller]
    pub fn add_relu(self, other: Var<T>) -> Var<T> {
        Var::apply(AddRelu, vec![self, other])
    }
}
