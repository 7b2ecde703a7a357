//! EfficientNet-B0 (Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019,
//! table 1), with stochastic depth: the paper leaves blocks out at rates that grow to 0.2 (section 5).

use cerberus_autograd::Var;
use cerberus_nn::{BatchNorm2d, Init, InvertedResidual, InvertedResidualSpec, Silu, SqueezeExcitation};
use cerberus_tensor::Element;

use super::chain::{Chain, activated};
use super::{Network, conv, mobilenet};

/// Channels of the first and of the last convolution.
const FIRST: usize = 32;
const LAST: usize = 1280;
/// Expansion, kernel, stride of the first block, output channels and blocks of each stage.
const ROWS: [[usize; 5]; 7] = [
    [1, 3, 1, 16, 1],
    [6, 3, 2, 24, 2],
    [6, 5, 2, 40, 2],
    [6, 3, 2, 80, 3],
    [6, 5, 1, 112, 3],
    [6, 5, 2, 192, 4],
    [6, 3, 1, 320, 1],
];
/// Block `i` of `n` is left out at this rate times `i / n`.
const DROP_RATE: f64 = 0.2;

pub(super) fn networks<T: Element>() -> Vec<Network<T>> {
    vec![Network::new("efficientnet_b0", 5, trunk, mobilenet::head)]
}

fn trunk<T: Element>(channels: usize, init: &mut Init) -> Chain<T> {
    let first = activated(conv([channels, FIRST], 3, 2, init), BatchNorm2d::new(FIRST), Silu::default());
    let mut chain = Chain::new().block("features.0", first);
    let all: usize = ROWS.iter().map(|row| row[4]).sum();
    let (mut cin, mut scale, mut before) = (FIRST, 2, 0);
    for (stage, [expansion, kernel, first, cout, blocks]) in ROWS.into_iter().enumerate() {
        if first == 2 {
            chain = chain.map(cin, scale);
        }
        scale *= first;
        let mut layers = Vec::new();
        for block in 0..blocks {
            let hidden = expansion * cin;
            let squeeze = SqueezeExcitation::new(hidden, cin / 4, init).with_activation(Var::silu);
            let spec = InvertedResidualSpec {
                kernel,
                activation: || Box::new(Silu::default()),
                squeeze: Some(squeeze),
                drop_rate: DROP_RATE * before as f64 / all as f64,
                ..InvertedResidualSpec::new(hidden, if block == 0 { first } else { 1 })
            };
            layers.push(InvertedResidual::with_spec([cin, cout], spec, init));
            (cin, before) = (cout, before + 1);
        }
        chain = chain.blocks(&format!("features.{}", stage + 1), layers);
    }
    let last = activated(conv([cin, LAST], 1, 1, init), BatchNorm2d::new(LAST), Silu::default());
    chain.add(&format!("features.{}", ROWS.len() + 1), last).map(LAST, scale)
}
