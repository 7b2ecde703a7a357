//! A U-Net for 256x256 pictures (Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
//! Segmentation", 2015), as it is commonly built today: convolutions are padded and followed by batch norms, and the
//! way up enlarges by bilinear interpolation. 32 channels on the first of five levels, doubled on each.

use cerberus::prelude::*;
use cerberus::tensor::resize::Interpolation;

/// Classes of the pixels.
pub const CLASSES: usize = 21;
const WIDTHS: [usize; 5] = [32, 64, 128, 256, 512];

pub struct Unet<T: Element = f32> {
    /// One for each level, from the image downwards.
    down: Vec<Sequential<T>>,
    /// From the second deepest level upwards.
    up: Vec<Sequential<T>>,
    head: Conv2d<T>,
}

module!(Unet { down, up, head });

/// Twice `conv 3x3, norm, ReLU`.
fn level<T: Element>(cin: usize, cout: usize, init: &mut Init) -> Sequential<T> {
    Sequential::new()
        .add("conv1", Conv2d::new(cin, cout, 3, init).same().without_bias())
        .add("norm1", BatchNorm2d::new(cout).with_relu())
        .add("conv2", Conv2d::new(cout, cout, 3, init).same().without_bias())
        .add("norm2", BatchNorm2d::new(cout).with_relu())
}

impl Unet {
    pub fn new(seed: u64) -> Self {
        let mut init = Init::new(seed);
        let mut cin = 3;
        let down = WIDTHS.map(|width| level(std::mem::replace(&mut cin, width), width, &mut init));
        let pairs = WIDTHS.windows(2).rev();
        let up = pairs.map(|pair| level(pair[0] + pair[1], pair[0], &mut init)).collect();
        let spec = Conv2dSpec::default();
        let head = Conv2d::with_spec(WIDTHS[0], CLASSES, 1, spec, &mut init);
        Self { down: down.into(), up, head }
    }
}

impl Layer for Unet {
    fn forward(&self, x: Var, context: &mut Context) -> Var {
        let pool = MaxPool2d::new(2, 2);
        let mut skips: Vec<Var> = Vec::new();
        let mut x = x;
        for (depth, level) in self.down.iter().enumerate() {
            if depth > 0 {
                skips.push(x.clone());
            }
            x = context.segment(|context| {
                let x = if depth > 0 { pool.forward(x, context) } else { x };
                level.forward(x, context)
            });
        }
        for level in &self.up {
            let skip = skips.pop().expect("a level above each but the first");
            let size = [skip.shape()[1], skip.shape()[2]];
            x = context.segment(|context| {
                let joined = Var::concat(vec![skip, x.resize(size, Interpolation::Bilinear)], 3);
                level.forward(joined, context)
            });
        }
        self.head.forward(x, context)
    }
}
