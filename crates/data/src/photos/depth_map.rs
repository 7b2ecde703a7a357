//! Depth maps: gray pictures of 16 bits with a distance for every pixel.
//!
//! A map has a number of steps per metre: 1000 if it holds millimetres, as most depth cameras write; 5000 in TUM's
//! RGB-D sets, 256 in KITTI's. 0 means that the distance is unknown.

use std::path::{Path, PathBuf};

use super::painted::same_size;
use crate::{DataError, Image, ValueMap};

/// Steps per metre if nothing else is declared: millimetres.
pub(super) const MILLIMETRES: f32 = 1000.0;
const REMEDY: &str =
    "write the map as 16-bit gray PNG in millimetres, or declare the column as depth@STEPS_PER_METRE";

/// A depth map on disk.
#[derive(Clone, Debug)]
pub(super) struct DepthMap {
    pub path: PathBuf,
    /// Steps per metre; `None` if they are not declared and must be [`MILLIMETRES`].
    pub steps: Option<f32>,
}

impl DepthMap {
    /// The distances in metres; unknown ones are NaN.
    ///
    /// # Errors
    /// [`DataError`] when the file is missing, damaged, in colours, of another size than its photo, or has 8 bits
    /// without a declared scale: a depth of at most 255 millimetres makes no sense.
    pub fn read(&self, size: [usize; 2]) -> Result<ValueMap, DataError> {
        let (numbers, found, deep) = Image::read_gray(&self.path)?;
        same_size(&self.path, size, found)?;
        if !deep && self.steps.is_none() {
            return Err(wrong(&self.path, "a PNG of 16-bit gray", "fewer bits"));
        }
        let steps = self.steps.unwrap_or(MILLIMETRES);
        let metres = |number: u16| if number == 0 { f32::NAN } else { f32::from(number) / steps };
        Ok(ValueMap { height: size[0], width: size[1], values: numbers.into_iter().map(metres).collect() })
    }
}

fn wrong(path: &Path, expected: &str, found: &str) -> DataError {
    DataError::malformed(path, "header", expected, found, REMEDY)
}
