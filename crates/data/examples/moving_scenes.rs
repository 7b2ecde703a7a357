//! Draws the moving scenes: a sheet with a clip of every motion.
//!
//! ```text
//! cargo run -p cerberus-data --example moving_scenes -- FOLDER
//! ```
//!
//! It writes `motions.png`: a validation clip of every motion, in the order of their classes and two in a row, with the
//! first frame on the left. The docs show this picture. It has 256 colours, because the noise of frames in all colours
//! hardly gets smaller in a file.

use std::error::Error;
use std::path::PathBuf;

use cerberus_data::{Clip, Dataset, Image, Label, MOTIONS, MovingScenes, Split};

/// Pixels of the sheet per pixel of a frame.
const SCALE: usize = 2;
/// White pixels between clips.
const GAP: usize = 8;
/// Clips side by side.
const COLUMNS: usize = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        return Err("give the folder to write to".into());
    };
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    let data = MovingScenes::embedded(1);
    let mut clips: Vec<Option<Clip>> = vec![None; MOTIONS.len()];
    // Subjects of all classes: the first clips of a split have few.
    for index in (0..data.len(Split::Validation)).step_by(17) {
        let (clip, sample) = data.clip(Split::Validation, 0, index)?;
        if let Some(&Label::Class(motion)) = sample.more.get(MovingScenes::MOTION) {
            clips[motion].get_or_insert(clip);
        }
    }
    let clips: Vec<Clip> = clips.into_iter().flatten().collect();
    let path = folder.join("motions.png");
    std::fs::write(&path, of_few_colours(sheet(&clips))?)?;
    println!("{}", path.display());
    Ok(())
}

/// The frames of each clip in a row.
fn sheet(clips: &[Clip]) -> Image {
    let (side, count) = (clips[0].frames[0].width * SCALE, clips[0].frames.len());
    let width = COLUMNS * (count * side + GAP) - GAP;
    let height = clips.len().div_ceil(COLUMNS) * (side + GAP) - GAP;
    let mut pixels = vec![255; height * width * 3];
    for (number, clip) in clips.iter().enumerate() {
        for (place, frame) in clip.frames.iter().enumerate() {
            let left = number % COLUMNS * (count * side + GAP) + place * side;
            let top = number / COLUMNS * (side + GAP);
            for y in 0..side {
                for x in 0..side {
                    let from = (y / SCALE * frame.width + x / SCALE) * 3;
                    let to = ((top + y) * width + left + x) * 3;
                    pixels[to..to + 3].copy_from_slice(&frame.pixels[from..from + 3]);
                }
            }
        }
    }
    Image { height, width, channels: 3, pixels: pixels.into() }
}

/// A PNG file with a palette of the picture's best 256 colours, which the encoder of GIF files chooses.
fn of_few_colours(picture: Image) -> Result<Vec<u8>, Box<dyn Error>> {
    let (width, height) = (u32::try_from(picture.width)?, u32::try_from(picture.height)?);
    let gif = Clip { frames: vec![picture], rate: 1.0 }.to_gif()?;
    let mut decoder = gif::Decoder::new(&gif[..])?;
    let frame = decoder.read_next_frame()?.ok_or("no frame")?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(frame.palette.clone().ok_or("no palette")?);
    encoder.set_compression(png::Compression::High);
    encoder.write_header()?.write_image_data(&frame.buffer)?;
    Ok(bytes)
}
