//! Writing WAV files.
//!
//! The file is written under a temporary name in its folder, flushed to the disk and renamed, so that it is
//! never half-written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::format::{Format, MOST_CHANNELS, MOST_RATE};
use crate::error::AudioError;
use crate::sound::Sound;

/// How samples are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WavFormat {
    /// Integers of 16 bits, rounded to the nearest; samples beyond -1 to 1 are cut.
    Int16,
    /// Integers of 24 bits, rounded and cut in the same way.
    Int24,
    /// The samples as they are.
    Float32,
}

/// Writes a sound as a WAV file, replacing what was there in one step.
///
/// # Errors
/// [`AudioError::Write`] if the file cannot be written, or the sound has a rate or a number of channels that
/// [`read_wav`](super::read_wav) refuses, no samples, channels of different lengths, samples that are not
/// finite, or more than 4 GiB; the old content is then untouched.
pub fn write_wav(path: &Path, sound: &Sound, format: WavFormat) -> Result<(), AudioError> {
    let fail = |source| AudioError::Write { path: path.into(), source };
    let invalid = |reason: &str| fail(io::Error::new(io::ErrorKind::InvalidInput, reason));
    let bytes = encode(sound, format).map_err(invalid)?;
    let name = path.file_name().ok_or_else(|| invalid("the path names no file"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let fill = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    fill().map_err(|source| {
        // Report the first error, not one from this clean-up.
        let _ = fs::remove_file(&temporary);
        fail(source)
    })
}

/// The bytes of the file, or why there are none.
pub(super) fn encode(sound: &Sound, format: WavFormat) -> Result<Vec<u8>, &'static str> {
    let (len, rate) = (sound.len(), sound.rate);
    let channels = u16::try_from(sound.channels.len()).unwrap_or(u16::MAX);
    if !(1..=MOST_CHANNELS).contains(&channels) || !(1..=MOST_RATE).contains(&rate) || len == 0 {
        return Err("the sound has no samples, no channel, too many, or an impossible rate");
    }
    if sound.channels.iter().any(|channel| channel.len() != len) {
        return Err("the channels have different lengths");
    }
    if sound.channels.iter().flatten().any(|sample| !sample.is_finite()) {
        return Err("a sample is not finite");
    }
    let header = match format {
        WavFormat::Int16 => Format::pcm(16, channels, rate),
        WavFormat::Int24 => Format::pcm(24, channels, rate),
        WavFormat::Float32 => Format::float(32, channels, rate),
    };
    let size = u32::try_from(len as u64 * header.block()).ok().filter(|&size| size < u32::MAX - 64);
    let mut bytes = header.header(size.ok_or("the file would have more than 4 GiB")?);
    for place in 0..len {
        for channel in &sound.channels {
            let sample = channel[place];
            match format {
                WavFormat::Int16 => bytes.extend((rounded(sample, 15) as i16).to_le_bytes()),
                WavFormat::Int24 => bytes.extend(&rounded(sample, 23).to_le_bytes()[..3]),
                WavFormat::Float32 => bytes.extend(sample.to_le_bytes()),
            }
        }
    }
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    Ok(bytes)
}

/// A sample as an integer with `bits` bits and a sign.
fn rounded(sample: f32, bits: u32) -> i32 {
    let full = f64::from(1u32 << bits);
    (f64::from(sample) * full).round().clamp(-full, full - 1.0) as i32
}
