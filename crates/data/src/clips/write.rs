//! Clips as files: animated GIF to look at, Y4M for other programs.

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, RgbaImage};

use super::Clip;
use super::colour::{Range, from_rgb};
use crate::{DataError, Image};

/// How thoroughly a frame's 256 colours are chosen, from 1 (slow) to 30.
const SPEED: i32 = 10;
/// The shortest delay that browsers keep, in hundredths of a second.
const LEAST_DELAY: u64 = 2;

impl Clip {
    /// The clip as the bytes of an animated GIF that repeats without end. A frame with at most 256 colours keeps them
    /// exactly; for others, the best 256 are chosen. Delays are whole hundredths of a second, rounded so
    /// that the clip as a whole takes its time; they are at least two, so a clip of more than 50 frames a second becomes
    /// slower.
    ///
    /// # Errors
    /// [`DataError::Option`] when there are no frames, when they are not all of one size, whole and of 1 or 3 channels,
    /// when a side is above 65,535, or when the rate is not positive and finite.
    pub fn to_gif(&self) -> Result<Vec<u8>, DataError> {
        let [height, width] = self.checked()?;
        let refuse = |reason: String| refusal(&format!("{width}x{height}"), reason);
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new_with_speed(&mut bytes, SPEED);
        encoder.set_repeat(Repeat::Infinite).map_err(|error| refuse(error.to_string()))?;
        let end = |number: usize| (100.0 * number as f64 / self.rate).round() as u64;
        for (number, frame) in self.frames.iter().enumerate() {
            let pixels = colours(frame).flat_map(|[red, green, blue]| [red, green, blue, 255]).collect();
            let sides = [width, height].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
            let Some(picture) = RgbaImage::from_raw(sides[0], sides[1], pixels) else {
                return Err(refuse("the frames are too large for a picture".into()));
            };
            let delay = (end(number + 1) - end(number)).max(LEAST_DELAY).min(u64::from(u16::MAX)) as u32;
            let frame = Frame::from_parts(picture, 0, 0, Delay::from_numer_denom_ms(10 * delay, 1));
            encoder.encode_frame(frame).map_err(|error| refuse(error.to_string()))?;
        }
        drop(encoder);
        Ok(bytes)
    }

    /// The clip as the bytes of a Y4M file with the colours of every pixel (`C444`).
    ///
    /// # Errors
    /// As [`Clip::to_gif`], without the limit on sides.
    pub fn to_y4m(&self) -> Result<Vec<u8>, DataError> {
        let [height, width] = self.checked()?;
        let thousandths = (self.rate * 1000.0).round().clamp(1.0, f64::from(u32::MAX)) as u32;
        let mut bytes =
            format!("YUV4MPEG2 W{width} H{height} F{thousandths}:1000 Ip A1:1 C444\n").into_bytes();
        for frame in &self.frames {
            bytes.extend(b"FRAME\n");
            let values: Vec<[u8; 3]> = colours(frame).map(|rgb| from_rgb(rgb, Range::Limited)).collect();
            (0..3).for_each(|plane| bytes.extend(values.iter().map(|value| value[plane])));
        }
        Ok(bytes)
    }

    /// Rows and columns of all frames.
    fn checked(&self) -> Result<[usize; 2], DataError> {
        let Some(first) = self.frames.first() else {
            return Err(refusal("without frames", "there must be one at least".into()));
        };
        let size = [first.height, first.width];
        for (number, frame) in self.frames.iter().enumerate() {
            let values = frame.height.saturating_mul(frame.width).saturating_mul(frame.channels);
            let whole = values > 0 && frame.pixels.len() == values && [1, 3].contains(&frame.channels);
            if [frame.height, frame.width] != size || !whole {
                let shape = format!("{}x{}x{}", frame.height, frame.width, frame.channels);
                let reason = format!(
                    "frame {} must be whole, of 1 or 3 channels and {}x{} pixels like the first",
                    number + 1,
                    size[1],
                    size[0]
                );
                return Err(refusal(&shape, reason));
            }
        }
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return Err(refusal(&format!("at {} frames a second", self.rate), "give a rate above 0".into()));
        }
        Ok(size)
    }
}

fn refusal(value: &str, remedy: String) -> DataError {
    DataError::Option { option: "clip to write", value: value.into(), remedy }
}

/// The colour of each pixel.
fn colours(frame: &Image) -> impl Iterator<Item = [u8; 3]> {
    let picture = frame.to_picture();
    let channels = picture.channels;
    (0..picture.height * picture.width).map(move |place| {
        let pixel = &picture.pixels[place * channels..][..channels];
        [0, 1, 2].map(|channel| pixel[channel.min(channels - 1)])
    })
}
