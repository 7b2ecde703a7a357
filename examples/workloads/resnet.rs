//! The ResNet-18 of 32x32 pictures (He et al., "Deep Residual Learning for Image
//! Recognition", 2016, as it is commonly adapted from 224 pixels): a 3x3 stem
//! without pooling, four stages of two basic blocks, 64, 128, 256 and 512
//! channels, the last three starting with stride 2. Where a block changes the
//! shape, its shortcut is a 1x1 convolution (the paper's option B). The outputs of
//! the norms before a convolution are recomputed in the backward pass.

use cerberus::prelude::*;

/// `conv 3x3, norm, ReLU, conv 3x3, norm`, plus the input, ReLU.
struct BasicBlock<T: Element = f32> {
    conv1: Conv2d<T>,
    norm1: BatchNorm2d<T>,
    conv2: Conv2d<T>,
    norm2: BatchNorm2d<T>,
    shortcut: Option<Shortcut<T>>,
}

module!(BasicBlock { conv1, norm1, conv2, norm2, shortcut });

/// `conv 1x1, norm`: brings a block's input to the shape of its output.
struct Shortcut<T: Element = f32> {
    conv: Conv2d<T>,
    norm: BatchNorm2d<T>,
}

module!(Shortcut { conv, norm });

/// A convolution without bias, as before every batch norm.
fn conv<T: Element>(cin: usize, cout: usize, kernel: usize, stride: usize, init: &mut Init) -> Conv2d<T> {
    let spec = Conv2dSpec { stride: [stride; 2], padding: Padding::all(kernel / 2), ..Conv2dSpec::default() };
    Conv2d::with_spec(cin, cout, kernel, spec, init).without_bias()
}

impl<T: Element> BasicBlock<T> {
    fn new(cin: usize, cout: usize, stride: usize, init: &mut Init) -> Self {
        let shortcut = || Shortcut { conv: conv(cin, cout, 1, stride, init), norm: BatchNorm2d::new(cout) };
        Self {
            shortcut: (cin != cout || stride != 1).then(shortcut),
            conv1: conv(cin, cout, 3, stride, init),
            norm1: BatchNorm2d::new(cout).with_relu().recomputed(),
            conv2: conv(cout, cout, 3, 1, init),
            norm2: BatchNorm2d::new(cout),
        }
    }
}

impl<T: Element> Layer<T> for BasicBlock<T> {
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let y = self.norm1.forward(self.conv1.forward(x.clone(), context), context);
        let y = self.norm2.forward(self.conv2.forward(y, context), context);
        let x = match &self.shortcut {
            Some(shortcut) => shortcut.norm.forward(shortcut.conv.forward(x, context), context),
            None => x,
        };
        y.add_relu(x)
    }
}

/// The network with fresh weights.
pub fn resnet18(classes: usize, seed: u64) -> Sequential {
    let mut init = Init::new(seed);
    let mut net = Sequential::new()
        .add("conv", conv(3, 64, 3, 1, &mut init))
        .add("norm", BatchNorm2d::new(64).with_relu().recomputed());
    let mut cin = 64;
    for (stage, (cout, stride)) in [(64, 1), (128, 2), (256, 2), (512, 2)].into_iter().enumerate() {
        for (block, stride) in [stride, 1].into_iter().enumerate() {
            let name = format!("stage{}.block{}", stage + 1, block + 1);
            net = net.add(&name, BasicBlock::new(cin, cout, stride, &mut init));
            cin = cout;
        }
    }
    net.add("pool", GlobalAvgPool::default()).add("dense", Linear::new(cin, classes, &mut init))
}
