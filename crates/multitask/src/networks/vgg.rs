//! VGG (Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015, table 1):
//! configurations A and D, plain and, as `_bn`, with a batch norm after each convolution.
//!
//! Odd sides are halved upwards, so every pixel of the image lies in a position of every map; torchvision leaves the
//! last row or column out. For sides that are multiples of 32 both are the same.

use cerberus_nn::{AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, Init, Linear, Relu, Sequential};
use cerberus_tensor::Element;

use super::Network;
use super::chain::{Chain, halve};

/// Output channels of the convolutions of each stage.
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];
/// Rows and columns that the classifier sees, and the values of its hidden layers.
const SIDE: usize = 7;
const HIDDEN: usize = 4096;

pub(super) fn networks<T: Element>() -> Vec<Network<T>> {
    let network = |(name, convolutions, normed)| {
        Network::new(name, 6, move |channels, init| trunk(channels, convolutions, normed, init), head)
    };
    let eleven = [1, 1, 2, 2, 2];
    let sixteen = [2, 2, 3, 3, 3];
    let all = [
        ("vgg11", eleven, false),
        ("vgg11_bn", eleven, true),
        ("vgg16", sixteen, false),
        ("vgg16_bn", sixteen, true),
    ];
    all.into_iter().map(network).collect()
}

fn head<T: Element>([features, classes]: [usize; 2], init: &mut Init) -> Sequential<T> {
    // Flattening is in H, W, C order: input `(h * 7 + w) * C + c` of the first dense layer is input
    // `c * 49 + h * 7 + w` of torchvision's, which flattens channels first.
    let layers = Sequential::new()
        .add("0", Linear::new(SIDE * SIDE * features, HIDDEN, init))
        .add("1", Relu::default())
        .add("2", Dropout::new(0.5))
        .add("3", Linear::new(HIDDEN, HIDDEN, init))
        .add("4", Relu::default())
        .add("5", Dropout::new(0.5))
        .add("6", Linear::new(HIDDEN, classes, init));
    Sequential::new()
        .add("avgpool", AdaptiveAvgPool2d::new([SIDE; 2]))
        .add("flatten", Flatten::default())
        .add("classifier", layers)
}

/// The layers carry torchvision's numbers, in which a ReLU has its own: here it is part of the layer before.
fn trunk<T: Element>(channels: usize, convolutions: [usize; 5], normed: bool, init: &mut Init) -> Chain<T> {
    let mut chain = Chain::new();
    let (mut cin, mut index, mut stride) = (channels, 0, 1);
    for (cout, count) in WIDTHS.into_iter().zip(convolutions) {
        for _ in 0..count {
            let conv = Conv2d::new(cin, cout, 3, init).same();
            let name = format!("features.{index}");
            chain = if normed {
                let norm = BatchNorm2d::new(cout).with_relu();
                chain.add(&name, conv).add(&format!("features.{}", index + 1), norm)
            } else {
                chain.add(&name, conv.with_relu())
            };
            (cin, index) = (cout, index + if normed { 3 } else { 2 });
        }
        chain = chain.map(cout, stride).add(&format!("features.{index}"), halve());
        (index, stride) = (index + 1, 2 * stride);
    }
    chain.map(cin, stride)
}
