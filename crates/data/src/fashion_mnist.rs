//! Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): gray pictures of garments, 28x28.
//!
//! It is read from a folder with the four official IDX files, or from the part
//! embedded in the binary: 1,000 training and 200 test garments of each class,
//! the first ones of the official files in their order, written by
//! `examples/embed_fashion_mnist.rs`. The licence of the pictures is beside
//! them in `assets/fashion-mnist/`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::DataError;
use crate::idx::{IdxImages, parse_images, parse_labels, read_images, read_labels};

/// Rows and columns of every picture.
pub(crate) const SIDE: usize = 28;

/// The class names, in the order of the label numbers.
pub const GARMENTS: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// The official file names, without the optional `.gz`: training images and
/// labels, test images and labels.
pub(crate) const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// Shortened versions of the same four files, in the binary.
static EMBEDDED: [&[u8]; 4] = [
    include_bytes!("../assets/fashion-mnist/train-images-idx3-ubyte.gz"),
    include_bytes!("../assets/fashion-mnist/train-labels-idx1-ubyte.gz"),
    include_bytes!("../assets/fashion-mnist/t10k-images-idx3-ubyte.gz"),
    include_bytes!("../assets/fashion-mnist/t10k-labels-idx1-ubyte.gz"),
];

/// Pictures of garments with their classes, in file order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garments {
    // There are as many pictures of 28x28 as labels, at least one; every label
    // is an index into `GARMENTS`. Only the readers below can make a
    // `Garments`.
    images: IdxImages,
    labels: Vec<u8>,
}

impl Garments {
    /// The class of each picture: an index into [`GARMENTS`].
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The number of garments.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no garments.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The 28x28 pixels of picture `index`, row after row.
    ///
    /// # Panics
    /// When there is no such picture.
    #[track_caller]
    pub fn pixels(&self, index: usize) -> &[u8] {
        &self.images.pixels[index * SIDE * SIDE..][..SIDE * SIDE]
    }

    fn join(images: IdxImages, labels: Vec<u8>, paths: [&Path; 2]) -> Result<Garments, DataError> {
        let wrong = |place: &str, expected: String, found: String| DataError::Malformed {
            path: paths[0].into(),
            place: place.into(),
            expected,
            found,
            remedy: "the two files must come from the same release of Fashion-MNIST; fetch both again".into(),
        };
        if (images.height, images.width) != (SIDE, SIDE) {
            let found = format!("{}x{}", images.height, images.width);
            return Err(wrong("size of the images", format!("{SIDE}x{SIDE}"), found));
        }
        if images.count != labels.len() {
            let expected = format!("{} images, one for each label in {}", labels.len(), paths[1].display());
            return Err(wrong("number of images", expected, images.count.to_string()));
        }
        if labels.is_empty() {
            return Err(wrong("number of images", "at least one".into(), "none".into()));
        }
        Ok(Garments { images, labels })
    }
}

/// The training and the test garments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FashionMnist {
    /// For training; some may be held out for validation.
    pub train: Garments,
    /// For testing.
    pub test: Garments,
}

impl FashionMnist {
    /// Reads the four official files of `folder`, each with or without `.gz`.
    ///
    /// # Errors
    /// [`DataError`] naming the file when one is missing, damaged, of another
    /// size than 28x28, or when images and labels disagree in number.
    pub fn from_folder(folder: &Path) -> Result<FashionMnist, DataError> {
        let [train_images, train_labels, test_images, test_labels] = FILES.map(|file| find(folder, file));
        let read = |images: PathBuf, labels: PathBuf| {
            let classes = read_labels(&labels, GARMENTS.len())?;
            Garments::join(read_images(&images)?, classes, [&images, &labels])
        };
        Ok(FashionMnist {
            train: read(train_images?, train_labels?)?,
            test: read(test_images?, test_labels?)?,
        })
    }

    /// The embedded part: 10,000 training and 2,000 test garments, unpacked at
    /// the first call.
    pub fn embedded() -> Arc<FashionMnist> {
        static UNPACKED: OnceLock<Arc<FashionMnist>> = OnceLock::new();
        let unpack = || Arc::new(unpack().expect("the embedded files were checked when they were made"));
        UNPACKED.get_or_init(unpack).clone()
    }

    /// Whether `folder` holds any of the official files.
    pub(crate) fn is_in(folder: &Path) -> bool {
        FILES.iter().any(|file| existing(folder, file).is_some())
    }
}

fn unpack() -> Result<FashionMnist, DataError> {
    let read = |at: usize| {
        let [images, labels] = [at, at + 1].map(|file| Path::new(FILES[file]));
        let classes = parse_labels(EMBEDDED[at + 1], labels, GARMENTS.len())?;
        Garments::join(parse_images(EMBEDDED[at], images)?, classes, [images, labels])
    };
    Ok(FashionMnist { train: read(0)?, test: read(2)? })
}

fn existing(folder: &Path, file: &str) -> Option<PathBuf> {
    [folder.join(file), folder.join(format!("{file}.gz"))].into_iter().find(|path| path.exists())
}

fn find(folder: &Path, file: &str) -> Result<PathBuf, DataError> {
    existing(folder, file).ok_or_else(|| DataError::Read {
        path: folder.join(file),
        source: std::io::Error::new(std::io::ErrorKind::NotFound, "no such file, with or without .gz"),
        remedy: format!("a Fashion-MNIST folder holds {}, each plain or gzip", FILES.join(", ")),
    })
}
