//! Inputs beside the image, by name: sounds, clips and numbers.
//!
//! Any of them may be missing in a sample, as labels may, and so may the image.

use std::collections::BTreeMap;
use std::sync::Arc;

use cerberus_tensor::Tensor;

use crate::pixels::normalise;
use crate::{Image, Sample};

/// The name of the input in [`Sample::image`].
pub const IMAGE: &str = "image";
/// The usual name of a sound.
pub const AUDIO: &str = "audio";
/// The usual name of a clip.
pub const VIDEO: &str = "video";

/// An input of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// One channel of sound, -1 to 1, at the rate and of the length that the data set tells.
    Sound(Arc<[f32]>),
    /// Frames of one size, in order.
    Clip(Arc<[Image]>),
    /// Numbers of the user's own.
    Numbers(Vec<f32>),
}

/// The kind of an input and its size, which all samples share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// Sound of `len` samples at `rate` samples a second.
    Sound {
        /// Samples a second.
        rate: u32,
        /// Samples.
        len: usize,
    },
    /// A clip of so many frames, rows, columns and channels.
    Clip {
        /// `[frames, height, width, channels]`.
        shape: [usize; 4],
    },
    /// So many numbers.
    Numbers {
        /// How many.
        len: usize,
    },
}

/// An input of a data set beside the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputInfo {
    /// A key of [`Sample::inputs`].
    pub name: String,
    /// Its kind and size.
    pub kind: InputKind,
}

impl InputInfo {
    /// An input made of its parts.
    pub fn new(name: &str, kind: InputKind) -> Self {
        Self { name: name.into(), kind }
    }
}

/// An input of a batch: of those samples that have it.
#[derive(Clone, Debug)]
pub struct InputBatch {
    /// `[P, ..]`, one entry for each of the `P` samples that have the input: `[P, L]` for sounds and numbers,
    /// `[P, T, H, W, C]` for clips, whose frames are [normalised](crate::normalise) as images are.
    pub values: Tensor<f32>,
    /// The places of those samples in the batch, in rising order.
    pub places: Vec<usize>,
}

impl InputBatch {
    /// The input of the samples at these places of the batch; `None` if none of them has it.
    pub(crate) fn select(&self, places: &[usize]) -> Option<InputBatch> {
        let found = places.iter().enumerate().filter_map(|(new, old)| {
            let row = self.places.binary_search(old).ok()?;
            Some((new, row))
        });
        let (new, rows): (Vec<usize>, Vec<usize>) = found.unzip();
        let rows: Vec<Tensor<f32>> = rows.into_iter().map(|row| self.values.narrow(0, row, 1)).collect();
        (!rows.is_empty())
            .then(|| InputBatch { values: cerberus_tensor::concat::concat(&rows, 0), places: new })
    }
}

/// The inputs of `samples` beside their images, by name. An input that no sample has is not in the map.
pub(crate) fn stack(samples: &[Sample]) -> BTreeMap<String, InputBatch> {
    let mut batches = BTreeMap::new();
    let names = samples.iter().flat_map(|sample| sample.inputs.keys());
    for name in names.collect::<std::collections::BTreeSet<_>>() {
        let present = samples.iter().enumerate();
        let present = present.filter_map(|(place, sample)| Some((place, sample.inputs.get(name)?)));
        let (places, inputs): (Vec<usize>, Vec<&Input>) = present.unzip();
        batches.insert(name.clone(), InputBatch { values: values(&inputs), places });
    }
    batches
}

fn values(inputs: &[&Input]) -> Tensor<f32> {
    if let Input::Clip(first) = inputs[0] {
        let frames =
            inputs.iter().flat_map(|input| if let Input::Clip(frames) = input { &frames[..] } else { &[] });
        let frames: Vec<&Image> = frames.collect();
        let flat = normalise(&frames);
        let &[_, height, width, channels] = flat.shape() else { unreachable!("images have rank 4") };
        return flat.reshape(&[inputs.len(), first.len(), height, width, channels]);
    }
    let numbers: Vec<&[f32]> = inputs.iter().map(|input| input.numbers()).collect();
    Tensor::from_vec(numbers.concat(), &[inputs.len(), numbers[0].len()])
}

impl Input {
    /// A sound's or the user's numbers; none for a clip.
    fn numbers(&self) -> &[f32] {
        match self {
            Self::Sound(samples) => samples,
            Self::Numbers(numbers) => numbers,
            Self::Clip(_) => &[],
        }
    }

    /// Its kind, as far as samples of one batch must agree, in words; and whether a clip's frames have one size and a
    /// value for every pixel.
    fn shape(&self) -> Result<String, String> {
        let Self::Clip(frames) = self else {
            let kind = if matches!(self, Self::Sound(_)) { "samples of sound" } else { "numbers" };
            return Ok(format!("{} {kind}", self.numbers().len()));
        };
        let Some(first) = frames.first() else { return Err("a clip without frames".into()) };
        let whole = |frame: &&Image| {
            let size = [frame.height, frame.width, frame.channels];
            size != [first.height, first.width, first.channels]
                || frame.pixels.len() != size.iter().product::<usize>()
        };
        match frames.iter().position(|frame| whole(&frame)) {
            Some(frame) => Err(format!("a clip whose frame {} has another size than its first", frame + 1)),
            None => Ok(format!("{} frames of {}x{}", frames.len(), first.height, first.width)),
        }
    }
}

/// Why inputs of the same name cannot be in one batch.
pub(crate) fn check(samples: &[Sample], indices: &[usize]) -> Result<(), String> {
    let mut known: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    for (sample, &index) in samples.iter().zip(indices) {
        for (name, input) in &sample.inputs {
            let shape = input.shape().map_err(|found| format!("the {name} of sample {index} is {found}"))?;
            let (first, wanted) = known.entry(name).or_insert_with(|| (index, shape.clone()));
            if *wanted != shape {
                return Err(format!(
                    "the {name} of sample {index} is {shape}, that of sample {first} {wanted}; cut or pad them to one \
                     size"
                ));
            }
        }
    }
    Ok(())
}
