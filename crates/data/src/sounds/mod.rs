//! Recordings: a folder of WAV files with a class each.
//!
//! | layout | classes | parts |
//! |---|---|---|
//! | `FOLDER/CLASS/*.wav` | the folders | by the files' names: 80, 10 and 10 in a hundred |
//! | `FOLDER/train/CLASS/*.wav`, and `test`, `validation` or `val` | the folders | the folders |
//! | `FOLDER/CLASS_GROUP_NUMBER.wav`, also in `FOLDER/recordings` | the first part of the name | by group, such as the speaker: one group for testing, a tenth of the others' recordings for validation |
//!
//! Recordings are read, [resampled](cerberus_audio::Resampler) to one rate and mixed to one channel when the folder is opened, and cut or
//! padded to one length as samples: in the middle, in training at random.

mod layout;
mod recording;

use std::collections::BTreeMap;
use std::path::Path;

use crate::dataset::{CLASS, no_such_sample};
use crate::{
    AUDIO, DataError, Dataset, DatasetInfo, Image, InputInfo, InputKind, LabelInfo, LabelKind, Sample, Split,
};
use layout::Layout;
pub(crate) use recording::Recordings;
pub use recording::read_recording;

/// Recordings and their classes.
pub struct Sounds {
    recordings: Recordings,
    /// The class of each.
    classes: Vec<usize>,
    /// The recordings of each part, and the place of each class's among them.
    parts: [Vec<usize>; 3],
    seed: u64,
    info: DatasetInfo,
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
        let paths: Vec<&Path> = layout.recordings.iter().map(|recording| &*recording.path).collect();
        let recordings = Recordings::read(folder, &paths)?;
        let (rate, len) = (recordings.rate, recordings.len);
        let info = DatasetInfo {
            name: "sounds".into(),
            height: 0,
            width: 0,
            channels: 0,
            inputs: vec![InputInfo::new(AUDIO, InputKind::Sound { rate, len })],
            labels: vec![LabelInfo::new(CLASS, LabelKind::Class, &layout.classes)],
            accounts: Default::default(),
        };
        let classes = layout.recordings.iter().map(|recording| recording.class).collect();
        Ok(Sounds { recordings, classes, parts, seed, info })
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
        self.recordings.rate
    }
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
        let sound = self.recordings.input(place, split, [self.seed, epoch, index as u64]);
        Ok(Sample {
            image: Image::missing(),
            class: Some(self.classes[place]),
            inputs: BTreeMap::from([(AUDIO.to_string(), sound)]),
            ..Sample::default()
        })
    }
}
