//! Draws the log-mel frames of a chirp as the book shows them (`docs/audio.md`).
//!
//! ```sh
//! cargo run --release --example log_mel -- docs/audio/chirp.png
//! ```
//!
//! With a WAV file as a second argument, those of that file.

use std::error::Error;
use std::f64::consts::TAU;
use std::path::PathBuf;
use std::process::ExitCode;

use cerberus::audio::{LogMel, LogMelConfig, Sound, read_wav};
use cerberus::draw::{HeatScale, encode_png};
use cerberus::nn::files::write_atomically;
use image::RgbImage;

/// Pixels of a value on each side.
const ENLARGE: u32 = 3;

/// A tone that rises from 200 to 7000 hertz in two seconds, and its octave in the second half.
fn chirp() -> Sound {
    let rate = 16000;
    let sample = |i: u32| {
        let t = f64::from(i) / f64::from(rate);
        let phase = TAU * (200.0 * t + 1700.0 * t * t);
        (0.5 * phase.sin() + if t > 1.0 { 0.05 * (phase / 2.0).sin() } else { 0.0 }) as f32
    };
    Sound { rate, channels: vec![(0..2 * rate).map(sample).collect()] }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let out = arguments.next().unwrap_or_else(|| "log_mel.png".into());
    let sound = arguments.next().map_or(Ok(chirp()), |path| read_wav(&path))?;
    let config = LogMelConfig::new(sound.rate, 64);
    let frames = LogMel::new(&config)?.compute(&sound.mono());
    // The scale starts at 0, the frames at the logarithm of their floor.
    let least = frames.iter().copied().fold(f32::INFINITY, f32::min);
    let values: Vec<f32> = frames.iter().map(|value| value - least).collect();
    let scale = HeatScale::of(&values);
    let (columns, bands) = (frames.len() as u32 / 64, 64);
    let picture = RgbImage::from_fn(columns * ENLARGE, bands * ENLARGE, |x, y| {
        // Time to the right, frequency upwards.
        let (frame, band) = (x / ENLARGE, bands - 1 - y / ENLARGE);
        scale.colour(values[(frame * bands + band) as usize])
    });
    write_atomically(&out, &encode_png(&picture)?)?;
    println!("{}: {columns} frames of {bands} bands, {:.1} s", out.display(), sound.duration());
    Ok(())
}
