//! Gray pictures in classes from IDX files: MNIST, Fashion-MNIST, EMNIST, KMNIST and any other set in this format, with
//! any size and any number of classes.
//!
//! A folder holds a file of images and a file of labels for each part. The headers of the files tell images from
//! labels, and their names tell the part. The official `t10k` is the test part. Without a validation part, the last
//! tenth of each class of the training part, in file order, is held out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::account::{Account, ClassCount, Findings, LabelCount, PartAccount, Picture};
use crate::dataset::{CLASS, LabelInfo, LabelKind, no_such_sample};
use crate::fashion_mnist::{FILES, SIDE};
use crate::idx::{IdxImages, Kind, kind, read_images, read_labels};
use crate::photos::{digest, files};
use crate::{DataError, Dataset, DatasetInfo, Image, Sample, Split};

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];
/// Names of classes, one per line, the first for label 0.
const NAMES: &str = "classes.txt";
/// Labels are bytes.
const MOST_CLASSES: usize = 256;

/// Pictures with one class each, in memory. Samples have one channel and only a class, and are the same in every epoch.
///
/// Class names are the label numbers, from 0 to the largest label of any part, or the lines of `classes.txt` in the
/// folder, one name per line.
pub struct IdxClasses {
    parts: [Part; 3],
    info: DatasetInfo,
}

/// The pictures of a split, as indices into a file.
#[derive(Default)]
struct Part {
    source: Arc<Source>,
    places: Vec<usize>,
}

/// A file of images and a file of labels.
#[derive(Default)]
struct Source {
    // [labels.len(), height, width]
    pixels: Vec<u8>,
    labels: Vec<u8>,
    size: [usize; 2],
    paths: [PathBuf; 2],
}

impl IdxClasses {
    /// Reads the files of a folder.
    ///
    /// # Errors
    /// [`DataError`] naming the file: when a file is damaged or missing, when images and labels differ in number, when
    /// parts differ in image size, when a part has two files of one kind, when there is no training part, and when
    /// `classes.txt` names fewer classes than there are.
    pub fn from_folder(folder: &Path) -> Result<IdxClasses, DataError> {
        let mut sources: [Option<Arc<Source>>; 3] = Default::default();
        for (source, paths) in sources.iter_mut().zip(pairs(folder)?) {
            if let Some([images, labels]) = paths {
                *source = Some(Arc::new(Source::read(images, labels)?));
            }
        }
        let [train, validation, test] = sources;
        let Some(train) = train else {
            let found = "none called train, or like no part";
            return Err(wrong(
                folder,
                "the folder",
                "IDX files of images and labels to train on".into(),
                found,
            ));
        };
        if let Some(other) = validation.iter().chain(&test).find(|other| other.size != train.size) {
            let [height, width] = train.size;
            let expected = format!("images of {height}x{width}, as {} has", train.paths[0].display());
            let found = format!("{}x{}", other.size[0], other.size[1]);
            return Err(wrong(&other.paths[0], "size of the images", expected, &found));
        }
        let all = [Some(&train), validation.as_ref(), test.as_ref()].into_iter().flatten();
        let classes = class_names(folder, all)?;
        let whole = |source: Option<Arc<Source>>| {
            let source = source.unwrap_or_default();
            Part { places: (0..source.labels.len()).collect(), source }
        };
        let (kept, held_out) = if validation.is_some() {
            ((0..train.labels.len()).collect(), Vec::new())
        } else {
            train.last_tenth()
        };
        let validation = match validation {
            Some(source) => whole(Some(source)),
            None => Part { source: Arc::clone(&train), places: held_out },
        };
        let [height, width] = train.size;
        let parts = [Part { source: train, places: kept }, validation, whole(test)];
        let info = DatasetInfo {
            name: "idx".into(),
            height,
            width,
            channels: 1,
            labels: vec![LabelInfo::new(CLASS, LabelKind::Class, &classes)],
            accounts: Arc::new(vec![account(folder, &parts, &classes)]),
            inputs: Vec::new(),
        };
        Ok(IdxClasses { parts, info })
    }

    /// Whether a folder holds an IDX file of images.
    pub(crate) fn is_in(folder: &Path) -> bool {
        entries(folder).iter().any(|path| matches!(kind(path), Some(Kind::Images(_))))
    }

    /// Whether one of Fashion-MNIST's files is there and holds images of another size.
    pub(crate) fn has_other_sizes(folder: &Path) -> bool {
        FILES
            .iter()
            .flat_map(|file| [folder.join(file), folder.join(format!("{file}.gz"))])
            .any(|path| matches!(kind(&path), Some(Kind::Images(size)) if size != [SIDE, SIDE]))
    }

    fn part(&self, split: Split) -> &Part {
        &self.parts[split as usize]
    }
}

impl Source {
    fn read(images: PathBuf, labels: PathBuf) -> Result<Source, DataError> {
        let classes = read_labels(&labels, MOST_CLASSES)?;
        let IdxImages { count, height, width, pixels } = read_images(&images)?;
        if count != classes.len() {
            let expected = format!("{} images, one for each label in {}", classes.len(), labels.display());
            return Err(wrong(&images, "number of images", expected, &count.to_string()));
        }
        if pixels.is_empty() {
            let found = format!("{count} of {height}x{width}");
            return Err(wrong(
                &images,
                "number of images",
                "at least one, of at least one pixel".into(),
                &found,
            ));
        }
        Ok(Source { pixels, labels: classes, size: [height, width], paths: [images, labels] })
    }

    /// The indices of all pictures except the last tenth of each class (rounded down), and the indices of that tenth.
    fn last_tenth(&self) -> (Vec<usize>, Vec<usize>) {
        let mut left = [0; MOST_CLASSES];
        self.labels.iter().for_each(|&label| left[usize::from(label)] += 1);
        let held_out = left.map(|count| count / 10);
        (0..self.labels.len()).partition(|&place| {
            let class = usize::from(self.labels[place]);
            left[class] -= 1;
            left[class] >= held_out[class]
        })
    }
}

/// The files of a folder that may be of this format by their extension; none if the folder cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = files::entries(folder).unwrap_or_default();
    // If a file is there both plain and compressed, it counts as one file.
    let plain = |path: &PathBuf| files::ending(path) != "gz" || !path.with_extension("").is_file();
    entries
        .into_iter()
        .filter(|path| !files::has_known_ending(path) && path.is_file() && plain(path))
        .collect()
}

/// For each split, its files of images and labels.
fn pairs(folder: &Path) -> Result<[Option<[PathBuf; 2]>; 3], DataError> {
    // A folder that cannot be read is an error, not a folder without files.
    files::entries(folder)?;
    // [split][images or labels]
    let mut found: [[Option<PathBuf>; 2]; 3] = Default::default();
    for path in entries(folder) {
        let Some(kind) = kind(&path) else { continue };
        let place = usize::from(kind == Kind::Labels);
        let slot = &mut found[part_of(&path)? as usize][place];
        if let Some(other) = slot.replace(path.clone()) {
            let expected = "one file of images and one of labels for each part".into();
            let found = format!("also {}", other.display());
            return Err(wrong(&path, "the file's name", expected, &found));
        }
    }
    let mut pairs: [Option<[PathBuf; 2]>; 3] = Default::default();
    for ((pair, found), split) in pairs.iter_mut().zip(found).zip(SPLITS) {
        *pair = match found {
            [Some(images), Some(labels)] => Some([images, labels]),
            [None, None] => None,
            [Some(alone), None] => {
                let expected = format!("a file of labels for it beside it, of the {} part", split.name());
                return Err(wrong(&alone, "the folder", expected, "none"));
            }
            [None, Some(alone)] => {
                let expected = format!("a file of images for it beside it, of the {} part", split.name());
                return Err(wrong(&alone, "the folder", expected, "none"));
            }
        };
    }
    Ok(pairs)
}

/// The part that a file's name says; training if it says none.
fn part_of(path: &Path) -> Result<Split, DataError> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    if name.contains("t10k") {
        return Ok(Split::Test);
    }
    let named = files::part_in(&name).map_err(|parts| {
        let parts: Vec<&str> = parts.iter().map(|part| part.name()).collect();
        wrong(path, "the file's name", "one part that it stands for".into(), &parts.join(" and "))
    })?;
    Ok(named.unwrap_or(Split::Train))
}

/// Names of classes from 0 to the largest label.
fn class_names<'a>(
    folder: &Path,
    sources: impl Iterator<Item = &'a Arc<Source>>,
) -> Result<Vec<String>, DataError> {
    let largest =
        sources.flat_map(|source| source.labels.iter()).max().map_or(0, |&label| usize::from(label));
    let path = folder.join(NAMES);
    if !path.is_file() {
        return Ok((0..=largest).map(|class| class.to_string()).collect());
    }
    let text = std::fs::read_to_string(&path).map_err(|source| DataError::Read {
        path: path.clone(),
        source,
        remedy: "save it as UTF-8 text, a name per line".into(),
    })?;
    let names: Vec<String> = text.trim_end().lines().map(|name| name.trim().to_string()).collect();
    if names.len() <= largest || names.len() > MOST_CLASSES || names.iter().any(String::is_empty) {
        let expected = format!("a name on each of {} lines, for the labels 0 to {largest}", largest + 1);
        return Err(wrong(&path, "the file", expected, &format!("{} lines", names.len())));
    }
    Ok(names)
}

/// The account of the folder: the parts and their classes, and a digest of every file.
fn account(folder: &Path, parts: &[Part; 3], classes: &[String]) -> Account {
    let mut findings = Findings::default();
    let mut account = Account {
        path: folder.display().to_string(),
        format: "IDX files".into(),
        found: parts.iter().map(|part| part.places.len()).sum(),
        used: parts.iter().map(|part| part.places.len()).sum(),
        ..Account::default()
    };
    for (part, split) in parts.iter().zip(SPLITS) {
        let mut counts = vec![0; classes.len()];
        part.places.iter().for_each(|&place| counts[usize::from(part.source.labels[place])] += 1);
        let classes =
            classes.iter().zip(counts).map(|(class, count)| ClassCount { class: class.clone(), count });
        let pictures = part.places.len();
        let label = LabelCount { label: CLASS.into(), pictures, empty: 0, classes: classes.collect() };
        let labels = if pictures > 0 { vec![label] } else { Vec::new() };
        account.parts.push(PartAccount { part: split.name().into(), pictures, labels });
        for (path, bytes) in part.source.paths.iter().zip([&part.source.pixels, &part.source.labels]) {
            let Some(name) = path.file_name() else { continue };
            let digest = format!("{:016x}", digest::fnv(bytes));
            let name = name.to_string_lossy().into_owned();
            account.pictures.push(Picture {
                name,
                part: split.name().into(),
                size: part.source.size,
                digest,
            });
        }
    }
    account.fingerprint = digest::of_pictures(&account.pictures);
    account.missing_classes(&Default::default(), &mut findings);
    account.findings = findings.list();
    account
}

fn wrong(path: &Path, place: &str, expected: String, found: &str) -> DataError {
    DataError::Malformed {
        path: path.into(),
        place: place.into(),
        expected,
        found: found.into(),
        remedy: "see the layout of IDX files in docs/data.md".into(),
    }
}

impl Dataset for IdxClasses {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        self.part(split).places.len()
    }

    fn sample(&self, split: Split, _epoch: u64, index: usize) -> Result<Sample, DataError> {
        let Part { source, places } = self.part(split);
        let Some(&place) = places.get(index) else {
            return Err(no_such_sample(&self.info, split, places.len(), index));
        };
        let [height, width] = source.size;
        let pixels = source.pixels[place * height * width..][..height * width].to_vec();
        Ok(Sample {
            image: Image { height, width, channels: 1, pixels: pixels.into() },
            class: Some(usize::from(source.labels[place])),
            objects: None,
            mask: None,
            more: BTreeMap::new(),
            inputs: BTreeMap::new(),
        })
    }
}
