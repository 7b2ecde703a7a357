//! One image and its labels.
//!
//! A label that a data set does not have is `None`, which is not the same as an
//! empty one: `objects: Some(vec![])` says that the image shows no object,
//! `objects: None` that nobody looked. Tasks skip what is missing.

/// The mask value that says "do not judge this pixel".
pub const IGNORED: u8 = 255;

/// An 8-bit picture; pixel (y, x) has its channels at `(y * width + x) * channels`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values per pixel: 1 for gray, 3 for red, green, blue.
    pub channels: usize,
    /// `[height, width, channels]`, row after row.
    pub pixels: Vec<u8>,
}

/// A thing in an image: what it is and where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// Index into the data set's class names.
    pub class: usize,
    /// x1, y1, x2, y2 in pixels; the right and bottom edges are exclusive.
    pub bbox: [f32; 4],
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
    pub classes: Vec<u8>,
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
}
