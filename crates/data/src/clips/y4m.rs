//! Y4M files (YUV4MPEG2): a line of text, and raw frames with a line each.
//!
//! The format is as simple as that, so it is read here: the one library for it multiplies sides from the header without
//! a check, and reports a file that breaks off inside a frame like one that ends after it. Frames that are not needed
//! are skipped without reading them.
//!
//! The line says `W`idth, `H`eight, `F`rames a second and the `C`olour format. Each plane of a frame has its own size:
//! brightness for every pixel, and the two colour differences for every pixel, every second column, or every second row
//! and column. A pixel takes the nearest of them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::colour::{Range, to_rgb};
use super::film::{Film, MOST_LISTED, check_size, unread};
use crate::{DataError, Image};

/// The most bytes of a line of text; the usual ones have fewer than a hundred.
const LONGEST_LINE: u64 = 1024;
/// Frames a second where the header does not say, as `ffmpeg` assumes.
const USUAL_RATE: f64 = 25.0;

const REMEDY: &str = "write it again, for example with ffmpeg -i VIDEO -pix_fmt yuv420p FILE.y4m";

/// What the first line says.
#[derive(Clone, Debug, PartialEq)]
struct Header {
    size: [usize; 2],
    rate: f64,
    /// 8 to 16; more than 8 take two bytes, the lower one first.
    bits: u32,
    /// Columns and rows that share one colour; `None` for gray.
    shared: Option<[usize; 2]>,
    /// Whether a plane of opacity follows, which is ignored.
    alpha: bool,
    range: Range,
}

impl Header {
    /// An error is what was expected and what is there.
    fn parse(line: &str) -> Result<Header, [String; 2]> {
        let (mut sides, mut rate, mut format, mut range) = ([0, 0], USUAL_RATE, "420", None);
        for word in line.split(' ').skip(1).filter(|word| !word.is_empty()) {
            let wrong = |expected: &str| [expected.to_string(), format!("{word:?}")];
            let mut letters = word.chars();
            let key = letters.next();
            let value = letters.as_str();
            match key {
                Some('H') => sides[0] = value.parse().map_err(|_| wrong("H and the number of rows"))?,
                Some('W') => sides[1] = value.parse().map_err(|_| wrong("W and the number of columns"))?,
                Some('F') => {
                    let ratio = value.split_once(':').and_then(|(frames, seconds)| {
                        Some([frames.parse::<u32>().ok()?, seconds.parse::<u32>().ok()?])
                    });
                    match ratio.ok_or_else(|| wrong("F and frames:seconds, as in F25:1"))? {
                        // "0:0" is how the format says that it is not known.
                        [0, _] | [_, 0] => {}
                        [frames, seconds] => rate = f64::from(frames) / f64::from(seconds),
                    }
                }
                Some('C') => format = value,
                Some('X') if value.eq_ignore_ascii_case("COLORRANGE=FULL") => range = Some(Range::Full),
                Some('X') if value.eq_ignore_ascii_case("COLORRANGE=LIMITED") => range = Some(Range::Limited),
                _ => {}
            }
        }
        if sides.contains(&0) {
            return Err(["W and H with the columns and rows of a frame".into(), format!("{line:?}")]);
        }
        let unknown = || {
            ["a colour format of 420, 422, 444, 411 or mono, of 8 to 16 bits".into(), format!("C{format}")]
        };
        let ((shared, alpha), rest) = kind(format).ok_or_else(unknown)?;
        let bits = match rest {
            "" | "jpeg" | "mpeg2" | "paldv" => 8,
            bits => {
                let number = bits.strip_prefix('p').unwrap_or(bits).parse().ok();
                number.filter(|bits| (8..=16).contains(bits)).ok_or_else(unknown)?
            }
        };
        // As ffmpeg reads them: gray has the full range, and JPEG's positions of colours do not mean its range.
        let range = range.unwrap_or(if shared.is_none() { Range::Full } else { Range::Limited });
        Ok(Header { size: sides, rate, bits, shared, alpha, range })
    }

    /// The bytes of brightness, of each colour difference, and of a whole frame.
    fn bytes(&self) -> [u64; 3] {
        let [height, width] = self.size;
        let sample = if self.bits > 8 { 2 } else { 1 };
        let plane = |height: usize, width: usize| height as u64 * width as u64 * sample;
        let light = plane(height, width);
        let colour =
            self.shared.map_or(0, |[columns, rows]| plane(height.div_ceil(rows), width.div_ceil(columns)));
        [light, colour, light + 2 * colour + if self.alpha { light } else { 0 }]
    }

    fn picture(&self, bytes: &[u8]) -> Image {
        let [height, width] = self.size;
        let [light, colour, _] = self.bytes().map(|bytes| bytes as usize);
        let planes =
            [&bytes[..light], &bytes[light..light + colour], &bytes[light + colour..light + 2 * colour]];
        let value = |plane: usize, place: usize| match self.bits {
            8 => planes[plane][place],
            bits => {
                let pair = [planes[plane][2 * place], planes[plane][2 * place + 1]];
                // Bits above those of the format are not set in a sound file.
                (u16::from_le_bytes(pair) >> (bits - 8)).min(255) as u8
            }
        };
        let mut pixels = Vec::with_capacity(height * width * 3);
        for y in 0..height {
            for x in 0..width {
                let light = value(0, y * width + x);
                let [cb, cr] = match self.shared {
                    Some([columns, rows]) => {
                        let place = y / rows * width.div_ceil(columns) + x / columns;
                        [value(1, place), value(2, place)]
                    }
                    None => [128; 2],
                };
                pixels.extend(to_rgb([light, cb, cr], self.range));
            }
        }
        Image { height, width, channels: 3, pixels: pixels.into() }
    }
}

/// The columns and rows that share one colour, whether there is opacity, and the rest of a format's name.
#[expect(clippy::type_complexity, reason = "it is named where it is taken apart")]
fn kind(format: &str) -> Option<((Option<[usize; 2]>, bool), &str)> {
    let kinds = [
        ("444alpha", (Some([1, 1]), true)),
        ("444", (Some([1, 1]), false)),
        ("422", (Some([2, 1]), false)),
        ("420", (Some([2, 2]), false)),
        ("411", (Some([4, 1]), false)),
        ("mono", (None, false)),
    ];
    kinds.into_iter().find_map(|(name, kind)| Some((kind, format.strip_prefix(name)?)))
}

/// A Y4M file.
pub(super) struct Y4m {
    path: PathBuf,
    file: BufReader<File>,
    header: Header,
    /// Where the bytes of each frame begin.
    starts: Vec<u64>,
}

impl Y4m {
    pub fn open(path: &Path) -> Result<Y4m, DataError> {
        let failed = |error| unread(path, error);
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        let mut file = BufReader::new(file);
        let line = line(&mut file).map_err(failed)?;
        let wrong = |place: &str, expected: &str, found: &str| {
            DataError::malformed(path, place, expected, found, REMEDY)
        };
        let Some(line) = line.filter(|line| line.split(' ').next() == Some("YUV4MPEG2")) else {
            return Err(wrong("first line", "a line that begins with YUV4MPEG2", "none"));
        };
        let header =
            Header::parse(&line).map_err(|[expected, found]| wrong("first line", &expected, &found))?;
        check_size(path, header.size)?;
        let bytes = header.bytes()[2];
        let mut starts = Vec::new();
        loop {
            let frame = format!("frame {}", starts.len() + 1);
            let at = file.stream_position().map_err(failed)?;
            if at == len {
                break;
            }
            let line = self::line(&mut file).map_err(failed)?;
            if line.is_none_or(|line| line.split(' ').next() != Some("FRAME")) {
                return Err(wrong(
                    &frame,
                    "a line that begins with FRAME",
                    &format!("other data at byte {at}"),
                ));
            }
            let start = file.stream_position().map_err(failed)?;
            if len - start < bytes {
                return Err(wrong(&frame, &format!("{bytes} bytes"), &format!("{}", len - start)));
            }
            if starts.len() == MOST_LISTED {
                let expected = format!("at most {MOST_LISTED} frames");
                return Err(DataError::malformed(
                    path,
                    &frame,
                    &expected,
                    "more",
                    "cut it into several clips",
                ));
            }
            starts.push(start);
            // Less than the length of a file, so far below i64::MAX.
            file.seek_relative(bytes as i64).map_err(failed)?;
        }
        match starts.is_empty() {
            true => Err(wrong("the file", "at least one frame", "none")),
            false => Ok(Y4m { path: path.into(), file, header, starts }),
        }
    }
}

/// A line without its end; `None` if there is none, or if it is too long or no text.
fn line(file: &mut BufReader<File>) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes)?;
    let text = bytes.strip_suffix(b"\n").and_then(|bytes| std::str::from_utf8(bytes).ok());
    Ok(text.map(String::from))
}

impl Film for Y4m {
    fn size(&self) -> [usize; 2] {
        self.header.size
    }

    fn ends(&self) -> Vec<f64> {
        (1..=self.starts.len()).map(|end| end as f64 / self.header.rate).collect()
    }

    fn read(&mut self, numbers: &[usize], keep: &mut dyn FnMut(Image)) -> Result<(), DataError> {
        let mut bytes = vec![0; self.header.bytes()[2] as usize];
        for &number in numbers {
            let read = self.file.seek(SeekFrom::Start(self.starts[number]));
            read.and_then(|_| self.file.read_exact(&mut bytes)).map_err(|error| unread(&self.path, error))?;
            keep(self.header.picture(&bytes));
        }
        Ok(())
    }
}
