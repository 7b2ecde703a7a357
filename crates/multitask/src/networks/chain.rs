//! The shape that most networks have: layers one after another, some of whose outputs are maps.

use cerberus_autograd::Var;
use cerberus_nn::{
    BatchNorm2d, Context, Conv2d, Layer, Module, ModuleTensor, ModuleTensorMut, Sequential, join,
};
use cerberus_tensor::Element;
use cerberus_tensor::conv::Padding;
use cerberus_tensor::pooling::Pool2dSpec;

use crate::features::{Features, MapInfo};
use crate::trunk::Trunk;

/// A trunk of layers that run in order, the last of which makes the deepest map. A parameter's path begins with the name
/// of its layer. What lies between two maps can be [recomputed](Context::recompute).
pub struct Chain<T: Element = f32> {
    layers: Vec<Link<T>>,
}

struct Link<T: Element> {
    name: String,
    layer: Box<dyn Layer<T>>,
    /// The description of the output, if that is a map.
    map: Option<MapInfo>,
}

impl<T: Element> Chain<T> {
    pub(super) fn new() -> Self {
        Self { layers: Vec::new() }
    }

    /// With one more layer at the end.
    pub(super) fn add(mut self, name: &str, layer: impl Layer<T> + 'static) -> Self {
        self.layers.push(Link { name: name.into(), layer: Box::new(layer), map: None });
        self
    }

    /// With the output of the last layer as a map of so many channels and this stride.
    ///
    /// # Panics
    /// If there is no layer.
    #[track_caller]
    pub(super) fn map(mut self, channels: usize, stride: usize) -> Self {
        let last = self.layers.last_mut().expect("Chain::map: there is no layer whose output could be a map");
        last.map = Some(MapInfo { name: last.name.replace('.', ""), channels, stride });
        self
    }
}

impl<T: Element> Trunk<T> for Chain<T> {
    fn stages(&self) -> Vec<MapInfo> {
        self.layers.iter().filter_map(|link| link.map.clone()).collect()
    }

    #[track_caller]
    fn forward(&self, images: Var<T>, context: &mut Context<T>) -> Features<T> {
        let mut x = images;
        let mut stages = Vec::new();
        for run in self.layers.split_inclusive(|link| link.map.is_some()) {
            x = context.segment(|context| {
                run.iter()
                    .fold(x, |x, link| context.part(&link.name, |context| link.layer.forward(x, context)))
            });
            stages.push(x.clone());
        }
        Features { stages, neck: None }
    }
}

impl<T: Element> Module<T> for Chain<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        for Link { name, layer, map: _ } in &self.layers {
            layer.visit(&join(path, name), f);
        }
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        for Link { name, layer, map: _ } in &mut self.layers {
            layer.visit_mut(&join(path, name), f);
        }
    }
}

/// A convolution, its norm and an activation, named 0, 1 and 2.
pub(super) fn activated<T: Element>(
    conv: Conv2d<T>,
    norm: BatchNorm2d<T>,
    activation: impl Layer<T> + 'static,
) -> Sequential<T> {
    Sequential::new().add("0", conv).add("1", norm).add("2", activation)
}

/// Max pooling that halves maps of any size, `[N, H, W, C]` to `[N, ceil(H / 2), ceil(W / 2), C]`: the windows of 2x2
/// positions at the lower and right edge are smaller if the sides are odd (PyTorch's `ceil_mode=True`).
pub(super) struct Halve;

impl<T: Element> Module<T> for Halve {
    fn visit<'a>(&'a self, _path: &str, _f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {}

    fn visit_mut<'a>(&'a mut self, _path: &str, _f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {}
}

impl<T: Element> Layer<T> for Halve {
    #[track_caller]
    fn forward(&self, x: Var<T>, _context: &mut Context<T>) -> Var<T> {
        let &[_, h, w, _] = x.shape() else { panic!("Halve: x {:?} must be [N, H, W, C]", x.shape()) };
        let padding = Padding { bottom: h % 2, right: w % 2, ..Padding::all(0) };
        x.max_pool2d(Pool2dSpec { kernel: [2; 2], stride: [2; 2], padding })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cerberus_tensor::Tensor;

    #[test]
    fn the_last_windows_of_odd_sides_are_what_is_left_of_the_map() {
        let x = Tensor::<f64>::from_fn(&[1, 3, 5, 1], |i| -(i as f64));
        let y = Halve.forward(Var::constant(x), &mut Context::evaluation());
        assert_eq!(y.shape(), [1, 2, 3, 1]);
        assert_eq!(y.value().to_vec(), [0.0, -2.0, -4.0, -10.0, -12.0, -14.0]);
    }
}
