//! The largest value of every window.

use cerberus_tensor::linear_map::LinearMap;
use cerberus_tensor::pool::Buffer;
use cerberus_tensor::pooling::{self, Pool2dSpec};
use cerberus_tensor::{Element, Shape, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, one, one_var};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// `y` is the maximum over each window of `x [N, H, W, C]`, per channel; `dx` is
/// `dy` at the place of the maximum (the first if several are equal), summed
/// where windows overlap. With `relu`, `max(y, 0)` and `dx` only where `y > 0`,
/// which is the same as a ReLU before the pooling.
pub struct MaxPool2d {
    /// The windows.
    pub spec: Pool2dSpec,
    /// Whether a ReLU follows.
    pub relu: bool,
    shape: Shape,
    /// The position of each maximum in its window.
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

    fn backward_graph(
        &self,
        _saved: SavedVars<T>,
        dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        // The place each output came from, as a map that can be transposed.
        let winners = self.winners.as_ref().expect("the forward rule runs before the backward rule");
        let (places, spec) = (winners.len(), &self.spec);
        let [oh, ow, c] = [dy.shape()[1], dy.shape()[2], dy.shape()[3]];
        let [h, w] = [self.shape[1], self.shape[2]];
        let source = |place: usize| {
            let (channel, pixel) = (place % c, place / c);
            let (ox, oy, image) = (pixel % ow, pixel / ow % oh, pixel / ow / oh);
            let winner = usize::from(winners[place]);
            // Where the ReLU made a window zero, no pixel won.
            if winner >= spec.kernel[0] * spec.kernel[1] {
                return None;
            }
            let iy = oy * spec.stride[0] + winner / spec.kernel[1] - spec.padding.top;
            let ix = ox * spec.stride[1] + winner % spec.kernel[1] - spec.padding.left;
            Some(((image * h + iy) * w + ix) * c + channel)
        };
        let map = LinearMap::select(self.shape.elements(), (0..places).map(source));
        one_var(dy.reshape(&[places]).linear_map("max_pool2d", map.adjoint(), 0..1, &self.shape))
    }
}

#[cfg(feature = "proofs")]
impl Proof for MaxPool2d {
    fn facts() -> Facts {
        Facts::new(
            "max_pool2d",
            Group::Vision,
            "y = max of x over each window; max(y, 0) if relu",
            "dx = dy where the maximum came from, summed where windows overlap",
        )
        .shapes("x [N, H, W, C]")
        .torch("F.max_pool2d(a, kernel, stride, padding)")
        .kinks("all to the first of equals; with relu, 0 at 0")
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, x: Tensor<f64>, spec: Pool2dSpec| {
            let p = spec.padding.top;
            let torch = format!("max_pool(a, {:?}, {:?}, ({p}, {p}))", spec.kernel, spec.stride);
            case!(format!("max_pool2d: {name}"), torch, [x], |x| x.max_pool2d(spec))
        };
        let spec = |kernel, stride, pad| Pool2dSpec {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: Padding::all(pad),
        };
        let rectified = |name: &str, x: &[usize], spec: Pool2dSpec| {
            // Some windows lie below 0.
            let x = sample(2, x).map(|x| x - 0.8);
            let p = spec.padding.top;
            let torch = format!("F.relu(max_pool(a, {:?}, {:?}, ({p}, {p})))", spec.kernel, spec.stride);
            case!(format!("max_pool2d: {name}"), torch, [x], |x| x.max_pool2d_relu(spec))
        };
        vec![
            case("halves", sample(1, &[2, 4, 6, 3]), spec(2, 2, 0)),
            case("an odd row left over", sample(1, &[1, 5, 5, 2]), spec(2, 2, 0)),
            case("overlapping and padded", sample(1, &[1, 5, 4, 2]), spec(3, 2, 1)),
            case("ties", Tensor::ones(&[1, 4, 4, 1]), spec(2, 2, 0)).special(),
            case("overlapping ties", Tensor::ones(&[1, 3, 3, 1]), spec(2, 1, 0)).special(),
            case!(
                "max_pool2d: ceil mode",
                "max_pool(a, (3, 2), (2, 2), (0, 0), True)",
                [sample(1, &[1, 4, 3, 2])],
                |x| {
                    let spec = Pool2dSpec { kernel: [3, 2], ..Pool2dSpec::square(2) };
                    x.max_pool2d(spec.ceil_mode([4, 3]))
                }
            ),
            rectified("halves, rectified", &[2, 4, 6, 3], spec(2, 2, 0)),
            rectified("overlapping, rectified", &[1, 5, 4, 2], spec(3, 2, 1)),
            case("empty batch", sample(1, &[0, 4, 4, 2]), spec(2, 2, 0)),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        fn misuse(x: &[usize], change: fn(&mut Pool2dSpec)) {
            let mut spec = Pool2dSpec::square(2);
            change(&mut spec);
            let _ = super::zeros::<f64>(x).max_pool2d(spec);
        }
        let window = "the stride must be at least 1 and the window have 1 to 255 positions";
        let padding = "the padding must be less than the window, which could otherwise lie all in it";
        vec![
            ErrorCase::new("max_pool2d: x [2, 3] (N, H, W, C)", || misuse(&[2, 3], |_| ())),
            ErrorCase::new(window, || misuse(&[1, 4, 4, 1], |spec| spec.kernel = [2, 0])),
            ErrorCase::new(window, || misuse(&[1, 40, 40, 1], |spec| spec.kernel = [16, 16])),
            ErrorCase::new(window, || misuse(&[1, 4, 4, 1], |spec| spec.stride = [1, 0])),
            ErrorCase::new(padding, || misuse(&[1, 4, 4, 1], |spec| spec.padding.bottom = 2)),
            ErrorCase::new(padding, || misuse(&[1, 4, 4, 1], |spec| spec.padding.left = 2)),
            ErrorCase::new("the image must have pixels", || misuse(&[1, 4, 0, 1], |_| ())),
        ]
    }

    fn large_cases() -> Vec<Case> {
        vec![case!("max_pool2d", "max_pool(a, (3, 3), (2, 2), (0, 0))", [sample(1, &[3, 40, 41, 8])], |x| {
            x.max_pool2d(Pool2dSpec { stride: [2; 2], ..Pool2dSpec::square(3) })
        })]
    }
}

impl<T: Element> Var<T> {
    /// The largest value of every window; see [`MaxPool2d`].
    ///
    /// # Panics
    /// If this is not of rank 4 or smaller than a window.
    #[track_caller]
    pub fn max_pool2d(self, spec: Pool2dSpec) -> Var<T> {
        Var::record(MaxPool2d { spec, relu: false, shape: Shape::new(&[]), winners: None }, vec![self])
    }

    /// The largest value of every window, and at least 0; see [`MaxPool2d`].
    ///
    /// # Panics
    /// As [`max_pool2d`](Self::max_pool2d).
    #[track_caller]
    pub fn max_pool2d_relu(self, spec: Pool2dSpec) -> Var<T> {
        if self.is_taken_apart() {
            return self.relu().max_pool2d(spec);
        }
        Var::record(MaxPool2d { spec, relu: true, shape: Shape::new(&[]), winners: None }, vec![self])
    }
}
