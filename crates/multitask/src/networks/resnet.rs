//! Residual networks (He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2016, table 1 and
//! section 4.2).
//!
//! The halving in a bottleneck is in its 3x3 convolution, not in the first 1x1 as in the paper: that is how
//! torchvision's weights were trained, and half a percent better. `-cifar` networks are for images of about 32 pixels:
//! their stem is one 3x3 convolution that does not halve.

use cerberus_autograd::Var;
use cerberus_nn::{
    BatchNorm2d, Context, Conv2d, GlobalAvgPool, Init, Layer, Linear, Sequential, conv_norm, module,
};
use cerberus_tensor::Element;
use cerberus_tensor::conv::Padding;
use cerberus_tensor::pooling::Pool2dSpec;

use super::{Network, conv};
use crate::features::{Features, MapInfo};
use crate::trunk::Trunk;

/// Channels inside the blocks of each stage.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];
/// The output of a bottleneck has this many times the channels inside.
const EXPANSION: usize = 4;

/// How a network of this family is built.
#[derive(Clone, Copy)]
struct Plan {
    /// Blocks in each stage.
    blocks: [usize; 4],
    /// Three convolutions in a block (1x1, 3x3, 1x1) instead of two (3x3, 3x3).
    bottleneck: bool,
    /// A stem that does not halve the image.
    small_images: bool,
}

pub(super) fn networks<T: Element>() -> Vec<Network<T>> {
    const EIGHTEEN: Plan = Plan { blocks: [2, 2, 2, 2], bottleneck: false, small_images: false };
    const THIRTY_FOUR: Plan = Plan { blocks: [3, 4, 6, 3], ..EIGHTEEN };
    const FIFTY: Plan = Plan { bottleneck: true, ..THIRTY_FOUR };
    const SMALL: Plan = Plan { small_images: true, ..EIGHTEEN };
    const SMALL_FIFTY: Plan = Plan { small_images: true, ..FIFTY };
    let plans = [
        ("resnet18", EIGHTEEN),
        ("resnet34", THIRTY_FOUR),
        ("resnet50", FIFTY),
        ("resnet18-cifar", SMALL),
        ("resnet50-cifar", SMALL_FIFTY),
    ];
    let network = |(name, plan): (&'static str, Plan)| {
        let stages = if plan.small_images { 4 } else { 5 };
        Network::new(name, stages, move |channels, init| ResNet::new(channels, plan, init), head)
    };
    plans.into_iter().map(network).collect()
}

fn head<T: Element>([features, classes]: [usize; 2], init: &mut Init) -> Sequential<T> {
    Sequential::new().add("pool", GlobalAvgPool::default()).add("fc", Linear::new(features, classes, init))
}

/// A residual network up to its last map, without the classifier.
pub struct ResNet<T: Element = f32> {
    conv1: Conv2d<T>,
    bn1: BatchNorm2d<T>,
    layer1: Vec<Block<T>>,
    layer2: Vec<Block<T>>,
    layer3: Vec<Block<T>>,
    layer4: Vec<Block<T>>,
    plan: Plan,
}

module!(ResNet { conv1, bn1, layer1, layer2, layer3, layer4 } without { plan });

/// Two or three convolutions beside a shortcut.
struct Block<T: Element> {
    conv1: Conv2d<T>,
    bn1: BatchNorm2d<T>,
    conv2: Conv2d<T>,
    bn2: BatchNorm2d<T>,
    conv3: Option<Conv2d<T>>,
    bn3: Option<BatchNorm2d<T>>,
    /// Where the shape changes: a 1x1 convolution and its norm, named 0 and 1.
    downsample: Option<Sequential<T>>,
}

module!(Block { conv1, bn1, conv2, bn2, conv3, bn3, downsample });

impl<T: Element> Block<T> {
    fn new(cin: usize, width: usize, stride: usize, bottleneck: bool, init: &mut Init) -> Self {
        let cout = if bottleneck { EXPANSION * width } else { width };
        let [first, second] = if bottleneck { [(1, 1), (3, stride)] } else { [(3, stride), (3, 1)] };
        let downsample = (stride > 1 || cin != cout).then(|| {
            Sequential::new().add("0", conv([cin, cout], 1, stride, init)).add("1", BatchNorm2d::new(cout))
        });
        let last = bottleneck.then(|| conv([width, cout], 1, 1, init));
        let bn2 = BatchNorm2d::new(width);
        Self {
            conv1: conv([cin, width], first.0, first.1, init),
            bn1: BatchNorm2d::new(width).with_relu(),
            conv2: conv([width, width], second.0, second.1, init),
            bn2: if bottleneck { bn2.with_relu() } else { bn2 },
            bn3: last.is_some().then(|| BatchNorm2d::new(cout)),
            conv3: last,
            downsample,
        }
    }
}

impl<T: Element> Layer<T> for Block<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(x.clone(), context),
            None => x.clone(),
        };
        let x = conv_norm(&self.conv1, &self.bn1, x, context);
        let mut x = conv_norm(&self.conv2, &self.bn2, x, context);
        if let (Some(conv3), Some(bn3)) = (&self.conv3, &self.bn3) {
            x = conv_norm(conv3, bn3, x, context);
        }
        x.add_relu(shortcut)
    }
}

impl<T: Element> ResNet<T> {
    fn new(channels: usize, plan: Plan, init: &mut Init) -> Self {
        let Plan { blocks, bottleneck, small_images } = plan;
        let (kernel, stride) = if small_images { (3, 1) } else { (7, 2) };
        let conv1 = conv([channels, WIDTHS[0]], kernel, stride, init);
        let mut cin = WIDTHS[0];
        let [layer1, layer2, layer3, layer4] = [0, 1, 2, 3].map(|stage| {
            let block = |index: usize| {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let block = Block::new(cin, WIDTHS[stage], stride, bottleneck, init);
                cin = if bottleneck { EXPANSION * WIDTHS[stage] } else { WIDTHS[stage] };
                block
            };
            (0..blocks[stage]).map(block).collect::<Vec<_>>()
        });
        Self { conv1, bn1: BatchNorm2d::new(WIDTHS[0]).with_relu(), layer1, layer2, layer3, layer4, plan }
    }
}

impl<T: Element> Trunk<T> for ResNet<T> {
    fn stages(&self) -> Vec<MapInfo> {
        let times = if self.plan.bottleneck { EXPANSION } else { 1 };
        let first = if self.plan.small_images { 1 } else { 4 };
        let layers = WIDTHS.iter().enumerate().map(|(stage, width)| MapInfo {
            name: format!("layer{}", stage + 1),
            channels: times * width,
            stride: first << stage,
        });
        // Where the stem does not halve, its map would be a second one of the first layer's size.
        let stem = MapInfo { name: "stem".into(), channels: WIDTHS[0], stride: 2 };
        (!self.plan.small_images).then_some(stem).into_iter().chain(layers).collect()
    }

    #[track_caller]
    fn forward(&self, images: Var<T>, context: &mut Context<T>) -> Features<T> {
        let mut x = conv_norm(&self.conv1, &self.bn1, images, context);
        let mut stages = Vec::new();
        if !self.plan.small_images {
            x = context.stage(0, x);
            stages.push(x.clone());
            x = x.max_pool2d(Pool2dSpec { kernel: [3; 2], stride: [2; 2], padding: Padding::all(1) });
        }
        for layer in [&self.layer1, &self.layer2, &self.layer3, &self.layer4] {
            x = layer.iter().fold(x, |x, block| context.segment(|context| block.forward(x, context)));
            x = context.stage(stages.len(), x);
            stages.push(x.clone());
        }
        Features::new(stages, None)
    }
}
