//! MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
//! 2018, table 2).

use cerberus_autograd::Var;
use cerberus_nn::{
    BatchNorm2d, Context, Conv2d, Dropout, GlobalAvgPool, Init, Layer, Linear, Relu6, Sequential, module,
};
use cerberus_tensor::Element;
use cerberus_tensor::conv::Conv2dSpec;

use super::{Network, conv};
use crate::features::{Features, MapInfo};
use crate::trunk::Trunk;

/// Channels of the first and of the last convolution.
const FIRST: usize = 32;
const LAST: usize = 1280;
/// Expansion, output channels, blocks and stride of the first of them.
const ROWS: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
];

pub(super) fn networks<T: Element>() -> Vec<Network<T>> {
    vec![Network::new("mobilenet_v2", 5, MobileNetV2::new, head)]
}

fn head<T: Element>([features, classes]: [usize; 2], init: &mut Init) -> Sequential<T> {
    let layers = Sequential::new().add("0", Dropout::new(0.2)).add("1", Linear::new(features, classes, init));
    Sequential::new().add("pool", GlobalAvgPool::default()).add("classifier", layers)
}

/// MobileNetV2 up to its last map, without the classifier.
pub struct MobileNetV2<T: Element = f32> {
    features: Vec<Sequential<T>>,
    /// For each of these layers its output channels, whether its input is added to its output, and whether the image is
    /// halved after it or there is none after it.
    plan: Vec<(usize, bool, bool)>,
}

module!(MobileNetV2 { features } without { plan });

/// A convolution, its norm and a ReLU that ends at 6.
fn rectified<T: Element>(conv: Conv2d<T>, channels: usize) -> Sequential<T> {
    Sequential::new().add("0", conv).add("1", BatchNorm2d::new(channels)).add("2", Relu6::default())
}

/// An expansion by 1x1 (if it is more than 1), a depthwise 3x3, and a projection by 1x1 that is not rectified.
fn inverted<T: Element>(
    [cin, cout]: [usize; 2],
    expansion: usize,
    stride: usize,
    init: &mut Init,
) -> Sequential<T> {
    let width = expansion * cin;
    let mut layers = Sequential::new();
    let mut next = 0..;
    let mut name = || next.next().expect("endless").to_string();
    if expansion > 1 {
        layers = layers.add(&name(), rectified(conv([cin, width], 1, 1, init), width));
    }
    let spec = Conv2dSpec { groups: width, ..Conv2dSpec::default() };
    let depthwise = Conv2d::with_spec(width, width, 3, spec, init).padding(1).stride(stride).without_bias();
    layers = layers.add(&name(), rectified(depthwise, width));
    layers = layers.add(&name(), conv([width, cout], 1, 1, init));
    layers = layers.add(&name(), BatchNorm2d::new(cout));
    Sequential::new().add("conv", layers)
}

impl<T: Element> MobileNetV2<T> {
    fn new(channels: usize, init: &mut Init) -> Self {
        let mut features = vec![rectified(conv([channels, FIRST], 3, 2, init), FIRST)];
        let mut plan = vec![(FIRST, false, false)];
        let mut cin = FIRST;
        for [expansion, cout, blocks, first] in ROWS {
            for block in 0..blocks {
                let stride = if block == 0 { first } else { 1 };
                if stride == 2 {
                    plan.last_mut().expect("the first convolution").2 = true;
                }
                features.push(inverted([cin, cout], expansion, stride, init));
                plan.push((cout, stride == 1 && cin == cout, false));
                cin = cout;
            }
        }
        features.push(rectified(conv([cin, LAST], 1, 1, init), LAST));
        plan.push((LAST, false, true));
        Self { features, plan }
    }
}

impl<T: Element> Trunk<T> for MobileNetV2<T> {
    fn stages(&self) -> Vec<MapInfo> {
        let last = self.plan.iter().enumerate().filter(|(_, (_, _, is_map))| *is_map);
        let map = |(stage, (layer, &(channels, _, _))): (usize, (usize, &(usize, bool, bool)))| MapInfo {
            name: format!("features{layer}"),
            channels,
            stride: 2 << stage,
        };
        last.enumerate().map(map).collect()
    }

    #[track_caller]
    fn forward(&self, images: Var<T>, context: &mut Context<T>) -> Features<T> {
        let mut x = images;
        let mut stages = Vec::new();
        for (layer, &(_, is_residual, is_map)) in self.features.iter().zip(&self.plan) {
            let y = layer.forward(x.clone(), context);
            x = if is_residual { x + y } else { y };
            if is_map {
                stages.push(x.clone());
            }
        }
        Features { stages, neck: None }
    }
}
