//! What all forms of clips have in common.

use std::io;
use std::path::Path;

use crate::{DataError, Image};

/// The most pixels of a frame: 16 million, as in 4096 x 4096.
pub(super) const MOST_FRAME_PIXELS: u64 = 1 << 24;
/// The most frames of a file: nine hours of film.
pub(super) const MOST_LISTED: usize = 1 << 20;

/// A clip on disk.
pub(crate) trait Film {
    /// Rows and columns of every frame.
    fn size(&self) -> [usize; 2];

    /// When each frame ends, in seconds from the beginning; rising, and at least one.
    fn ends(&self) -> Vec<f64>;

    /// Reads the frames with these numbers, which rise, and hands over each.
    fn read(&mut self, numbers: &[usize], keep: &mut dyn FnMut(Image)) -> Result<(), DataError>;
}

pub(super) fn unread(path: &Path, source: io::Error) -> DataError {
    DataError::Read { path: path.into(), source, remedy: "check the path and its permissions".into() }
}

/// Refuses frames that would take too much memory.
pub(super) fn check_size(path: &Path, [rows, columns]: [usize; 2]) -> Result<(), DataError> {
    if (1..=u128::from(MOST_FRAME_PIXELS)).contains(&(rows as u128 * columns as u128)) {
        return Ok(());
    }
    let expected = format!("frames of 1 to {MOST_FRAME_PIXELS} pixels");
    let found = format!("{columns}x{rows}");
    Err(DataError::malformed(path, "header", &expected, &found, "make the frames smaller"))
}
