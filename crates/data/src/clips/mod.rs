//! Moving pictures: clips from files and back.
//!
//! A [`Clip`] is a list of frames of one size with their rate. [`open_clip`] reads three forms:
//!
//! | form | frames | rate |
//! |---|---|---|
//! | a folder of pictures | its pictures in the order of their names, `frame2.png` before `frame10.png` | an option |
//! | an animated GIF | as a browser shows them, laid over each other as the file says | from the delays |
//! | a Y4M file (YUV4MPEG2) | raw frames of 8 to 16 bits in any of the usual colour formats | from its header |
//!
//! Compressed video is not read: no library for it is small and kept. `ffmpeg` turns any video into one of the three
//! forms, and the error message says how.
//!
//! [`ClipOptions`] choose the frames: all, a number of them spread evenly over the clip, or a number a second. Only
//! chosen frames are kept, and only those are decoded where the form permits it.

mod animated_gif;
mod colour;
pub(crate) mod film;
mod natural;
mod open;
mod options;
mod pictures;
#[cfg(test)]
mod tests;
mod write;
mod y4m;

use crate::Image;

pub(crate) use open::film;
pub use open::open_clip;
pub use options::{ClipOptions, FrameChoice, MOST_FRAMES};

/// Pictures that follow each other in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// The frames in order, all of one size and number of channels; at least one.
    pub frames: Vec<Image>,
    /// Frames a second.
    pub rate: f64,
}
