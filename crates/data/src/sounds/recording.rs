//! Recordings at one rate, with one channel, and as many samples as a model takes.

use std::path::Path;

use cerberus_audio::{ResampleConfig, Resampler, Sound, fit, read_wav};
use cerberus_tensor::random::stream;
use rand::RngExt;
use rayon::prelude::*;

use crate::{DataError, Input, Split};

/// The longest length that is chosen for a data set, in seconds; longer recordings are cut.
const LONGEST: f64 = 10.0;
/// The share of recordings that the chosen length covers whole.
const COVERED: f64 = 0.95;
/// The most samples that are kept in memory: 4 GiB.
const MOST: u64 = 1 << 30;

/// A recording at `rate` samples a second, its channels mixed to one.
///
/// # Errors
/// [`DataError::Sound`] if the file cannot be read, and [`DataError::Malformed`] if its rate cannot be changed to that.
pub fn read_recording(path: &Path, rate: u32) -> Result<Vec<f32>, DataError> {
    at_rate(path, &read_wav(path)?, rate)
}

fn at_rate(path: &Path, sound: &Sound, rate: u32) -> Result<Vec<f32>, DataError> {
    let mono = sound.mono();
    if sound.rate == rate {
        return Ok(mono);
    }
    let resampler = Resampler::<f32>::new(sound.rate, rate, &ResampleConfig::default());
    let resampler = resampler.map_err(|problem| {
        let expected = format!("a rate that can be changed to {rate} samples a second");
        DataError::malformed(path, "its rate", &expected, &problem, "convert the recordings to one rate")
    })?;
    Ok(resampler.process(&mono))
}

/// Recordings in memory, at the rate of the first.
pub(crate) struct Recordings {
    samples: Vec<Vec<f32>>,
    pub rate: u32,
    /// A length that covers most of them, in samples.
    pub len: usize,
}

impl Recordings {
    /// Reads the files at `paths`, which are at `source`.
    pub fn read(source: &Path, paths: &[&Path]) -> Result<Recordings, DataError> {
        let first = paths.first().map(|path| read_wav(path)).transpose()?;
        let rate = first.as_ref().map_or(1, |sound| sound.rate);
        let read = |(number, path): (usize, &&Path)| match &first {
            Some(first) if number == 0 => at_rate(path, first, rate),
            _ => read_recording(path, rate),
        };
        let samples: Vec<Vec<f32>> = paths.par_iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let held: u64 = samples.iter().map(|samples| samples.len() as u64).sum();
        if held > MOST {
            let found = format!("{held} samples in all");
            let remedy = "split the data, or convert the recordings to a lower rate";
            return Err(DataError::malformed(
                source,
                "the recordings",
                "ones that fit into 4 GiB",
                &found,
                remedy,
            ));
        }
        let len = usual_len(&samples, rate);
        Ok(Recordings { samples, rate, len })
    }

    /// Recording `place` as the input of sample `index` of a split, cut or padded to the usual length: in the middle, in
    /// training at random.
    pub fn input(&self, place: usize, split: Split, [seed, epoch, index]: [u64; 3]) -> Input {
        let at = match split {
            Split::Train => stream(seed, "sound place", epoch, index).random(),
            _ => 0.5,
        };
        Input::Sound(fit(&self.samples[place], self.len, at).into())
    }
}

/// The length that covers most recordings, in whole tenths of a second.
fn usual_len(samples: &[Vec<f32>], rate: u32) -> usize {
    let mut lengths: Vec<usize> = samples.iter().map(Vec::len).collect();
    lengths.sort_unstable();
    let covering =
        lengths.get((lengths.len() as f64 * COVERED) as usize).or(lengths.last()).copied().unwrap_or(1);
    let tenths = (covering as f64 / f64::from(rate) * 10.0).ceil().clamp(1.0, LONGEST * 10.0);
    ((tenths / 10.0 * f64::from(rate)) as usize).max(1)
}
