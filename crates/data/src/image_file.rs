//! Pictures from files and back: PNG, JPEG and GIF in, PNG out.
//!
//! What a file holds is seen from its content, not from its name: data sets
//! have `.jpg` files that are PNG or GIF inside. Pixels always arrive as 8-bit
//! RGB, upright: gray, CMYK and transparency are converted, of a GIF its first
//! picture is taken, and the turn that a camera noted beside the pixels (EXIF)
//! is carried out; unless annotations were made on the picture as it is stored,
//! which shows in its size.

use std::io::{self, Cursor};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageFormat, ImageReader};

use crate::{DataError, Image};

const REMEDY: &str = "give a PNG or JPEG picture (or GIF); convert others, and fetch damaged ones again";

impl Image {
    /// Reads a PNG, JPEG or GIF file as three channels.
    ///
    /// # Errors
    /// [`DataError::Read`] naming the file when it is missing, damaged, too
    /// large to decode in 512 MB, or of another format.
    pub fn read(path: &Path) -> Result<Image, DataError> {
        decode(path, None).map_err(|source| unreadable(path, source))
    }

    /// Reads a picture that was annotated as one of `size` rows and columns:
    /// upright if it has that size upright, else as it is stored.
    ///
    /// # Errors
    /// As [`Image::read`], and [`DataError::Malformed`] when the picture has
    /// another size.
    pub fn read_as_annotated(path: &Path, size: [usize; 2]) -> Result<Image, DataError> {
        let image = decode(path, Some(size)).map_err(|source| unreadable(path, source))?;
        fits(path, size, [image.height, image.width])?;
        Ok(image)
    }

    /// Checks from its header that a picture is one of `size` rows and columns,
    /// upright or as it is stored.
    ///
    /// # Errors
    /// As [`Image::read_as_annotated`].
    pub(crate) fn check(path: &Path, size: [usize; 2]) -> Result<(), DataError> {
        let (stored, upright) = header(path).map_err(|source| unreadable(path, source))?;
        if stored == size { Ok(()) } else { fits(path, size, upright) }
    }

    /// Rows and columns of a picture, upright, from its header.
    ///
    /// # Errors
    /// As [`Image::read`].
    pub(crate) fn upright_size(path: &Path) -> Result<[usize; 2], DataError> {
        header(path).map(|(_, upright)| upright).map_err(|source| unreadable(path, source))
    }

    /// A gray or paletted PNG as the numbers it holds, with its rows and
    /// columns: masks keep class ids there.
    ///
    /// # Errors
    /// As [`Image::read`], and when the file has colours.
    pub(crate) fn read_ids(path: &Path) -> Result<(Vec<u8>, [usize; 2]), DataError> {
        let picture = picture(path, None).map_err(|source| unreadable(path, source))?;
        let size = [picture.height() as usize, picture.width() as usize];
        match picture {
            DynamicImage::ImageLuma8(ids) => Ok((ids.into_raw(), size)),
            other => Err(DataError::Malformed {
                path: path.into(),
                place: "header".into(),
                expected: "an 8-bit gray PNG that holds class ids".into(),
                found: format!("{:?}", other.color()),
                remedy: "write the mask as 8-bit gray".into(),
            }),
        }
    }

    /// The rectangle of `width` x `height` pixels whose top left corner is (x, y).
    ///
    /// # Panics
    /// When it does not lie in the picture.
    #[track_caller]
    pub fn cut(&self, x: usize, y: usize, width: usize, height: usize) -> Image {
        assert!(
            x + width <= self.width && y + height <= self.height,
            "cut: {width}x{height} pixels at ({x}, {y}) do not lie in a picture of {}x{}",
            self.width,
            self.height
        );
        let mut pixels = Vec::with_capacity(height * width * self.channels);
        for row in y..y + height {
            let start = (row * self.width + x) * self.channels;
            pixels.extend_from_slice(&self.pixels[start..start + width * self.channels]);
        }
        Image { height, width, channels: self.channels, pixels: pixels.into() }
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
            .and_then(|(w, h)| image::RgbImage::from_raw(w, h, self.pixels.to_vec()));
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
        Image { height, width, channels: 3, pixels: resized.into_raw().into() }
    }
}

fn unreadable(path: &Path, source: io::Error) -> DataError {
    DataError::Read { path: path.into(), source, remedy: REMEDY.into() }
}

fn fits(path: &Path, wanted: [usize; 2], found: [usize; 2]) -> Result<(), DataError> {
    if wanted == found {
        return Ok(());
    }
    Err(DataError::Malformed {
        path: path.into(),
        place: "header".into(),
        expected: format!("{}x{} pixels, as the annotations say", wanted[1], wanted[0]),
        found: format!("{}x{}", found[1], found[0]),
        remedy: "fetch the picture again, or mend its entry in the annotations".into(),
    })
}

fn invalid(error: image::ImageError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Rows and columns of a picture as it is stored, and upright.
fn header(path: &Path) -> io::Result<([usize; 2], [usize; 2])> {
    let reader = ImageReader::open(path)?.with_guessed_format()?;
    let mut decoder = reader.into_decoder().map_err(invalid)?;
    let (width, height) = decoder.dimensions();
    let stored = [height as usize, width as usize];
    let turn = decoder.orientation().map_err(invalid)?;
    Ok((stored, if swaps_sides(turn) { [stored[1], stored[0]] } else { stored }))
}

fn swaps_sides(turn: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(turn, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// A picture, upright unless it has the `annotated` size only as it is stored.
fn picture(path: &Path, annotated: Option<[usize; 2]>) -> io::Result<DynamicImage> {
    let bytes = std::fs::read(path)?;
    let is_whole = jpeg_has_end(&bytes);
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    if reader.format() == Some(ImageFormat::Jpeg) && !is_whole {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the JPEG breaks off before its end"));
    }
    let mut decoder = reader.into_decoder().map_err(invalid)?;
    let turn = decoder.orientation().map_err(invalid)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(invalid)?;
    let stored = [picture.height() as usize, picture.width() as usize];
    let as_stored = swaps_sides(turn) && stored[0] != stored[1] && annotated == Some(stored);
    if !as_stored {
        picture.apply_orientation(turn);
    }
    Ok(picture)
}

/// Whether an end marker follows the last scan of a JPEG; the decoder does not mind if the rest is cut off. Inside
/// a scan the bytes of a marker do not occur.
fn jpeg_has_end(bytes: &[u8]) -> bool {
    let scan = bytes.windows(2).rposition(|pair| pair == [0xFF, 0xDA]);
    scan.is_some_and(|scan| bytes[scan..].windows(2).any(|pair| pair == [0xFF, 0xD9]))
}

fn decode(path: &Path, annotated: Option<[usize; 2]>) -> io::Result<Image> {
    let rgb = picture(path, annotated)?.into_rgb8();
    let (height, width) = (rgb.height() as usize, rgb.width() as usize);
    Ok(Image { height, width, channels: 3, pixels: rgb.into_raw().into() })
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn a_picture_survives_the_way_through_a_png_file() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("named.jpg");
        let pixels: Vec<u8> = (0..5 * 4 * 3).map(|value| value as u8 * 4).collect();
        let picture = Image { height: 5, width: 4, channels: 3, pixels: pixels.into() };
        std::fs::write(&path, picture.to_png().unwrap()).unwrap();
        assert_eq!(Image::read(&path).unwrap(), picture);
        let gray = Image { height: 2, width: 1, channels: 1, pixels: vec![7u8, 200].into() };
        std::fs::write(&path, gray.to_png().unwrap()).unwrap();
        assert_eq!(Image::read(&path).unwrap().pixels[..], [7, 7, 7, 200, 200, 200]);
    }

    #[test]
    fn damaged_pictures_and_other_formats_are_errors_that_name_the_file() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("picture.png");
        let whole =
            Image { height: 9, width: 9, channels: 3, pixels: vec![90; 243].into() }.to_png().unwrap();
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
            let picture = Image { height: 2, width: 2, channels, pixels: vec![0; values].into() };
            assert!(picture.to_png().is_err());
        }
    }

    #[test]
    fn resizing_keeps_a_plain_picture_plain() {
        let picture = Image { height: 7, width: 5, channels: 3, pixels: [10u8, 20, 30].repeat(35).into() };
        let resized = picture.resized(3, 8);
        assert_eq!((resized.height, resized.width, resized.pixels.to_vec()), (3, 8, [10, 20, 30].repeat(24)));
    }
}
