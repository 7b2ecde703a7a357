//! One image and its labels.
//!
//! Three kinds of label are so common that they have fields: the class of the image, its objects, its mask. Any number
//! of other labels are in `more` by name.
//!
//! A label that a data set does not have is `None`, which is different from an empty one: `objects: Some(vec![])` means
//! that the image shows no object, `objects: None` that nobody looked. Tasks skip missing labels.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

use crate::Input;

/// A class id in a mask, and in the targets of losses: wide enough for any set of classes.
pub type ClassId = u16;

/// The mask value of ignored pixels, which losses and metrics skip.
pub const IGNORED: ClassId = ClassId::MAX;

/// The most classes of a label: as many as masks can hold beside the background and [`IGNORED`].
pub const MOST_CLASSES: usize = IGNORED as usize - 1;

/// The values of an [`Image`]: bytes, as pictures have them, or floats, used unchanged.
///
/// Dereferences to the bytes, for code that works on pictures alone.
///
/// # Panics
/// When floats are dereferenced.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// 0 to 255; normalised when they enter a batch, see [`normalise`](crate::normalise).
    Bytes(Vec<u8>),
    /// Numbers of the user's own; they enter a batch unchanged.
    Floats(Vec<f32>),
}

impl Pixels {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(values) => values.len(),
            Self::Floats(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Vec<u8>> for Pixels {
    fn from(values: Vec<u8>) -> Self {
        Self::Bytes(values)
    }
}

impl From<Vec<f32>> for Pixels {
    fn from(values: Vec<f32>) -> Self {
        Self::Floats(values)
    }
}

impl Deref for Pixels {
    type Target = [u8];

    #[track_caller]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Bytes(values) => values,
            Self::Floats(_) => panic!("{FLOATS}"),
        }
    }
}

impl DerefMut for Pixels {
    #[track_caller]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Bytes(values) => values,
            Self::Floats(_) => panic!("{FLOATS}"),
        }
    }
}

const FLOATS: &str = "the image holds floats, where a picture of bytes is needed";

/// A picture, [missing](Self::missing) by default; pixel (y, x) has its channels at `(y * width + x) * channels`.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values per pixel: 1 for gray, 3 for red, green, blue.
    pub channels: usize,
    /// `[height, width, channels]`, row after row.
    pub pixels: Pixels,
}

impl Default for Image {
    fn default() -> Self {
        Self::missing()
    }
}

impl Image {
    /// What stands for the picture of a sample without one: no rows, columns or channels.
    pub fn missing() -> Self {
        Self { height: 0, width: 0, channels: 0, pixels: Pixels::Bytes(Vec::new()) }
    }

    /// Whether it is a [missing](Self::missing) one.
    pub fn is_missing(&self) -> bool {
        self.channels == 0
    }

    /// The image as bytes: unchanged if it has bytes; floats are scaled so that the smallest becomes 0 and the largest
    /// 255.
    pub fn to_picture(&self) -> Image {
        let Pixels::Floats(values) = &self.pixels else { return self.clone() };
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let (low, high) = finite().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(v), high.max(v)));
        let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
        // The cast saturates infinities, and NaN becomes 0.
        let bytes: Vec<u8> = values.iter().map(|value| ((value - low) * scale + 0.5) as u8).collect();
        Image { pixels: bytes.into(), ..*self }
    }
}

/// An object in an image: its class and its box.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Index into the class names of its label.
    pub class: usize,
    /// x1, y1, x2, y2 in pixels; the right and bottom edges are exclusive.
    pub bbox: [f32; 4],
    /// A box around a crowd whose members were not labelled: it is not a target, and detections inside it are neither
    /// right nor wrong.
    pub crowd: bool,
    /// Area in square pixels, by which metrics sort objects into small and large: the area of its mask if that is
    /// known, else of the box.
    pub area: f32,
}

impl Object {
    /// A single object whose area is that of its box.
    pub fn new(class: usize, bbox: [f32; 4]) -> Object {
        let area = (bbox[2] - bbox[0]) * (bbox[3] - bbox[1]);
        Object { class, bbox, crowd: false, area }
    }
}

/// A number for every pixel, such as a depth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueMap {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width]`; a value that is not finite is unknown.
    pub values: Vec<f32>,
}

/// A label of any kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Label {
    /// One class for the whole image.
    Class(usize),
    /// The share of the image that each class has, from 0 to 1, with sum 1; classes past the end have share 0. A label
    /// of kind [`Class`](crate::LabelKind::Class) takes this form in mixed samples. The shares for the field
    /// [`Sample::class`] are then in [`Sample::more`] under its name, [`CLASS`](crate::CLASS), and the field holds the
    /// class with the largest share.
    Shares(Vec<f32>),
    /// For each class, whether it is there.
    Classes(Vec<bool>),
    /// Numbers for the whole image; one that is not finite is unknown.
    Values(Vec<f32>),
    /// A number for every pixel.
    ValueMap(ValueMap),
    /// Objects and their boxes.
    Objects(Vec<Object>),
    /// A class for every pixel.
    Mask(Mask),
}

impl Label {
    /// The class of the whole image, or the class with the largest share.
    pub fn class(&self) -> Option<usize> {
        match self {
            Self::Class(class) => Some(*class),
            Self::Shares(shares) => largest_share(shares),
            _ => None,
        }
    }
}

/// The class with the largest share; of equal ones, the first.
pub(crate) fn largest_share(shares: &[f32]) -> Option<usize> {
    (0..shares.len()).reduce(|best, class| if shares[class] > shares[best] { class } else { best })
}

/// A class for every pixel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width]`: 0 is background, `c + 1` is class `c` of the data
    /// set, [`IGNORED`] is neither right nor wrong.
    pub classes: Vec<ClassId>,
}

/// An image and its labels, and if the data set has them, other inputs. The default has neither.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The picture; [missing](Image::missing) if the sample has none.
    pub image: Image,
    /// The class of the whole image.
    pub class: Option<usize>,
    /// The objects in it.
    pub objects: Option<Vec<Object>>,
    /// The class of each pixel.
    pub mask: Option<Mask>,
    /// The other labels by name; a missing label is not in the map.
    pub more: BTreeMap<String, Label>,
    /// The other inputs by name; a missing input is not in the map.
    pub inputs: BTreeMap<String, Input>,
}
