//! Published networks as trunks, by name: `train --trunk resnet18`.
//!
//! A family of networks is one file in this folder and one line in [`networks`]; each network is a trunk, and a
//! classifier by itself. Its stages are the maps after which the image is halved, and the paths of its parameters are
//! those of torchvision, so that weights can be carried over by name. In a trunk every convolution is padded by half of
//! its kernel: an image of any size gives maps of `side / stride` positions, rounded up.
//!
//! A network alone leaves the joining of its maps to its heads. A [neck](necks), such as the [feature
//! pyramid](Neck::Fpn), joins them, as heads that find small things need.

mod chain;
mod classifier;
mod convnext;
mod efficientnet;
mod mobilenet;
mod mobilenet_v3;
pub mod necks;
mod patches;
mod resnet;
mod resnet9;
mod small_cnn;
mod vgg;
mod vit;

pub use chain::Chain;
pub use classifier::Classifier;
pub use necks::Neck;
pub use resnet::ResNet;
pub use vit::VisionTransformer;

use cerberus_nn::{Conv2d, Init, Layer, Sequential};
use cerberus_tensor::Element;
use cerberus_tensor::conv::Conv2dSpec;

use crate::trunk::Trunk;

/// A published network.
pub struct Network<T: Element> {
    /// Its name on command lines and in configurations.
    pub name: &'static str,
    /// The number of its maps.
    pub stages: usize,
    /// Builds it as a trunk for images of so many channels, with fresh weights.
    pub build: Build<T>,
    /// Builds it as a classifier of images of so many channels, with so many classes. It takes images of any size, except
    /// that `small_cnn` needs 10x10 pixels.
    pub classifier: BuildClassifier<T>,
}

/// Builds a trunk for images of so many channels.
pub type Build<T> = Box<dyn Fn(usize, &mut Init) -> Box<dyn Trunk<T>>>;

/// Builds a layer from images `[N, H, W, channels]` to logits `[N, classes]`; the numbers are channels and classes.
pub type BuildClassifier<T> = Box<dyn Fn([usize; 2], &mut Init) -> Box<dyn Layer<T>>>;

impl<T: Element> Network<T> {
    /// A network of so many maps whose classifier is `head` after its deepest map. `head` gets the channels of that map
    /// and the number of classes.
    fn new<B: Trunk<T> + 'static>(
        name: &'static str,
        stages: usize,
        build: impl Fn(usize, &mut Init) -> B + Copy + 'static,
        head: impl Fn([usize; 2], &mut Init) -> Sequential<T> + 'static,
    ) -> Self {
        let classifier: BuildClassifier<T> = Box::new(move |[channels, classes], init| {
            let trunk = Box::new(build(channels, init));
            let features = trunk.stages().last().expect("a trunk makes at least one map").channels;
            Box::new(Classifier::new(trunk, head([features, classes], init)))
        });
        Self {
            name,
            stages,
            build: Box::new(move |channels, init| Box::new(build(channels, init))),
            classifier,
        }
    }
}

/// All networks.
pub fn networks<T: Element>() -> Vec<Network<T>> {
    let families = [
        resnet::networks(),
        resnet9::networks(),
        vgg::networks(),
        mobilenet::networks(),
        mobilenet_v3::networks(),
        efficientnet::networks(),
        small_cnn::networks(),
        convnext::networks(),
        vit::networks(),
    ];
    families.into_iter().flatten().collect()
}

/// The network of this name.
pub fn find<T: Element>(name: &str) -> Option<Network<T>> {
    networks().into_iter().find(|network| network.name == name)
}

/// A convolution without bias, padded by half of its kernel.
fn conv<T: Element>([cin, cout]: [usize; 2], kernel: usize, stride: usize, init: &mut Init) -> Conv2d<T> {
    Conv2d::with_spec(cin, cout, kernel, Conv2dSpec::default(), init)
        .padding(kernel / 2)
        .stride(stride)
        .without_bias()
}

#[cfg(test)]
mod tests;
