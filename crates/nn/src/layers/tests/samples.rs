//! One sample or more of every layer: the layer, the shape of an input, and the shape that must come
//! out. `tests/parity/layers.py` has PyTorch's counterpart, by name, of those with parameters and of
//! those that are more than one operation.

use cerberus_autograd::ops::{Conv1dSpec, Conv3dSpec};
use cerberus_tensor::conv::{Conv2dSpec, Padding};

use crate::layers::*;
use crate::module::ModuleTensorMut;
use crate::{AttentionMask, Context, Init};

pub struct Sample {
    /// The layer's name and, after a colon, what is special.
    pub name: &'static str,
    pub layer: Box<dyn Layer<f64>>,
    pub x: Vec<usize>,
    pub y: Vec<usize>,
}

impl Sample {
    /// Whether the input is ids, with respect to which there is no gradient.
    pub fn takes_ids(&self) -> bool {
        self.name == "Embedding"
    }

    /// The input at which values are compared; `tests/parity/layers.py` has the same formula.
    pub fn input(&self) -> Tensor<f64> {
        let ids = self.takes_ids();
        Tensor::from_fn(
            &self.x,
            |i| if ids { (i * 3 % 5) as f64 } else { 1.2 * (0.3 * i as f64 + 0.5).sin() },
        )
    }
}

/// Every sample; parameter `k` of a layer holds `sin(0.7 i + k)` at place `i`.
pub fn all() -> Vec<Sample> {
    let groups = [convolutions(), norms(), pools(), activations(), drops(), others()];
    let mut all: Vec<Sample> = groups.into_iter().flatten().collect();
    for sample in &mut all {
        let mut k = 0.0;
        sample.layer.visit_mut("", &mut |_, entry| {
            if let ModuleTensorMut::Parameter(parameter) = entry {
                let shape = parameter.value.shape().to_vec();
                parameter.value = Tensor::from_fn(&shape, |i| (0.7 * i as f64 + k).sin());
                k += 1.0;
            }
        });
    }
    all
}

fn sample(name: &'static str, layer: impl Layer<f64> + 'static, x: &[usize], y: &[usize]) -> Sample {
    Sample { name, layer: Box::new(layer), x: x.to_vec(), y: y.to_vec() }
}

/// Attention with a mask, as a layer of one input.
struct Masked<T: Element> {
    inner: MultiHeadSelfAttention<T>,
    mask: Vec<bool>,
    pairs: bool,
}

crate::module!(Masked { inner } without { mask, pairs });

impl<T: Element> Layer<T> for Masked<T> {
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let mask =
            if self.pairs { AttentionMask::Pairs(&self.mask) } else { AttentionMask::Keys(&self.mask) };
        self.inner.forward_masked(x, mask, context)
    }
}

fn masked<const VALUES: usize>(mask: [bool; VALUES], pairs: bool) -> Masked<f64> {
    Masked { inner: MultiHeadSelfAttention::new(4, 2, &mut Init::new(1)), mask: mask.to_vec(), pairs }
}

fn convolutions() -> Vec<Sample> {
    let init = &mut Init::new(1);
    let grouped1 = Conv1dSpec { stride: 2, padding: 1, dilation: 2, groups: 2 };
    let grouped3 = Conv3dSpec { groups: 2, ..Conv3dSpec::default() };
    let transposed1 = Conv1dSpec { groups: 2, dilation: 2, ..Conv1dSpec::default() };
    let transposed = Conv2dSpec { groups: 2, dilation: [2, 1], ..Conv2dSpec::default() };
    let transposed3 = Conv3dSpec { groups: 2, dilation: [2, 1, 1], ..Conv3dSpec::default() };
    let grouped2 = Conv2dSpec {
        stride: [2, 1],
        padding: Padding { top: 1, bottom: 1, left: 2, right: 2 },
        groups: 2,
        ..Conv2dSpec::default()
    };
    vec![
        sample("Linear", Linear::new(3, 4, init), &[2, 3], &[2, 4]),
        sample(
            "Linear: of sequences, without bias",
            Linear::new(3, 2, init).without_bias(),
            &[2, 3, 3],
            &[2, 3, 2],
        ),
        sample("Conv1d", Conv1d::new(2, 3, 3, init).same(), &[2, 5, 2], &[2, 5, 3]),
        sample(
            "Conv1d: strided, dilated, grouped",
            Conv1d::with_spec(4, 2, 3, grouped1, init).without_bias(),
            &[1, 8, 4],
            &[1, 3, 2],
        ),
        sample("Conv2d", Conv2d::new(2, 3, 3, init).same().with_relu(), &[1, 4, 3, 2], &[1, 4, 3, 3]),
        sample(
            "Conv2d: rectangular",
            Conv2d::with_kernel([2, 4], [3, 5], grouped2, init),
            &[1, 6, 5, 2],
            &[1, 3, 5, 4],
        ),
        sample(
            "Conv2d: the same size with dilation",
            Conv2d::with_kernel([1, 2], [3, 5], Conv2dSpec::default(), init).dilation(2).same(),
            &[1, 6, 9, 1],
            &[1, 6, 9, 2],
        ),
        sample("Conv3d", Conv3d::new(2, 2, 2, init).stride(2).padding(1), &[1, 3, 4, 2, 2], &[1, 2, 3, 2, 2]),
        sample(
            "Conv3d: rectangular, grouped",
            Conv3d::with_kernel([2, 2], [1, 3, 1], grouped3, init).same().without_bias(),
            &[1, 2, 3, 2, 2],
            &[1, 2, 3, 2, 2],
        ),
        sample(
            "DepthwiseConv2d",
            DepthwiseConv2d::with_multiplier(2, 2, 3, init).same().stride(2),
            &[1, 5, 4, 2],
            &[1, 3, 2, 4],
        ),
        sample("SeparableConv2d", SeparableConv2d::new(2, 3, 3, init).same(), &[1, 4, 3, 2], &[1, 4, 3, 3]),
        sample(
            "ConvTranspose1d",
            ConvTranspose1d::new(2, 3, 3, 2, init).padding(1).output_padding(1),
            &[2, 3, 2],
            &[2, 6, 3],
        ),
        sample(
            "ConvTranspose1d: dilated, grouped",
            ConvTranspose1d::with_spec(4, 2, 2, transposed1, init).without_bias(),
            &[1, 3, 4],
            &[1, 5, 2],
        ),
        sample(
            "ConvTranspose2d",
            ConvTranspose2d::new(2, 3, 3, 2, init).padding(1).output_padding(1),
            &[1, 3, 2, 2],
            &[1, 6, 4, 3],
        ),
        sample(
            "ConvTranspose2d: dilated, grouped",
            ConvTranspose2d::with_spec(4, 2, 2, transposed, init).without_bias(),
            &[1, 3, 2, 4],
            &[1, 5, 3, 2],
        ),
        sample(
            "ConvTranspose3d",
            ConvTranspose3d::new(2, 3, 3, 2, init).padding(1).output_padding(1),
            &[1, 2, 3, 2, 2],
            &[1, 4, 6, 4, 3],
        ),
        sample(
            "ConvTranspose3d: dilated, grouped",
            ConvTranspose3d::with_spec(4, 2, 2, transposed3, init).without_bias(),
            &[1, 2, 3, 2, 4],
            &[1, 4, 4, 3, 2],
        ),
    ]
}

fn norms() -> Vec<Sample> {
    vec![
        sample("BatchNorm1d", BatchNorm1d::new(3), &[4, 3], &[4, 3]),
        sample("BatchNorm1d: of sequences", BatchNorm1d::new(3).with_eps(1e-3), &[2, 4, 3], &[2, 4, 3]),
        sample("BatchNorm2d", BatchNorm2d::new(2).with_relu(), &[2, 3, 2, 2], &[2, 3, 2, 2]),
        sample("BatchNorm3d", BatchNorm3d::new(2), &[2, 2, 2, 3, 2], &[2, 2, 2, 3, 2]),
        sample("LayerNorm", LayerNorm::new(4), &[2, 3, 4], &[2, 3, 4]),
        sample("GroupNorm", GroupNorm::new(2, 4), &[2, 3, 2, 4], &[2, 3, 2, 4]),
        sample("InstanceNorm", InstanceNorm::new(3), &[2, 3, 2, 3], &[2, 3, 2, 3]),
        sample("RmsNorm", RmsNorm::new(4).with_eps(1e-5), &[2, 3, 4], &[2, 3, 4]),
    ]
}

fn pools() -> Vec<Sample> {
    vec![
        sample("MaxPool1d", MaxPool1d::new(3, 2).padding(1), &[2, 6, 2], &[2, 3, 2]),
        sample("MaxPool2d", MaxPool2d::new(2, 2).padding(1).with_relu(), &[1, 4, 5, 2], &[1, 3, 3, 2]),
        sample("MaxPool3d", MaxPool3d::new(2, 1), &[1, 3, 2, 3, 2], &[1, 2, 1, 2, 2]),
        sample("AvgPool1d", AvgPool1d::new(3, 2).padding(1), &[2, 6, 2], &[2, 3, 2]),
        sample("AvgPool2d", AvgPool2d::new(2, 2), &[1, 4, 5, 2], &[1, 2, 2, 2]),
        sample("AvgPool3d", AvgPool3d::new(2, 1), &[1, 3, 2, 3, 2], &[1, 2, 1, 2, 2]),
        sample(
            "AvgPool2d: without the padding",
            AvgPool2d::new(3, 2).padding(1).exclude_padding(),
            &[1, 4, 5, 2],
            &[1, 2, 3, 2],
        ),
        sample("MaxPool1d: ceil mode", MaxPool1d::new(3, 2).ceil_mode(), &[2, 6, 2], &[2, 3, 2]),
        sample("MaxPool2d: ceil mode", MaxPool2d::new(3, 2).ceil_mode(), &[1, 6, 5, 2], &[1, 3, 2, 2]),
        sample(
            "AvgPool2d: ceil mode",
            AvgPool2d::new(3, 2).padding(1).ceil_mode(),
            &[1, 4, 5, 2],
            &[1, 3, 3, 2],
        ),
        sample("AvgPool3d: ceil mode", AvgPool3d::new(2, 2).ceil_mode(), &[1, 3, 2, 3, 2], &[1, 2, 1, 2, 2]),
        sample("AdaptiveAvgPool1d", AdaptiveAvgPool1d::new([2]), &[1, 5, 2], &[1, 2, 2]),
        sample("AdaptiveAvgPool3d", AdaptiveAvgPool3d::new([2, 1, 2]), &[1, 3, 2, 3, 2], &[1, 2, 1, 2, 2]),
        sample("AdaptiveMaxPool1d", AdaptiveMaxPool1d::new([2]), &[1, 5, 2], &[1, 2, 2]),
        sample("AdaptiveMaxPool3d", AdaptiveMaxPool3d::new([2, 1, 2]), &[1, 3, 2, 3, 2], &[1, 2, 1, 2, 2]),
        sample("GlobalAvgPool: of volumes", GlobalAvgPool::default(), &[2, 3, 2, 2, 2], &[2, 2]),
        sample("AdaptiveAvgPool2d", AdaptiveAvgPool2d::new([2, 3]), &[1, 5, 4, 2], &[1, 2, 3, 2]),
        sample("AdaptiveMaxPool2d", AdaptiveMaxPool2d::new([2, 3]), &[1, 5, 4, 2], &[1, 2, 3, 2]),
        sample("GlobalAvgPool", GlobalAvgPool::default(), &[2, 3, 2, 2], &[2, 2]),
        sample("GlobalMaxPool", GlobalMaxPool::default(), &[2, 3, 2, 2, 2], &[2, 2]),
        sample("GlobalMaxPool: of sequences", GlobalMaxPool::default(), &[2, 3, 2], &[2, 2]),
    ]
}

fn activations() -> Vec<Sample> {
    macro_rules! same_shape {
        ($($layer:ident),* $(,)?) => {
            vec![$(sample(stringify!($layer), $layer::default(), &[2, 3, 4], &[2, 3, 4])),*]
        };
    }
    let mut all = same_shape![
        Relu,
        Relu6,
        LeakyRelu,
        Elu,
        Celu,
        Selu,
        Gelu,
        GeluTanh,
        Silu,
        Mish,
        Sigmoid,
        LogSigmoid,
        Tanh,
        Hardtanh,
        Softplus,
        Softsign,
        Softshrink,
        Hardshrink,
        Tanhshrink,
        Hardsigmoid,
        Hardswish,
        Softmax,
        LogSoftmax,
        Identity,
    ];
    let x = &[2, 3, 4];
    all.push(sample("Celu: alpha 0.5", Celu::new(0.5), x, x));
    all.push(sample("Softplus: beta 2", Softplus::new(2.0), x, x));
    all.push(sample("Softshrink: by 0.3", Softshrink::new(0.3), x, x));
    all.push(sample("Hardshrink: to 0.3", Hardshrink::new(0.3), x, x));
    all.push(sample("Threshold", Threshold::new(0.1, -2.0), x, x));
    all.push(sample("Glu", Glu::default(), x, &[2, 3, 2]));
    all.push(sample("PRelu", PRelu::new(4), &[2, 3, 4], &[2, 3, 4]));
    all.push(sample("PRelu: one slope", PRelu::new(1), &[2, 3, 4], &[2, 3, 4]));
    all
}

fn drops() -> Vec<Sample> {
    let x = &[3, 2, 2, 4];
    vec![
        sample("Dropout", Dropout::new(0.4), x, x),
        sample("SpatialDropout", SpatialDropout::new(0.4), x, x),
        sample("AlphaDropout", AlphaDropout::new(0.4), x, x),
        sample("DropPath", DropPath::new(0.4), x, x),
    ]
}

fn others() -> Vec<Sample> {
    let init = &mut Init::new(2);
    let around = Padding { top: 1, bottom: 0, left: 0, right: 2 };
    let body = |init: &mut Init| Conv2d::new(2, 3, 3, init).same();
    vec![
        sample("Flatten", Flatten::default(), &[2, 3, 2, 2], &[2, 12]),
        sample("Reshape", Reshape::new(&[4, 3]), &[2, 2, 6], &[2, 4, 3]),
        sample("Pad2d", Pad2d::zeros(around), &[1, 3, 2, 2], &[1, 4, 4, 2]),
        sample("Pad2d: mirrored", Pad2d::reflect(around), &[1, 3, 3, 2], &[1, 4, 5, 2]),
        sample("Pad2d: repeated", Pad2d::replicate(around), &[1, 3, 2, 2], &[1, 4, 4, 2]),
        sample("Pad2d: continued", Pad2d::circular(around), &[1, 3, 2, 2], &[1, 4, 4, 2]),
        sample("Upsample", Upsample::nearest(2), &[1, 2, 3, 2], &[1, 4, 6, 2]),
        sample("Upsample: bilinear", Upsample::bilinear(2), &[1, 2, 3, 2], &[1, 4, 6, 2]),
        sample(
            "Upsample: corners",
            Upsample::bilinear_corners(1).to_size([3, 5]),
            &[1, 2, 3, 2],
            &[1, 3, 5, 2],
        ),
        sample("Upsample: bicubic", Upsample::bicubic(2), &[1, 2, 3, 2], &[1, 4, 6, 2]),
        sample(
            "Upsample: bicubic, corners",
            Upsample::bicubic_corners(1).to_size([3, 5]),
            &[1, 2, 3, 2],
            &[1, 3, 5, 2],
        ),
        sample("PixelShuffle", PixelShuffle::new(2), &[1, 2, 3, 8], &[1, 4, 6, 2]),
        sample("PixelUnshuffle", PixelUnshuffle::new(2), &[1, 4, 6, 2], &[1, 2, 3, 8]),
        sample("Embedding", Embedding::new(5, 3, init), &[2, 4], &[2, 4, 3]),
        sample(
            "Residual",
            Residual::new(Conv2d::new(2, 2, 3, init).same()).with_relu(),
            &[1, 3, 4, 2],
            &[1, 3, 4, 2],
        ),
        sample(
            "Residual: with a projection",
            Residual::new(body(init)).with_projection(Conv2d::new(2, 3, 1, init)),
            &[1, 3, 4, 2],
            &[1, 3, 4, 3],
        ),
        sample("InvertedResidual", InvertedResidual::new(2, 2, 1, 2, init), &[2, 3, 4, 2], &[2, 3, 4, 2]),
        sample(
            "InvertedResidual: strided, not expanded",
            InvertedResidual::new(2, 3, 2, 1, init),
            &[2, 5, 4, 2],
            &[2, 3, 2, 3],
        ),
        sample("InvertedResidual: squeezed", squeezed(init), &[2, 3, 4, 2], &[2, 3, 4, 2]),
        sample("SqueezeExcitation", SqueezeExcitation::new(4, 2, init), &[2, 3, 2, 4], &[2, 3, 2, 4]),
        sample("MultiHeadSelfAttention", MultiHeadSelfAttention::new(4, 2, init), &[2, 3, 4], &[2, 3, 4]),
        sample(
            "MultiHeadSelfAttention: padded",
            masked([true, true, false, true, false, false], false),
            &[2, 3, 4],
            &[2, 3, 4],
        ),
        sample(
            "MultiHeadSelfAttention: causal",
            masked([true, false, false, true, true, false, true, true, true], true),
            &[2, 3, 4],
            &[2, 3, 4],
        ),
        sample("TransformerBlock", TransformerBlock::new(4, 2, 6, init), &[2, 3, 4], &[2, 3, 4]),
        sample(
            "Sequential",
            Sequential::new().add("a", Linear::new(3, 4, init)).add("b", Tanh::default()),
            &[2, 3],
            &[2, 4],
        ),
    ]
}

/// A block of MobileNetV3.
fn squeezed(init: &mut Init) -> InvertedResidual<f64> {
    let squeeze = SqueezeExcitation::new(4, 2, init).with_gate(Var::hardsigmoid);
    let spec = InvertedResidualSpec {
        kernel: 5,
        activation: || Box::new(Hardswish::default()),
        norm: |channels| BatchNorm2d::new(channels).with_eps(1e-3),
        squeeze: Some(squeeze),
        ..InvertedResidualSpec::new(4, 1)
    };
    InvertedResidual::with_spec([2, 2], spec, init)
}
