//! Opens a clip of any form, and reads the frames that are wanted.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Clip;
use super::animated_gif::Gif;
use super::film::{Film, unread};
use super::options::{ClipOptions, MOST_FRAMES};
use super::pictures::Pictures;
use super::y4m::Y4m;
use crate::image_file::MOST_PIXELS;
use crate::{DataError, Image, Placement};

/// Reads a clip: a folder of pictures, an animated GIF or a Y4M file. The content of a file decides, not its name.
///
/// Frames have three channels. At most 2^26 pixels and [`MOST_FRAMES`] frames are kept, after resizing; and a frame has
/// at most 2^24 pixels in the file.
///
/// # Errors
/// Those of [`ClipOptions::check`]; [`DataError::Read`] and [`DataError::Malformed`] naming the file, and the frame if
/// there is one, when a file is missing, damaged, of another format, too large, or has no frames or frames of different
/// sizes.
pub fn open_clip(path: &Path, options: &ClipOptions) -> Result<Clip, DataError> {
    options.check()?;
    let mut film = film(path, options.folder_rate)?;
    let (size, ends) = (film.size(), film.ends());
    let kept = options.size.unwrap_or(size);
    let number = options.frames.number(ends.len(), ends.last().copied().unwrap_or(0.0));
    let most = (MOST_PIXELS as f64 / (kept[0] as f64 * kept[1] as f64)).floor().min(MOST_FRAMES as f64);
    if number > most {
        let expected = format!("at most {most} frames of {}x{} pixels", kept[1], kept[0]);
        let remedy = "choose fewer frames, or a smaller size";
        return Err(DataError::malformed(path, "the clip", &expected, &number.to_string(), remedy));
    }
    let (numbers, rate) = options.frames.choose(&ends);
    let mut distinct = numbers.clone();
    distinct.dedup();
    let mut images = Vec::with_capacity(distinct.len());
    film.read(&distinct, &mut |image| {
        images.push(match options.size {
            Some(kept) if kept != size => Placement::new(options.fit, size, kept).place(&image),
            _ => image,
        });
    })?;
    // A frame that is wanted several times follows itself.
    let mut frames: Vec<Image> = Vec::with_capacity(numbers.len());
    let mut images = images.into_iter();
    for (place, number) in numbers.iter().enumerate() {
        let again = place > 0 && numbers[place - 1] == *number;
        let next = if again { frames.last().cloned() } else { images.next() };
        frames.extend(next);
    }
    Ok(Clip { frames, rate })
}

/// The clip at a path, of whatever form.
pub(crate) fn film(path: &Path, folder_rate: f64) -> Result<Box<dyn Film>, DataError> {
    if path.is_dir() {
        return Ok(Box::new(Pictures::open(path, folder_rate)?));
    }
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut first));
    read.map_err(|error| unread(path, error))?;
    if first.starts_with(b"GIF8") {
        return Ok(Box::new(Gif::open(path)?));
    }
    if first.starts_with(b"YUV4MPEG2") {
        return Ok(Box::new(Y4m::open(path)?));
    }
    Err(other(path, &first))
}

/// The error for a file of another format.
fn other(path: &Path, first: &[u8]) -> DataError {
    let at = |place: usize, mark: &[u8]| first.get(place..).is_some_and(|rest| rest.starts_with(mark));
    let found = match first {
        [] => "an empty file",
        _ if at(0, b"RIFF") && at(8, b"AVI ") => "an AVI video",
        _ if at(4, b"ftyp") => "an MP4 or QuickTime video",
        _ if at(0, b"\x1aE\xdf\xa3") => "a Matroska or WebM video",
        _ if at(0, b"OggS") => "an Ogg video or sound",
        _ if at(0, b"FLV") => "a Flash video",
        _ if at(0, b"\0\0\x01\xba") || at(0, b"\0\0\x01\xb3") => "an MPEG video",
        _ if image::guess_format(first).is_ok() => "a single picture",
        _ => "another format",
    };
    let remedy = match found {
        "a single picture" => "give the folder of all frames instead".into(),
        _ => {
            let name = path.display();
            format!(
                "turn a video into frames: ffmpeg -i {name} FOLDER/%06d.png, or ffmpeg -i {name} FILE.y4m"
            )
        }
    };
    let expected = "a folder of pictures, an animated GIF or a Y4M file";
    DataError::malformed(path, "first bytes", expected, found, &remedy)
}
