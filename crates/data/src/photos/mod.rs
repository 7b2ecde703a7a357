//! Folders of annotated photographs: files of many sizes, samples of one size.
//!
//! Nine layouts are read: Oxford-IIIT Pet as it is distributed (`oxford`) and as one table (`pets`), COCO's JSON
//! (`coco`) and its panoptic masks (`panoptic`), YOLO's text files (`yolo`), Pascal VOC's XML files (`voc`), one folder
//! of pictures per class (`class_folders`), folders of pictures and masks (`masks`), and tables (`table`). Each reader
//! makes a list of `Photo`s with labels in the pixels of the file; everything after that is the same for all layouts
//! and is done here.
//!
//! **Size.** Every photo is resized to [`PhotoOptions::size`], by default stretched. This uses the whole photo and the
//! whole network input, and it does not change overlaps of boxes and masks. It changes aspect ratios, but the crops of
//! training vary them anyway. If aspect ratios distinguish classes, or the photos are much wider or taller than the
//! size, a letterbox keeps them; see [`fit`].
//!
//! **Splits.** Photos that the files themselves put into a validation or test part stay there. Of the others, the share
//! [`PhotoOptions::hold_back`] becomes the test split: within each class, the photos whose names have the smallest hash
//! (FNV-1a, then a mixing step), so that the split depends only on the names, not on their order. There is no
//! validation split unless the files have one: a few hundred photos are too few for three parts.
//!
//! **Training.** One epoch shows every photo [`PhotoOptions::repeats`] times,
//! each time flipped, cropped and tinted anew; see [`augment`]. A sample is a
//! pure function of (seed, split, epoch, index).

pub mod augment;
mod cache;
mod class_folders;
mod class_list;
mod coco;
mod depth_map;
pub(crate) mod digest;
pub(crate) mod files;
pub mod fit;
pub mod map;
mod masks;
mod oxford;
mod painted;
mod panoptic;
mod pets;
mod polygon;
mod prepare;
mod reading;
mod run_lengths;
mod semantic;
pub(crate) mod splits;
mod table;
pub(crate) mod text;
mod voc;
mod yaml;
mod yolo;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use cerberus_tensor::random::stream;
use serde::{Deserialize, Serialize};

use crate::account::{Account, ClassCount, LabelCount, PartAccount, Picture};
use crate::dataset::{LabelKind, annotated_key, no_such_sample};
use crate::image_file::Turn;
use crate::{ClassId, DataError, Dataset, DatasetInfo, FindingKind, Label, LabelInfo, Object, Sample, Split};
use augment::{View, show};
use cache::Cache;
use depth_map::DepthMap;
pub use files::pictures_in;
use fit::Fit;
use prepare::prepare;
use reading::Reading;
use splits::{Item, split};

/// The most bytes of prepared photos that are kept in memory; if the photos do not fit, each is read again every time.
const KEPT_BYTES: usize = 1 << 30;

/// A format of annotated photographs.
pub(crate) struct Format {
    /// Its name for `--format`.
    pub name: &'static str,
    /// A description of its layout.
    pub what: &'static str,
    /// Whether a path looks like it.
    is_at: fn(&Path) -> bool,
    /// Reads the annotations at a path.
    read: fn(&Path, &mut Reading) -> Result<(), DataError>,
}

/// All formats: each is a module and a line here.
const FORMATS: [Format; 9] = [
    pets::FORMAT,
    oxford::FORMAT,
    coco::FORMAT,
    panoptic::FORMAT,
    yolo::FORMAT,
    voc::FORMAT,
    class_folders::FORMAT,
    masks::FORMAT,
    table::FORMAT,
];

/// How photographs become samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhotoOptions {
    /// Rows and columns of every sample; files may give one number for a square.
    #[serde(deserialize_with = "fit::read_size")]
    pub size: [usize; 2],
    /// How photos with another aspect ratio are fitted to that size.
    #[serde(default)]
    pub fit: Fit,
    /// The share of photos, 0 to 1, that is held back from training for testing; with 1 all photos are for testing,
    /// whatever part the files put them into.
    pub hold_back: f64,
    /// How often an epoch shows each training photo.
    pub repeats: usize,
    /// How strongly training photos are changed; 0 leaves them unchanged.
    pub augment: f64,
    /// The name of the format to read, if a path could be of several formats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Whether pictures that cannot be read, and missing validation or test parts, are left out instead of causing an
    /// error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_broken: bool,
    /// The expected class names of a label, in order, by label name: those of a trained model, or of all sets of a
    /// mixture. Classes that the files lack are [not annotated](crate::annotated_key). Labels not named here take their
    /// classes from the files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, Vec<String>>,
    /// A folder for decoded pictures, which makes later reads faster; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Other names for classes: a map from the names in the files to new names, "-" to leave a class out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub map: BTreeMap<String, String>,
}

impl Default for PhotoOptions {
    fn default() -> Self {
        Self {
            size: [128, 128],
            fit: Fit::Stretch,
            hold_back: 0.0,
            repeats: 10,
            augment: 1.0,
            format: None,
            skip_broken: false,
            classes: BTreeMap::new(),
            cache: None,
            map: BTreeMap::new(),
        }
    }
}

impl PhotoOptions {
    fn check(&self) -> Result<(), DataError> {
        let refuse = |option, value: String, remedy: &str| {
            Err(DataError::Option { option, value, remedy: remedy.into() })
        };
        if !self.size.iter().all(|side| (8..=4096).contains(side)) {
            return refuse("photo size", fit::write_size(self.size), "give 8 to 4096 pixels for each side");
        }
        if !(0.0..=1.0).contains(&self.hold_back) {
            return refuse("share held back", self.hold_back.to_string(), "give a number from 0 to 1");
        }
        if self.repeats == 0 || self.repeats > 10_000 {
            return refuse("repeats per epoch", self.repeats.to_string(), "give 1 to 10000");
        }
        if !(0.0..=2.0).contains(&self.augment) {
            return refuse("augmentation strength", self.augment.to_string(), "give a number from 0 to 2");
        }
        Ok(())
    }
}

/// The source of a photo's mask.
#[derive(Clone, Debug)]
enum MaskSource {
    /// There is none.
    Missing,
    /// An Oxford-IIIT trimap: 1 animal, 2 background, 3 border.
    Trimap(PathBuf),
    /// A PNG with a class for each pixel value.
    Classes(PathBuf, Arc<voc::masks::MaskValues>),
    /// Outlines, later ones above earlier ones.
    Outlines(Vec<Outline>),
    /// A picture with a class for each number or colour.
    Painted(PathBuf, Arc<painted::Code>),
    /// Another source with a new value for each of its mask values.
    Mapped(Box<MaskSource>, Arc<[ClassId]>),
}

/// The area of an object and its mask value, in pixels of the file.
#[derive(Clone, Debug)]
struct Outline {
    value: ClassId,
    shape: Shape,
}

/// The shape of an object in an annotation.
#[derive(Clone, Debug)]
enum Shape {
    /// The corners of its parts.
    Polygons(Vec<Vec<[f32; 2]>>),
    /// Runs of pixels outside and inside in turn, column by column.
    Runs(Vec<usize>),
}

/// A photo on disk and its labels, in pixels of the file.
#[derive(Clone, Debug)]
struct Photo {
    /// The name that decides the split.
    name: String,
    path: PathBuf,
    /// Rows and columns in the orientation of the annotations.
    size: [usize; 2],
    /// Whether the size comes from the annotations; otherwise it is the picture's own.
    sized: bool,
    turn: Turn,
    /// The part that the files put it into, if any.
    part: Option<Split>,
    class: Option<usize>,
    objects: Option<Vec<Object>>,
    mask: MaskSource,
    more: BTreeMap<String, Label>,
    /// Maps with a number for every pixel, by label; they are read when a sample is requested.
    maps: BTreeMap<String, DepthMap>,
}

impl Photo {
    /// A photo without labels.
    fn new(name: String, path: PathBuf, size: [usize; 2]) -> Photo {
        Photo {
            name,
            path,
            size,
            sized: false,
            turn: Turn::Upright,
            part: None,
            class: None,
            objects: None,
            mask: MaskSource::Missing,
            more: BTreeMap::new(),
            maps: BTreeMap::new(),
        }
    }
}

/// A data set of photographs; see the module's description.
pub struct Photos {
    info: DatasetInfo,
    options: PhotoOptions,
    seed: u64,
    photos: Vec<Photo>,
    /// The annotated classes of the set, which are added to every sample.
    annotated: BTreeMap<String, Label>,
    /// Indices into `photos`, of train, validation and test.
    splits: [Vec<usize>; 3],
    /// Prepared photos, if they fit into memory.
    kept: Vec<OnceLock<Sample>>,
    keeps: bool,
    cache: Option<Cache>,
}

impl Photos {
    /// Whether `path` has a layout that is read here.
    pub fn is_at(path: &Path) -> bool {
        FORMATS.iter().any(|format| (format.is_at)(path))
    }

    /// The YAML files of a folder, in order. Several of them may describe the same pictures for different tasks.
    pub(crate) fn descriptions_in(folder: &Path) -> Vec<PathBuf> {
        yaml::in_folder(folder)
    }

    /// Reads the annotations at `path` and checks every picture's header; pixels are read when a sample is requested.
    /// `seed` decides the augmentations.
    ///
    /// # Errors
    /// [`DataError`], which names the file and the place and says what to do, when a file is missing, damaged, or does
    /// not agree with the others; when the path could be of several formats; when no photo is left for training.
    pub fn open(path: &Path, seed: u64, options: PhotoOptions) -> Result<Photos, DataError> {
        options.check()?;
        let format = choose(path, options.format.as_deref())?;
        // Readers see only the names in the files, while the expected names are those after renaming.
        let unnamed = PhotoOptions { classes: BTreeMap::new(), ..options.clone() };
        let mut reading = Reading::new(if options.map.is_empty() { &options } else { &unnamed }, format.name);
        (format.read)(path, &mut reading)?;
        let mut reading = reading.finish(path)?;
        let annotated = map::apply(&options, &mut reading)?;
        let Reading { photos, labels, mut findings, found, .. } = reading;
        let items = photos.iter().map(|p| Item { name: &p.name, part: p.part, class: p.class });
        let splits = split(&items.collect::<Vec<_>>(), options.hold_back);
        refuse_empty_parts(path, &photos, &splits, options.hold_back)?;
        let mut account = Account {
            path: path.display().to_string(),
            format: format.name.into(),
            found: found.max(photos.len()),
            used: photos.len(),
            ..Account::default()
        };
        // A head cannot learn from a label that never occurs in training; if all photos are for testing, every label
        // counts.
        let learns_from = if splits[0].is_empty() { &splits[2] } else { &splits[0] };
        let (labels, absent): (Vec<LabelInfo>, Vec<LabelInfo>) = labels
            .into_iter()
            .partition(|label| learns_from.iter().any(|&place| photos[place].has(&label.name)));
        absent.iter().for_each(|label| {
            findings.add(FindingKind::LabelLeftOut, "labels that no training picture has", &label.name);
        });
        account.parts = [Split::Train, Split::Validation, Split::Test]
            .into_iter()
            .zip(&splits)
            .map(|(part, places)| count(part, places, &photos, &labels))
            .collect();
        account.pictures = pictures(&photos, &splits);
        account.fingerprint = digest::of_pictures(&account.pictures);
        account.missing_classes(&annotated, &mut findings);
        account.findings = findings.list();
        let info = DatasetInfo {
            name: format.name.into(),
            height: options.size[0],
            width: options.size[1],
            channels: 3,
            labels,
            accounts: Arc::new(vec![account]),
            inputs: Vec::new(),
        };
        let maps = photos.iter().map(|photo| photo.maps.len()).max().unwrap_or(0);
        let bytes = 16 * options.size[0] * options.size[1] * photos.len() * (1 + maps);
        let kept = photos.iter().map(|_| OnceLock::new()).collect();
        let cache = options.cache.as_deref().map(Cache::new);
        let said = |(label, known): (String, _)| (annotated_key(&label), Label::Classes(known));
        let (annotated, keeps) = (annotated.into_iter().map(said).collect(), bytes <= KEPT_BYTES);
        Ok(Photos { info, options, seed, photos, annotated, splits, kept, keeps, cache })
    }

    /// The number of photos, in all splits.
    pub fn photos(&self) -> usize {
        self.photos.len()
    }

    fn places(&self, split: Split) -> &[usize] {
        match split {
            Split::Train => &self.splits[0],
            Split::Validation => &self.splits[1],
            Split::Test => &self.splits[2],
        }
    }

    /// The whole photo with its labels, shrunk if it is much larger than any sample needs.
    fn prepared(&self, place: usize) -> Result<Sample, DataError> {
        if let Some(kept) = self.kept[place].get() {
            return Ok(kept.clone());
        }
        let mut sample = prepare(&self.photos[place], &self.options, self.cache.as_ref())?;
        sample.more.extend(self.annotated.iter().map(|(name, label)| (name.clone(), label.clone())));
        if self.keeps {
            return Ok(self.kept[place].get_or_init(|| sample).clone());
        }
        Ok(sample)
    }
}

impl Dataset for Photos {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        let repeats = if split == Split::Train { self.options.repeats } else { 1 };
        self.places(split).len() * repeats
    }

    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        let places = self.places(split);
        if index >= self.len(split) {
            return Err(no_such_sample(&self.info, split, self.len(split), index));
        }
        let photo = self.prepared(places[index % places.len()])?;
        let view = if split == Split::Train && self.options.augment > 0.0 {
            let mut random = stream(self.seed, "photo", epoch, index as u64);
            View::draw(&photo, self.options.augment, &mut random)
        } else {
            View::whole(&photo.image)
        };
        Ok(show(&photo, &view, self.options.size, self.options.fit))
    }
}

/// The format of a path: the given one, or the only one that fits.
fn choose(path: &Path, named: Option<&str>) -> Result<&'static Format, DataError> {
    let names = || FORMATS.map(|format| format.name).join(", ");
    if let Some(named) = named {
        return FORMATS.iter().find(|format| format.name == named).ok_or_else(|| DataError::Option {
            option: "--format",
            value: named.into(),
            remedy: format!("give one of {}", names()),
        });
    }
    let fitting: Vec<&Format> = FORMATS.iter().filter(|format| (format.is_at)(path)).collect();
    match fitting[..] {
        [only] => Ok(only),
        [] => Err(DataError::Malformed {
            path: path.into(),
            place: "the folder".into(),
            expected: "photographs in one of the formats".into(),
            found: "none of them".into(),
            remedy: format!("see docs/data.md, or name the format with --format: {}", names()),
        }),
        _ => Err(DataError::Malformed {
            path: path.into(),
            place: "the folder".into(),
            expected: "photographs in one format".into(),
            found: fitting
                .iter()
                .map(|format| format!("{} ({})", format.name, format.what))
                .collect::<Vec<_>>()
                .join(" and "),
            remedy: format!(
                "choose one with --format {}",
                fitting.iter().map(|format| format.name).collect::<Vec<_>>().join(" or --format ")
            ),
        }),
    }
}

/// Refuses an empty training part, and a `hold_back` that selects no photo.
fn refuse_empty_parts(
    path: &Path,
    photos: &[Photo],
    [train, validation, test]: &[Vec<usize>; 3],
    hold_back: f64,
) -> Result<(), DataError> {
    if hold_back >= 1.0 {
        return Ok(());
    }
    let wrong = |expected: &str, found: String, remedy: &str| {
        Err(DataError::Malformed {
            path: path.into(),
            place: "the training part".into(),
            expected: expected.into(),
            found,
            remedy: remedy.into(),
        })
    };
    let held = photos.len() - train.len() - validation.len();
    if train.is_empty() {
        let found = format!(
            "none: {} pictures, of which {} for validation and {held} for testing",
            photos.len(),
            validation.len()
        );
        return wrong(
            "at least one picture to train on",
            found,
            "name a training part, or hold back less (--hold-back)",
        );
    }
    let named = photos.iter().filter(|photo| photo.part == Some(Split::Test)).count();
    if hold_back > 0.0 && test.len() == named {
        let found = format!("that a share of {hold_back} of {} is not one picture", train.len());
        return wrong("pictures to hold back", found, "give a larger --hold-back, or more pictures");
    }
    Ok(())
}

/// Counts every label in a part.
fn count(part: Split, places: &[usize], photos: &[Photo], labels: &[LabelInfo]) -> PartAccount {
    let of_label = |label: &LabelInfo| {
        let mut counts = vec![0; label.classes.len()];
        let (mut pictures, mut empty) = (0, 0);
        for photo in places.iter().map(|&place| &photos[place]).filter(|photo| photo.has(&label.name)) {
            pictures += 1;
            let classes = photo.classes_of(&label.name);
            empty += usize::from(label.kind == LabelKind::Objects && classes.is_empty());
            classes.into_iter().for_each(|class| counts[class] += 1);
        }
        let classes = label.classes.iter().zip(&counts);
        let classes = classes.map(|(class, &count)| ClassCount { class: class.clone(), count }).collect();
        let known = counts.iter().any(|&count| count > 0);
        let classes = if known { classes } else { Vec::new() };
        LabelCount { label: label.name.clone(), pictures, empty, classes }
    };
    PartAccount {
        part: part.name().into(),
        pictures: places.len(),
        labels: labels.iter().map(of_label).filter(|count| count.pictures > 0).collect(),
    }
}

/// Every picture with its part and digest.
fn pictures(photos: &[Photo], splits: &[Vec<usize>; 3]) -> Vec<Picture> {
    let parts = [Split::Train, Split::Validation, Split::Test].into_iter().zip(splits);
    parts
        .flat_map(|(part, places)| places.iter().map(move |&place| (part, &photos[place])))
        .map(|(part, photo)| Picture {
            name: photo.name.clone(),
            part: part.name().into(),
            size: photo.size,
            digest: photo.digest(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
