//! A network that classifies by itself: a trunk, and layers that make logits of its deepest map.

use cerberus_autograd::Var;
use cerberus_nn::{Context, Layer, Module, ModuleTensor, ModuleTensorMut, Sequential};
use cerberus_tensor::Element;

use crate::trunk::Trunk;

/// Maps images `[N, H, W, channels]` to logits `[N, classes]`.
///
/// The paths of its parameters are those of the trunk and those of the head, side by side: `layer4.1.bn2.gamma` and
/// `fc.weight`, as in torchvision's networks.
pub struct Classifier<T: Element = f32> {
    trunk: Box<dyn Trunk<T>>,
    head: Sequential<T>,
}

impl<T: Element> Classifier<T> {
    /// The trunk with a head for its deepest map, `[N, H / stride, W / stride, features]`.
    pub fn new(trunk: Box<dyn Trunk<T>>, head: Sequential<T>) -> Self {
        Self { trunk, head }
    }
}

impl<T: Element> Layer<T> for Classifier<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let deepest = self.trunk.forward(x, context).stages.pop().expect("a trunk makes at least one map");
        self.head.forward(deepest, context)
    }
}

impl<T: Element> Module<T> for Classifier<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        self.trunk.visit(path, f);
        self.head.visit(path, f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        self.trunk.visit_mut(path, f);
        self.head.visit_mut(path, f);
    }
}
