//! MobileNetV3 (Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le and Adam, "Searching for
//! MobileNetV3", 2019, tables 1 and 2).
//!
//! As in torchvision, the norms add 0.001 to the variance and take a hundredth of each batch into the running averages,
//! and squeeze-and-excitation has a quarter of the channels inside, rounded to a multiple of 8.

use cerberus_autograd::Var;
use cerberus_nn::{
    BatchNorm2d, Dropout, GlobalAvgPool, Hardswish, Init, InvertedResidual, InvertedResidualSpec, Linear,
    Relu, Sequential, SqueezeExcitation,
};
use cerberus_tensor::Element;

use super::chain::{Chain, activated};
use super::{Network, conv};

/// Channels of the first convolution.
const FIRST: usize = 16;
/// The last convolution has this many times the channels of the last block.
const LAST: usize = 6;

/// A block of the paper's tables.
#[derive(Clone, Copy)]
struct Row {
    kernel: usize,
    /// Channels inside, and of the output.
    hidden: usize,
    cout: usize,
    /// With squeeze-and-excitation.
    squeezed: bool,
    /// Hard swish instead of ReLU.
    swish: bool,
    stride: usize,
}

/// A row of ReLU blocks, and one of hard-swish blocks.
const fn re(kernel: usize, hidden: usize, cout: usize, squeezed: bool, stride: usize) -> Row {
    Row { kernel, hidden, cout, squeezed, swish: false, stride }
}

const fn hs(kernel: usize, hidden: usize, cout: usize, squeezed: bool, stride: usize) -> Row {
    Row { swish: true, ..re(kernel, hidden, cout, squeezed, stride) }
}

const LARGE: [Row; 15] = [
    re(3, 16, 16, false, 1),
    re(3, 64, 24, false, 2),
    re(3, 72, 24, false, 1),
    re(5, 72, 40, true, 2),
    re(5, 120, 40, true, 1),
    re(5, 120, 40, true, 1),
    hs(3, 240, 80, false, 2),
    hs(3, 200, 80, false, 1),
    hs(3, 184, 80, false, 1),
    hs(3, 184, 80, false, 1),
    hs(3, 480, 112, true, 1),
    hs(3, 672, 112, true, 1),
    hs(5, 672, 160, true, 2),
    hs(5, 960, 160, true, 1),
    hs(5, 960, 160, true, 1),
];

const SMALL: [Row; 11] = [
    re(3, 16, 16, true, 2),
    re(3, 72, 24, false, 2),
    re(3, 88, 24, false, 1),
    hs(5, 96, 40, true, 2),
    hs(5, 240, 40, true, 1),
    hs(5, 240, 40, true, 1),
    hs(5, 120, 48, true, 1),
    hs(5, 144, 48, true, 1),
    hs(5, 288, 96, true, 2),
    hs(5, 576, 96, true, 1),
    hs(5, 576, 96, true, 1),
];

pub(super) fn networks<T: Element>() -> Vec<Network<T>> {
    let network = |name, rows: &'static [Row], hidden| {
        Network::new(
            name,
            5,
            move |channels, init: &mut Init| trunk(channels, rows, init),
            move |channels, init: &mut Init| head(channels, hidden, init),
        )
    };
    vec![network("mobilenet_v3_large", &LARGE, 1280), network("mobilenet_v3_small", &SMALL, 1024)]
}

fn head<T: Element>([features, classes]: [usize; 2], hidden: usize, init: &mut Init) -> Sequential<T> {
    let layers = Sequential::new()
        .add("0", Linear::new(features, hidden, init))
        .add("1", Hardswish::default())
        .add("2", Dropout::new(0.2))
        .add("3", Linear::new(hidden, classes, init));
    Sequential::new().add("pool", GlobalAvgPool::default()).add("classifier", layers)
}

fn norm<T: Element>(channels: usize) -> BatchNorm2d<T> {
    BatchNorm2d::new(channels).with_eps(1e-3).with_momentum(0.01)
}

/// A quarter of the channels, rounded to a multiple of 8, upwards if rounding down would take more than a tenth.
fn squeezed(channels: usize) -> usize {
    let quarter = channels / 4;
    let rounded = ((quarter + 4) / 8 * 8).max(8);
    if 10 * rounded < 9 * quarter { rounded + 8 } else { rounded }
}

fn trunk<T: Element>(channels: usize, rows: &[Row], init: &mut Init) -> Chain<T> {
    let first = activated(conv([channels, FIRST], 3, 2, init), norm(FIRST), Hardswish::default());
    let mut chain = Chain::new().block("features.0", first);
    let (mut cin, mut scale) = (FIRST, 2);
    for (index, &Row { kernel, hidden, cout, squeezed: with_squeeze, swish, stride }) in
        rows.iter().enumerate()
    {
        if stride == 2 {
            chain = chain.map(cin, scale);
        }
        scale *= stride;
        let squeeze = with_squeeze
            .then(|| SqueezeExcitation::new(hidden, squeezed(hidden), init).with_gate(Var::hardsigmoid));
        let spec = InvertedResidualSpec {
            kernel,
            norm,
            activation: if swish { || Box::new(Hardswish::default()) } else { || Box::new(Relu::default()) },
            squeeze,
            ..InvertedResidualSpec::new(hidden, stride)
        };
        let block = InvertedResidual::with_spec([cin, cout], spec, init);
        chain = chain.block(&format!("features.{}", index + 1), block);
        cin = cout;
    }
    let last = activated(conv([cin, LAST * cin], 1, 1, init), norm(LAST * cin), Hardswish::default());
    chain.add(&format!("features.{}", rows.len() + 1), last).map(LAST * cin, scale)
}
