//! Animated GIF files.
//!
//! A file is read twice. The first time its blocks are walked through without decoding any pixels, which tells the
//! number of frames and how long each is shown. The second time frames are decoded up to the last one that is needed;
//! they build on each other, so none can be left out.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, Limits};

use super::film::{Film, MOST_FRAME_PIXELS, MOST_LISTED, check_size, unread};
use crate::{DataError, Image};

/// The most pixels of all frames together: about a quarter of a minute of decoding.
const MOST_DECODED: u64 = 1 << 32;
/// The most bytes that decoding one frame may take: the picture so far, the frame, and the two together.
const MOST_BYTES: u64 = 4 * 4 * MOST_FRAME_PIXELS;
/// Browsers show a frame with a delay of 0 or 1 for this long, in hundredths of a second: such files were made when
/// computers could not keep up with them.
const USUAL_DELAY: u16 = 10;

const REMEDY: &str = "fetch or write the file again";

/// An animated GIF.
pub(super) struct Gif {
    path: PathBuf,
    size: [usize; 2],
    ends: Vec<f64>,
}

impl Gif {
    pub fn open(path: &Path) -> Result<Gif, DataError> {
        let broken = |frame: usize, found: &str| {
            let place = if frame == 0 { "header".into() } else { format!("frame {frame}") };
            DataError::malformed(path, &place, "a GIF animation", found, REMEDY)
        };
        let file = File::open(path).map_err(|error| unread(path, error))?;
        let mut options = gif::DecodeOptions::new();
        options.skip_frame_decoding(true);
        let mut decoder = options.read_info(file).map_err(|error| broken(0, &error.to_string()))?;
        let size = [usize::from(decoder.height()), usize::from(decoder.width())];
        check_size(path, size)?;
        let (mut ends, mut hundredths) = (Vec::new(), 0);
        while let Some(frame) =
            decoder.next_frame_info().map_err(|error| broken(ends.len() + 1, &error.to_string()))?
        {
            hundredths += u64::from(if frame.delay < 2 { USUAL_DELAY } else { frame.delay });
            ends.push(hundredths as f64 / 100.0);
            let decoded = (ends.len() * size[0] * size[1]) as u64;
            if ends.len() > MOST_LISTED || decoded > MOST_DECODED {
                let expected =
                    format!("at most {MOST_LISTED} frames and {MOST_DECODED} pixels in all of them");
                return Err(DataError::malformed(
                    path,
                    "the file",
                    &expected,
                    "more",
                    "cut it into several clips",
                ));
            }
        }
        if ends.is_empty() {
            return Err(broken(0, "no frame"));
        }
        Ok(Gif { path: path.into(), size, ends })
    }
}

impl Film for Gif {
    fn size(&self) -> [usize; 2] {
        self.size
    }

    fn ends(&self) -> Vec<f64> {
        self.ends.clone()
    }

    fn read(&mut self, numbers: &[usize], keep: &mut dyn FnMut(Image)) -> Result<(), DataError> {
        let path = &self.path;
        let broken = |frame: usize, found: &str| {
            DataError::malformed(path, &format!("frame {}", frame + 1), "a whole frame", found, REMEDY)
        };
        let file = BufReader::new(File::open(path).map_err(|error| unread(path, error))?);
        let decoder = || {
            let mut decoder = GifDecoder::new(file)?;
            let mut limits = Limits::no_limits();
            limits.max_alloc = Some(MOST_BYTES);
            decoder.set_limits(limits)?;
            Ok(decoder)
        };
        let decoder = decoder().map_err(|error: image::ImageError| broken(0, &error.to_string()))?;
        let mut frames = decoder.into_frames().enumerate();
        for &wanted in numbers {
            loop {
                let Some((number, frame)) = frames.next() else {
                    return Err(broken(wanted, "the end of the file"));
                };
                let frame = frame.map_err(|error| broken(number, &error.to_string()))?;
                if number == wanted {
                    let pixels = DynamicImage::from(frame.into_buffer()).into_rgb8().into_raw();
                    let [height, width] = self.size;
                    keep(Image { height, width, channels: 3, pixels: pixels.into() });
                    break;
                }
            }
        }
        Ok(())
    }
}
