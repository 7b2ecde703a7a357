//! The shape that most networks have: layers one after another, some of whose outputs are maps.

use cerberus_autograd::Var;
use cerberus_nn::{
    BatchNorm2d, Context, Conv2d, Layer, MaxPool2d, Module, ModuleTensor, ModuleTensorMut, Sequential, join,
};
use cerberus_tensor::Element;

use crate::features::{Features, MapInfo};
use crate::trunk::Trunk;

/// A trunk of layers that run in order, the last of which makes the deepest map. A parameter's path begins with the name
/// of its layer. Every block, and what lies between two maps beside them, can be [recomputed](Context::recompute) by
/// itself.
pub struct Chain<T: Element = f32> {
    layers: Vec<Link<T>>,
}

struct Link<T: Element> {
    name: String,
    layer: Box<dyn Layer<T>>,
    /// The name of a map made of the output.
    stage: String,
    /// Whether the output is kept where values are recomputed.
    is_kept: bool,
    /// The description of the output, if that is a map.
    map: Option<MapInfo>,
}

impl<T: Element> Chain<T> {
    pub(super) fn new() -> Self {
        Self { layers: Vec::new() }
    }

    /// With one more layer at the end.
    pub(super) fn add(self, name: &str, layer: impl Layer<T> + 'static) -> Self {
        self.link(name.into(), name, Box::new(layer), false)
    }

    /// With one more layer whose output, unlike what is inside it, is small enough to be kept where values are
    /// recomputed.
    pub(super) fn block(self, name: &str, layer: impl Layer<T> + 'static) -> Self {
        self.link(name.into(), name, Box::new(layer), true)
    }

    /// With a stage of such layers, whose names are numbers.
    pub(super) fn blocks<L: Layer<T> + 'static>(
        self,
        name: &str,
        blocks: impl IntoIterator<Item = L>,
    ) -> Self {
        let blocks = blocks.into_iter().enumerate();
        blocks.fold(self, |chain, (i, block)| chain.link(format!("{name}.{i}"), name, Box::new(block), true))
    }

    fn link(mut self, name: String, stage: &str, layer: Box<dyn Layer<T>>, is_kept: bool) -> Self {
        self.layers.push(Link { name, layer, stage: stage.replace('.', ""), is_kept, map: None });
        self
    }

    /// With the output of the last layer as a map of so many channels and this stride.
    ///
    /// # Panics
    /// If there is no layer.
    #[track_caller]
    pub(super) fn map(mut self, channels: usize, stride: usize) -> Self {
        let last = self.layers.last_mut().expect("Chain::map: there is no layer whose output could be a map");
        last.map = Some(MapInfo { name: last.stage.clone(), channels, stride });
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
        for run in self.layers.split_inclusive(|link| link.is_kept || link.map.is_some()) {
            x = context.segment(|context| {
                run.iter()
                    .fold(x, |x, link| context.part(&link.name, |context| link.layer.forward(x, context)))
            });
            if run.last().is_some_and(|link| link.map.is_some()) {
                x = context.stage(stages.len(), x);
                stages.push(x.clone());
            }
        }
        Features::new(stages, None)
    }
}

impl<T: Element> Module<T> for Chain<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        for Link { name, layer, .. } in &self.layers {
            layer.visit(&join(path, name), f);
        }
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        for Link { name, layer, .. } in &mut self.layers {
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
/// positions at the lower and right edge are smaller if the sides are odd.
pub(super) fn halve<T: Element>() -> MaxPool2d<T> {
    MaxPool2d::new(2, 2).ceil_mode()
}
