//! A feature pyramid: every map of a trunk, from the deepest upwards, joined in one (Lin et al., "Feature Pyramid
//! Networks for Object Detection", 2017, section 3).
//!
//! `P = conv1x1(map) + up(P of the next deeper map)`, and a 3x3 convolution after the last sum, which smooths what
//! enlarging by repetition leaves. Of the paper's pyramid only the finest level is made: the heads share one map.

use cerberus_autograd::Var;
use cerberus_nn::{Context, Conv2d, Init, Layer, Module, ModuleTensor, ModuleTensorMut, module};
use cerberus_tensor::Element;
use cerberus_tensor::conv::Conv2dSpec;
use cerberus_tensor::resize::Interpolation;

use super::{JoinMaps, finest, size};
use crate::features::{Features, MapInfo, resampled};

/// Channels of a pyramid.
pub(super) const WIDTH: usize = 128;
/// Pixels between the positions of its finest map, at most, where the trunk has such a map and a deeper one.
const STRIDE: usize = 8;

/// The way from the deepest map upwards: a level `[N, H / stride, W / stride, 128]` for each map that is joined.
pub(super) struct TopDown<T: Element> {
    /// From the finest map that is joined to the deepest.
    lateral: Vec<Conv2d<T>>,
    /// The strides of all maps.
    strides: Vec<usize>,
    /// The place of the finest map that is joined.
    pub finest: usize,
}

impl<T: Element> TopDown<T> {
    /// For at least two maps: from the deepest to the one whose positions are at most 8 pixels apart, at least two.
    pub fn new(stages: &[MapInfo], init: &mut Init) -> Self {
        let finest = finest(stages, STRIDE);
        let one = Conv2dSpec::default();
        let lateral = stages[finest..].iter().map(|map| Conv2d::with_spec(map.channels, WIDTH, 1, one, init));
        let lateral = lateral.collect();
        Self { lateral, strides: stages.iter().map(|map| map.stride).collect(), finest }
    }

    /// The stride of the finest level.
    pub fn stride(&self) -> usize {
        self.strides[self.finest]
    }

    /// The levels, from the finest to the deepest.
    #[track_caller]
    pub fn forward(&self, stages: &[Var<T>], context: &mut Context<T>) -> Vec<Var<T>> {
        let mut levels: Vec<Var<T>> = Vec::with_capacity(self.lateral.len());
        for (place, lateral) in self.lateral.iter().enumerate().rev() {
            let stage = self.finest + place;
            let own = lateral.forward(stages[stage].clone(), context);
            levels.push(match levels.last() {
                Some(deeper) => {
                    let strides = [self.strides[stage + 1], self.strides[stage]];
                    let size = size(&own);
                    own + resampled(deeper.clone(), strides, size, Interpolation::Nearest)
                }
                None => own,
            });
        }
        levels.reverse();
        levels
    }
}

/// The paths of its lateral convolutions, by number.
impl<T: Element> Module<T> for TopDown<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        self.lateral.visit(path, f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        self.lateral.visit_mut(path, f);
    }
}

/// A feature pyramid of which the heads see the finest level. The trunk's own maps stay as they are.
pub struct Fpn<T: Element = f32> {
    lateral: TopDown<T>,
    output: Conv2d<T>,
}

module!(Fpn { lateral, output });

impl<T: Element> Fpn<T> {
    /// A pyramid over these maps: from the deepest to the one whose positions are at most 8 pixels apart, at least two.
    pub(super) fn new(stages: &[MapInfo], init: &mut Init) -> Self {
        Self { lateral: TopDown::new(stages, init), output: Conv2d::new(WIDTH, WIDTH, 3, init).same() }
    }
}

impl<T: Element> JoinMaps<T> for Fpn<T> {
    fn joined(&self) -> MapInfo {
        MapInfo { name: "fpn".into(), channels: WIDTH, stride: self.lateral.stride() }
    }

    #[track_caller]
    fn forward(&self, stages: Vec<Var<T>>, context: &mut Context<T>) -> Features<T> {
        let finest = self.lateral.forward(&stages, context).swap_remove(0);
        Features::new(stages, Some(self.output.forward(finest, context)))
    }
}
