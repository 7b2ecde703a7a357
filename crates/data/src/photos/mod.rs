//! Folders of annotated photographs: many sizes on disk, one size in training.
//!
//! Three layouts are read: that of Oxford-IIIT Pet (`pets`), COCO's JSON
//! (`coco`), and YOLO's text files (`yolo`). Each reader makes a list of
//! `Photo`s, labels in the pixels of the file; everything after that is the
//! same for all and lives here.
//!
//! **Size.** Every photo is stretched to `size x size` pixels. That keeps all
//! of it and all of the network's input in use; overlaps of boxes and masks do
//! not change by it. Proportions do, which the crops of training vary anyway.
//!
//! **Splits.** Photos that the files themselves put into a validation or test
//! part stay there. Of the others, [`PhotoOptions::hold_back`] says which share
//! becomes the test split: within each class those whose names have the
//! smallest hash (FNV-1a, then a mixing step), so that the split depends on the
//! names alone, not on their order. There is no validation split unless the
//! files have one: a few hundred photos are too few for three parts.
//!
//! **Training.** One epoch shows every photo [`PhotoOptions::repeats`] times,
//! each time flipped, cropped and tinted anew; see [`augment`]. A sample is a
//! pure function of (seed, split, epoch, index).

pub mod augment;
mod coco;
mod pets;
mod polygon;
mod run_lengths;
mod text;
mod yolo;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cerberus_tensor::random::stream;
use serde::{Deserialize, Serialize};

use crate::dataset::no_such_sample;
use crate::{DataError, Dataset, DatasetInfo, Image, Label, Object, Sample, Split};
use augment::{View, show};

/// Pixels of prepared photos that are kept in memory, at most; with more
/// photos than fit, each is read again every time.
const KEPT_BYTES: usize = 1 << 30;

/// How photographs become samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhotoOptions {
    /// Rows and columns of every sample.
    pub size: usize,
    /// The share of photos, 0 to 1, that is kept from training to test on; with
    /// 1 all of them are, wherever the files put them.
    pub hold_back: f64,
    /// How often an epoch shows each training photo.
    pub repeats: usize,
    /// How strongly training photos are changed; 0 shows them as they are.
    pub augment: f64,
    /// Class names that are expected, in this order, for a label by name: those of a trained model. Labels not named
    /// here take theirs from the files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, Vec<String>>,
}

impl Default for PhotoOptions {
    fn default() -> Self {
        Self { size: 128, hold_back: 0.0, repeats: 10, augment: 1.0, classes: BTreeMap::new() }
    }
}

impl PhotoOptions {
    fn check(&self) -> Result<(), DataError> {
        let refuse = |option, value: String, remedy: &str| {
            Err(DataError::Option { option, value, remedy: remedy.into() })
        };
        if !(8..=4096).contains(&self.size) {
            return refuse("photo size", self.size.to_string(), "give 8 to 4096 pixels");
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

/// Where a photo's mask comes from.
#[derive(Clone, Debug)]
enum MaskSource {
    /// Nobody drew one.
    Missing,
    /// An Oxford-IIIT trimap: 1 animal, 2 background, 3 border.
    Trimap(PathBuf),
    /// Outlines, later ones above earlier ones.
    Outlines(Vec<Outline>),
}

/// What an object covers, with its mask value, in pixels of the file.
#[derive(Clone, Debug)]
struct Outline {
    value: u8,
    shape: Shape,
}

/// How an annotation draws an object.
#[derive(Clone, Debug)]
enum Shape {
    /// The corners of its parts.
    Polygons(Vec<Vec<[f32; 2]>>),
    /// Pixels outside and inside in turn, column by column.
    Runs(Vec<usize>),
}

/// A photo on disk and its labels, in pixels of the file.
#[derive(Clone, Debug)]
struct Photo {
    /// What splits go by.
    name: String,
    path: PathBuf,
    /// Rows and columns as the annotations count them.
    size: [usize; 2],
    /// The part the files put it into; `Train` where they do not say.
    part: Split,
    class: Option<usize>,
    objects: Option<Vec<Object>>,
    mask: MaskSource,
    more: BTreeMap<String, Label>,
}

/// What a reader found.
struct Found {
    info: DatasetInfo,
    photos: Vec<Photo>,
}

/// A data set of photographs; see the module's description.
pub struct Photos {
    info: DatasetInfo,
    options: PhotoOptions,
    seed: u64,
    photos: Vec<Photo>,
    /// Places in `photos`, of train, validation and test.
    splits: [Vec<usize>; 3],
    /// Prepared photos, where they fit into memory.
    kept: Vec<OnceLock<Sample>>,
    keeps: bool,
}

impl Photos {
    /// Whether `path` is of a layout that is read here.
    pub fn is_at(path: &Path) -> bool {
        pets::is_at(path) || coco::is_at(path) || yolo::is_at(path)
    }

    /// Reads the annotations at `path` and checks that every picture is there;
    /// pixels are read when a sample is asked for. `seed` chooses the
    /// augmentations.
    ///
    /// # Errors
    /// [`DataError`], which names the file and the place and says what to do, when a
    /// file is missing, damaged, or does not agree with the others.
    pub fn open(path: &Path, seed: u64, options: PhotoOptions) -> Result<Photos, DataError> {
        options.check()?;
        let found = if pets::is_at(path) {
            pets::read(path, &options)?
        } else if yolo::is_at(path) {
            yolo::read(path, &options)?
        } else {
            coco::read(path, &options)?
        };
        let splits = split(&found.photos, options.hold_back);
        let bytes = 16 * options.size * options.size * found.photos.len();
        let kept = found.photos.iter().map(|_| OnceLock::new()).collect();
        let Found { info, photos } = found;
        Ok(Photos { info, options, seed, photos, splits, kept, keeps: bytes <= KEPT_BYTES })
    }

    /// How many photos there are, in all splits.
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

    /// The whole photo with its labels, made smaller where it is much larger
    /// than any sample needs.
    fn prepared(&self, place: usize) -> Result<Sample, DataError> {
        if let Some(kept) = self.kept[place].get() {
            return Ok(kept.clone());
        }
        let sample = prepare(&self.photos[place], 2 * self.options.size)?;
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
        Ok(show(&photo, &view, self.options.size))
    }
}

/// Reads the pixels and brings image and labels to a shorter side of at most
/// `most` pixels.
fn prepare(photo: &Photo, most: usize) -> Result<Sample, DataError> {
    let image = Image::read_as_annotated(&photo.path, photo.size)?;
    let mask = match &photo.mask {
        MaskSource::Missing => None,
        MaskSource::Trimap(path) => Some(pets::read_trimap(path, photo.size)?),
        MaskSource::Outlines(outlines) => Some(polygon::fill(outlines, photo.size)),
    };
    let whole =
        Sample { image, class: photo.class, objects: photo.objects.clone(), mask, more: photo.more.clone() };
    let shorter = photo.size[0].min(photo.size[1]);
    if shorter <= most {
        return Ok(whole);
    }
    let size = photo.size.map(|side| (side * most).div_ceil(shorter));
    Ok(augment::resize(&whole, size))
}

/// Places of train, validation and test; see the module's description.
fn split(photos: &[Photo], hold_back: f64) -> [Vec<usize>; 3] {
    if hold_back >= 1.0 {
        return [Vec::new(), Vec::new(), (0..photos.len()).collect()];
    }
    let of = |part: Split| (0..photos.len()).filter(move |&place| photos[place].part == part);
    let (validation, mut test): (Vec<usize>, Vec<usize>) =
        (of(Split::Validation).collect(), of(Split::Test).collect());
    let mut by_class: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for place in of(Split::Train) {
        by_class.entry(photos[place].class).or_default().push(place);
    }
    let mut train = Vec::new();
    for (_, mut places) in by_class {
        places.sort_by_key(|&place| (name_hash(&photos[place].name), photos[place].name.clone()));
        let held = (hold_back * places.len() as f64).round() as usize;
        test.extend(&places[..held]);
        train.extend(&places[held..]);
    }
    train.sort_unstable();
    test.sort_unstable();
    [train, validation, test]
}

/// FNV-1a and the last step of SplitMix64, without which names that differ in
/// their last letter alone have neighbouring hashes.
fn name_hash(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// A box of the files made fit for use: clipped to the image. `None` for one
/// that is then empty, which real sets have and no detector can find; its class is
/// counted by the caller.
fn usable_box(bbox: [f32; 4], [height, width]: [usize; 2]) -> Option<[f32; 4]> {
    let within = |v: f32, limit: usize| v.clamp(0.0, limit as f32);
    let [x1, y1, x2, y2] = bbox;
    let bbox = [within(x1, width), within(y1, height), within(x2, width), within(y2, height)];
    (bbox[2] - bbox[0] > 0.0 && bbox[3] - bbox[1] > 0.0).then_some(bbox)
}

/// "3 boxes without area were left out, the first in FILE", if there were any.
fn remark(count: usize, what: &str, first: &str) -> Option<String> {
    (count > 0).then(|| format!("{count} {what} left out, the first in {first}"))
}

/// Class names against those that are expected: where each of `names` stands in the list that is used, and the list.
fn expected(
    options: &PhotoOptions,
    label: &str,
    names: &[String],
    path: &Path,
) -> Result<(Vec<usize>, Vec<String>), DataError> {
    let Some(list) = options.classes.get(label) else {
        return Ok(((0..names.len()).collect(), names.to_vec()));
    };
    let place = |name: &String| {
        list.iter().position(|known| known == name).ok_or_else(|| DataError::Malformed {
            path: path.into(),
            place: format!("the classes of the label \"{label}\""),
            expected: format!("the model's: {}", list.join(", ")),
            found: format!("\"{name}\""),
            remedy: "choose data with the classes the model was trained on".into(),
        })
    };
    Ok((names.iter().map(place).collect::<Result<_, _>>()?, list.clone()))
}

#[cfg(test)]
mod tests;
