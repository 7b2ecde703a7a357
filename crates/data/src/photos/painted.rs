//! Masks stored as pictures: each number or colour of a pixel means a class.
//!
//! A [`Code`] gives the class of each value. It is made once for a set, from a list of classes or from the masks
//! themselves; it is used to read a mask when a sample is requested. Panoptic masks have one code per picture.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::{ClassId, DataError, Image, Mask};

/// The meaning of the pixel values of a mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Code {
    /// Whether a pixel's value is its colour, as R + 256 G + 65536 B; otherwise it is the stored number, or the palette
    /// index.
    pub colours: bool,
    /// The value in a [`Mask`] for each pixel value.
    pub classes: BTreeMap<u32, ClassId>,
    /// The valid pixel values, as text for the error about an invalid one.
    pub expected: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Code {
    /// The mask in a file.
    ///
    /// # Errors
    /// [`DataError`] naming the file, the row and the column when a pixel has a value without meaning, and when the
    /// file is missing, damaged or of another size than its photo.
    pub fn read(&self, path: &Path, [height, width]: [usize; 2]) -> Result<Mask, DataError> {
        let (values, found) = values(path, self.colours)?;
        same_size(path, [height, width], found)?;
        let mut classes = Vec::with_capacity(values.len());
        // Neighbouring pixels mostly have the same class.
        let mut last = None;
        for (place, value) in values.into_iter().enumerate() {
            let class = match last {
                Some((known, class)) if known == value => class,
                _ => *self.classes.get(&value).ok_or_else(|| DataError::Malformed {
                    path: path.into(),
                    place: format!("row {}, column {}", place / width, place % width),
                    expected: self.expected.clone(),
                    found: shown(value, self.colours),
                    remedy: self.remedy.into(),
                })?,
            };
            last = Some((value, class));
            classes.push(class);
        }
        Ok(Mask { height, width, classes })
    }
}

/// A pixel's value as messages show it.
pub(super) fn shown(value: u32, colour: bool) -> String {
    let [r, g, b, _] = value.to_le_bytes();
    if colour { format!("the colour ({r}, {g}, {b})") } else { format!("the id {value}") }
}

/// A colour as one number.
pub(super) fn packed(rgb: [u8; 3]) -> u32 {
    u32::from_le_bytes([rgb[0], rgb[1], rgb[2], 0])
}

/// The distinct values of a mask.
pub(super) fn different(path: &Path, colours: bool) -> Result<BTreeSet<u32>, DataError> {
    let (mut values, _) = values(path, colours)?;
    values.dedup();
    Ok(values.into_iter().collect())
}

/// Every pixel's value, with rows and columns.
fn values(path: &Path, colours: bool) -> Result<(Vec<u32>, [usize; 2]), DataError> {
    if colours {
        let image = Image::read(path)?;
        let values = image.pixels.chunks_exact(3).map(|p| packed([p[0], p[1], p[2]])).collect();
        return Ok((values, [image.height, image.width]));
    }
    match Image::read_ids(path) {
        Ok((ids, size)) => Ok((ids.into_iter().map(u32::from).collect(), size)),
        Err(error @ DataError::Malformed { .. }) => {
            // Some programs write ids into all three channels of a colour picture.
            let image = Image::read(path)?;
            let pixels = image.pixels.chunks_exact(3);
            if pixels.clone().any(|p| p[0] != p[1] || p[1] != p[2]) {
                return Err(error);
            }
            Ok((pixels.map(|p| u32::from(p[0])).collect(), [image.height, image.width]))
        }
        Err(error) => Err(error),
    }
}

/// Refuses a map of pixels whose size differs from its photo's.
pub(super) fn same_size(path: &Path, photo: [usize; 2], found: [usize; 2]) -> Result<(), DataError> {
    if photo == found {
        return Ok(());
    }
    Err(DataError::Malformed {
        path: path.into(),
        place: "header".into(),
        expected: format!("{}x{} pixels, as its photo has", photo[1], photo[0]),
        found: format!("{}x{}", found[1], found[0]),
        remedy: "make both of one size".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(pixels: &[u8], channels: usize) -> Vec<u8> {
        let width = pixels.len() / channels / 2;
        Image { height: 2, width, channels, pixels: pixels.to_vec().into() }.to_png().unwrap()
    }

    #[test]
    fn ids_are_read_from_gray_and_from_three_equal_channels_and_colours_from_any() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        let ids = [0, 7, 7, 3, 255, 0];
        let write = |bytes: Vec<u8>| std::fs::write(&path, bytes).unwrap();
        write(mask(&ids, 1));
        assert_eq!(different(&path, false).unwrap().into_iter().collect::<Vec<_>>(), [0, 3, 7, 255]);
        let code = |colours, classes: &[(u32, ClassId)]| Code {
            colours,
            classes: classes.iter().copied().collect(),
            expected: "an id of the list".into(),
            remedy: "mend it",
        };
        let of_ids = code(false, &[(0, 0), (3, 1), (7, 2), (255, 9)]);
        let expected = [0, 2, 2, 1, 9, 0];
        assert_eq!(of_ids.read(&path, [2, 3]).unwrap().classes, expected);
        write(mask(&ids.map(|id| [id; 3]).concat(), 3));
        assert_eq!(of_ids.read(&path, [2, 3]).unwrap().classes, expected);
        let of_colours = code(true, &[(packed([3, 2, 1]), 4), (packed([1, 2, 3]), 5)]);
        write(mask(&[[1, 2, 3], [3, 2, 1]].concat(), 3));
        assert_eq!(of_colours.read(&path, [2, 1]).unwrap().classes, [5, 4]);
        assert!(of_ids.read(&path, [2, 1]).is_err(), "colours hold no ids");
        write(mask(&[[1, 2, 3], [3, 2, 9]].concat(), 3));
        let message = of_colours.read(&path, [2, 1]).unwrap_err().to_string();
        assert!(message.contains("mask.png, row 1, column 0") && message.contains("(3, 2, 9)"), "{message}");
        write(mask(&[0, 0, 0, 5], 1));
        let message = of_ids.read(&path, [2, 2]).unwrap_err().to_string();
        assert!(message.contains("row 1, column 1") && message.contains("the id 5"), "{message}");
        assert!(of_ids.read(&path, [2, 3]).unwrap_err().to_string().contains("2x2"));
    }

    #[test]
    fn ids_of_less_than_a_byte_are_not_spread_over_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        // One row of four pixels each.
        for (depth, byte, expected) in
            [(png::BitDepth::One, 0b0110_0000, &[0, 1][..]), (png::BitDepth::Two, 0b0011_0110, &[0, 1, 2, 3])]
        {
            let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), 4, 1);
            encoder.set_color(png::ColorType::Grayscale);
            encoder.set_depth(depth);
            encoder.write_header().unwrap().write_image_data(&[byte]).unwrap();
            assert_eq!(different(&path, false).unwrap().into_iter().collect::<Vec<_>>(), expected);
        }
    }
}
