//! A feature pyramid: every map of a trunk, from the deepest upwards, joined in one (Lin et al., "Feature Pyramid
//! Networks for Object Detection", 2017, section 3).
//!
//! `P = conv1x1(map) + up(P of the next deeper map)`, and a 3x3 convolution after the last sum, which smooths what
//! enlarging by repetition leaves. Of the paper's pyramid only the finest level is made: the heads share one map.

use cerberus_autograd::Var;
use cerberus_nn::{Context, Conv2d, Init, Layer, Module, ModuleTensor, ModuleTensorMut, join};
use cerberus_tensor::Element;
use cerberus_tensor::conv::Conv2dSpec;
use cerberus_tensor::resize::Interpolation;

use crate::features::{Features, MapInfo, resampled};
use crate::trunk::Trunk;

/// Channels of the pyramid.
const WIDTH: usize = 128;
/// Pixels between the positions of its map, at most, where the trunk has such a map and a deeper one.
const STRIDE: usize = 8;

/// A trunk whose maps are joined by a feature pyramid. Its own maps stay as they are.
pub struct Fpn<T: Element = f32> {
    trunk: Box<dyn Trunk<T>>,
    /// From the finest map that is joined to the deepest.
    lateral: Vec<Conv2d<T>>,
    output: Conv2d<T>,
    finest: usize,
}

impl<T: Element> Fpn<T> {
    /// A pyramid over the maps of `trunk`: from the deepest to the one whose positions are at most 8 pixels apart,
    /// at least two.
    ///
    /// # Panics
    /// If the trunk has fewer than two maps.
    #[track_caller]
    pub fn new(trunk: Box<dyn Trunk<T>>, init: &mut Init) -> Self {
        let stages = trunk.stages();
        assert!(stages.len() >= 2, "Fpn: {stages:?} must be at least two maps");
        let fine = stages.iter().filter(|map| map.stride <= STRIDE).count().saturating_sub(1);
        let finest = fine.min(stages.len() - 2);
        let one = Conv2dSpec::default();
        let lateral = stages[finest..].iter().map(|map| Conv2d::with_spec(map.channels, WIDTH, 1, one, init));
        let lateral = lateral.collect();
        Self { trunk, lateral, output: Conv2d::new(WIDTH, WIDTH, 3, init).same(), finest }
    }
}

impl<T: Element> Trunk<T> for Fpn<T> {
    fn stages(&self) -> Vec<MapInfo> {
        self.trunk.stages()
    }

    fn neck(&self) -> Option<MapInfo> {
        let stride = self.stages()[self.finest].stride;
        Some(MapInfo { name: "fpn".into(), channels: WIDTH, stride })
    }

    #[track_caller]
    fn forward(&self, images: Var<T>, context: &mut Context<T>) -> Features<T> {
        let stages = self.trunk.forward(images, context).stages;
        let infos = self.stages();
        let mut joined: Option<Var<T>> = None;
        for (place, lateral) in self.lateral.iter().enumerate().rev() {
            let stage = self.finest + place;
            let map = &stages[stage];
            let size = [map.shape()[1], map.shape()[2]];
            let own = lateral.forward(map.clone(), context);
            joined = Some(match joined {
                Some(deeper) => {
                    let strides = [infos[stage + 1].stride, infos[stage].stride];
                    own + resampled(deeper, strides, size, Interpolation::Nearest)
                }
                None => own,
            });
        }
        let joined = joined.expect("there are at least two maps");
        Features { neck: Some(self.output.forward(joined, context)), stages }
    }
}

/// The trunk's paths stay as without the pyramid, whose own begin with `fpn`.
impl<T: Element> Module<T> for Fpn<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        let Self { trunk, lateral, output, finest: _ } = self;
        trunk.visit(path, f);
        lateral.visit(&join(path, "fpn.lateral"), f);
        output.visit(&join(path, "fpn.output"), f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        let Self { trunk, lateral, output, finest: _ } = self;
        trunk.visit_mut(path, f);
        lateral.visit_mut(&join(path, "fpn.lateral"), f);
        output.visit_mut(&join(path, "fpn.output"), f);
    }
}
