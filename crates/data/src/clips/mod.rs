//! Moving pictures.
//!
//! A [`Clip`] is a list of frames of one size with their rate.

use crate::Image;

/// Pictures that follow each other in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// The frames in order, all of one size and number of channels; at least one.
    pub frames: Vec<Image>,
    /// Frames a second.
    pub rate: f64,
}
