//! MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
//! 2018, table 2).

use cerberus_nn::{BatchNorm2d, Dropout, GlobalAvgPool, Init, InvertedResidual, Linear, Relu6, Sequential};
use cerberus_tensor::Element;

use super::chain::{Chain, activated};
use super::{Network, conv};

/// Channels of the first and of the last convolution.
const FIRST: usize = 32;
const LAST: usize = 1280;
/// Expansion, output channels, blocks and stride of the first of them.
const ROWS: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
];

pub(super) fn networks<T: Element>() -> Vec<Network<T>> {
    vec![Network::new("mobilenet_v2", 5, trunk, head)]
}

/// Dropout and a dense layer after the mean of every channel; EfficientNet's too.
pub(super) fn head<T: Element>([features, classes]: [usize; 2], init: &mut Init) -> Sequential<T> {
    let layers = Sequential::new().add("0", Dropout::new(0.2)).add("1", Linear::new(features, classes, init));
    Sequential::new().add("pool", GlobalAvgPool::default()).add("classifier", layers)
}

fn trunk<T: Element>(channels: usize, init: &mut Init) -> Chain<T> {
    let first = activated(conv([channels, FIRST], 3, 2, init), BatchNorm2d::new(FIRST), Relu6::default());
    let mut chain = Chain::new().block("features.0", first);
    let (mut cin, mut scale, mut layer) = (FIRST, 2, 1);
    for [expansion, cout, blocks, first] in ROWS {
        if first == 2 {
            chain = chain.map(cin, scale);
        }
        scale *= first;
        for block in 0..blocks {
            let stride = if block == 0 { first } else { 1 };
            let block = InvertedResidual::new(cin, cout, stride, expansion, init);
            chain = chain.block(&format!("features.{layer}"), block);
            (cin, layer) = (cout, layer + 1);
        }
    }
    let last = activated(conv([cin, LAST], 1, 1, init), BatchNorm2d::new(LAST), Relu6::default());
    chain.add(&format!("features.{layer}"), last).map(LAST, scale)
}
