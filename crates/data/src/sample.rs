//! One image and its labels.
//!
//! Three kinds of label are so common that they have fields: the class of the
//! image, its objects, its mask. Any number of others stand in `more` by name.
//!
//! A label that a data set does not have is `None`, which is not the same as an
//! empty one: `objects: Some(vec![])` says that the image shows no object,
//! `objects: None` that nobody looked. Tasks skip what is missing.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

/// A class id in a mask, and in the targets of losses: wide enough for any set of classes.
pub type ClassId = u16;

/// The mask value that says "do not judge this pixel".
pub const IGNORED: ClassId = ClassId::MAX;

/// The most classes that a label can have: as many as masks can tell apart beside the background and [`IGNORED`].
pub const MOST_CLASSES: usize = IGNORED as usize - 1;

/// The values of an [`Image`]: bytes, as pictures have them, or floats, taken as they are.
///
/// Dereferences to the bytes, for all that works on pictures alone.
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
    /// How many values there are.
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

/// A picture; pixel (y, x) has its channels at `(y * width + x) * channels`.
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

impl Image {
    /// The image as a picture of bytes: itself, or its floats with the smallest as 0 and the
    /// largest as 255.
    pub fn to_picture(&self) -> Image {
        let Pixels::Floats(values) = &self.pixels else { return self.clone() };
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let (low, high) = finite().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(v), high.max(v)));
        let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
        // Infinities and NaN are saturated by the cast.
        let bytes: Vec<u8> = values.iter().map(|value| ((value - low) * scale + 0.5) as u8).collect();
        Image { pixels: bytes.into(), ..*self }
    }
}

/// A thing in an image: what it is and where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Index into the class names of its label.
    pub class: usize,
    /// x1, y1, x2, y2 in pixels; the right and bottom edges are exclusive.
    pub bbox: [f32; 4],
    /// A box around a crowd whose members were not labelled: not something to find,
    /// and detections inside it are neither right nor wrong.
    pub crowd: bool,
    /// Area in square pixels by which scores sort it into small and large: of
    /// its mask where that is known, else of the box.
    pub area: f32,
}

impl Object {
    /// A single thing whose area is that of its box.
    pub fn new(class: usize, bbox: [f32; 4]) -> Object {
        let area = (bbox[2] - bbox[0]) * (bbox[3] - bbox[1]);
        Object { class, bbox, crowd: false, area }
    }
}

/// A number for every pixel, such as a depth.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueMap {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width]`; a value that is not finite is unknown.
    pub values: Vec<f32>,
}

/// A label of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Label {
    /// One class for the whole image.
    Class(usize),
    /// How much of the image each class is, from 0 to 1 and 1 in all; classes past the end have no share. A label of kind
    /// [`Class`](crate::LabelKind::Class) takes this form where samples were mixed; that of the field [`Sample::class`]
    /// then stands in [`Sample::more`] under its name, [`CLASS`](crate::CLASS), and the field holds the class with the
    /// largest share.
    Shares(Vec<f32>),
    /// For each class whether it is there.
    Classes(Vec<bool>),
    /// Numbers for the whole image; one that is not finite is unknown.
    Values(Vec<f32>),
    /// A number for every pixel.
    ValueMap(ValueMap),
    /// Things and where they are.
    Objects(Vec<Object>),
    /// A class for every pixel.
    Mask(Mask),
}

impl Label {
    /// The class of the whole image, or that with the largest share of it.
    pub fn class(&self) -> Option<usize> {
        match self {
            Self::Class(class) => Some(*class),
            Self::Shares(shares) => largest_share(shares),
            _ => None,
        }
    }
}

/// The class with the largest share, the first of equal ones.
pub(crate) fn largest_share(shares: &[f32]) -> Option<usize> {
    (0..shares.len()).reduce(|best, class| if shares[class] > shares[best] { class } else { best })
}

/// A class for every pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width]`: 0 is background, `c + 1` is class `c` of the data
    /// set, [`IGNORED`] is neither right nor wrong.
    pub classes: Vec<ClassId>,
}

/// An image and whatever is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The picture.
    pub image: Image,
    /// The class of the whole image.
    pub class: Option<usize>,
    /// The things to be seen in it.
    pub objects: Option<Vec<Object>>,
    /// What each pixel belongs to.
    pub mask: Option<Mask>,
    /// Further labels by name; one that is missing is not in the map.
    pub more: BTreeMap<String, Label>,
}
