//! Pictures from files and back: PNG and JPEG in, PNG out.
//!
//! What a file holds is seen from its content, not from its name. Pixels always
//! arrive as 8-bit RGB, upright: gray and transparency are converted, and the
//! turn that a camera noted beside the pixels (EXIF) is carried out.

use std::io::{self, Cursor};
use std::path::Path;

use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageReader};

use crate::{DataError, Image};

const REMEDY: &str = "give a PNG or JPEG picture; convert others, and fetch damaged ones again";

impl Image {
    /// Reads a PNG or JPEG file as three channels.
    ///
    /// # Errors
    /// [`DataError::Read`] naming the file when it is missing, damaged, too
    /// large to decode in 512 MB, or of another format.
    pub fn read(path: &Path) -> Result<Image, DataError> {
        decode(path).map_err(|source| DataError::Read { path: path.into(), source, remedy: REMEDY.into() })
    }

    /// The picture as the bytes of a PNG file.
    ///
    /// # Errors
    /// [`DataError::Option`] when it has another number of channels than 1 or 3,
    /// no pixels, or not as many values as its size says.
    pub fn to_png(&self) -> Result<Vec<u8>, DataError> {
        let refuse = |remedy: String| DataError::Option {
            option: "picture to write",
            value: format!("{}x{}x{}", self.height, self.width, self.channels),
            remedy,
        };
        let colour = match self.channels {
            1 => ExtendedColorType::L8,
            3 => ExtendedColorType::Rgb8,
            _ => return Err(refuse("a PNG file takes 1 or 3 channels".into())),
        };
        let values = self.height.saturating_mul(self.width).saturating_mul(self.channels);
        let (Ok(width), Ok(height)) = (u32::try_from(self.width), u32::try_from(self.height)) else {
            return Err(refuse("a PNG file has at most 2^32 - 1 rows and columns".into()));
        };
        if values == 0 || self.pixels.len() != values {
            let held = self.pixels.len();
            return Err(refuse(format!("it must hold {values} values, more than none; it holds {held}")));
        }
        let mut bytes = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        let written = encoder.write_image(&self.pixels, width, height, colour);
        written.map_err(|error| refuse(error.to_string()))?;
        Ok(bytes)
    }

    /// The picture at another size, smoothly (a triangle filter, widened when
    /// it shrinks).
    ///
    /// # Panics
    /// When a side is 0, the channels are not 3, or the picture does not hold
    /// as many values as its size says.
    #[track_caller]
    pub fn resized(&self, height: usize, width: usize) -> Image {
        let rgb = u32::try_from(self.width)
            .ok()
            .zip(u32::try_from(self.height).ok())
            .filter(|_| self.channels == 3 && height > 0 && width > 0)
            .and_then(|(w, h)| image::RgbImage::from_raw(w, h, self.pixels.clone()));
        let Some(rgb) = rgb else {
            panic!(
                "resized: from {}x{}x{} with {} values to {height}x{width}; sides must be positive and the \
                 picture whole, with 3 channels",
                self.height,
                self.width,
                self.channels,
                self.pixels.len()
            );
        };
        let filter = image::imageops::FilterType::Triangle;
        let resized = image::imageops::resize(&rgb, width as u32, height as u32, filter);
        Image { height, width, channels: 3, pixels: resized.into_raw() }
    }
}

fn decode(path: &Path) -> io::Result<Image> {
    let invalid = |error: image::ImageError| io::Error::new(io::ErrorKind::InvalidData, error);
    let bytes = std::fs::read(path)?;
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut decoder = reader.into_decoder().map_err(invalid)?;
    let turn = decoder.orientation().map_err(invalid)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(invalid)?;
    picture.apply_orientation(turn);
    let rgb = picture.into_rgb8();
    let (height, width) = (rgb.height() as usize, rgb.width() as usize);
    Ok(Image { height, width, channels: 3, pixels: rgb.into_raw() })
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn a_picture_survives_the_way_through_a_png_file() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("named.jpg");
        let pixels = (0..5 * 4 * 3).map(|value| value as u8 * 4).collect();
        let picture = Image { height: 5, width: 4, channels: 3, pixels };
        std::fs::write(&path, picture.to_png().unwrap()).unwrap();
        assert_eq!(Image::read(&path).unwrap(), picture);
        let gray = Image { height: 2, width: 1, channels: 1, pixels: vec![7, 200] };
        std::fs::write(&path, gray.to_png().unwrap()).unwrap();
        assert_eq!(Image::read(&path).unwrap().pixels, [7, 7, 7, 200, 200, 200]);
    }

    #[test]
    fn damaged_pictures_and_other_formats_are_errors_that_name_the_file() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("picture.png");
        let whole = Image { height: 9, width: 9, channels: 3, pixels: vec![90; 243] }.to_png().unwrap();
        let wrong = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let message = Image::read(&path).unwrap_err().to_string();
            assert!(message.contains("picture.png") && message.contains("PNG or JPEG"), "{message}");
        };
        for end in 0..whole.len() - 12 {
            wrong(&whole[..end]);
        }
        wrong(b"GIF89a\x01\x00\x01\x00\x00\x00\x00;");
        assert!(Image::read(Path::new("absent.png")).unwrap_err().to_string().contains("absent.png"));
    }

    #[test]
    fn a_picture_that_is_not_whole_is_not_written() {
        for (channels, values) in [(3, 11), (2, 8), (3, 0)] {
            let picture = Image { height: 2, width: 2, channels, pixels: vec![0; values] };
            assert!(picture.to_png().is_err());
        }
    }

    #[test]
    fn resizing_keeps_a_plain_picture_plain() {
        let picture = Image { height: 7, width: 5, channels: 3, pixels: [10, 20, 30].repeat(35) };
        let resized = picture.resized(3, 8);
        assert_eq!((resized.height, resized.width, resized.pixels), (3, 8, [10, 20, 30].repeat(24)));
    }
}
