//! WAV files.
//!
//! Reading takes three steps: find the chunks of the file ([`chunks`]), check what its header says against
//! what the file holds ([`format`]), and let the `symphonia` library turn bytes into samples ([`decode`]).
//! The library gets a header that was written anew from the checked values, followed by the samples and
//! nothing else, so that no claim of a file decides how much memory is asked for.

mod chunks;
mod decode;
mod format;
#[cfg(test)]
mod tests;
mod write;

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::{AudioError, Fault};
use crate::sound::Sound;

pub use format::{MOST_CHANNELS, MOST_RATE};
pub use write::{WavFormat, write_wav};

/// Reads a WAV file: integers of 8 to 32 bits, floats of 32 and 64 bits, A-law and mu-law, at any rate to
/// [`MOST_RATE`], with up to [`MOST_CHANNELS`] channels, with a plain or an extensible header.
///
/// Integers are divided by half their range, so that -32768 of 16 bits becomes -1; floats are taken as they
/// are. Integers that use a part of their bytes (20 of 24 bits) fill the upper bits, as the format says.
/// Chunks other than `fmt ` and `data` are skipped. The length of the whole file that its first bytes
/// claim is not used: many programs write a wrong one.
///
/// # Errors
/// [`AudioError`] with the file, the place in it, what was expected there and what to do: a file that is
/// not a WAV file, is cut off, has no samples, has a compressed or unknown encoding, a header that
/// contradicts itself or the file, or samples that are not finite.
///
/// ```
/// use cerberus_audio::{Sound, WavFormat, read_wav, write_wav};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("tone.wav");
/// let tone = (0..800).map(|i| (i as f32 * 0.3).sin() * 0.5).collect();
/// write_wav(&path, &Sound { rate: 8000, channels: vec![tone] }, WavFormat::Int16)?;
/// let sound = read_wav(&path)?;
/// assert_eq!((sound.rate, sound.len()), (8000, 800));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_wav(path: &Path) -> Result<Sound, AudioError> {
    let named = |problem: Problem| match problem {
        Problem::Io(source) => AudioError::Read { path: path.into(), source },
        Problem::Fault(fault) => fault.of(path),
    };
    let open = || -> io::Result<_> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok((file, len))
    };
    let (file, len) = open().map_err(|source| named(source.into()))?;
    read(file, len).map_err(named)
}

/// Why a file cannot be read, before its name is known.
#[derive(Debug)]
pub(crate) enum Problem {
    Io(io::Error),
    Fault(Fault),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Problem {
        Problem::Io(error)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        Problem::Fault(fault)
    }
}

/// Reads a WAV file of `len` bytes from its start.
fn read(file: impl io::Read + io::Seek + Send + Sync, len: u64) -> Result<Sound, Problem> {
    let mut file = io::BufReader::new(file);
    let chunks = chunks::find(&mut file, len)?;
    let format = format::Format::parse(&chunks)?;
    decode::samples(file, &chunks, &format)
}
