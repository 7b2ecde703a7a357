//! CIFAR-10 (Krizhevsky 2009): 32x32 colour photographs in ten classes, from
//! the official binary batches.
//!
//! A batch is a sequence of records of 3,073 bytes: the class, then the red,
//! the green and the blue plane. The planes are interleaved once, when the file
//! is read, so that making a sample is one copy.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::dataset::{CLASS, LabelInfo, LabelKind, no_such_sample};
use crate::{DataError, Dataset, DatasetInfo, Image, Sample, Split};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const PIXELS: usize = PLANE * 3;
const RECORD: usize = 1 + PIXELS;
/// Records in an official batch.
const BATCH: usize = 10_000;
/// Training images held out by [`Cifar10::with_validation`].
const HELD_OUT: usize = 5_000;
const TRAIN_FILES: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST_FILE: &str = "test_batch.bin";
/// The folder inside the official archive.
const ARCHIVE_FOLDER: &str = "cifar-10-batches-bin";
const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// CIFAR-10 in memory (180 MB): 50,000 training and 10,000 test images, and no
/// validation split unless [`with_validation`](Cifar10::with_validation) makes
/// one. Samples have a class and nothing else, and are the same in every epoch.
pub struct Cifar10 {
    train: Records,
    test: Records,
    // The number of training images, the last ones, that form the validation
    // split.
    held_out: usize,
    info: DatasetInfo,
}

#[derive(Default)]
struct Records {
    labels: Vec<u8>,
    // [len, SIDE, SIDE, 3]
    pixels: Vec<u8>,
}

impl Cifar10 {
    /// Reads `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin` from
    /// `folder`, or from `cifar-10-batches-bin` in it, as the official archive
    /// unpacks.
    ///
    /// # Errors
    /// [`DataError`] naming the file when one is missing, is not a whole number
    /// of records, is longer than an official batch, or holds a label above 9.
    pub fn from_folder(folder: &Path) -> Result<Cifar10, DataError> {
        let folder = Cifar10::find(folder).unwrap_or_else(|| folder.into());
        let mut train = Records::default();
        for file in TRAIN_FILES {
            train.read(&folder.join(file))?;
        }
        let mut test = Records::default();
        test.read(&folder.join(TEST_FILE))?;
        let info = DatasetInfo {
            name: "cifar10".into(),
            height: SIDE,
            width: SIDE,
            channels: 3,
            labels: vec![LabelInfo::new(CLASS, LabelKind::Class, &CLASSES.map(String::from))],
            accounts: Default::default(),
            inputs: Vec::new(),
        };
        Ok(Cifar10 { train, test, held_out: 0, info })
    }

    /// Moves the last 5,000 training images into a validation split (with
    /// fewer than 10,000 training images, the last half).
    pub fn with_validation(mut self) -> Cifar10 {
        self.held_out = HELD_OUT.min(self.train.labels.len() / 2);
        self
    }

    /// The folder that holds the batches: `folder` itself, or the archive's
    /// folder inside it.
    pub(crate) fn find(folder: &Path) -> Option<PathBuf> {
        let holds_batch =
            |folder: &PathBuf| TRAIN_FILES.iter().chain([&TEST_FILE]).any(|file| folder.join(file).exists());
        [folder.to_path_buf(), folder.join(ARCHIVE_FOLDER)].into_iter().find(holds_batch)
    }
}

impl Records {
    fn read(&mut self, path: &Path) -> Result<(), DataError> {
        let malformed = |place: String, expected: &str, found: String| DataError::Malformed {
            path: path.into(),
            place,
            expected: expected.into(),
            found,
            remedy: "unpack the binary version of CIFAR-10 again".into(),
        };
        // A whole batch and one more byte: enough to detect a file that is too
        // long.
        let mut bytes = Vec::with_capacity(BATCH * RECORD + 1);
        File::open(path)
            .and_then(|file| file.take((BATCH * RECORD + 1) as u64).read_to_end(&mut bytes))
            .map_err(|source| unreadable(path, source))?;
        if bytes.len() > BATCH * RECORD {
            let expected = "at most 10000 records of 3073 bytes";
            return Err(malformed("length".into(), expected, "more".into()));
        }
        if bytes.is_empty() || bytes.len() % RECORD != 0 {
            let expected = "a whole number of records of 3073 bytes";
            return Err(malformed("length".into(), expected, format!("{} bytes", bytes.len())));
        }
        self.labels.reserve(bytes.len() / RECORD);
        self.pixels.reserve(bytes.len() / RECORD * PIXELS);
        for (number, record) in bytes.chunks_exact(RECORD).enumerate() {
            let (label, planes) = (record[0], &record[1..]);
            if usize::from(label) >= CLASSES.len() {
                return Err(malformed(format!("label of record {number}"), "0 to 9", label.to_string()));
            }
            self.labels.push(label);
            let (red, rest) = planes.split_at(PLANE);
            let (green, blue) = rest.split_at(PLANE);
            self.pixels.extend(red.iter().zip(green).zip(blue).flat_map(|((&r, &g), &b)| [r, g, b]));
        }
        Ok(())
    }
}

fn unreadable(path: &Path, source: io::Error) -> DataError {
    let remedy = format!(
        "the folder must hold {}, {TEST_FILE} of the binary version of CIFAR-10 (not the Python one)",
        TRAIN_FILES.join(", ")
    );
    DataError::Read { path: path.into(), source, remedy }
}

impl Dataset for Cifar10 {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        match split {
            Split::Train => self.train.labels.len() - self.held_out,
            Split::Validation => self.held_out,
            Split::Test => self.test.labels.len(),
        }
    }

    fn sample(&self, split: Split, _epoch: u64, index: usize) -> Result<Sample, DataError> {
        let len = self.len(split);
        if index >= len {
            return Err(no_such_sample(&self.info, split, len, index));
        }
        let (records, at) = match split {
            Split::Train => (&self.train, index),
            Split::Validation => (&self.train, self.len(Split::Train) + index),
            Split::Test => (&self.test, index),
        };
        let pixels = records.pixels[at * PIXELS..][..PIXELS].to_vec();
        Ok(Sample {
            image: Image { height: SIDE, width: SIDE, channels: 3, pixels: pixels.into() },
            class: Some(usize::from(records.labels[at])),
            objects: None,
            mask: None,
            more: BTreeMap::new(),
            inputs: BTreeMap::new(),
        })
    }
}
