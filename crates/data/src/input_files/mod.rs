//! Samples whose inputs are files: a folder of clips for each class, or a table of clips, pictures, recordings and numbers.
//!
//! | layout | where the labels are |
//! |---|---|
//! | `FOLDER/CLASS/clip.gif`, `clip.y4m` or `clip/1.png` | the folder's name is the label `class` |
//! | `FOLDER/train/CLASS/..`, with the parts in any of their spellings | the same |
//! | `FILE.csv`, or a folder with `clips.csv` or `inputs.csv` | one row for each sample: a [column](table) for each input and each label |
//!
//! Any input may be missing in a sample, but not all. As with [photographs](crate::photos), parts that the files name are
//! used as they are; from the other samples a share of each class is held back for testing, chosen by their names. There
//! is a validation part only if the files have one.
//!
//! Every file is opened when the data set is, so that a damaged one is found before training: recordings are read, the
//! blocks of a GIF and the frames of a Y4M file are walked through, without decoding them; of pictures and of the first
//! one of a folder, the header is read.

mod classes;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::account::{Account, ClassCount, Findings, LabelCount, PartAccount, Picture};
use crate::clips::{ClipOptions, FrameChoice, film};
use crate::dataset::{CLASS, LabelInfo, LabelKind, no_such_sample};
use crate::image_file::Header;
use crate::photos::digest::{fnv, of_pictures};
use crate::photos::splits::{Item, split};
use crate::sounds::Recordings;
use crate::{
    AUDIO, DataError, Dataset, DatasetInfo, FindingKind, Fit, Image, Input, InputInfo, InputKind, Label,
    MOST_CLASSES, Placement, Sample, Split, VIDEO, open_clip,
};

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

/// How files become inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct InputFileOptions {
    /// The frames of every clip, spread evenly over it ([`FrameChoice::Count`]).
    pub frames: usize,
    /// Rows and columns of every frame and picture.
    pub size: [usize; 2],
    /// How those with another aspect ratio are fitted to that size.
    pub fit: Fit,
    /// The share of samples, 0 to 1, that is held back from training for testing; with 1 all are for testing,
    /// whatever part the files put them into.
    pub hold_back: f64,
    /// Frames a second of folders of pictures, which do not tell.
    pub folder_rate: f64,
}

impl Default for InputFileOptions {
    /// 8 frames of 64x64 pixels, none held back.
    fn default() -> Self {
        let folder_rate = ClipOptions::default().folder_rate;
        InputFileOptions { frames: 8, size: [64, 64], fit: Fit::default(), hold_back: 0.0, folder_rate }
    }
}

impl InputFileOptions {
    /// How each clip is read.
    fn clips(&self) -> ClipOptions {
        let &InputFileOptions { frames, size, fit, folder_rate, .. } = self;
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

/// The files and numbers of a sample; what is absent is missing.
#[derive(Default)]
struct Given {
    video: Option<PathBuf>,
    image: Option<PathBuf>,
    audio: Option<PathBuf>,
    numbers: BTreeMap<String, Vec<f32>>,
}

impl Given {
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.video, &self.image, &self.audio].into_iter().flatten()
    }
}

/// A sample as a reader finds it.
struct Found {
    /// The name that decides the part.
    name: String,
    given: Given,
    part: Option<Split>,
    labels: BTreeMap<String, Said>,
}

/// What a reader gathers.
#[derive(Default)]
struct Reading {
    samples: Vec<Found>,
    /// The names of all labels, and whether they are classes, in their order.
    labels: Vec<(String, LabelKind)>,
    findings: Findings,
    /// Samples and videos that were found, used or not.
    found: usize,
}

/// A sample on disk, with its labels as class ids and numbers.
struct Entry {
    given: Given,
    /// The place of its recording.
    recording: Option<usize>,
    labels: BTreeMap<String, Label>,
}

/// A data set of clips, pictures, recordings and numbers; see the module's description.
pub struct InputFiles {
    info: DatasetInfo,
    options: InputFileOptions,
    entries: Vec<Entry>,
    recordings: Recordings,
    seed: u64,
    /// Indices into `entries`, of train, validation and test.
    splits: [Vec<usize>; 3],
}

impl InputFiles {
    /// The name in [`DatasetInfo`] of a table whose samples have pictures of their own. The image of other data with clips
    /// is a clip's last frame.
    pub const WITH_PICTURES: &str = "inputs";

    /// The path in a name of data such as `inputs:FILE.csv`, for data that [`open`](crate::open) opens as these.
    pub fn path_in(name: &str) -> Option<&Path> {
        name.strip_prefix("clips:").or(name.strip_prefix("inputs:")).map(Path::new)
    }

    /// Finds the files at `path` and opens each; frames and pictures are read when a sample is requested. `seed` decides
    /// where training places a recording that is too long or too short.
    ///
    /// # Errors
    /// [`DataError`], which names the file and the place and says what to do, when a file is missing or damaged, when a
    /// table is wrong, and when no sample is left for training.
    pub fn open(path: &Path, seed: u64, options: InputFileOptions) -> Result<InputFiles, DataError> {
        options.check()?;
        let mut reading = Reading::default();
        match table::at(path) {
            Some(table) => table::read(&table, &mut reading)?,
            None => classes::read(path, &mut reading)?,
        }
        let Reading { samples, labels, mut findings, found } = reading;
        let labels =
            labels.into_iter().map(|label| info(path, label, &samples)).collect::<Result<Vec<_>, _>>()?;
        let pictures =
            samples.iter().map(|sample| picture(sample, &options)).collect::<Result<Vec<_>, _>>()?;
        let heard: Vec<&Path> = samples.iter().filter_map(|sample| sample.given.audio.as_deref()).collect();
        let recordings = Recordings::read(path, &heard)?;
        let inputs = inputs(&samples, &recordings, &options);
        let has_pictures = samples.iter().any(|sample| sample.given.image.is_some());
        let has_clips = samples.iter().any(|sample| sample.given.video.is_some());
        let class = |labels: &BTreeMap<String, Label>| labels.get(CLASS).and_then(Label::class);
        let of_each: Vec<BTreeMap<String, Label>> =
            samples.iter().map(|sample| ids(sample, &labels)).collect();
        let items = samples.iter().zip(&of_each);
        let items = items.map(|(sample, labels)| Item {
            name: &sample.name,
            part: sample.part,
            class: class(labels),
        });
        let splits = split(&items.collect::<Vec<_>>(), options.hold_back);
        if splits[0].is_empty() && options.hold_back < 1.0 {
            let expected = "at least one sample to train on";
            let found = format!("none of {}", samples.len());
            let remedy = "name a training part, or hold back less";
            return Err(DataError::malformed(path, "the training part", expected, &found, remedy));
        }
        let mut recording = 0..;
        let entry = |(sample, labels): (Found, BTreeMap<String, Label>)| {
            let recording = sample.given.audio.as_ref().and_then(|_| recording.next());
            Entry { given: sample.given, recording, labels }
        };
        let mut entries: Vec<Entry> = samples.into_iter().zip(of_each).map(entry).collect();
        // A head cannot learn from a label that never occurs in training; if all samples are for testing, every label counts.
        let learns_from = if splits[0].is_empty() { &splits[2] } else { &splits[0] };
        let (labels, absent): (Vec<LabelInfo>, Vec<LabelInfo>) = labels.into_iter().partition(|label| {
            learns_from.iter().any(|&place| entries[place].labels.contains_key(&label.name))
        });
        for label in absent {
            findings.add(FindingKind::LabelLeftOut, "labels that no training sample has", &label.name);
            entries.iter_mut().for_each(|entry| drop(entry.labels.remove(&label.name)));
        }
        let mut account = Account {
            path: path.display().to_string(),
            format: "files of inputs".into(),
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
        let [height, width, channels] = match options.size {
            [height, width] if has_pictures || has_clips => [height, width, 3],
            _ => [0; 3],
        };
        let name = match (has_pictures, has_clips) {
            (true, _) => Self::WITH_PICTURES,
            (false, true) => "clips",
            (false, false) => "files",
        };
        let info = DatasetInfo {
            name: name.into(),
            height,
            width,
            channels,
            labels,
            inputs,
            accounts: Arc::new(vec![account]),
        };
        Ok(InputFiles { info, options, entries, recordings, seed, splits })
    }

    fn places(&self, split: Split) -> &[usize] {
        match split {
            Split::Train => &self.splits[0],
            Split::Validation => &self.splits[1],
            Split::Test => &self.splits[2],
        }
    }

    /// A picture in the wanted size.
    fn picture(&self, path: &Path) -> Result<Image, DataError> {
        let picture = Image::read(path)?;
        Ok(Placement::new(self.options.fit, [picture.height, picture.width], self.options.size)
            .place(&picture))
    }
}

impl Dataset for InputFiles {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        self.places(split).len()
    }

    /// The picture, or the clip's last frame if the data have no pictures, with the labels; and the other inputs.
    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        let places = self.places(split);
        let Some(&place) = places.get(index) else {
            return Err(no_such_sample(&self.info, split, places.len(), index));
        };
        let Entry { given, recording, labels } = &self.entries[place];
        let numbers =
            given.numbers.iter().map(|(name, values)| (name.clone(), Input::Numbers(values.clone())));
        let mut inputs: BTreeMap<String, Input> = numbers.collect();
        let mut image = given.image.as_ref().map(|path| self.picture(path)).transpose()?;
        if let Some(path) = &given.video {
            let clip = open_clip(path, &self.options.clips())?;
            if self.info.name != Self::WITH_PICTURES {
                image = clip.frames.last().cloned();
            }
            inputs.insert(VIDEO.into(), Input::Clip(clip.frames.into()));
        }
        if let Some(recording) = *recording {
            let drawn = [self.seed, epoch, index as u64];
            inputs.insert(AUDIO.into(), self.recordings.input(recording, split, drawn));
        }
        let mut more = labels.clone();
        let class = more.remove(CLASS).as_ref().and_then(Label::class);
        let image = image.unwrap_or_else(Image::missing);
        Ok(Sample { image, class, objects: None, mask: None, more, inputs })
    }
}

/// The inputs beside the image that some sample has.
fn inputs(samples: &[Found], recordings: &Recordings, options: &InputFileOptions) -> Vec<InputInfo> {
    let mut inputs = Vec::new();
    if samples.iter().any(|sample| sample.given.audio.is_some()) {
        let (rate, len) = (recordings.rate, recordings.len);
        inputs.push(InputInfo::new(AUDIO, InputKind::Sound { rate, len }));
    }
    if samples.iter().any(|sample| sample.given.video.is_some()) {
        let shape = [options.frames, options.size[0], options.size[1], 3];
        inputs.push(InputInfo::new(VIDEO, InputKind::Clip { shape }));
    }
    let numbers: BTreeMap<&String, usize> = samples
        .iter()
        .flat_map(|sample| sample.given.numbers.iter().map(|(name, values)| (name, values.len())))
        .collect();
    inputs.extend(numbers.into_iter().map(|(name, len)| InputInfo::new(name, InputKind::Numbers { len })));
    inputs
}

/// A label with its classes in alphabetical order.
fn info(path: &Path, (name, kind): (String, LabelKind), samples: &[Found]) -> Result<LabelInfo, DataError> {
    let classes: BTreeSet<&String> = samples
        .iter()
        .filter_map(|sample| match sample.labels.get(&name)? {
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

fn ids(sample: &Found, labels: &[LabelInfo]) -> BTreeMap<String, Label> {
    let label = |info: &LabelInfo| match sample.labels.get(&info.name)? {
        Said::Class(class) => info.classes.binary_search(class).ok().map(Label::Class),
        Said::Number(value) => Some(Label::Values(vec![*value])),
    };
    labels.iter().filter_map(|info| Some((info.name.clone(), label(info)?))).collect()
}

/// The sample's line in the account, after a look into its clip or picture; the part it is in is not known yet.
fn picture(sample: &Found, options: &InputFileOptions) -> Result<Picture, DataError> {
    let (mut size, mut frames) = ([0, 0], 0);
    if let Some(path) = &sample.given.image {
        size = Header::read(path)?.upright;
    }
    if let Some(path) = &sample.given.video {
        let film = film(path, options.folder_rate)?;
        (size, frames) = (film.size(), film.ends().len());
    }
    let bytes = |path: &PathBuf| {
        std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|data| data.len())
    };
    let bytes: Vec<Option<u64>> = sample.given.files().map(bytes).collect();
    let Found { name, part, given, labels } = sample;
    // Debug formatting escapes names, so that no two samples have the same text.
    let text = format!("{name:?} {part:?} {size:?} {frames} {bytes:?} {:?} {labels:?}", given.numbers);
    let digest = format!("{:016x}", fnv(text.as_bytes()));
    Ok(Picture { name: name.clone(), part: String::new(), size, digest })
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
