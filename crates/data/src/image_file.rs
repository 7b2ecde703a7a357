//! Pictures from files and back: PNG, JPEG, WebP, BMP, TIFF and GIF in, PNG out.
//!
//! The content of a file, not its name, tells its format: data sets have `.jpg` files that are PNG or GIF inside.
//! Pixels always arrive as 8-bit RGB, upright. Gray, palettes, 16 bits, CMYK and transparency are converted
//! (transparent pixels show the colour stored under them); only the first picture of a GIF is read; and the rotation
//! that a camera noted beside the pixels (EXIF) is applied, unless the annotations were made on the picture as it is
//! stored, see [`Turn`].
//!
//! A picture has at most [`MOST_PIXELS`] pixels. Larger ones are refused by their header, before memory is allocated.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use cerberus_tensor::pixels::resize_pixels;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageFormat, ImageReader};

use crate::{DataError, Image};

/// The most pixels of a picture that is read: 64 million, as in 8192 x 8192.
pub const MOST_PIXELS: u64 = 1 << 26;
/// The most bytes that the decoder's output may take; with the copy in 8-bit colours the total stays below 512 MB.
const MOST_BYTES: u64 = 1 << 28;
/// The most bytes of a picture's file. The largest picture takes half of them where nothing is compressed.
const MOST_FILE_BYTES: u64 = 1 << 29;

/// The first bytes of a file in which its header is looked for before the whole is read.
const HEADER_BYTES: u64 = 1 << 16;

const REMEDY: &str =
    "give a PNG, JPEG, WebP, BMP, TIFF or GIF picture; convert others, and fetch damaged ones again";

/// The orientation that the annotations of a picture refer to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// As people see it: with the camera's rotation applied.
    #[default]
    Upright,
    /// As its pixels are stored, without the camera's rotation.
    Stored,
}

/// The content of a picture's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Rows and columns as the pixels are stored.
    pub stored: [usize; 2],
    /// Rows and columns of the upright picture.
    pub upright: [usize; 2],
    /// Whether the stored and the upright picture differ.
    pub turned: bool,
}

impl Header {
    /// Reads a picture's header, and checks that the file is not truncated.
    ///
    /// # Errors
    /// [`DataError::Read`] naming the file when it is missing, damaged, of another format or too large.
    pub fn read(path: &Path) -> Result<Header, DataError> {
        header(path).map_err(|source| unreadable(path, source))
    }
}

impl Image {
    /// Reads a picture as three channels, upright.
    ///
    /// # Errors
    /// [`DataError::Read`] naming the file when it is missing, damaged, of another format, or has more than
    /// [`MOST_PIXELS`] pixels.
    pub fn read(path: &Path) -> Result<Image, DataError> {
        decode(path, Turn::Upright).map_err(|source| unreadable(path, source))
    }

    /// Reads a picture whose annotations give it `size` rows and columns, in the orientation `turn`.
    ///
    /// # Errors
    /// As [`Image::read`], and [`DataError::Malformed`] when the picture has another size.
    pub(crate) fn read_as_annotated(path: &Path, size: [usize; 2], turn: Turn) -> Result<Image, DataError> {
        let image = decode(path, turn).map_err(|source| unreadable(path, source))?;
        fits(path, size, [image.height, image.width])?;
        Ok(image)
    }

    /// The stored numbers of a gray or paletted picture, with its rows and columns: masks keep class ids there.
    ///
    /// # Errors
    /// As [`Image::read`], and when the file has colours.
    pub(crate) fn read_ids(path: &Path) -> Result<(Vec<u16>, [usize; 2]), DataError> {
        let unread = |source| unreadable(path, source);
        if let Some(ids) = packed_numbers(path).map_err(unread)? {
            return Ok(ids);
        }
        let picture = picture(path, Turn::Stored).map_err(unread)?;
        let size = [picture.height() as usize, picture.width() as usize];
        match picture {
            DynamicImage::ImageLuma8(ids) => Ok((ids.into_raw().into_iter().map(u16::from).collect(), size)),
            DynamicImage::ImageLuma16(ids) => Ok((ids.into_raw(), size)),
            other => Err(DataError::Malformed {
                path: path.into(),
                place: "header".into(),
                expected: "a gray or paletted PNG that holds class ids".into(),
                found: format!("{:?}", other.color()),
                remedy: "write the mask as 8-bit or 16-bit gray".into(),
            }),
        }
    }

    /// The stored numbers of a gray picture, with its rows and columns and whether they have 16 bits: depth maps.
    ///
    /// # Errors
    /// As [`Image::read_ids`].
    pub(crate) fn read_gray(path: &Path) -> Result<(Vec<u16>, [usize; 2], bool), DataError> {
        let (numbers, size) = Image::read_ids(path)?;
        let mut head = [0; 25];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
        read.map_err(|source| unreadable(path, source))?;
        Ok((numbers, size, head.starts_with(b"\x89PNG") && head[24] == 16))
    }

    /// The rectangle of `width` x `height` pixels whose top left corner is (x, y).
    ///
    /// # Panics
    /// When the rectangle does not lie in the picture.
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
    /// [`DataError::Option`] when the picture does not have 1 or 3 channels, has no pixels, or does not hold as many
    /// values as its size says.
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

    /// The picture resized with a triangle filter, which is widened when the picture shrinks.
    ///
    /// # Panics
    /// When a side is 0, the channels are not 3, or the picture does not hold
    /// as many values as its size says.
    #[track_caller]
    pub fn resized(&self, height: usize, width: usize) -> Image {
        let whole = self.pixels.len() == self.height * self.width * 3 && self.height > 0 && self.width > 0;
        assert!(
            whole && self.channels == 3 && height > 0 && width > 0,
            "resized: from {}x{}x{} with {} values to {height}x{width}; sides must be positive and the picture whole, \
             with 3 channels",
            self.height,
            self.width,
            self.channels,
            self.pixels.len()
        );
        let pixels = resize_pixels(&self.pixels, [self.height, self.width], [height, width]);
        Image { height, width, channels: 3, pixels: pixels.into() }
    }
}

fn unreadable(path: &Path, source: io::Error) -> DataError {
    DataError::Read { path: path.into(), source, remedy: REMEDY.into() }
}

/// Checks a picture's size against the annotations'.
pub(crate) fn fits(path: &Path, wanted: [usize; 2], found: [usize; 2]) -> Result<(), DataError> {
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

fn breaks_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the picture breaks off before its end")
}

/// Refuses a picture that would take too much memory.
fn check_size(decoder: &impl ImageDecoder) -> io::Result<()> {
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) <= MOST_PIXELS && decoder.total_bytes() <= MOST_BYTES {
        return Ok(());
    }
    let message = format!(
        "it has {width}x{height} pixels; at most {MOST_PIXELS} of {MOST_BYTES} bytes are read: make it smaller"
    );
    Err(io::Error::new(io::ErrorKind::InvalidData, message))
}

/// The decoder of a picture. All pictures are decoded from bytes in memory: another type of reader would compile every
/// decoder once more.
fn decoder(bytes: &[u8]) -> io::Result<impl ImageDecoder> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let decoder = reader.into_decoder().map_err(invalid)?;
    check_size(&decoder)?;
    Ok(decoder)
}

fn header(path: &Path) -> io::Result<Header> {
    let mut file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is a folder"));
    }
    let mut bytes = Vec::new();
    (&mut file).take(HEADER_BYTES).read_to_end(&mut bytes)?;
    let format = image::guess_format(&bytes).map_err(invalid)?;
    if !is_whole(&mut file, format)? {
        return Err(breaks_off());
    }
    // These tell everything before their pixels; what they tell in others may stand at the end.
    if matches!(format, ImageFormat::Jpeg | ImageFormat::Png)
        && let Ok(header) = header_of(&bytes)
    {
        return Ok(header);
    }
    header_of(&contents(path)?)
}

/// The whole file.
fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let len = std::fs::metadata(path)?.len();
    if len > MOST_FILE_BYTES {
        let message =
            format!("it has {len} bytes; at most {MOST_FILE_BYTES} are read: make the picture smaller");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    std::fs::read(path)
}

fn header_of(bytes: &[u8]) -> io::Result<Header> {
    let mut decoder = decoder(bytes)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it has no pixels"));
    }
    let stored = [height as usize, width as usize];
    let turn = decoder.orientation().map_err(invalid)?;
    let upright = if swaps_sides(turn) { [stored[1], stored[0]] } else { stored };
    Ok(Header { stored, upright, turned: turn != Orientation::NoTransforms })
}

fn swaps_sides(turn: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(turn, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Whether a file has the end marker of its format, without decoding it. True for formats without an end marker.
fn is_whole(file: &mut (impl Read + Seek), format: ImageFormat) -> io::Result<bool> {
    let len = file.seek(SeekFrom::End(0))?;
    let last = |file: &mut dyn ReadSeek, count: u64| -> io::Result<Vec<u8>> {
        file.seek(SeekFrom::Start(len.saturating_sub(count)))?;
        let mut bytes = Vec::new();
        file.take(count).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match format {
        // The end marker is nearly always last; otherwise the file is walked through.
        ImageFormat::Jpeg if last(file, 2)? == [0xFF, 0xD9] => Ok(true),
        ImageFormat::Jpeg => {
            file.rewind()?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(jpeg_end(&bytes).is_some())
        }
        ImageFormat::Png if last(file, 8)?.starts_with(b"IEND") => Ok(true),
        ImageFormat::Png => png_has_end(file, len),
        ImageFormat::WebP => {
            file.rewind()?;
            let mut head = [0; 8];
            file.read_exact(&mut head)?;
            let riff = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            Ok(len >= u64::from(riff) + 8)
        }
        ImageFormat::Bmp => {
            file.rewind()?;
            let mut head = [0; 6];
            file.read_exact(&mut head)?;
            let size = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
            Ok(len >= u64::from(size))
        }
        _ => Ok(true),
    }
}

trait ReadSeek: Read + Seek {}
impl<R: Read + Seek> ReadSeek for R {}

/// Walks from chunk to chunk of a PNG file.
fn png_has_end(file: &mut (impl Read + Seek), len: u64) -> io::Result<bool> {
    let mut place = 8;
    while place + 12 <= len {
        file.seek(SeekFrom::Start(place))?;
        let mut chunk = [0; 8];
        file.read_exact(&mut chunk)?;
        if chunk[4..] == *b"IEND" {
            return Ok(true);
        }
        place += 12 + u64::from(u32::from_be_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]));
    }
    Ok(false)
}

/// Where the picture of a JPEG file ends, from its beginning; `None` if it is truncated. Data after it, such as the
/// video of a moving photo or a maker's own data, are not part of the picture.
fn jpeg_end(bytes: &[u8]) -> Option<usize> {
    let mut place = 2;
    let mut scanned = false;
    loop {
        // To the next marker: one or more bytes FF, and then the marker's kind.
        let marker = place + bytes.get(place..)?.iter().position(|&byte| byte == 0xFF)?;
        let kind_at = marker + bytes.get(marker..)?.iter().position(|&byte| byte != 0xFF)?;
        place = kind_at + 1;
        match bytes[kind_at] {
            // The end marker counts only after a scan: previews inside segments are skipped with their segments.
            0xD9 => return scanned.then_some(place),
            // Not a marker but data, or a marker without a length.
            0x00 | 0x01 | 0xD0..=0xD8 => {}
            kind => {
                scanned |= kind == 0xDA;
                let length = bytes.get(place..place + 2)?;
                place += usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
            }
        }
    }
}

fn picture(path: &Path, turn: Turn) -> io::Result<DynamicImage> {
    let mut bytes = contents(path)?;
    let format = image::guess_format(&bytes).map_err(invalid)?;
    // The decoder accepts a file whose rest is cut off.
    if format == ImageFormat::Jpeg {
        bytes.truncate(jpeg_end(&bytes).ok_or_else(breaks_off)?);
    } else if !is_whole(&mut Cursor::new(&bytes), format)? {
        return Err(breaks_off());
    }
    let mut decoder = decoder(&bytes)?;
    let noted = decoder.orientation().map_err(invalid)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(invalid)?;
    if turn == Turn::Upright {
        picture.apply_orientation(noted);
    }
    Ok(picture)
}

/// The stored numbers of a paletted PNG, or of a gray one of less than 8 bits; `None` for any other picture. The
/// decoder would give colours for the first, and spread the second over 0 to 255.
fn packed_numbers(path: &Path) -> io::Result<Option<(Vec<u16>, [usize; 2])>> {
    let bytes = contents(path)?;
    // The bits per value and the colour type follow the signature, the width and the height.
    let packed = matches!(bytes.get(24..26), Some([_, 3] | [1..8, 0]));
    if !bytes.starts_with(b"\x89PNG") || !packed {
        return Ok(None);
    }
    let error = |error: png::DecodingError| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut decoder = png::Decoder::new(Cursor::new(&bytes[..]));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(error)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let bits = reader.info().bit_depth as usize;
    if (width * height) as u64 > MOST_PIXELS {
        let message = format!("it has {width}x{height} pixels; more than {MOST_PIXELS} are not read");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let row = (width * bits).div_ceil(8);
    let mut packed = vec![0; row * height];
    reader.next_frame(&mut packed).map_err(error)?;
    let mut ids = Vec::with_capacity(width * height);
    for packed in packed.chunks_exact(row) {
        ids.extend((0..width).map(|column| {
            let bit = column * bits;
            u16::from(packed[bit / 8] >> (8 - bits - bit % 8)) & ((1 << bits) - 1)
        }));
    }
    Ok(Some((ids, [height, width])))
}

fn decode(path: &Path, turn: Turn) -> io::Result<Image> {
    let rgb = picture(path, turn)?.into_rgb8();
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
            assert!(message.contains("picture.png") && message.contains("PNG, JPEG"), "{message}");
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
    fn resizing_gives_the_bytes_of_the_image_crate() {
        for (from, to) in
            [([7, 5], [3, 8]), ([1, 1], [4, 3]), ([40, 31], [9, 31]), ([23, 57], [24, 1]), ([12, 9], [12, 9])]
        {
            let pixels: Vec<u8> = (0..from[0] * from[1] * 3).map(|byte| (byte * byte % 251) as u8).collect();
            let picture = image::RgbImage::from_raw(from[1] as u32, from[0] as u32, pixels.clone()).unwrap();
            let filter = image::imageops::FilterType::Triangle;
            let expected = image::imageops::resize(&picture, to[1] as u32, to[0] as u32, filter);
            assert_eq!(resize_pixels(&pixels, from, to), expected.into_raw(), "{from:?} to {to:?}");
        }
    }
    #[test]
    fn resizing_keeps_a_plain_picture_plain() {
        let picture = Image { height: 7, width: 5, channels: 3, pixels: [10u8, 20, 30].repeat(35).into() };
        let resized = picture.resized(3, 8);
        assert_eq!((resized.height, resized.width, resized.pixels.to_vec()), (3, 8, [10, 20, 30].repeat(24)));
    }
}
