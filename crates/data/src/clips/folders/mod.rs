//! Clips with labels: a folder of clips for each class, or a table.
//!
//! | layout | where the labels are |
//! |---|---|
//! | `FOLDER/CLASS/clip.gif`, `clip.y4m` or `clip/1.png` | the folder's name is the label `class` |
//! | `FOLDER/train/CLASS/..`, with the parts in any of their spellings | the same |
//! | `FILE.csv`, or a folder with `clips.csv` | one row for each clip: columns `clip`, `split`, `class`, `class:NAME`, `number:NAME` |
//!
//! As with [photographs](crate::photos), parts that the files name are used as they are; from the other clips a share
//! of each class is held back for testing, chosen by their names. There is a validation part only if the files have
//! one.
//!
//! Every clip is opened when the data set is, so that a damaged file is found before training: the blocks of a GIF and
//! the frames of a Y4M file are walked through, without decoding them; of a folder, the first picture's header is read.

mod classes;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::film::Film;
use super::open::{film, open_clip};
use super::{Clip, ClipOptions, FrameChoice};
use crate::account::{Account, ClassCount, Findings, LabelCount, PartAccount, Picture};
use crate::dataset::{CLASS, LabelInfo, LabelKind, no_such_sample};
use crate::photos::digest::{fnv, of_pictures};
use crate::photos::splits::{Item, split};
use crate::{
    DataError, Dataset, DatasetInfo, FindingKind, Fit, Input, InputInfo, InputKind, Label, MOST_CLASSES,
    Sample, Split, VIDEO,
};

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

/// How clips become samples.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipFolderOptions {
    /// The frames of every clip, spread evenly over it ([`FrameChoice::Count`]).
    pub frames: usize,
    /// Rows and columns of every frame.
    pub size: [usize; 2],
    /// How frames with another aspect ratio are fitted to that size.
    pub fit: Fit,
    /// The share of clips, 0 to 1, that is held back from training for testing; with 1 all clips are for testing,
    /// whatever part the files put them into.
    pub hold_back: f64,
    /// Frames a second of folders of pictures, which do not tell.
    pub folder_rate: f64,
}

impl Default for ClipFolderOptions {
    /// 8 frames of 64x64 pixels, none held back.
    fn default() -> Self {
        let folder_rate = ClipOptions::default().folder_rate;
        ClipFolderOptions { frames: 8, size: [64, 64], fit: Fit::default(), hold_back: 0.0, folder_rate }
    }
}

impl ClipFolderOptions {
    /// How each clip is read.
    fn clips(&self) -> ClipOptions {
        let &ClipFolderOptions { frames, size, fit, folder_rate, .. } = self;
        ClipOptions { frames: FrameChoice::Count(frames), size: Some(size), fit, folder_rate }
    }

    fn check(&self) -> Result<(), DataError> {
        self.clips().check()?;
        if !(0.0..=1.0).contains(&self.hold_back) {
            let (value, remedy) = (self.hold_back.to_string(), "give a number from 0 to 1".into());
            return Err(DataError::Option { option: "share held back", value, remedy });
        }
        Ok(())
    }
}

/// What a reader says of a label.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    /// The class's name.
    Class(String),
    Number(f32),
}

/// A clip as a reader finds it.
struct Found {
    /// The name that decides the part.
    name: String,
    path: PathBuf,
    part: Option<Split>,
    labels: BTreeMap<String, Said>,
}

/// What a reader gathers.
#[derive(Default)]
struct Reading {
    clips: Vec<Found>,
    /// The names of all labels, and whether they are classes, in their order.
    labels: Vec<(String, LabelKind)>,
    findings: Findings,
    /// Clips and videos that were found, used or not.
    found: usize,
}

/// A clip on disk, with its labels as class ids and numbers.
struct Entry {
    path: PathBuf,
    labels: BTreeMap<String, Label>,
}

/// A data set of clips; see the module's description.
pub struct ClipFolders {
    info: DatasetInfo,
    options: ClipFolderOptions,
    entries: Vec<Entry>,
    /// Indices into `entries`, of train, validation and test.
    splits: [Vec<usize>; 3],
}

impl ClipFolders {
    /// Finds the clips at `path` and opens each; frames are read when a sample is requested.
    ///
    /// # Errors
    /// [`DataError`], which names the file and the place and says what to do, when a file is missing or damaged, when a
    /// table is wrong, and when no clip is left for training.
    pub fn open(path: &Path, options: ClipFolderOptions) -> Result<ClipFolders, DataError> {
        options.check()?;
        let mut reading = Reading::default();
        match table::at(path) {
            Some(table) => table::read(&table, &mut reading)?,
            None => classes::read(path, &mut reading)?,
        }
        let Reading { clips, labels, mut findings, found } = reading;
        let labels =
            labels.into_iter().map(|label| info(path, label, &clips)).collect::<Result<Vec<_>, _>>()?;
        let (mut entries, mut pictures) = (Vec::with_capacity(clips.len()), Vec::with_capacity(clips.len()));
        for clip in &clips {
            let film = film(&clip.path, options.folder_rate)?;
            pictures.push(picture(clip, &*film));
            entries.push(Entry { path: clip.path.clone(), labels: ids(clip, &labels) });
        }
        let class = |entry: &Entry| entry.labels.get(CLASS).and_then(Label::class);
        let items = clips.iter().zip(&entries);
        let items =
            items.map(|(clip, entry)| Item { name: &clip.name, part: clip.part, class: class(entry) });
        let splits = split(&items.collect::<Vec<_>>(), options.hold_back);
        if splits[0].is_empty() && options.hold_back < 1.0 {
            let expected = "at least one clip to train on";
            let found = format!("none of {}", entries.len());
            let remedy = "name a training part, or hold back less";
            return Err(DataError::malformed(path, "the training part", expected, &found, remedy));
        }
        // A head cannot learn from a label that never occurs in training; if all clips are for testing, every label counts.
        let learns_from = if splits[0].is_empty() { &splits[2] } else { &splits[0] };
        let (labels, absent): (Vec<LabelInfo>, Vec<LabelInfo>) = labels.into_iter().partition(|label| {
            learns_from.iter().any(|&place| entries[place].labels.contains_key(&label.name))
        });
        for label in absent {
            findings.add(FindingKind::LabelLeftOut, "labels that no training clip has", &label.name);
            entries.iter_mut().for_each(|entry| drop(entry.labels.remove(&label.name)));
        }
        let mut account = Account {
            path: path.display().to_string(),
            format: "clips".into(),
            found: found.max(entries.len()),
            used: entries.len(),
            ..Account::default()
        };
        for (part, places) in SPLITS.into_iter().zip(&splits) {
            account.parts.push(count(part, places, &entries, &labels));
            for &place in places {
                account.pictures.push(Picture { part: part.name().into(), ..pictures[place].clone() });
            }
        }
        account.fingerprint = of_pictures(&account.pictures);
        account.missing_classes(&BTreeMap::new(), &mut findings);
        account.findings = findings.list();
        let shape = [options.frames, options.size[0], options.size[1], 3];
        let info = DatasetInfo {
            name: "clips".into(),
            height: options.size[0],
            width: options.size[1],
            channels: 3,
            labels,
            inputs: vec![InputInfo::new(VIDEO, InputKind::Clip { shape })],
            accounts: Arc::new(vec![account]),
        };
        Ok(ClipFolders { info, options, entries, splits })
    }

    /// Clip `index` of a split, and its last frame with the labels.
    ///
    /// # Errors
    /// [`DataError::NoSuchSample`] when `index` is not below the length of the split, and those of [`open_clip`].
    pub fn clip(&self, split: Split, _epoch: u64, index: usize) -> Result<(Clip, Sample), DataError> {
        let places = self.places(split);
        let Some(&place) = places.get(index) else {
            return Err(no_such_sample(&self.info, split, places.len(), index));
        };
        let Entry { path, labels } = &self.entries[place];
        let clip = open_clip(path, &self.options.clips())?;
        let Some(image) = clip.frames.last().cloned() else {
            unreachable!("a clip has at least one frame");
        };
        let mut more = labels.clone();
        let class = more.remove(CLASS).as_ref().and_then(Label::class);
        Ok((clip, Sample { image, class, objects: None, mask: None, more, inputs: BTreeMap::new() }))
    }

    fn places(&self, split: Split) -> &[usize] {
        match split {
            Split::Train => &self.splits[0],
            Split::Validation => &self.splits[1],
            Split::Test => &self.splits[2],
        }
    }
}

impl Dataset for ClipFolders {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        self.places(split).len()
    }

    /// The last frame with the labels, and all frames as the input [`VIDEO`].
    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        let (clip, sample) = self.clip(split, epoch, index)?;
        let video = Input::Clip(clip.frames.into());
        Ok(Sample { inputs: BTreeMap::from([(VIDEO.to_string(), video)]), ..sample })
    }
}

/// A label with its classes in alphabetical order.
fn info(path: &Path, (name, kind): (String, LabelKind), clips: &[Found]) -> Result<LabelInfo, DataError> {
    let classes: BTreeSet<&String> = clips
        .iter()
        .filter_map(|clip| match clip.labels.get(&name)? {
            Said::Class(class) => Some(class),
            Said::Number(_) => None,
        })
        .collect();
    if classes.len() > MOST_CLASSES {
        let expected = format!("at most {MOST_CLASSES} classes of {name}");
        let remedy = "merge classes";
        return Err(DataError::malformed(path, "the labels", &expected, &classes.len().to_string(), remedy));
    }
    let classes =
        if kind == LabelKind::Values { vec![name.clone()] } else { classes.into_iter().cloned().collect() };
    Ok(LabelInfo { name, kind, classes })
}

fn ids(clip: &Found, labels: &[LabelInfo]) -> BTreeMap<String, Label> {
    let label = |info: &LabelInfo| match clip.labels.get(&info.name)? {
        Said::Class(class) => info.classes.binary_search(class).ok().map(Label::Class),
        Said::Number(value) => Some(Label::Values(vec![*value])),
    };
    labels.iter().filter_map(|info| Some((info.name.clone(), label(info)?))).collect()
}

/// The clip's line in the account; the part it is in is not known yet.
fn picture(clip: &Found, film: &dyn Film) -> Picture {
    let bytes = std::fs::metadata(&clip.path).ok().filter(std::fs::Metadata::is_file).map(|data| data.len());
    let frames = film.ends().len();
    // Debug formatting escapes names, so that no two clips have the same text.
    let text =
        format!("{:?} {:?} {:?} {frames} {bytes:?} {:?}", clip.name, clip.part, film.size(), clip.labels);
    let digest = format!("{:016x}", fnv(text.as_bytes()));
    Picture { name: clip.name.clone(), part: String::new(), size: film.size(), digest }
}

fn count(part: Split, places: &[usize], entries: &[Entry], labels: &[LabelInfo]) -> PartAccount {
    let of_label = |info: &LabelInfo| {
        let labels: Vec<&Label> =
            places.iter().filter_map(|&place| entries[place].labels.get(&info.name)).collect();
        let of = |class: usize| labels.iter().filter(|label| label.class() == Some(class)).count();
        let named = info.classes.iter().enumerate().filter(|_| info.kind == LabelKind::Class);
        let classes = named.map(|(class, name)| ClassCount { class: name.clone(), count: of(class) });
        LabelCount { label: info.name.clone(), pictures: labels.len(), empty: 0, classes: classes.collect() }
    };
    let labels = labels.iter().map(of_label).filter(|count| count.pictures > 0).collect();
    PartAccount { part: part.name().into(), pictures: places.len(), labels }
}
