//! Vision transformers (Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021, section 3.1 and table 1; the smaller
//! ones: Touvron et al., "Training Data-Efficient Image Transformers", 2021, table 1).
//!
//! An image is a sequence of patches of 16x16 pixels, with a token for its class before them. Every token has a learned
//! position, made for images of 224x224 pixels, 14x14 patches. For images of other sizes the positions of the patches
//! are resized bilinearly, and sides are padded with zeros to multiples of 16, right and below. The paths of the
//! parameters are those of timm.
//!
//! A transformer keeps one resolution. As a trunk it makes a pyramid without learned parameters: the patches after a
//! third, two thirds and all of its blocks, the first two enlarged bilinearly to strides of 4 and 8. All go through
//! the last norm, so that heads see one scale. The deepest map is the one that the network itself would use.

use cerberus_autograd::Var;
use cerberus_nn::{
    Context, Init, Layer, LayerNorm, Linear, Module, ModuleTensor, ModuleTensorMut, Parameter, Sequential,
    TransformerBlock, join, module,
};
use cerberus_tensor::Element;
use cerberus_tensor::resize::Interpolation;

use super::Network;
use super::patches::Patches;
use crate::features::{Features, MapInfo, resampled};
use crate::trunk::Trunk;

/// Rows and columns of a patch in pixels.
const PATCH: usize = 16;
/// Rows and columns of the patches for which positions are stored.
const GRID: usize = 14;
/// Transformer blocks.
const BLOCKS: usize = 12;
/// The numbers of blocks after which the tokens are a map, and its strides.
const MAPS: [(usize, usize); 3] = [(BLOCKS / 3, 4), (2 * BLOCKS / 3, 8), (BLOCKS, PATCH)];
/// The standard deviation of fresh class tokens and positions.
const STD: f64 = 0.02;

pub(super) fn networks<T: Element>() -> Vec<Network<T>> {
    // Channels and heads.
    let plans = [("vit_tiny", [192, 3]), ("vit_small", [384, 6]), ("vit_b_16", [768, 12])];
    let network = |(name, plan): (&'static str, [usize; 2])| Network {
        name,
        stages: MAPS.len(),
        build: Box::new(move |channels, init| Box::new(VisionTransformer::new(channels, plan, init))),
        classifier: Box::new(move |[channels, classes], init| {
            let trunk = VisionTransformer::new(channels, plan, init);
            let head = Linear::new(plan[0], classes, init);
            Box::new(Classifier { trunk, head })
        }),
    };
    plans.into_iter().map(network).collect()
}

/// A vision transformer without the classifier.
pub struct VisionTransformer<T: Element = f32> {
    patch_embed: Sequential<T>,
    /// `[1, 1, C]`.
    cls_token: Parameter<T>,
    /// `[1, 1 + 14 14, C]`: the class token's position, then those of the patches, row after row.
    pos_embed: Parameter<T>,
    blocks: Vec<Block<T>>,
    norm: LayerNorm<T>,
    width: usize,
}

module!(VisionTransformer { patch_embed, cls_token, pos_embed, blocks, norm } without { width });

impl<T: Element> VisionTransformer<T> {
    fn new(channels: usize, [width, heads]: [usize; 2], init: &mut Init) -> Self {
        let patches = Patches::new([channels, width], PATCH, init);
        let block = |init: &mut Init| Block(TransformerBlock::new(width, heads, 4 * width, init));
        Self {
            patch_embed: Sequential::new().add("proj", patches),
            cls_token: Parameter::new(init.normal(&[1, 1, width], STD)),
            pos_embed: Parameter::new(init.normal(&[1, 1 + GRID * GRID, width], STD)),
            blocks: (0..BLOCKS).map(|_| block(init)).collect(),
            norm: LayerNorm::new(width).with_eps(1e-6),
            width,
        }
    }

    /// The tokens of images before the first block, `[N, 1 + rows columns, C]`, and the rows and columns of patches.
    #[track_caller]
    fn embed(&self, images: Var<T>, context: &mut Context<T>) -> (Var<T>, [usize; 2]) {
        let patches = context.part("patch_embed", |context| self.patch_embed.forward(images, context));
        let &[n, rows, columns, width] = patches.shape() else { unreachable!("a convolution's output") };
        let patches = patches.reshape(&[n, rows * columns, width]);
        let class = context.parameter(&self.cls_token).expand(&[n, 1, width]);
        let x = Var::concat(vec![class, patches], 1) + self.positions([rows, columns], context);
        context.layer_done(&self.cls_token, &x);
        (x, [rows, columns])
    }

    /// The positions of all tokens, `[1, 1 + rows columns, C]`.
    fn positions(&self, grid: [usize; 2], context: &mut Context<T>) -> Var<T> {
        let positions = context.parameter(&self.pos_embed);
        if grid == [GRID; 2] {
            return positions;
        }
        let patches = positions.clone().narrow(1, 1, GRID * GRID).reshape(&[1, GRID, GRID, self.width]);
        let patches = patches.resize(grid, Interpolation::Bilinear);
        let patches = patches.reshape(&[1, grid[0] * grid[1], self.width]);
        Var::concat(vec![positions.narrow(1, 0, 1), patches], 1)
    }

    /// The tokens `x: [N, L, C]` after the blocks of these numbers.
    fn run(&self, x: Var<T>, blocks: std::ops::Range<usize>, context: &mut Context<T>) -> Var<T> {
        blocks.fold(x, |x, block| {
            let name = format!("blocks.{block}");
            context.segment(|context| context.part(&name, |context| self.blocks[block].0.forward(x, context)))
        })
    }
}

impl<T: Element> Trunk<T> for VisionTransformer<T> {
    fn stages(&self) -> Vec<MapInfo> {
        let map = |(block, stride)| MapInfo { name: format!("block{block}"), channels: self.width, stride };
        MAPS.into_iter().map(map).collect()
    }

    #[track_caller]
    fn forward(&self, images: Var<T>, context: &mut Context<T>) -> Features<T> {
        let image = [images.shape()[1], images.shape()[2]];
        let (mut x, [rows, columns]) = self.embed(images, context);
        let mut stages = Vec::with_capacity(MAPS.len());
        let mut done = 0;
        for (blocks, stride) in MAPS {
            x = self.run(x, done..blocks, context);
            done = blocks;
            let patches = self.norm.forward(x.clone().narrow(1, 1, rows * columns), context);
            let map = patches.reshape(&[x.shape()[0], rows, columns, self.width]);
            let size = image.map(|side| side.div_ceil(stride));
            let map = resampled(map, [PATCH, stride], size, Interpolation::Bilinear);
            stages.push(context.stage(stages.len(), map));
        }
        Features::new(stages, None)
    }
}

/// The network with its classifier: a dense layer of the class token after the last norm.
struct Classifier<T: Element> {
    trunk: VisionTransformer<T>,
    head: Linear<T>,
}

impl<T: Element> Layer<T> for Classifier<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let (x, _) = self.trunk.embed(x, context);
        let x = self.trunk.run(x, 0..BLOCKS, context);
        let shape = [x.shape()[0], self.trunk.width];
        let class = x.narrow(1, 0, 1).reshape(&shape);
        let class = context.part("norm", |context| self.trunk.norm.forward(class, context));
        context.part("head", |context| self.head.forward(class, context))
    }
}

impl<T: Element> Module<T> for Classifier<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        self.trunk.visit(path, f);
        self.head.visit(&join(path, "head"), f);
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        self.trunk.visit_mut(path, f);
        self.head.visit_mut(&join(path, "head"), f);
    }
}

/// A transformer block under timm's names.
struct Block<T: Element>(TransformerBlock<T>);

/// The beginnings of a block's paths that timm calls differently, and how.
const NAMES: [[&str; 2]; 4] = [
    ["attention.qkv", "attn.qkv"],
    ["attention.projection", "attn.proj"],
    ["hidden", "mlp.fc1"],
    ["output", "mlp.fc2"],
];

/// A block's path as timm calls it.
fn timms(path: &str) -> String {
    let renamed = |[own, timms]: [&str; 2]| path.strip_prefix(own).map(|rest| format!("{timms}{rest}"));
    NAMES.into_iter().find_map(renamed).unwrap_or_else(|| path.to_string())
}

impl<T: Element> Module<T> for Block<T> {
    fn visit<'a>(&'a self, path: &str, f: &mut dyn FnMut(String, ModuleTensor<'a, T>)) {
        self.0.visit("", &mut |own, tensor| f(join(path, &timms(&own)), tensor));
    }

    fn visit_mut<'a>(&'a mut self, path: &str, f: &mut dyn FnMut(String, ModuleTensorMut<'a, T>)) {
        self.0.visit_mut("", &mut |own, tensor| f(join(path, &timms(&own)), tensor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cerberus_tensor::Tensor;

    #[test]
    fn positions_of_the_stored_grid_stay_and_others_lie_between_them() {
        let mut network = VisionTransformer::<f64>::new(3, [4, 2], &mut Init::new(1));
        // The class token's position is -1, a patch's its row, halved by the number of its channel plus 1.
        let value = |token: usize| if token == 0 { -1.0 } else { ((token - 1) / GRID) as f64 };
        let stored = Tensor::from_fn(&[1, 197, 4], |i| value(i / 4) / (i % 4 + 1) as f64);
        network.pos_embed.value = stored.clone();
        let mut context = Context::evaluation();
        assert_eq!(network.positions([14, 14], &mut context).value().to_vec(), stored.to_vec());
        let half = network.positions([7, 3], &mut context);
        assert_eq!(half.shape(), [1, 22, 4]);
        for (place, found) in half.value().to_vec().into_iter().enumerate() {
            let (token, channel) = (place / 4, place % 4);
            let row = if token == 0 { -1.0 } else { 2.0 * ((token - 1) / 3) as f64 + 0.5 };
            assert!((found - row / (channel + 1) as f64).abs() < 1e-12, "token {token}: {found}");
        }
    }

    #[test]
    fn the_classifier_sees_every_patch_of_the_image_and_not_what_pads_it() {
        let network = (networks::<f32>().remove(0).classifier)([1, 3], &mut Init::new(1));
        let image = |rows: usize, brighter: Option<usize>| {
            Var::constant(Tensor::from_fn(&[1, rows, 20, 1], |i| {
                let lit = if brighter == Some(i) { 3.0 } else { 0.0 };
                if i < 20 * 20 { (i as f32 * 0.7).sin() + lit } else { 0.0 }
            }))
        };
        let logits = |x| network.forward(x, &mut Context::evaluation()).value().to_vec();
        let padded_by_hand = logits(image(32, None));
        assert_eq!(logits(image(20, None)), padded_by_hand);
        for pixel in [0, 19, 19 * 20, 20 * 20 - 1] {
            assert_ne!(logits(image(20, Some(pixel))), padded_by_hand, "pixel {pixel}");
        }
    }
}
