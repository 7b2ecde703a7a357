//! IDX files, the format of MNIST and its relatives, plain or gzip.
//!
//! An IDX file is a big-endian header (magic number, then one 32-bit size per dimension) and one
//! byte per value. The magic number distinguishes images (`0x00000803`: bytes, three dimensions)
//! from labels (`0x00000801`: bytes, one dimension). The first two bytes of a file, never its name,
//! tell whether it is compressed. Memory grows only with the bytes that are really there, whatever
//! sizes the header gives: a damaged header causes an error, not a huge allocation.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::DataError;

const IMAGES: u32 = 0x0000_0803;
const LABELS: u32 = 0x0000_0801;
/// No IDX file of this family comes near this size (MNIST's largest holds 47 MB).
const LARGEST: u64 = 1 << 31;
const FETCH_AGAIN: &str = "the file is damaged or not what its name says; fetch it again";

/// Gray images of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxImages {
    /// The number of images.
    pub count: usize,
    /// Rows of each image.
    pub height: usize,
    /// Columns of each image.
    pub width: usize,
    /// `[count, height, width]`.
    pub pixels: Vec<u8>,
}

/// Reads an IDX file of images.
///
/// # Errors
/// [`DataError`] when the file is missing, shorter or longer than its header says, damaged gzip, or
/// not a file of images.
pub fn read_images(path: &Path) -> Result<IdxImages, DataError> {
    parse_images(open(path)?, path)
}

/// Reads an IDX file of labels, each of which must be below `classes`.
///
/// # Errors
/// As [`read_images`], and when a label is not below `classes`.
pub fn read_labels(path: &Path, classes: usize) -> Result<Vec<u8>, DataError> {
    parse_labels(open(path)?, path, classes)
}

/// What an IDX file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Gray images with these rows and columns.
    Images([usize; 2]),
    Labels,
}

/// The content that the header of a file declares; `None` if it is not an IDX file that can be read
/// here.
pub(crate) fn kind(path: &Path) -> Option<Kind> {
    let mut source = open(path).ok()?;
    let compressed = source.fill_buf().ok()?.starts_with(&[0x1f, 0x8b]);
    let source: &mut dyn Read = if compressed { &mut MultiGzDecoder::new(source) } else { &mut source };
    let mut next = || {
        let mut bytes = [0; 4];
        source.read_exact(&mut bytes).ok().map(|()| u32::from_be_bytes(bytes))
    };
    match next()? {
        IMAGES => {
            next()?;
            Some(Kind::Images([next()? as usize, next()? as usize]))
        }
        LABELS => Some(Kind::Labels),
        _ => None,
    }
}

/// [`read_images`] from bytes; `name` describes them in messages.
///
/// # Errors
/// As [`read_images`].
pub fn parse_images(source: impl BufRead, name: &Path) -> Result<IdxImages, DataError> {
    let (sizes, pixels) = parse::<3>(source, name, IMAGES)?;
    let [count, height, width] = sizes;
    Ok(IdxImages { count, height, width, pixels })
}

/// [`read_labels`] from bytes; `name` describes them in messages.
///
/// # Errors
/// As [`read_labels`].
pub fn parse_labels(source: impl BufRead, name: &Path, classes: usize) -> Result<Vec<u8>, DataError> {
    let (_, labels) = parse::<1>(source, name, LABELS)?;
    match labels.iter().position(|&label| usize::from(label) >= classes) {
        None => Ok(labels),
        Some(at) => Err(DataError::Malformed {
            path: name.into(),
            place: format!("label {at}"),
            expected: format!("a class below {classes}"),
            found: labels[at].to_string(),
            remedy: FETCH_AGAIN.into(),
        }),
    }
}

/// Writes images as an uncompressed IDX file.
///
/// # Errors
/// The error of `out`, and `InvalidInput` when a size does not fit the header or the pixels do not
/// match the sizes.
pub fn write_images(images: &IdxImages, out: &mut impl Write) -> io::Result<()> {
    let IdxImages { count, height, width, ref pixels } = *images;
    write(IMAGES, &[count, height, width], pixels, out)
}

/// Writes labels as an uncompressed IDX file.
///
/// # Errors
/// As [`write_images`].
pub fn write_labels(labels: &[u8], out: &mut impl Write) -> io::Result<()> {
    write(LABELS, &[labels.len()], labels, out)
}

fn write(magic: u32, sizes: &[usize], values: &[u8], out: &mut impl Write) -> io::Result<()> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "the sizes do not fit the values");
    if sizes.iter().product::<usize>() != values.len() {
        return Err(invalid());
    }
    out.write_all(&magic.to_be_bytes())?;
    for &size in sizes {
        out.write_all(&u32::try_from(size).map_err(|_| invalid())?.to_be_bytes())?;
    }
    out.write_all(values)
}

fn open(path: &Path) -> Result<BufReader<File>, DataError> {
    let file = File::open(path).map_err(|source| {
        let remedy = "check the path and that you may read it".into();
        DataError::Read { path: path.into(), source, remedy }
    })?;
    Ok(BufReader::with_capacity(1 << 16, file))
}

/// The sizes and values of an IDX file with `D` dimensions.
fn parse<const D: usize>(
    mut source: impl BufRead,
    name: &Path,
    magic: u32,
) -> Result<([usize; D], Vec<u8>), DataError> {
    let compressed = source.fill_buf().map_err(|error| unreadable(name, error))?.starts_with(&[0x1f, 0x8b]);
    match compressed {
        true => parse_plain(MultiGzDecoder::new(source), name, magic),
        false => parse_plain(source, name, magic),
    }
}

fn parse_plain<const D: usize>(
    mut source: impl Read,
    name: &Path,
    magic: u32,
) -> Result<([usize; D], Vec<u8>), DataError> {
    let wrong = |place: &str, expected: String, found: String| DataError::Malformed {
        path: name.into(),
        place: place.into(),
        expected,
        found,
        remedy: FETCH_AGAIN.into(),
    };
    let found = read_u32(&mut source, name, "magic number")?;
    if found != magic {
        let found = format!("0x{found:08x}{}", what(found));
        return Err(wrong("magic number", format!("0x{magic:08x}{}", what(magic)), found));
    }
    let mut sizes = [0usize; D];
    let mut expected = 1u64;
    for (dimension, size) in sizes.iter_mut().enumerate() {
        let value = read_u32(&mut source, name, "header")?;
        // At most 2^32 times 2^31: no overflow before the check below.
        expected *= u64::from(value);
        if expected > LARGEST {
            let place = format!("size of dimension {dimension}");
            return Err(wrong(&place, format!("at most {LARGEST} values in all"), value.to_string()));
        }
        *size = value as usize;
    }
    // One byte more than expected shows whether extra bytes follow. The vector grows with the bytes
    // that arrive.
    let mut values = Vec::with_capacity(expected.min(1 << 24) as usize + 1);
    source.by_ref().take(expected + 1).read_to_end(&mut values).map_err(|error| unreadable(name, error))?;
    let arrived = values.len() as u64;
    if arrived < expected {
        return Err(wrong(
            "values",
            format!("{expected} bytes, as its header says"),
            format!("only {arrived}"),
        ));
    }
    if arrived > expected {
        return Err(wrong("end", format!("nothing after {expected} values"), "more bytes".into()));
    }
    Ok((sizes, values))
}

fn what(magic: u32) -> &'static str {
    match magic {
        IMAGES => " (images)",
        LABELS => " (labels)",
        _ => "",
    }
}

fn read_u32(source: &mut impl Read, name: &Path, place: &str) -> Result<u32, DataError> {
    let mut bytes = [0; 4];
    source.read_exact(&mut bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => DataError::Malformed {
            path: name.into(),
            place: place.into(),
            expected: "4 bytes".into(),
            found: "the end of the file".into(),
            remedy: FETCH_AGAIN.into(),
        },
        _ => unreadable(name, error),
    })?;
    Ok(u32::from_be_bytes(bytes))
}

fn unreadable(name: &Path, source: io::Error) -> DataError {
    DataError::Read { path: name.into(), source, remedy: FETCH_AGAIN.into() }
}
