//! Path aggregation (Liu, Qi, Qin, Shi and Jia, "Path Aggregation Network for Instance Segmentation", 2018, section
//! 3.1): below the way up of a [feature pyramid](super::fpn) a second one down, which brings the positions of fine maps
//! to the deep ones through few layers.
//!
//! With the pyramid's levels `P`, finest first: `N_0 = P_0`, `N_i+1 = conv3x3(P_i+1 + conv3x3 with stride(N_i))`, each
//! convolution with a ReLU and, unlike in the paper, a batch norm. Heads that use several levels get the maps `N` in the
//! place of the trunk's. The joined map is the maximum of all, enlarged to the finest, as the paper fuses levels in
//! section 3.2, and a 3x3 convolution.

use cerberus_autograd::Var;
use cerberus_nn::{Context, Conv2d, Init, Layer, module};
use cerberus_tensor::Element;
use cerberus_tensor::resize::Interpolation;

use super::fpn::{TopDown, WIDTH};
use super::{JoinMaps, size};
use crate::features::{Features, MapInfo, resampled};
use crate::trunk::ConvBlock;

/// Two ways through the maps, up and down again.
pub struct Pan<T: Element = f32> {
    lateral: TopDown<T>,
    /// From each level but the deepest to the next: the convolution with a stride, and the one after the sum.
    down: Vec<ConvBlock<T>>,
    mix: Vec<ConvBlock<T>>,
    output: ConvBlock<T>,
    /// Strides of the levels, from the finest to the deepest.
    strides: Vec<usize>,
}

module!(Pan { lateral, down, mix, output } without { strides });

impl<T: Element> Pan<T> {
    /// For the maps that a feature pyramid would join.
    ///
    /// # Panics
    /// If the stride of one of them is not a multiple of that of the next finer one.
    #[track_caller]
    pub(super) fn new(stages: &[MapInfo], init: &mut Init) -> Self {
        let lateral = TopDown::new(stages, init);
        let strides: Vec<usize> = stages[lateral.finest..].iter().map(|map| map.stride).collect();
        assert!(
            strides.windows(2).all(|pair| pair[1].is_multiple_of(pair[0])),
            "Pan: each of the strides {strides:?} must be a multiple of the one before"
        );
        let down = strides.windows(2).map(|pair| {
            let stride = pair[1] / pair[0];
            ConvBlock::around(Conv2d::new(WIDTH, WIDTH, 3, init).same().stride(stride), WIDTH)
        });
        let down: Vec<_> = down.collect();
        let mix = down.iter().map(|_| ConvBlock::new(WIDTH, WIDTH, 3, init)).collect();
        Self { lateral, down, mix, output: ConvBlock::new(WIDTH, WIDTH, 3, init), strides }
    }
}

impl<T: Element> JoinMaps<T> for Pan<T> {
    fn joined(&self) -> MapInfo {
        MapInfo { name: "pan".into(), channels: WIDTH, stride: self.strides[0] }
    }

    fn stages(&self, mut trunk: Vec<MapInfo>) -> Vec<MapInfo> {
        for map in &mut trunk[self.lateral.finest..] {
            (map.name, map.channels) = (format!("pan-{}", map.name), WIDTH);
        }
        trunk
    }

    fn kept_stages(&self) -> usize {
        self.lateral.finest
    }

    #[track_caller]
    fn forward(&self, mut stages: Vec<Var<T>>, context: &mut Context<T>) -> Features<T> {
        let levels = self.lateral.forward(&stages, context);
        let whole = size(&levels[0]);
        stages.truncate(self.lateral.finest);
        let mut joined: Option<Var<T>> = None;
        for (place, level) in levels.into_iter().enumerate() {
            let x = match place.checked_sub(1) {
                Some(finer) => {
                    let stage = stages.last().expect("the next finer level").clone();
                    let sum = level + self.down[finer].forward(stage, context);
                    self.mix[finer].forward(sum, context)
                }
                None => level,
            };
            let x = context.stage(stages.len(), x);
            let strides = [self.strides[place], self.strides[0]];
            let enlarged = resampled(x.clone(), strides, whole, Interpolation::Nearest);
            joined = Some(match joined {
                Some(joined) => joined.maximum(enlarged),
                None => enlarged,
            });
            stages.push(x);
        }
        let joined = joined.expect("there are at least two levels");
        Features::new(stages, Some(self.output.forward(joined, context)))
    }
}
