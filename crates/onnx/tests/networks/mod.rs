//! Small networks that together contain every layer with a mapping to ONNX, each
//! with the shape of one sample. The tests export them; the example `onnx_layers`
//! writes them to files, whose values ONNX Runtime then has to give.

use cerberus_autograd::Var;
use cerberus_nn::*;
use cerberus_tensor::Tensor;
use cerberus_tensor::conv::{Conv2dSpec, Padding};
use cerberus_tensor::windows::Sliding;

/// A network, its name, and the shape of one sample.
pub struct Network {
    pub name: &'static str,
    pub layers: Sequential,
    pub sample: Vec<usize>,
}

fn network(name: &'static str, sample: &[usize], layers: Sequential) -> Network {
    Network { name, layers, sample: sample.to_vec() }
}

pub fn networks() -> Vec<Network> {
    let mut init = Init::new(11);
    let mut all = convolutions(&mut init);
    all.extend(pools(&mut init));
    all.extend(norms(&mut init));
    all.extend(rows(&mut init));
    all.extend(operations(&mut init));
    all
}

/// A layer that is a function.
struct Apply(fn(Var) -> Var);

impl Module for Apply {
    fn visit<'a>(&'a self, _: &str, _: &mut dyn FnMut(String, ModuleTensor<'a, f32>)) {}
    fn visit_mut<'a>(&'a mut self, _: &str, _: &mut dyn FnMut(String, ModuleTensorMut<'a, f32>)) {}
}

impl Layer for Apply {
    fn forward(&self, x: Var, _context: &mut Context) -> Var {
        (self.0)(x)
    }
}

fn numbers(shape: &[usize]) -> Var {
    Var::constant(Tensor::from_fn(shape, |i| 1.5 + (i as f32 * 1.7).cos()))
}

/// Operations that no layer above applies, or not in every layout.
fn operations(init: &mut Init) -> Vec<Network> {
    let mut images = |name, function: fn(Var) -> Var| {
        let net = Sequential::new().add("conv", Conv2d::new(3, 4, 3, init).same().with_relu());
        network(name, &[6, 5, 3], net.add("operations", Apply(function)))
    };
    vec![
        images("arithmetic", |x| {
            let y = x.clone() / numbers(&[6, 5, 4]) - numbers(&[1]);
            let y = numbers(&[5, 1]) - y.maximum(numbers(&[4])).minimum(numbers(&[]));
            // An operand of fewer dimensions that is computed.
            let rows = x.clone().sum(&[0, 1, 2]).reshape(&[1, 4]).sum(&[0]).scale(0.0);
            (y + rows).abs().affine(2.0, 0.5).pow(numbers(&[4])) * x.exp().affine(1.0, 1.0).log()
        }),
        images("functions", |x| {
            let y = x.clone().affine(1.0, 1.0);
            let y = y.clone().sqrt() + y.clone().rsqrt() + y.clone().powf(1.5) + y.expm1().log1p();
            (y + x.clone().sin() * x.clone().cos() + x.clone().erf()) * x.affine(1.0, -0.3).sign()
        }),
        images("reductions", |x| {
            let n = x.shape()[0];
            let kept = x.clone().mean_keepdim(&[1, 3]);
            let rows = x.clone().max(&[3]).logsumexp(&[2]) + x.clone().min(&[2]).norm(&[2]);
            let spread = Var::stack(vec![x.clone().var(&[1, 2], 1.0), x.clone().std(&[1, 2], 0.0)], 0);
            let spread = spread.sum(&[0]).reshape(&[n, 1, 4]);
            let columns = x.clone().sum(&[1]).max_keepdim(&[1]).sum(&[1, 2]);
            (x + kept).sum(&[2]) + spread + rows.reshape(&[n, 6, 1]) + columns.reshape(&[n, 1, 1])
        }),
        images("movement", |x| {
            let (n, twice) = (x.shape()[0], Var::concat(vec![x.clone(), x.clone().flip(&[1])], 3));
            let part = twice.narrow(3, 2, 4).narrow(2, 1, 3).slice(1, 0..6, 2);
            let part = part.roll(2, 1).tile(&[1, 2, 1, 1]).index_select(3, &[3, 0, 0]);
            let turned = x.clone().permute(&[0, 3, 1, 2]).reshape(&[n, 4, 30]).softmax(1);
            let patches = x.unfold([3, 3], Conv2dSpec::same(3)).reshape(&[n, 1080]);
            let turned = turned.reshape(&[n, 120]).reshape(&[n, 2, 1, 60]).expand(&[n, 2, 3, 60]);
            Var::concat(vec![part.reshape(&[n, 54]), patches, turned.reshape(&[n, 360])], 1)
        }),
        network("tokens", &[3, 2], {
            Sequential::new().add(
                "operations",
                Apply(|x| {
                    let n = x.shape()[0];
                    let token = Var::constant(Tensor::from_fn(&[n, 1, 2], |i| (i % 2) as f32 + 0.5));
                    let x = Var::concat(vec![token, x], 1);
                    x.clone().matmul(x.permute(&[0, 2, 1]))
                }),
            )
        }),
    ]
}

fn convolutions(init: &mut Init) -> Vec<Network> {
    let uneven = Conv2dSpec {
        stride: [2, 1],
        padding: Padding { top: 1, bottom: 0, left: 2, right: 1 },
        dilation: [1, 2],
        groups: 2,
    };
    let strided = Conv2dSpec { stride: [2, 2], groups: 3, ..Conv2dSpec::same(3) };
    vec![
        network("conv2d", &[9, 8, 3], {
            let net = Sequential::new()
                .add("first", Conv2d::new(3, 6, 3, init).same().with_relu())
                .add("uneven", Conv2d::with_spec(6, 8, 3, uneven, init))
                .add("norm", BatchNorm2d::new(8).with_relu())
                .add("depthwise", DepthwiseConv2d::with_multiplier(8, 2, 3, init).same().dilation(2));
            net.add("separable", SeparableConv2d::new(16, 5, 3, init).same().with_relu())
        }),
        network("conv_transpose2d", &[4, 5, 6], {
            let net = Sequential::new()
                .add("groups", ConvTranspose2d::with_spec(6, 9, 3, strided, init).output_padding(1))
                .add("norm", BatchNorm2d::new(9));
            net.add("plain", ConvTranspose2d::new(9, 2, 2, 2, init).without_bias())
        }),
        network("mobile", &[8, 8, 4], {
            let net = Sequential::new()
                .add("inverted", InvertedResidual::new(4, 4, 1, 3, init))
                .add("squeeze", SqueezeExcitation::new(4, 2, init))
                .add("halving", InvertedResidual::new(4, 6, 2, 2, init));
            let body = Sequential::new().add("conv", Conv2d::new(6, 6, 3, init).same());
            net.add("residual", Residual::new(body).with_projection(Conv2d::new(6, 6, 1, init)).with_relu())
        }),
        network("sequence", &[12, 4], {
            let net = Sequential::new()
                .add("conv", Conv1d::new(4, 6, 3, init).same().stride(2))
                .add("norm", BatchNorm1d::new(6))
                .add("average", AvgPool1d::new(3, 2).padding(1))
                .add("max", MaxPool1d::new(2, 1));
            net.add("adaptive", AdaptiveMaxPool1d::new([1])).add("flatten", Flatten::default())
        }),
        network("volume", &[5, 6, 4, 2], {
            let net = Sequential::new()
                .add("conv", Conv3d::new(2, 4, 3, init).padding(1))
                .add("norm", BatchNorm3d::new(4))
                .add("max", MaxPool3d::new(2, 1))
                .add("transposed", ConvTranspose3d::new(4, 3, 3, 2, init).padding(1).output_padding(1))
                .add("average", AvgPool3d::new(3, 2).ceil_mode());
            net.add("adaptive", AdaptiveAvgPool3d::new([2, 2, 1])).add("global", GlobalAvgPool::default())
        }),
    ]
}

fn pools(init: &mut Init) -> Vec<Network> {
    let halves = Sliding { kernel: [3, 2], stride: [2, 1], padding: [1, 0], ceil_mode: false };
    vec![
        network("pools", &[13, 10, 3], {
            let net = Sequential::new()
                .add("max", MaxPool2d::new(3, 1).padding(1).with_relu())
                .add("average", AvgPool2d::with_spec(halves))
                .add("excluding", AvgPool2d::new(3, 1).padding(1).exclude_padding())
                .add("conv", Conv2d::new(3, 4, 1, init));
            net.add("adaptive", AdaptiveAvgPool2d::new([3, 3]))
                .add("adaptive_max", AdaptiveMaxPool2d::new([2, 3]))
        }),
        network("ceil_pools", &[23, 18, 3], {
            let net = Sequential::new().add("max", MaxPool2d::new(2, 2).ceil_mode());
            net.add("average", AvgPool2d::new(4, 3).padding(1).ceil_mode())
                .add("excluding", AvgPool2d::new(2, 2).exclude_padding().ceil_mode())
        }),
        network("uneven_pools", &[10, 10, 3], {
            let net = Sequential::new().add("adaptive_max", AdaptiveMaxPool2d::new([10, 4]));
            net.add("adaptive", AdaptiveAvgPool2d::new([4, 3])).add("global", GlobalMaxPool::default())
        }),
        network("sizes", &[6, 5, 4], {
            let net = Sequential::new()
                .add("nearest", Upsample::nearest(2))
                .add("uneven", Upsample::nearest(1).to_size([17, 13]))
                .add("bilinear", Upsample::bilinear(2))
                .add("corners", Upsample::bilinear_corners(2))
                .add("bicubic", Upsample::bicubic(1).to_size([30, 17]))
                .add("bicubic_corners", Upsample::bicubic_corners(1).to_size([21, 25]))
                .add("smaller", Upsample::bilinear(1).to_size([20, 9]))
                .add("shuffle", PixelShuffle::new(2));
            let pads = Padding { top: 1, bottom: 2, left: 0, right: 3 };
            net.add("zeros", Pad2d::zeros(pads))
                .add("reflect", Pad2d::reflect(pads))
                .add("edge", Pad2d::replicate(pads))
        }),
    ]
}

fn norms(init: &mut Init) -> Vec<Network> {
    vec![
        network("norms", &[6, 5, 8], {
            let net = Sequential::new()
                .add("batch", BatchNorm2d::new(8).with_relu())
                .add("conv", Conv2d::new(8, 8, 3, init).same())
                .add("layer", LayerNorm::new(8))
                .add("group", GroupNorm::new(4, 8))
                .add("instance", InstanceNorm::new(8));
            net.add("rms", RmsNorm::new(8)).add("channels", Softmax::default())
        }),
        network("dropping", &[4, 4, 6], {
            let net =
                Sequential::new().add("dropout", Dropout::new(0.5)).add("spatial", SpatialDropout::new(0.5));
            let net = net.add("path", DropPath::new(0.5)).add("alpha", AlphaDropout::new(0.5));
            net.add("identity", Identity::default()).add("conv", Conv2d::new(6, 2, 1, init))
        }),
    ]
}

fn rows(init: &mut Init) -> Vec<Network> {
    vec![
        network("activations", &[5, 4, 3], {
            let net = Sequential::new()
                .add("conv", Conv2d::new(3, 6, 1, init))
                .add("leaky", LeakyRelu::default())
                .add("prelu", PRelu::new(6))
                .add("gelu", Gelu::default())
                .add("gelu_tanh", GeluTanh::default())
                .add("silu", Silu::default())
                .add("mish", Mish::default())
                .add("conv2", Conv2d::new(6, 6, 1, init))
                .add("elu", Elu::default())
                .add("selu", Selu::default())
                .add("softplus", Softplus::default())
                .add("log_sigmoid", LogSigmoid::default())
                .add("conv3", Conv2d::new(6, 6, 1, init))
                .add("tanh", Tanh::default());
            net.add("hardtanh", Hardtanh::default())
                .add("hardsigmoid", Hardsigmoid::default())
                .add("hardswish", Hardswish::default())
                .add("relu", Relu::default())
                .add("relu6", Relu6::default())
                .add("sigmoid", Sigmoid::default())
                .add("log_softmax", LogSoftmax::default())
        }),
        network("dense", &[4, 6], {
            let net = Sequential::new()
                .add("rows", Linear::new(6, 8, init))
                .add("slope", PRelu::new(1))
                .add("flatten", Flatten::default())
                .add("norm", BatchNorm1d::new(32));
            net.add("reshape", Reshape::new(&[2, 16])).add("out", Linear::new(16, 3, init).without_bias())
        }),
        network("lenet", &[8, 8, 1], {
            let net = Sequential::new()
                .add("conv", Conv2d::new(1, 4, 3, init))
                .add("pool", MaxPool2d::new(2, 2))
                .add("flatten", Flatten::default());
            net.add("dense", Linear::new(36, 5, init)).add("softmax", Softmax::default())
        }),
        network("transformer", &[7, 8], {
            let net = Sequential::new().add("block", TransformerBlock::new(8, 2, 16, init).with_dropout(0.1));
            net.add("attention", MultiHeadSelfAttention::new(8, 4, init))
        }),
    ]
}
