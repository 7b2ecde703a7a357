//! Fashion scenes: small coloured pictures with labels of all kinds, made from Fashion-MNIST while
//! training runs.
//!
//! A 64x64 scene shows one subject garment and up to three smaller ones, each flipped at random and
//! tinted with a colour that stands out, on a plain, graded or noisy background, in a random order
//! of depth. At most a third of any garment is hidden. The subject's class is the class of the
//! scene; every garment gives an object with the tight box of its visible pixels, and every pixel
//! has a class. A garment's pixels are those above 25/255, with a soft edge in the picture; its
//! holes stay holes in picture and mask.
//!
//! Three files make a scene of the garments in `pools`, in this order: `sprite` (a garment at its size), `layout` (positions
//! and depth order), `paint` (colours). Everything is drawn from one random stream per scene, so a
//! scene is a pure function of (seed, split, epoch, index).

pub(crate) mod layout;
pub(crate) mod paint;
pub(crate) mod pools;
pub(crate) mod sprite;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use cerberus_tensor::random::Stream;
use rand::RngExt;

use crate::dataset::{CLASS, LabelInfo, LabelKind, MASK, OBJECTS, no_such_sample};
use crate::{DataError, Dataset, DatasetInfo, FashionMnist, GARMENTS, Mask, Object, Sample, Split};
use layout::Layout;
use paint::Background;
use pools::{Pools, stream_of};
use sprite::Sprite;

/// Rows and columns of a scene. The layout stores a row of pixels as the bits of one 64-bit number,
/// so this size cannot be changed.
pub const SCENE_SIZE: usize = 64;

/// The longer side of the subject's tight crop, in pixels of the scene.
const SUBJECT_SIDE: std::ops::RangeInclusive<usize> = 30..=44;
/// The longer side of any other garment's.
const OTHER_SIDE: std::ops::RangeInclusive<usize> = 14..=24;
/// The most garments besides the subject.
const OTHERS: usize = 3;

/// Scenes made from garments: the default data set of the project.
///
/// The last tenth of each class of the training garments, in file order, is
/// held out for validation (none of a class with fewer than ten); all test
/// garments are for testing. Every garment is the subject of one scene of its
/// split (one per epoch in training), and the smaller garments of a scene come
/// from the same split. With the embedded garments there are 9,000, 1,000 and
/// 2,000 scenes; with the whole of Fashion-MNIST 54,000, 6,000 and 10,000. A
/// picture without any pixel above 25/255 is not a garment and is left out;
/// Fashion-MNIST has no such picture.
///
/// Training scenes depend on the seed and are new in every epoch. Validation
/// and test scenes depend on neither.
pub struct FashionScenes {
    seed: u64,
    pools: Pools,
    info: DatasetInfo,
}

impl FashionScenes {
    /// Scenes from the garments of `source`.
    pub fn new(seed: u64, source: Arc<FashionMnist>) -> FashionScenes {
        let garments = GARMENTS.map(String::from);
        let info = DatasetInfo {
            name: "fashion-scenes".into(),
            height: SCENE_SIZE,
            width: SCENE_SIZE,
            channels: 3,
            labels: vec![
                LabelInfo::new(CLASS, LabelKind::Class, &garments),
                LabelInfo::new(OBJECTS, LabelKind::Objects, &garments),
                LabelInfo::new(MASK, LabelKind::Mask, &garments),
            ],
            accounts: Default::default(),
            inputs: Vec::new(),
        };
        FashionScenes { seed, pools: Pools::new(source), info }
    }

    /// The same with a long tail: of the training garments, class `c` of `C` keeps its first `n
    /// ratio^(-c / (C - 1))`, rounded down, with `n` the size of the largest class; at least one.
    /// The profile is that of long-tailed CIFAR (Cui et al., "Class-Balanced Loss Based on
    /// Effective Number of Samples", 2019, section 5.1): with the embedded garments and a ratio of
    /// 100 there are 900, 539, 323, 193, 116, 69, 41, 25, 15 and 9. Garments that are rare as
    /// subjects are also rare among the smaller garments. Validation and test stay unchanged.
    ///
    /// # Errors
    /// [`DataError::Option`] unless the ratio is finite and at least 1.
    pub fn with_long_tail(mut self, ratio: f64) -> Result<FashionScenes, DataError> {
        if !(ratio.is_finite() && ratio >= 1.0) {
            let remedy = "give the largest class over the smallest, such as 100".into();
            return Err(DataError::Option {
                option: "ratio of a long tail",
                value: ratio.to_string(),
                remedy,
            });
        }
        let mut left = self.training_counts();
        let most = left.iter().copied().max().unwrap_or(0) as f64;
        for (class, left) in left.iter_mut().enumerate() {
            let share = ratio.powf(-(class as f64) / (GARMENTS.len() - 1) as f64);
            // A number that is whole except for rounding error counts as whole.
            *left = (*left).min(((most * share + 1e-9) as usize).max(1));
        }
        self.pools.cutouts[0].retain(|cutout| {
            let left = &mut left[cutout.class];
            let keep = *left > 0;
            *left -= usize::from(keep);
            keep
        });
        Ok(self)
    }

    /// The same with garments of these classes alone, subjects and others, in every split; class `i` is then the one
    /// that `classes[i]` was.
    ///
    /// # Errors
    /// [`DataError::Option`] unless the classes are different ones, at least one.
    pub fn with_classes(mut self, classes: &[usize]) -> Result<FashionScenes, DataError> {
        let place = |class: usize| classes.iter().position(|&kept| kept == class);
        let fits = |(i, &class): (usize, &usize)| class < GARMENTS.len() && place(class) == Some(i);
        if classes.is_empty() || !classes.iter().enumerate().all(fits) {
            return Err(DataError::Option {
                option: "classes of scenes",
                value: format!("{classes:?}"),
                remedy: format!("give different numbers below {}", GARMENTS.len()),
            });
        }
        for pool in &mut self.pools.cutouts {
            pool.retain(|cutout| place(cutout.class).is_some());
            pool.iter_mut().for_each(|cutout| cutout.class = place(cutout.class).unwrap_or_default());
        }
        for label in &mut self.info.labels {
            label.classes = classes.iter().map(|&class| GARMENTS[class].to_string()).collect();
        }
        Ok(self)
    }

    /// How many training garments each class has.
    pub fn training_counts(&self) -> [usize; GARMENTS.len()] {
        let mut counts = [0; GARMENTS.len()];
        self.pools.cutouts[0].iter().for_each(|cutout| counts[cutout.class] += 1);
        counts
    }

    /// Scenes from the embedded garments.
    pub fn embedded(seed: u64) -> FashionScenes {
        FashionScenes::new(seed, FashionMnist::embedded())
    }

    /// Scene `index`, composed but not yet painted. `index` is below the
    /// length of the split.
    fn compose(&self, split: Split, epoch: u64, index: usize) -> Scene {
        let mut random = stream_of(self.seed, "scene", split, epoch, index);
        let (garments, pool) = self.pools.of(split);
        let background = Background::draw(&mut random);
        let mut layout = Layout::default();
        let others = random.random_range(0..=OTHERS);
        for place in 0..=others {
            let (cutout, sides) = match place {
                0 => (&pool[index], SUBJECT_SIDE),
                _ => (&pool[random.random_range(0..pool.len())], OTHER_SIDE),
            };
            let (side, flip) = (random.random_range(sides), random.random());
            let sprite = Sprite::new(garments, cutout, side, flip);
            let tint = background.draw_tint(sprite.shade, &mut random);
            layout.place(sprite, tint, &mut random);
        }
        Scene { background, layout, random }
    }
}

impl Dataset for FashionScenes {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        self.pools.of(split).1.len()
    }

    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        match index < self.len(split) {
            true => Ok(self.compose(split, epoch, index).render()),
            false => Err(no_such_sample(&self.info, split, self.len(split), index)),
        }
    }
}

/// A scene with everything decided except the noise of its background.
struct Scene {
    background: Background,
    layout: Layout,
    random: Stream,
}

impl Scene {
    fn render(mut self) -> Sample {
        let mut canvas = self.background.paint(&mut self.random);
        let mut classes = vec![0; SCENE_SIZE * SCENE_SIZE];
        for garment in self.layout.bottom_up() {
            paint::garment(&mut canvas, garment);
            layout::mark(&mut classes, &garment.pixels, garment.sprite.class);
        }
        let size = (SCENE_SIZE, SCENE_SIZE);
        Sample {
            image: paint::image(&canvas),
            class: self.layout.garments.first().map(|subject| subject.sprite.class),
            objects: Some(self.objects()),
            mask: Some(Mask { height: size.0, width: size.1, classes }),
            more: BTreeMap::new(),
            inputs: BTreeMap::new(),
        }
    }

    /// The subject first, then the others in the order of placing.
    fn objects(&self) -> Vec<Object> {
        let visible = self.layout.visible();
        let garments = self.layout.garments.iter().zip(&visible);
        garments.map(|(g, pixels)| Object::new(g.sprite.class, layout::tight_box(pixels))).collect()
    }
}
