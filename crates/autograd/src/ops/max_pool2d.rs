//! The largest value of every window.

use cerberus_tensor::conv::Padding;
use cerberus_tensor::pool::Buffer;
use cerberus_tensor::pooling::{self, Pool2dSpec};
use cerberus_tensor::{Element, Shape, Tensor};

use crate::gradcheck::{Case, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves, one};
use crate::tape::Var;

/// `y` is the maximum over each window of `x [N, H, W, C]`, per channel; `dx`
/// is `dy` at the place the maximum came from (the first of equals), summed
/// where windows overlap. With `relu`, `max(y, 0)` and `dx` only where `y > 0`,
/// which is the same as a rectifier before the pooling.
pub struct MaxPool2d {
    spec: Pool2dSpec,
    relu: bool,
    shape: Shape,
    /// Where in its window each maximum stood.
    winners: Option<Buffer<u8>>,
}

impl<T: Element> Operation<T> for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x] = inputs.take();
        self.shape = x.dims();
        let pool = if self.relu { pooling::max_pool2d_relu } else { pooling::max_pool2d };
        let (y, winners) = pool(&x, &self.spec);
        self.winners = Some(winners);
        y
    }

    fn backward(&self, _saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let winners = self.winners.as_ref().expect("the forward rule runs before the backward rule");
        one(pooling::max_pool2d_backward(&dy, winners, &self.shape, &self.spec))
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, x: &[usize], spec: Pool2dSpec| {
            Case::unary(format!("max_pool2d: {name}"), sample(1, x), move |x| x.max_pool2d(spec))
        };
        let rectified = |name: &str, x: &[usize], spec: Pool2dSpec| {
            // Some windows lie below 0.
            let x = sample(2, x).map(|x| x - 0.8);
            Case::unary(format!("max_pool2d: {name}"), x, move |x| x.max_pool2d_relu(spec))
        };
        let spec = |kernel, stride, pad| Pool2dSpec { kernel: [kernel; 2], stride: [stride; 2], padding: Padding::all(pad) };
        vec![
            case("halves", &[2, 4, 6, 3], spec(2, 2, 0)),
            case("an odd row left over", &[1, 5, 5, 2], spec(2, 2, 0)),
            case("overlapping and padded", &[1, 5, 4, 2], spec(3, 2, 1)),
            rectified("halves, rectified", &[2, 4, 6, 3], spec(2, 2, 0)),
            rectified("overlapping, rectified", &[1, 5, 4, 2], spec(3, 2, 1)),
        ]
    }
}

impl<T: Element> Var<T> {
    /// The largest value of every window; see [`MaxPool2d`].
    ///
    /// # Panics
    /// If this is not of rank 4 or smaller than a window.
    #[track_caller]
    pub fn max_pool2d(self, spec: Pool2dSpec) -> Var<T> {
        Var::apply(MaxPool2d { spec, relu: false, shape: Shape::new(&[]), winners: None }, vec![self])
    }

    /// The largest value of every window, and at least 0; see [`MaxPool2d`].
    ///
    /// # Panics
    /// As [`max_pool2d`](Self::max_pool2d).
    #[track_caller]
    pub fn max_pool2d_relu(self, spec: Pool2dSpec) -> Var<T> {
        Var::apply(MaxPool2d { spec, relu: true, shape: Shape::new(&[]), winners: None }, vec![self])
    }
}
