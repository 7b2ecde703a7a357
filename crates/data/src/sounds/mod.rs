//! Recordings: a folder of WAV files with a class each.
//!
//! | layout | classes | parts |
//! |---|---|---|
//! | `FOLDER/CLASS/*.wav` | the folders | by the files' names: 80, 10 and 10 in a hundred |
//! | `FOLDER/train/CLASS/*.wav`, and `test`, `validation` or `val` | the folders | the folders |
//! | `FOLDER/CLASS_GROUP_NUMBER.wav`, also in `FOLDER/recordings` | the first part of the name | by group, such as the speaker: one group for testing, a tenth of the others' recordings for validation |
//!
//! Recordings are read, [resampled](Resampler) to one rate and mixed to one channel when the folder is opened, and cut or
//! padded to one length as samples: in the middle, in training at random.

mod layout;

use std::collections::BTreeMap;
use std::path::Path;

use cerberus_audio::{ResampleConfig, Resampler, fit, read_wav};
use cerberus_tensor::random::stream;
use rand::RngExt;
use rayon::prelude::*;

use crate::dataset::{CLASS, no_such_sample};
use crate::{
    AUDIO, DataError, Dataset, DatasetInfo, Image, Input, InputInfo, InputKind, LabelInfo, LabelKind, Sample,
    Split,
};
use layout::{Layout, Recording};

/// The longest length that is chosen for a data set, in seconds; longer recordings are cut.
const LONGEST: f64 = 10.0;
/// The share of recordings that the chosen length covers whole.
const COVERED: f64 = 0.95;
/// The most samples that are kept in memory: 4 GiB.
const MOST: u64 = 1 << 30;

/// Recordings and their classes.
pub struct Sounds {
    recordings: Vec<Recorded>,
    /// The recordings of each part, and the place of each class's among them.
    parts: [Vec<usize>; 3],
    rate: u32,
    len: usize,
    seed: u64,
    info: DatasetInfo,
}

struct Recorded {
    samples: Vec<f32>,
    class: usize,
}

impl Sounds {
    /// Opens a folder of recordings. `test_group` names the group that is kept for testing in the layout with groups; the
    /// last in the order of names if it is `None`. `seed` decides where training places a recording that is too long or
    /// too short.
    ///
    /// # Errors
    /// [`DataError::Sound`] for a recording that cannot be read, [`DataError::Malformed`] for a folder without recordings
    /// in one of the layouts, or with fewer than two classes, and [`DataError::Option`] for a group that does not exist.
    pub fn open(folder: &Path, test_group: Option<&str>, seed: u64) -> Result<Sounds, DataError> {
        let layout = Layout::find(folder)?;
        let parts = layout.parts(test_group)?;
        let Layout { recordings, classes, .. } = &layout;
        let rate =
            recordings.first().map(|first| read_wav(&first.path)).transpose()?.map_or(1, |sound| sound.rate);
        let read = |recording: &Recording| {
            Ok(Recorded { samples: read(&recording.path, rate)?, class: recording.class })
        };
        let recordings: Vec<Recorded> = recordings.par_iter().map(read).collect::<Result<_, DataError>>()?;
        let held: u64 = recordings.iter().map(|recording| recording.samples.len() as u64).sum();
        if held > MOST {
            let found = format!("{held} samples in all");
            let remedy = "split the folder, or convert the recordings to a lower rate";
            return Err(DataError::malformed(
                folder,
                "the folder",
                "recordings that fit into 4 GiB",
                &found,
                remedy,
            ));
        }
        let len = usual_len(&recordings, rate);
        let info = DatasetInfo {
            name: "sounds".into(),
            height: 0,
            width: 0,
            channels: 0,
            inputs: vec![InputInfo::new(AUDIO, InputKind::Sound { rate, len })],
            labels: vec![LabelInfo::new(CLASS, LabelKind::Class, classes)],
            accounts: Default::default(),
        };
        Ok(Sounds { recordings, parts, rate, len, seed, info })
    }

    /// The groups of a folder's recordings, such as the speakers, in the order of their names; none in layouts without.
    ///
    /// # Errors
    /// Those of finding the recordings.
    pub fn groups(folder: &Path) -> Result<Vec<String>, DataError> {
        Ok(Layout::find(folder)?.groups())
    }

    /// Whether a folder looks like one of recordings.
    pub fn is_at(folder: &Path) -> bool {
        Layout::find(folder).is_ok()
    }

    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }
}

/// A recording at `rate`, as one channel.
fn read(path: &Path, rate: u32) -> Result<Vec<f32>, DataError> {
    let sound = read_wav(path)?;
    let mono = sound.mono();
    if sound.rate == rate {
        return Ok(mono);
    }
    let resampler = Resampler::<f32>::new(sound.rate, rate, &ResampleConfig::default());
    let resampler = resampler.map_err(|problem| {
        let expected = format!("a rate that can be changed to {rate}, that of the first recording");
        let remedy = "convert the recordings to one rate";
        DataError::malformed(path, "its rate", &expected, &problem, remedy)
    })?;
    Ok(resampler.process(&mono))
}

/// The length that covers most recordings, in whole tenths of a second.
fn usual_len(recordings: &[Recorded], rate: u32) -> usize {
    let mut lengths: Vec<usize> = recordings.iter().map(|recording| recording.samples.len()).collect();
    lengths.sort_unstable();
    let covering =
        lengths.get((lengths.len() as f64 * COVERED) as usize).or(lengths.last()).copied().unwrap_or(1);
    let tenths = (covering as f64 / f64::from(rate) * 10.0).ceil().clamp(1.0, LONGEST * 10.0);
    ((tenths / 10.0 * f64::from(rate)) as usize).max(1)
}

impl Dataset for Sounds {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        self.parts[split as usize].len()
    }

    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        let part = &self.parts[split as usize];
        let Some(&place) = part.get(index) else {
            return Err(no_such_sample(&self.info, split, part.len(), index));
        };
        let Recorded { samples, class } = &self.recordings[place];
        let at = match split {
            Split::Train => stream(self.seed, "sound place", epoch, index as u64).random(),
            _ => 0.5,
        };
        let sound = Input::Sound(fit(samples, self.len, at).into());
        Ok(Sample {
            image: Image::missing(),
            class: Some(*class),
            inputs: BTreeMap::from([(AUDIO.to_string(), sound)]),
            ..Sample::default()
        })
    }
}
