//! The convolution that turns an image, or a map, into patches: ConvNeXt and vision transformers begin with it.

use cerberus_autograd::Var;
use cerberus_autograd::ops::PadMode;
use cerberus_nn::{Context, Conv2d, Init, Layer, Module, ModuleTensor, ModuleTensorMut};
use cerberus_tensor::Element;

/// A convolution of patches that do not overlap, `[N, H, W, Cin]` to `[N, ceil(H / side), ceil(W / side), Cout]`: sides
/// that it does not divide are padded with zeros, right and below. Its paths are those of the convolution.
pub(super) struct Patches<T: Element> {
    conv: Conv2d<T>,
    side: usize,
}

impl<T: Element> Patches<T> {
    /// Patches of `side` rows and columns.
    pub(super) fn new([cin, cout]: [usize; 2], side: usize, init: &mut Init) -> Self {
        Self { conv: Conv2d::new(cin, cout, side, init).stride(side), side }
    }
}

impl<T: Element> Layer<T> for Patches<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let &[_, h, w, _] = x.shape() else { panic!("Patches: x {:?} must be [N, H, W, C]", x.shape()) };
        let [below, right] = [h, w].map(|extent| extent.next_multiple_of(self.side) - extent);
        let x = if [below, right] == [0, 0] {
            x
        } else {
            x.pad(&[(0, 0), (0, below), (0, right), (0, 0)], PadMode::Constant(0.0))
        };
        self.conv.forward(x, context)
    }
}

impl<T: Element> Module<T> for Patches<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        self.conv.visit(path, f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        self.conv.visit_mut(path, f);
    }
}
