//! Where the parts of a WAV file lie.
//!
//! The file is `RIFF`, a length, `WAVE`, and then chunks: four letters, a length in 32 bits, that many
//! bytes, and one more byte after an odd length (IBM and Microsoft, "Multimedia Programming Interface and
//! Data Specifications 1.0", 1991). Lengths are checked against the file's real length before they are used.

use std::io::{BufReader, Read, Seek};

use super::Problem;
use crate::error::Fault;

pub(super) const CUT_OFF: &str =
    "the file is cut off or its header is wrong: copy, record or convert it again";
pub(super) const CONVERT: &str =
    "convert it to PCM, for example with `ffmpeg -i FILE -c:a pcm_s16le NEW.wav`";

/// As much of a format chunk as any known format needs.
const FORMAT_BYTES: u64 = 40;

/// The two chunks that matter.
pub(super) struct Chunks {
    /// The first bytes of the chunk `fmt `, and its place in the file.
    pub format: Vec<u8>,
    pub format_at: u64,
    /// The first byte of the samples in the file, and their length in bytes.
    pub data_at: u64,
    pub data_len: u64,
}

/// Finds the chunks of a file of `len` bytes; all that is read is their headers and the format.
pub(super) fn find(file: &mut BufReader<impl Read + Seek>, len: u64) -> Result<Chunks, Problem> {
    let mut head = [0; 12];
    let there = len.min(12) as usize;
    file.read_exact(&mut head[..there])?;
    if there < 12 || head[..4] != *b"RIFF" || head[8..] != *b"WAVE" {
        let found = match &head[..there] {
            [] => "an empty file".into(),
            [b'R', b'I', b'F', b'X', ..] => "a big-endian file (\"RIFX\")".into(),
            [b'R', b'F', b'6', b'4', ..] => "a file with lengths of 64 bits (\"RF64\")".into(),
            start => format!("\"{}\"", start.escape_ascii()),
        };
        return Err(Fault::new("byte 0", "\"RIFF\", a length and \"WAVE\"", found, CONVERT).into());
    }
    let (mut at, mut format) = (12, None);
    loop {
        if len < at + 8 {
            let expected = if format.is_none() { "a chunk \"fmt \"" } else { "a chunk \"data\"" };
            return Err(Fault::new(format!("byte {at}"), expected, "the end of the file", CUT_OFF).into());
        }
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let (name, size) = head.split_at(4);
        let size = u64::from(u32::from_le_bytes([size[0], size[1], size[2], size[3]]));
        let place = format!("chunk \"{}\" at byte {at}", name.escape_ascii());
        let rest = len - at - 8;
        if size > rest {
            let remedy = if size == u64::from(u32::MAX) {
                // Programs that write into a pipe cannot know the length.
                "its length was unknown to the program that wrote it: convert it again, into a file"
            } else {
                CUT_OFF
            };
            return Err(Fault::new(place, format!("{size} bytes"), format!("{rest}"), remedy).into());
        }
        match (name, &format) {
            (b"fmt ", None) => {
                let mut bytes = vec![0; size.min(FORMAT_BYTES) as usize];
                file.read_exact(&mut bytes)?;
                file.seek_relative((size - bytes.len() as u64) as i64)?;
                format = Some((bytes, at));
            }
            (b"data", None) => {
                let expected = "a chunk \"fmt \" before the samples";
                return Err(Fault::new(place, expected, "the samples", CUT_OFF).into());
            }
            (b"data", Some(_)) => {
                let (format, format_at) = format.expect("it was matched");
                return Ok(Chunks { format, format_at, data_at: at + 8, data_len: size });
            }
            _ => file.seek_relative(size as i64)?,
        }
        // The last chunk's pad byte is often missing, and then the next chunk is found to be missing.
        let pad = size % 2;
        file.seek_relative(pad as i64)?;
        at += 8 + size + pad;
    }
}
