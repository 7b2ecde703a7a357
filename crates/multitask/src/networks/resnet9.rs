//! The network with which David Page won DAWNBench's CIFAR-10 race ("How to Train Your ResNet", part 4, 2018): for
//! images of about 32 pixels, trained in seconds.

use cerberus_autograd::Var;
use cerberus_nn::{
    BatchNorm2d, Context, GlobalMaxPool, Init, Layer, Linear, Module, ModuleTensor, ModuleTensorMut,
    Residual, Sequential,
};
use cerberus_tensor::Element;

use super::chain::{Chain, halve};
use super::{Network, conv};

/// Output channels of the stages.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];
/// The logits are multiplied by this.
const SCALE: f64 = 0.125;

pub(super) fn networks<T: Element>() -> Vec<Network<T>> {
    vec![Network::new("resnet9", 4, trunk, head)]
}

fn head<T: Element>([features, classes]: [usize; 2], init: &mut Init) -> Sequential<T> {
    Sequential::new()
        .add("pool", GlobalMaxPool::default())
        .add("linear", Linear::new(features, classes, init).without_bias())
        .add("scale", Scale)
}

/// A 3x3 convolution, its norm and a ReLU.
fn block<T: Element>(channels: [usize; 2], init: &mut Init) -> Sequential<T> {
    Sequential::new()
        .add("conv", conv(channels, 3, 1, init))
        .add("bn", BatchNorm2d::new(channels[1]).with_relu())
}

fn trunk<T: Element>(channels: usize, init: &mut Init) -> Chain<T> {
    let [prep, one, two, three] = WIDTHS;
    let stage = |channels, init: &mut Init| block(channels, init).add("pool", halve());
    let residual = |channels: usize, init: &mut Init| {
        let first = block([channels; 2], init);
        Residual::new(Sequential::new().add("res1", first).add("res2", block([channels; 2], init)))
    };
    let layer1 = stage([prep, one], init).add("residual", residual(one, init));
    let layer2 = stage([one, two], init);
    let layer3 = stage([two, three], init).add("residual", residual(three, init));
    Chain::new()
        .add("prep", block([channels, prep], init))
        .map(prep, 1)
        .add("layer1", layer1)
        .map(one, 2)
        .add("layer2", layer2)
        .map(two, 4)
        .add("layer3", layer3)
        .map(three, 8)
}

/// Multiplies by [`SCALE`].
struct Scale;

impl<T: Element> Module<T> for Scale {
    fn visit<'a>(&'a self, _path: &str, _f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {}

    fn visit_mut<'a>(&'a mut self, _path: &str, _f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {}
}

impl<T: Element> Layer<T> for Scale {
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        x.affine(SCALE, 0.0)
    }
}
