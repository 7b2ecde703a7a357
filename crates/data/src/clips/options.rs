//! Which frames of a clip are read, and how large they become.

use crate::image_file::MOST_PIXELS;
use crate::{DataError, Fit};

/// The most frames of a clip that are kept.
pub const MOST_FRAMES: usize = 1 << 14;

/// Which frames of a clip are read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum FrameChoice {
    /// All of them.
    #[default]
    All,
    /// This many: the clip is cut into as many parts of equal duration, and each gives the frame in its middle (Wang et
    /// al., "Temporal Segment Networks", 2016, without the random offset). A clip with fewer frames gives some twice.
    Count(usize),
    /// This many a second, each from the middle of its part; at least one frame. A clip with a lower rate gives frames
    /// several times.
    Rate(f64),
}

/// How a clip is read.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipOptions {
    /// Which frames are read.
    pub frames: FrameChoice,
    /// Rows and columns that every frame is resized to; `None` keeps the clip's size.
    pub size: Option<[usize; 2]>,
    /// How frames fill that size.
    pub fit: Fit,
    /// Frames a second of a folder of pictures, which does not tell.
    pub folder_rate: f64,
}

impl Default for ClipOptions {
    /// All frames at their size; 25 a second in folders.
    fn default() -> Self {
        ClipOptions { frames: FrameChoice::All, size: None, fit: Fit::default(), folder_rate: 25.0 }
    }
}

impl ClipOptions {
    /// Checks the options.
    ///
    /// # Errors
    /// [`DataError::Option`] for a number or rate that is not positive, not finite or too large, or for a size without
    /// pixels or of more than [`MOST_PIXELS`].
    pub fn check(&self) -> Result<(), DataError> {
        let refuse = |option, value: String, remedy: &str| {
            Err(DataError::Option { option, value, remedy: remedy.into() })
        };
        let is_rate = |rate: f64| rate > 0.0 && rate <= 1e6;
        match self.frames {
            FrameChoice::Count(count) if !(1..=MOST_FRAMES).contains(&count) => {
                return refuse("frames of a clip", count.to_string(), &format!("give 1 to {MOST_FRAMES}"));
            }
            FrameChoice::Rate(rate) if !is_rate(rate) => {
                return refuse("frames a second", rate.to_string(), "give a number above 0, such as 8");
            }
            _ => {}
        }
        if !is_rate(self.folder_rate) {
            let value = self.folder_rate.to_string();
            return refuse("frames a second of folders", value, "give a number above 0, such as 25");
        }
        match self.size {
            Some([rows, columns])
                if !(1..=MOST_PIXELS as u128).contains(&(rows as u128 * columns as u128)) =>
            {
                let remedy = format!("give rows and columns above 0, of {MOST_PIXELS} pixels at most");
                refuse("size of a clip", format!("{rows}x{columns}"), &remedy)
            }
            _ => Ok(()),
        }
    }
}

impl FrameChoice {
    /// How many frames this chooses of `count` that last for `seconds`.
    pub(super) fn number(&self, count: usize, seconds: f64) -> f64 {
        match *self {
            FrameChoice::All => count as f64,
            FrameChoice::Count(count) => count as f64,
            FrameChoice::Rate(rate) => (seconds * rate).round().max(1.0),
        }
    }

    /// The numbers of the chosen frames in rising order, and their rate. `ends` has the time in seconds at which each
    /// frame ends.
    pub(super) fn choose(&self, ends: &[f64]) -> (Vec<usize>, f64) {
        let seconds = ends.last().copied().unwrap_or(0.0);
        let number = self.number(ends.len(), seconds);
        let rate = match *self {
            FrameChoice::All => return ((0..ends.len()).collect(), number / seconds),
            FrameChoice::Count(_) => number / seconds,
            FrameChoice::Rate(rate) => rate,
        };
        // A time between two frames belongs to the later one, however the two were rounded.
        let at = |time: f64| {
            ends.partition_point(|&end| end <= time * (1.0 + 1e-12)).min(ends.len().saturating_sub(1))
        };
        ((0..number as usize).map(|part| at((part as f64 + 0.5) / rate)).collect(), rate)
    }
}
