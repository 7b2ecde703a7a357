//! The blocks of mobile networks: few channels between the blocks, many inside, where a depthwise convolution is cheap.

use cerberus_autograd::Var;
use cerberus_tensor::Element;
use cerberus_tensor::conv::Conv2dSpec;

use super::{BatchNorm2d, Conv2d, DropPath, Layer, Relu6, Sequential, SqueezeExcitation};
use crate::context::Context;
use crate::init::Init;
use crate::module::{Module, ModuleTensor, ModuleTensorMut, join};

/// How an [`InvertedResidual`] is built.
pub struct InvertedResidualSpec<T: Element = f32> {
    /// Channels inside the block. If they are as many as those of the input, the block begins with the depthwise
    /// convolution.
    pub hidden: usize,
    /// Rows and columns of the depthwise kernel, an odd number.
    pub kernel: usize,
    /// The stride of the depthwise convolution.
    pub stride: usize,
    /// The norm after a convolution to so many channels.
    pub norm: fn(usize) -> BatchNorm2d<T>,
    /// The activation after the first two convolutions.
    pub activation: fn() -> Box<dyn Layer<T>>,
    /// Scales the channels inside, after the depthwise convolution.
    pub squeeze: Option<SqueezeExcitation<T>>,
    /// The probability at which training leaves the block out for a sample ([`DropPath`]), if its input is added to
    /// its output.
    pub drop_rate: f64,
}

impl<T: Element> InvertedResidualSpec<T> {
    /// With so many channels inside and this stride; otherwise the block of MobileNetV2: a 3 × 3 kernel and ReLU6.
    pub fn new(hidden: usize, stride: usize) -> Self {
        Self {
            hidden,
            kernel: 3,
            stride,
            norm: BatchNorm2d::new,
            activation: || Box::new(Relu6::default()),
            squeeze: None,
            drop_rate: 0.0,
        }
    }
}

/// A 1 × 1 convolution to many channels, a depthwise one with a stride, and a 1 × 1 one to `cout` channels; a batch
/// norm after each, an activation after the first two; added to the input if the shapes allow it. `[N, H, W, Cin]`
/// to `[N, ceil(H / stride), ceil(W / stride), Cout]`.
///
/// MobileNetV2's block is [`new`](Self::new) (Sandler et al., 2018, section 3.3). With a
/// [`SqueezeExcitation`] after the depthwise convolution, [`with_spec`](Self::with_spec) makes those of MobileNetV3
/// (Howard et al., 2019, section 5.3) and EfficientNet (Tan and Le, 2019). The parameters have the paths that
/// torchvision gives them, which differ: `conv.0.0.weight`, `conv.3.gamma` in the first,
/// `block.0.0.weight`, `block.2.1.gamma` in the others.
pub struct InvertedResidual<T: Element = f32> {
    name: &'static str,
    body: Sequential<T>,
    drop: Option<DropPath<T>>,
}

impl<T: Element> InvertedResidual<T> {
    /// MobileNetV2's, from `cin` to `cout` channels, with `expansion * cin` inside.
    ///
    /// # Panics
    /// If `cin` or `expansion` is 0.
    #[track_caller]
    pub fn new(cin: usize, cout: usize, stride: usize, expansion: usize, init: &mut Init) -> Self {
        let hidden = cin * expansion;
        let spec = InvertedResidualSpec::new(hidden, stride);
        let (norm, adds) = ((spec.norm)(cout), stride == 1 && cin == cout);
        let (layers, count) = before_projection(cin, spec, init);
        let body = layers
            .add(&count.to_string(), Conv2d::new(hidden, cout, 1, init).without_bias())
            .add(&(count + 1).to_string(), norm);
        Self { name: "conv", body, drop: adds.then(|| DropPath::new(0.0)) }
    }

    /// One of choice, from the first to the second number of `channels`.
    ///
    /// # Panics
    /// If the input or the inside has no channels, the kernel is even, or the rate is not from 0 to below 1.
    #[track_caller]
    pub fn with_spec([cin, cout]: [usize; 2], spec: InvertedResidualSpec<T>, init: &mut Init) -> Self {
        let (hidden, norm, drop_rate) = (spec.hidden, (spec.norm)(cout), spec.drop_rate);
        let adds = spec.stride == 1 && cin == cout;
        let (layers, count) = before_projection(cin, spec, init);
        let projection =
            Sequential::new().add("0", Conv2d::new(hidden, cout, 1, init).without_bias()).add("1", norm);
        let body = layers.add(&count.to_string(), projection);
        Self { name: "block", body, drop: adds.then(|| DropPath::new(drop_rate)) }
    }
}

/// The layers inside the block, and their number.
#[track_caller]
fn before_projection<T: Element>(
    cin: usize,
    spec: InvertedResidualSpec<T>,
    init: &mut Init,
) -> (Sequential<T>, usize) {
    let InvertedResidualSpec { hidden, kernel, stride, norm, activation, squeeze, drop_rate: _ } = spec;
    assert!(
        cin > 0 && hidden > 0 && kernel % 2 == 1,
        "InvertedResidual: {cin} channels and {hidden} inside must be above 0, and the kernel {kernel} odd"
    );
    let normed = |conv: Conv2d<T>| {
        let layers = Sequential::new().add("0", conv.without_bias()).add("1", norm(hidden));
        Box::new(layers.add("2", activation())) as Box<dyn Layer<T>>
    };
    let grouped = Conv2dSpec { stride: [stride; 2], groups: hidden, ..Conv2dSpec::same(kernel) };
    let expand = (hidden != cin).then(|| normed(Conv2d::new(cin, hidden, 1, init)));
    let depthwise = normed(Conv2d::with_spec(hidden, hidden, kernel, grouped, init));
    let squeeze = squeeze.map(|layer| Box::new(layer) as Box<dyn Layer<T>>);
    let layers: Vec<_> = expand.into_iter().chain([depthwise]).chain(squeeze).collect();
    let count = layers.len();
    let named = layers.into_iter().enumerate();
    (named.fold(Sequential::new(), |all, (index, layer)| all.add(&index.to_string(), layer)), count)
}

impl<T: Element> Module<T> for InvertedResidual<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        self.body.visit(&join(path, self.name), f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        self.body.visit_mut(&join(path, self.name), f);
    }
}

impl<T: Element> Layer<T> for InvertedResidual<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let input = self.drop.is_some().then(|| x.clone());
        let y = context.part(self.name, |context| self.body.forward(x, context));
        match (input, &self.drop) {
            (Some(x), Some(drop)) => x + drop.forward(y, context),
            _ => y,
        }
    }
}
