//! Moving scenes: short clips in which one garment moves over a cluttered picture, made while training runs.
//!
//! A clip has frames of 64x64 pixels, as [`FashionScenes`](crate::FashionScenes) has, and lasts a second. In it, one
//! *subject* garment does one of twelve [`MOTIONS`]. Everything else stays where it is: a background, small pieces of
//! garments scattered over it, and one to three other garments below or in front of the subject. Every frame has its
//! own noise.
//!
//! | label | says |
//! |---|---|
//! | `motion` | what the subject does |
//! | `subject` | its class |
//! | `objects` | the box of its visible pixels in the last frame |
//! | `mask` | these pixels |
//!
//! The labels of the last frame are the subject's alone, and that is why they are better seen in the clip than in one
//! frame. The subject is mostly the largest garment (18 to 28 pixels long; the others have 14 to 22), so a frame alone
//! is not hopeless. But the clip shows which garment moves, where its edge is among pieces of the same colours, and
//! what was hidden before; and several frames together have less noise than one.
//!
//! **The last frame does not tell the motion.** It is drawn first, with the subject's place, size and angle, from one
//! random stream. The motion comes from another stream, and the earlier frames follow from both. So the same scene with
//! another motion has the same last frame, bit for bit.

mod motion;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use cerberus_tensor::random::Stream;
use rand::RngExt;

use crate::clips::Clip;
use crate::dataset::{LabelInfo, LabelKind, MASK, OBJECTS, no_such_sample};
use crate::fashion_mnist::Garments;
use crate::scenes::SCENE_SIZE;
use crate::scenes::layout::{self, Layout, Placed};
use crate::scenes::paint::{self, Background};
use crate::scenes::pools::{Pools, stream_of};
use crate::scenes::sprite::{Cutout, Pose, Sprite};
use crate::{
    DataError, Dataset, DatasetInfo, FashionMnist, GARMENTS, Image, Input, InputInfo, InputKind, Label, Mask,
    Object, Sample, Split, VIDEO,
};
pub use motion::{MOTIONS, Motion};

/// The frames of a clip unless another number is chosen.
pub const FRAMES: usize = 6;
/// The most frames of a clip.
pub const MOST_FRAMES: usize = 64;

/// The longer side of the subject's tight crop in the last frame, in pixels.
const SUBJECT_SIDE: std::ops::RangeInclusive<f32> = 18.0..=28.0;
/// Its angle there, and that of the other garments, in degrees.
const ANGLE: std::ops::RangeInclusive<f32> = -30.0..=30.0;
/// How far it comes on a straight way, in pixels.
const TRAVEL: std::ops::RangeInclusive<f32> = 10.0..=16.0;
/// The share of its longer side that may be outside at an end of its way.
const OUTSIDE: f32 = 0.2;
/// The number of other garments, and their longer side.
const OTHERS: std::ops::RangeInclusive<usize> = 1..=3;
const OTHER_SIDE: std::ops::RangeInclusive<f32> = 14.0..=22.0;
/// The number of pieces on the background, and their longer side.
const PIECES: std::ops::RangeInclusive<usize> = 8..=16;
const PIECE_SIDE: std::ops::RangeInclusive<f32> = 6.0..=13.0;
/// The strength of a frame's noise: the most that a channel changes, of 1.
const NOISE: std::ops::RangeInclusive<f32> = 0.08..=0.25;

/// Clips of a garment that moves, with the garments and splits of [`FashionScenes`](crate::FashionScenes): every
/// garment is the subject of one clip of its split (one per epoch in training).
///
/// Training clips depend on the seed and are new in every epoch. Validation and test clips depend on neither. The
/// number of frames changes nothing in the last one.
pub struct MovingScenes {
    seed: u64,
    frames: usize,
    pools: Pools,
    info: DatasetInfo,
}

impl MovingScenes {
    /// The name of the data set.
    pub const NAME: &str = "moving-scenes";
    /// The label of what the subject does.
    pub const MOTION: &str = "motion";
    /// The label of the subject's class.
    pub const SUBJECT: &str = "subject";

    /// Clips of [`FRAMES`] frames from the garments of `source`.
    pub fn new(seed: u64, source: Arc<FashionMnist>) -> MovingScenes {
        let (motions, garments) = (MOTIONS.map(String::from), GARMENTS.map(String::from));
        let info = DatasetInfo {
            name: Self::NAME.into(),
            height: SCENE_SIZE,
            width: SCENE_SIZE,
            channels: 3,
            labels: vec![
                LabelInfo::new(Self::MOTION, LabelKind::Class, &motions),
                LabelInfo::new(Self::SUBJECT, LabelKind::Class, &garments),
                LabelInfo::new(OBJECTS, LabelKind::Objects, &garments),
                LabelInfo::new(MASK, LabelKind::Mask, &garments),
            ],
            inputs: vec![input(FRAMES)],
            accounts: Default::default(),
        };
        MovingScenes { seed, frames: FRAMES, pools: Pools::new(source), info }
    }

    /// Clips from the embedded garments.
    pub fn embedded(seed: u64) -> MovingScenes {
        MovingScenes::new(seed, FashionMnist::embedded())
    }

    /// The same with another number of frames: the same second, cut more or less finely.
    ///
    /// # Errors
    /// [`DataError::Option`] unless there are 2 to [`MOST_FRAMES`].
    pub fn with_frames(self, frames: usize) -> Result<MovingScenes, DataError> {
        if !(2..=MOST_FRAMES).contains(&frames) {
            return Err(DataError::Option {
                option: "frames of a moving scene",
                value: frames.to_string(),
                remedy: format!("give 2 to {MOST_FRAMES}"),
            });
        }
        Ok(MovingScenes { frames, info: DatasetInfo { inputs: vec![input(frames)], ..self.info }, ..self })
    }

    /// How many frames a clip has.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Clip `index` of a split, and its last frame with the labels.
    ///
    /// # Errors
    /// [`DataError::NoSuchSample`] when `index` is not below the length of the split.
    pub fn clip(&self, split: Split, epoch: u64, index: usize) -> Result<(Clip, Sample), DataError> {
        let (scene, motion, random) = self.compose(split, epoch, index)?;
        Ok(scene.film(motion, self.frames, random))
    }

    /// Everything but the frames: the scene as it is last, the motion, and the stream of the earlier frames' noise.
    fn compose(
        &self,
        split: Split,
        epoch: u64,
        index: usize,
    ) -> Result<(Scene<'_>, Motion, Stream), DataError> {
        let (garments, pool) = self.pools.of(split);
        if index >= pool.len() {
            return Err(no_such_sample(&self.info, split, pool.len(), index));
        }
        let scene = Scene::draw(garments, pool, index, stream_of(self.seed, "clip", split, epoch, index));
        let mut random = stream_of(self.seed, "clip's motion", split, epoch, index);
        let motion = Motion::draw(&mut random);
        Ok((scene, motion, random))
    }
}

impl Dataset for MovingScenes {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        self.pools.of(split).1.len()
    }

    /// The last frame with the labels, and all frames as the input [`VIDEO`].
    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        let (clip, sample) = self.clip(split, epoch, index)?;
        let video = Input::Clip(clip.frames.into());
        Ok(Sample { inputs: BTreeMap::from([(VIDEO.to_string(), video)]), ..sample })
    }
}

fn input(frames: usize) -> InputInfo {
    InputInfo::new(VIDEO, InputKind::Clip { shape: [frames, SCENE_SIZE, SCENE_SIZE, 3] })
}

/// A scene as it is in the last frame.
struct Scene<'a> {
    garments: &'a Garments,
    /// The subject: its picture, whether it is flipped, and where it is at last.
    cutout: Cutout,
    flip: bool,
    pose: Pose,
    /// The way from the first frame to the last, if the subject moves along.
    travel: f32,
    /// The background with its pieces: `[SCENE_SIZE, SCENE_SIZE, 3]`.
    canvas: Vec<f32>,
    layout: Layout,
    noise: f32,
    random: Stream,
}

impl<'a> Scene<'a> {
    fn draw(garments: &'a Garments, pool: &[Cutout], index: usize, mut random: Stream) -> Scene<'a> {
        let background = Background::draw(&mut random);
        let mut canvas = background.paint(&mut random);
        // Turned like the subject, or that would tell it from the others.
        let any = |random: &mut Stream, sides| {
            let (cutout, flip) = (&pool[random.random_range(0..pool.len())], random.random());
            let (side, angle) = (random.random_range(sides), random.random_range(ANGLE).to_radians());
            let middle = [SCENE_SIZE as f32 / 2.0; 2];
            Sprite::posed(garments, cutout, flip, &Pose { centre: middle, side, angle }).0
        };
        for _ in 0..random.random_range(PIECES) {
            let sprite = any(&mut random, PIECE_SIDE);
            let [hue, saturation, value] =
                [0.0..1.0, 0.0..0.7, 0.2..1.0].map(|range| random.random_range(range));
            let mut piece = Layout::default();
            piece.place(sprite, paint::hsv(hue, saturation, value), &mut random);
            piece.bottom_up().for_each(|piece| paint::garment(&mut canvas, piece));
        }

        let (cutout, flip) = (pool[index], random.random());
        let (side, travel) = (random.random_range(SUBJECT_SIDE), random.random_range(TRAVEL));
        // Whatever it does, the subject comes this near to the edges of the scene.
        let margin = side * (0.5 - OUTSIDE) + travel;
        let centre = [0, 1].map(|_| random.random_range(margin..=SCENE_SIZE as f32 - margin));
        let pose = Pose { centre, side, angle: random.random_range(ANGLE).to_radians() };
        let (sprite, place) = Sprite::posed(garments, &cutout, flip, &pose);
        let tint = background.draw_tint(sprite.shade, &mut random);
        let mut layout = Layout::of(Placed::at(sprite, tint, place));
        for _ in 0..random.random_range(OTHERS) {
            let sprite = any(&mut random, OTHER_SIDE);
            let tint = background.draw_tint(sprite.shade, &mut random);
            layout.place(sprite, tint, &mut random);
        }
        let noise = random.random_range(NOISE);
        Scene { garments, cutout, flip, pose, travel, canvas, layout, noise, random }
    }

    /// The last frame with the labels.
    fn last(&mut self, motion: Motion) -> Sample {
        let pixels = self.layout.visible()[0];
        let mut classes = vec![0; SCENE_SIZE * SCENE_SIZE];
        layout::mark(&mut classes, &pixels, self.cutout.class);
        let mut random = self.random.clone();
        let labels = [(MovingScenes::MOTION, motion.class()), (MovingScenes::SUBJECT, self.cutout.class)];
        Sample {
            image: self.frame(&mut random),
            class: None,
            objects: Some(vec![Object::new(self.cutout.class, layout::tight_box(&pixels))]),
            mask: Some(Mask { height: SCENE_SIZE, width: SCENE_SIZE, classes }),
            more: BTreeMap::from(labels.map(|(name, class)| (name.to_string(), Label::Class(class)))),
            inputs: BTreeMap::new(),
        }
    }

    /// All frames; the noise of those before the last is drawn from `random`.
    fn film(mut self, motion: Motion, count: usize, mut random: Stream) -> (Clip, Sample) {
        let sample = self.last(motion);
        let mut frames = Vec::with_capacity(count);
        for number in 0..count - 1 {
            let back = 1.0 - number as f32 / (count - 1) as f32;
            let pose = motion.before(&self.pose, back, self.travel);
            let (sprite, place) = Sprite::posed(self.garments, &self.cutout, self.flip, &pose);
            let subject = &mut self.layout.garments[0];
            *subject = Placed::at(sprite, subject.tint, place);
            frames.push(self.frame(&mut random));
        }
        frames.push(sample.image.clone());
        (Clip { frames, rate: count as f64 }, sample)
    }

    fn frame(&self, random: &mut Stream) -> Image {
        let mut canvas = self.canvas.clone();
        self.layout.bottom_up().for_each(|garment| paint::garment(&mut canvas, garment));
        for pixel in canvas.chunks_exact_mut(3) {
            let noise = paint::noise(random);
            pixel
                .iter_mut()
                .zip(noise)
                .for_each(|(value, noise)| *value = (*value + self.noise * noise).clamp(0.0, 1.0));
        }
        paint::image(&canvas)
    }
}
