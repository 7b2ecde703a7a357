//! ConvNeXt (Liu, Mao, Wu, Feichtenhofer, Darrell and Xie, "A ConvNet for the 2020s", 2022, section 2 and table 9).
//!
//! A block is a depthwise 7x7 convolution, a layer norm over the channels, two dense layers with a GELU between them,
//! and a learned scale, added to its input. Between the stages, and at the beginning, a convolution takes patches that
//! do not overlap; sides that the patches do not divide are padded with zeros, right and below.

use cerberus_autograd::Var;
use cerberus_nn::{
    Context, DepthwiseConv2d, DropPath, Gelu, GlobalAvgPool, Init, Layer, LayerNorm, Linear, Parameter,
    Sequential, module,
};
use cerberus_tensor::{Element, Tensor};

use super::Network;
use super::chain::Chain;
use super::patches::Patches;

/// Channels and blocks of each stage.
const STAGES: [[usize; 2]; 4] = [[96, 3], [192, 3], [384, 9], [768, 3]];
/// Block `i` of `n` is left out at this rate times `i / (n - 1)`.
const DROP_RATE: f64 = 0.1;
/// The value that the learned scales start at.
const SCALE: f64 = 1e-6;
const EPS: f64 = 1e-6;

pub(super) fn networks<T: Element>() -> Vec<Network<T>> {
    vec![Network::new("convnext_tiny", STAGES.len(), trunk, head)]
}

fn trunk<T: Element>(channels: usize, init: &mut Init) -> Chain<T> {
    let all: usize = STAGES.iter().map(|[_, blocks]| blocks).sum();
    let (mut cin, mut stride, mut before) = (channels, 4, 0);
    let mut chain = Chain::new();
    for (stage, [width, blocks]) in STAGES.into_iter().enumerate() {
        let patches = if stage == 0 {
            let patches = Sequential::new().add("0", Patches::new([cin, width], 4, init));
            patches.add("1", LayerNorm::new(width).with_eps(EPS))
        } else {
            let norm = Sequential::new().add("0", LayerNorm::new(cin).with_eps(EPS));
            stride *= 2;
            norm.add("1", Patches::new([cin, width], 2, init))
        };
        let mut layers = Vec::new();
        for _ in 0..blocks {
            let rate = DROP_RATE * before as f64 / (all - 1) as f64;
            layers.push(Block::new(width, rate, init));
            before += 1;
        }
        let [first, second] = [2 * stage, 2 * stage + 1].map(|layer| format!("features.{layer}"));
        chain = chain.block(&first, patches).blocks(&second, layers).map(width, stride);
        cin = width;
    }
    chain
}

fn head<T: Element>([features, classes]: [usize; 2], init: &mut Init) -> Sequential<T> {
    let layers = Sequential::new()
        .add("0", LayerNorm::new(features).with_eps(EPS))
        .add("2", Linear::new(features, classes, init));
    Sequential::new().add("avgpool", GlobalAvgPool::default()).add("classifier", layers)
}

/// `x + scale f(x)` with a scale for every channel, `[N, H, W, C]` to the same.
struct Block<T: Element> {
    layer_scale: Parameter<T>,
    block: Sequential<T>,
    drop_path: DropPath<T>,
}

module!(Block { layer_scale, block } without { drop_path });

impl<T: Element> Block<T> {
    /// For `width` channels, left out at this rate. The gaps in the names are where other layouts permute.
    fn new(width: usize, drop_rate: f64, init: &mut Init) -> Self {
        let block = Sequential::new()
            .add("0", DepthwiseConv2d::new(width, 7, init).same())
            .add("2", LayerNorm::new(width).with_eps(EPS))
            .add("3", Linear::new(width, 4 * width, init))
            .add("4", Gelu::default())
            .add("5", Linear::new(4 * width, width, init));
        let layer_scale = Parameter::new(Tensor::full(T::from_f64(SCALE), &[width]));
        Self { layer_scale, block, drop_path: DropPath::new(drop_rate) }
    }
}

impl<T: Element> Layer<T> for Block<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let y = context.part("block", |context| self.block.forward(x.clone(), context));
        let y = y * context.parameter(&self.layer_scale);
        context.layer_done(&self.layer_scale, &y);
        x + self.drop_path.forward(y, context)
    }
}
