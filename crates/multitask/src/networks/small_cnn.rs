//! The small network of Keras' CIFAR-10 example, which the `cifar10` example trains: two convolutions with pooling and
//! a dense layer.
//!
//! As a classifier its convolutions are not padded: images of 32x32 pixels leave 6x6 positions for the dense layer. Maps
//! of other sizes are averaged to 6x6, and images must have at least 10x10 pixels. As a trunk its convolutions are
//! padded, so that its maps lie on the pixels of images of any size.

use cerberus_nn::{AdaptiveAvgPool2d, Conv2d, Flatten, Init, Linear, MaxPool2d, Sequential};
use cerberus_tensor::Element;

use super::chain::{Chain, halve};
use super::{Classifier, Network};

/// Output channels of both convolutions.
const WIDTHS: [usize; 2] = [32, 64];
/// Rows and columns that the dense layer sees.
const SIDE: usize = 6;

pub(super) fn networks<T: Element>() -> Vec<Network<T>> {
    let network = Network::new("small_cnn", 3, trunk, head);
    let classifier = |[channels, classes]: [usize; 2], init: &mut Init| {
        let trunk = Box::new(unpadded(channels, init));
        Box::new(Classifier::new(trunk, head([WIDTHS[1], classes], init))) as _
    };
    vec![Network { classifier: Box::new(classifier), ..network }]
}

fn head<T: Element>([features, classes]: [usize; 2], init: &mut Init) -> Sequential<T> {
    Sequential::new()
        .add("avgpool", AdaptiveAvgPool2d::new([SIDE; 2]))
        .add("flatten", Flatten::default())
        .add("dense", Linear::new(SIDE * SIDE * features, classes, init))
}

fn trunk<T: Element>(channels: usize, init: &mut Init) -> Chain<T> {
    let [one, two] = WIDTHS;
    Chain::new()
        .add("conv1", Conv2d::new(channels, one, 3, init).same().with_relu())
        .map(one, 1)
        .add("pool1", halve())
        .add("conv2", Conv2d::new(one, two, 3, init).same().with_relu())
        .map(two, 2)
        .add("pool2", halve())
        .map(two, 4)
}

/// The ReLUs act after the poolings, which gives the same values as before them.
fn unpadded<T: Element>(channels: usize, init: &mut Init) -> Chain<T> {
    let [one, two] = WIDTHS;
    Chain::new()
        .add("conv1", Conv2d::new(channels, one, 3, init))
        .add("pool1", MaxPool2d::new(2, 2).with_relu())
        .add("conv2", Conv2d::new(one, two, 3, init))
        .add("pool2", MaxPool2d::new(2, 2).with_relu())
        .map(two, 4)
}
