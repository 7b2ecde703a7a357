//! Draws images with their labels: class, boxes and mask, true or predicted.
//!
//! - [`overlay`]: one image with its annotations;
//! - [`side_by_side`]: input, truth and prediction in a row;
//! - [`gallery`]: rows under each other;
//! - [`heat_overlay`]: numbers for every pixel over an image, in the colours of a [`HeatScale`];
//! - [`encode_png`], [`encode_jpeg`]: the bytes of a file.
//!
//! Small images are enlarged. If a mask is drawn, the photograph is turned gray, so that colour only means class: box,
//! tag, mask and legend of a class have the same colour ([`class_color`]).
#![forbid(unsafe_code)]

mod canvas;
mod fonts;
mod heat;
mod ink;
mod layout;
mod palette;
mod panel;
mod text;

pub use heat::{HeatScale, heat_overlay};
pub use layout::{gallery, overlay, side_by_side, strip};
pub use palette::class_color;

use cerberus_data::Image;
use cerberus_metrics::IGNORED_CLASS;
pub use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::error::{ParameterError, ParameterErrorKind};
use image::{GrayImage, ImageBuffer, ImageError, ImageFormat};
use std::io::Cursor;

/// What is drawn over an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotated {
    /// Title above the picture, such as "Sneaker 0.93". May be empty. It may be in any script, including right-to-left
    /// ones; a letter that no font has is drawn as a box, and control characters as spaces.
    pub title: String,
    /// `Some(true)` adds a green tick to the title, `Some(false)` a red cross.
    pub title_correct: Option<bool>,
    /// Height, width and the class of each pixel, row by row: 0 is background, c > 0 is `class_names[c - 1]`,
    /// [`IGNORED_CLASS`] is ignored (hatched). It covers the whole image, at whatever resolution.
    pub mask: Option<(usize, usize, Vec<u16>)>,
    /// Boxes with their tags.
    pub boxes: Vec<DrawnBox>,
}

/// A box to draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DrawnBox {
    /// Index into the class names.
    pub class: usize,
    /// `x1, y1, x2, y2` in pixels of the image before enlargement. A box that is not finite is not drawn.
    pub bbox: [f32; 4],
    /// Shown after the class name in the tag, with two decimals.
    pub score: Option<f32>,
}

/// A scale that makes an image easy to look at: about 320 pixels for the longer side, at most 8 times, and never less
/// than 1.
pub fn comfortable_scale(width: u32, height: u32) -> u32 {
    (320 / width.max(height).max(1)).clamp(1, 8)
}

/// Encodes the image as a PNG file.
///
/// # Errors
/// The encoder's error.
pub fn encode_png(image: &RgbImage) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// Encodes the image as a JPEG file, a few times smaller than a PNG file of a photograph: for pages, where exact pixel
/// values do not matter.
///
/// # Errors
/// The encoder's error.
pub fn encode_jpeg(image: &RgbImage) -> Result<Vec<u8>, ImageError> {
    /// High enough for small text.
    const QUALITY: u8 = 85;
    let mut bytes = Vec::new();
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))?;
    Ok(bytes)
}

/// Encodes a class mask `[height, width]` as a gray PNG of another size, for other programs to read: the pixels are
/// class ids, each the nearest id of the mask. The PNG has 8 bits per pixel if the ids fit, with 255 for ignored
/// pixels, otherwise 16.
///
/// # Errors
/// The encoder's error, or an error if the mask does not hold `height * width` ids.
pub fn encode_mask(mask: &[u16], [height, width]: [usize; 2], size: [u32; 2]) -> Result<Vec<u8>, ImageError> {
    let unfit = || ImageError::Parameter(ParameterError::from_kind(ParameterErrorKind::DimensionMismatch));
    if mask.len() != height * width || mask.is_empty() {
        return Err(unfit());
    }
    let at = |x: u32, y: u32| {
        let nearest = |place: u32, of: u32, from: usize| place as usize * from / of as usize;
        mask[nearest(y, size[0], height) * width + nearest(x, size[1], width)]
    };
    let mut bytes = Cursor::new(Vec::new());
    if mask.iter().all(|&id| id < 255 || id == IGNORED_CLASS) {
        let id = |x, y| u8::try_from(at(x, y)).unwrap_or(255);
        GrayImage::from_fn(size[1], size[0], |x, y| image::Luma([id(x, y)]))
            .write_to(&mut bytes, ImageFormat::Png)?;
    } else {
        let ids: ImageBuffer<image::Luma<u16>, Vec<u16>> =
            ImageBuffer::from_fn(size[1], size[0], |x, y| image::Luma([at(x, y)]));
        ids.write_to(&mut bytes, ImageFormat::Png)?;
    }
    Ok(bytes.into_inner())
}

/// Draws a class mask `[height, width]` at another size in the colours of [`class_color`]; the background (0) and
/// ignored pixels are black.
pub fn colour_mask(mask: &[u16], [height, width]: [usize; 2], [rows, columns]: [usize; 2]) -> RgbImage {
    RgbImage::from_fn(columns as u32, rows as u32, |x, y| {
        let (y, x) = (y as usize * height / rows.max(1), x as usize * width / columns.max(1));
        match mask.get(y * width + x) {
            Some(&class) if class != 0 && class != IGNORED_CLASS => class_color(usize::from(class) - 1),
            _ => image::Rgb([0; 3]),
        }
    })
}

/// Converts an image of a data set for the drawing functions; gray becomes equal red, green and blue, and floats are
/// stretched to the range of bytes.
///
/// # Panics
/// If the image holds fewer values than its size says.
pub fn to_rgb(image: &Image) -> RgbImage {
    let image = image.to_picture();
    RgbImage::from_fn(image.width as u32, image.height as u32, |x, y| {
        let place = (y as usize * image.width + x as usize) * image.channels;
        let channel = |c: usize| image.pixels[place + c.min(image.channels - 1)];
        image::Rgb([channel(0), channel(1), channel(2)])
    })
}

/// The name of a class, or "class 7" if the list has none.
fn class_name(class_names: &[String], class: usize) -> String {
    class_names.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
}

#[cfg(test)]
mod tests;
