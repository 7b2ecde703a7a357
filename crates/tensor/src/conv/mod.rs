//! Two-dimensional convolution in several versions: each is the reference for testing the next.
//!
//! 1. [`plain`]: the definition, as nested loops. Slow, obviously right.
//! 2. [`im2col`]: the input windows are copied into a patch matrix and one
//!    matrix product does the rest. Fast arithmetic, but the patch matrix is
//!    `KH*KW` times the input and has to be written and read.
//! 3. [`implicit`]: the same product without the patch matrix. In NHWC the
//!    `KW*Cin` inputs that an output pixel needs from one kernel row are
//!    already contiguous, so the product's inner kernel reads them in place.
//!
//!
//! Two more are for particular geometries:
//!
//! 4. [`winograd`]: 3x3 kernels over many channels, by polynomial evaluation,
//!    with fewer multiplications; [`set_winograd`] switches it off.
//! 5. [`depthwise`]: one channel per group, which leaves no product to compute.
//!
//! Each has the forward pass and both gradients. [`conv2d`], [`input_gradient`]
//! and [`weight_gradient`] choose the fastest that applies.
//!
//! Layouts: `x [N, H, W, Cin]`, `weight [KH, KW, Cin/groups, Cout]` with the
//! groups contiguous in `Cout`, `y [N, OH, OW, Cout]`. As in the whole field,
//! "convolution" is cross-correlation: the kernel is not flipped.

pub mod depthwise;
pub mod im2col;
pub mod implicit;
pub(crate) mod kernels;
pub mod plain;
mod prepared;
mod setting;
mod spec;
pub(crate) mod tile;
pub mod winograd;

pub use prepared::PreparedConv2d;
pub use setting::{
    WINOGRAD_VARIABLE, WinogradError, set_winograd, winograd_enabled, winograd_from_environment,
    winograd_from_setting,
};
pub use spec::{Conv2dSpec, Geometry, Padding};

use crate::pool::Buffer;
use crate::products::matmul::LONG;
use crate::{Element, Rectifier, Tensor};

/// What is done to each output value before it is stored, while it is still in
/// a register: `y = activation(conv + bias)`.
#[derive(Clone, Debug, Default)]
pub struct Epilogue<T: Element> {
    /// `[Cout]`, added to every pixel.
    pub bias: Option<Tensor<T>>,
    /// What becomes of the sum.
    pub activation: Rectifier,
}

impl<T: Element> Epilogue<T> {
    /// The bias, contiguous.
    ///
    /// # Panics
    /// If there is one that is not `[Cout]`.
    #[track_caller]
    fn checked_bias(&self, g: &Geometry) -> Option<Tensor<T>> {
        let bias = self.bias.as_ref()?;
        assert!(
            bias.shape() == [g.cout],
            "conv2d: bias {:?} must have shape [Cout] = [{}]",
            bias.shape(),
            g.cout
        );
        Some(bias.contiguous())
    }

    /// The activation of sums that were stored without it.
    fn activated(&self, y: Tensor<T>) -> Tensor<T> {
        match self.activation {
            Rectifier::None => y,
            activation => y.map(move |y| activation.of(y)),
        }
    }
}

/// The algorithm of a pass; each is a module of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// [`depthwise`].
    Depthwise,
    /// [`winograd`].
    Winograd,
    /// [`implicit`].
    Implicit,
    /// [`im2col`].
    Im2col,
    /// [`Tensor::matmul`] of all pixels, for kernels of one pixel.
    Product,
}

/// With up to this many input channels, the gradient of all of a window's inputs is
/// computed at once and added back onto the image; with more, pixel by pixel.
const FEW_CHANNELS: usize = 4;
/// With as many input and output channels, a kernel of one pixel has the gradients of a dense layer.
const MANY_CHANNELS: usize = 32;
/// With fewer weights than this and [`LONG`] sums over pixels, the implicit kernel, which packs less, computes their
/// gradient as fast.
const FEW_WEIGHTS: usize = 16 * 1024;

impl Algorithm {
    /// The algorithm of [`conv2d`].
    pub fn of_forward(g: &Geometry) -> Self {
        match () {
            _ if depthwise::supports(g) => Self::Depthwise,
            _ if winograd_enabled() && winograd::supports(g) => Self::Winograd,
            _ => Self::Implicit,
        }
    }

    /// The algorithm of [`weight_gradient`].
    pub fn of_weight_gradient(g: &Geometry) -> Self {
        let [oh, ow] = g.output;
        let is_long = g.n * oh * ow >= LONG * g.cin.max(g.cout);
        let is_small = g.cin * g.cout < FEW_WEIGHTS;
        if is_dense(g) && !(is_long && is_small) { Self::Product } else { Self::of_forward(g) }
    }

    /// The algorithm of [`input_gradient`], for the geometry of the forward pass.
    pub fn of_input_gradient(g: &Geometry) -> Self {
        match () {
            _ if depthwise::supports(g) => Self::Depthwise,
            _ if is_dense(g) => Self::Product,
            // A handful of columns would leave most of every vector empty.
            _ if g.cin_group() <= FEW_CHANNELS && g.kernel != [1, 1] => Self::Im2col,
            _ if winograd_enabled() && g.adjoint().is_some_and(|adjoint| winograd::supports(&adjoint)) => {
                Self::Winograd
            }
            _ if implicit::supports_input_gradient(g) => Self::Implicit,
            _ => Self::Im2col,
        }
    }
}

/// Whether the convolution is a dense layer of many channels, applied to every pixel.
fn is_dense(g: &Geometry) -> bool {
    let spec = Conv2dSpec { dilation: [1, 1], ..g.spec };
    g.kernel == [1, 1] && spec == Conv2dSpec::default() && g.cin.min(g.cout) >= MANY_CHANNELS
}

/// `y[n,oy,ox,co] = sum x[n, oy*sy + ky*dy - top, ox*sx + kx*dx - left, ci] * weight[ky,kx,ci,co]`,
/// then the epilogue. Positions outside `x` count as zero.
///
/// Shapes: `x [N, H, W, Cin]`, `weight [KH, KW, Cin/groups, Cout]` to `[N, OH, OW, Cout]`.
///
/// # Panics
/// If the shapes do not fit each other; the message says which rule is broken.
#[track_caller]
pub fn conv2d<T: Element>(
    x: &Tensor<T>,
    weight: &Tensor<T>,
    spec: &Conv2dSpec,
    epilogue: &Epilogue<T>,
) -> Tensor<T> {
    let g = Geometry::new("conv2d", x.shape(), weight.shape(), spec);
    if g.has_no_channels() {
        return sum_over_nothing(&g, epilogue);
    }
    match Algorithm::of_forward(&g) {
        Algorithm::Depthwise => depthwise::conv2d(x, weight, spec, epilogue),
        Algorithm::Winograd => winograd::conv2d(x, weight, spec, epilogue),
        Algorithm::Implicit => implicit::conv2d(x, weight, spec, epilogue),
        Algorithm::Im2col | Algorithm::Product => im2col::conv2d(x, weight, spec, epilogue),
    }
}

/// The gradient of [`conv2d`] with respect to `x` (of shape `x_shape`), given
/// that of its output before the epilogue: `dy [N, OH, OW, Cout]`.
#[track_caller]
pub fn input_gradient<T: Element>(
    dy: &Tensor<T>,
    weight: &Tensor<T>,
    x_shape: &[usize],
    spec: &Conv2dSpec,
) -> Tensor<T> {
    let g = Geometry::new("conv2d input gradient", x_shape, weight.shape(), spec);
    if g.has_no_channels() {
        g.check_dy("conv2d input gradient", dy.shape());
        return Tensor::zeros(x_shape);
    }
    match Algorithm::of_input_gradient(&g) {
        Algorithm::Depthwise => depthwise::input_gradient(dy, weight, x_shape, spec),
        Algorithm::Winograd => winograd::input_gradient(dy, weight, x_shape, spec),
        Algorithm::Implicit => implicit::input_gradient(dy, weight, x_shape, spec),
        Algorithm::Im2col => im2col::input_gradient(dy, weight, x_shape, spec),
        Algorithm::Product => {
            g.check_dy("conv2d input gradient", dy.shape());
            let pixels = g.n * g.output[0] * g.output[1];
            let weight = weight.reshape(&[g.cin, g.cout]);
            dy.reshape(&[pixels, g.cout]).matmul(&weight.t()).reshape(x_shape)
        }
    }
}

/// The gradient of [`conv2d`] with respect to `weight` (of shape `weight_shape`),
/// given that of its output before the epilogue: `dy [N, OH, OW, Cout]`.
#[track_caller]
pub fn weight_gradient<T: Element>(
    x: &Tensor<T>,
    dy: &Tensor<T>,
    weight_shape: &[usize],
    spec: &Conv2dSpec,
) -> Tensor<T> {
    let g = Geometry::new("conv2d weight gradient", x.shape(), weight_shape, spec);
    if g.has_no_channels() {
        g.check_dy("conv2d weight gradient", dy.shape());
        return Tensor::zeros(weight_shape);
    }
    match Algorithm::of_weight_gradient(&g) {
        Algorithm::Depthwise => depthwise::weight_gradient(x, dy, weight_shape, spec),
        Algorithm::Winograd => winograd::weight_gradient(x, dy, weight_shape, spec),
        Algorithm::Implicit => implicit::weight_gradient(x, dy, weight_shape, spec),
        Algorithm::Im2col => im2col::weight_gradient(x, dy, weight_shape, spec),
        Algorithm::Product => {
            g.check_dy("conv2d weight gradient", dy.shape());
            let pixels = g.n * g.output[0] * g.output[1];
            let dy = dy.reshape(&[pixels, g.cout]);
            x.reshape(&[pixels, g.cin]).t().matmul(&dy).reshape(weight_shape)
        }
    }
}

/// The convolution if there is nothing to sum: the epilogue of zeros.
fn sum_over_nothing<T: Element>(g: &Geometry, epilogue: &Epilogue<T>) -> Tensor<T> {
    let zeros = Tensor::zeros(&g.y_shape());
    let y = match epilogue.checked_bias(g) {
        Some(bias) => zeros + bias,
        None => zeros,
    };
    epilogue.activated(y)
}

/// Some taps of the weights in the given order, with input and output channels
/// exchanged within each group: `[taps, Cout/groups, Cin]`.
fn exchanged<T: Element>(g: &Geometry, weight: &[T], taps: &[usize]) -> Buffer<T> {
    let (cin, cout) = (g.cin_group(), g.cout_group());
    let mut out = Buffer::unspecified(taps.len() * cout * g.cin);
    // Some output channels at a time: a cache line of the weights has all of them.
    let together = 16.min(cout);
    for (&tap, out) in taps.iter().zip(out.chunks_exact_mut((cout * g.cin).max(1))) {
        crate::parallel::for_each_rows(out, together * g.cin, |start, rows| {
            for (index, rows) in rows.chunks_mut(together * g.cin).enumerate() {
                let first = (start + index) * together;
                for (group, ci) in (0..g.cin).map(|ci| (ci / cin, ci % cin)) {
                    let from = &weight[(tap * cin + ci) * g.cout + group * cout + first..];
                    for (row, &value) in rows.chunks_exact_mut(g.cin).zip(from) {
                        row[group * cin + ci] = value;
                    }
                }
            }
        });
    }
    out
}

#[cfg(test)]
mod tests;
