//! What the header of a WAV file says about its samples.
//!
//! The chunk `fmt ` holds, in little-endian numbers of 16 bits (`*` 32 bits): encoding, channels, *rate,
//! *bytes per second, bytes per sample of all channels, bits per sample. An extensible header goes on with:
//! length of the rest, used bits per sample, *places of the loudspeakers, and the encoding as a GUID, which
//! starts with the number that a plain header would have.

use super::Problem;
use super::chunks::{CONVERT, CUT_OFF, Chunks};
use crate::error::Fault;

/// The most channels of a file.
pub const MOST_CHANNELS: u16 = 26;
/// The highest rate in hertz.
pub const MOST_RATE: u32 = 768_000;

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const EXTENSIBLE: u16 = 0xFFFE;
/// The end of the GUIDs that stand for plain encodings.
const GUID: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

/// A checked format.
pub(super) struct Format {
    encoding: u16,
    pub channels: u16,
    pub rate: u32,
    /// Bits that a sample takes in the file.
    bits: u16,
}

impl Format {
    pub fn pcm(bits: u16, channels: u16, rate: u32) -> Format {
        Format { encoding: PCM, channels, rate, bits }
    }

    pub fn float(bits: u16, channels: u16, rate: u32) -> Format {
        Format { encoding: FLOAT, channels, rate, bits }
    }

    /// Reads and checks the format of a file, and that its samples are whole and not zero.
    pub fn parse(chunks: &Chunks) -> Result<Format, Problem> {
        let bytes = &chunks.format;
        let place = format!("chunk \"fmt \" at byte {}", chunks.format_at);
        let fault = |expected: String, found: String, remedy| -> Problem {
            Fault::new(place.clone(), expected, found, remedy).into()
        };
        if bytes.len() < 16 {
            return Err(fault("at least 16 bytes".into(), bytes.len().to_string(), CUT_OFF));
        }
        let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let (channels, block, bits) = (word(2), word(12), word(14));
        let rate = u32::from(word(4)) | u32::from(word(6)) << 16;
        let mut encoding = word(0);
        if encoding == EXTENSIBLE && bytes.len() >= 40 && bytes[26..] == GUID {
            encoding = word(24);
        }
        let widths: &[u16] = match encoding {
            PCM => &[8, 16, 24, 32],
            FLOAT => &[32, 64],
            A_LAW | MU_LAW => &[8],
            _ => {
                let found = format!("encoding {encoding:#06x}");
                let known = "PCM (1), float (3), A-law (6) or mu-law (7)";
                return Err(fault(known.into(), found, CONVERT));
            }
        };
        if channels == 0 || channels > MOST_CHANNELS {
            return Err(fault(format!("1 to {MOST_CHANNELS} channels"), channels.to_string(), CUT_OFF));
        }
        if rate == 0 || rate > MOST_RATE {
            return Err(fault(format!("a rate of 1 to {MOST_RATE} hertz"), rate.to_string(), CUT_OFF));
        }
        // 12 bits of PCM take the upper ones of 16.
        let taken = if encoding == PCM { bits.checked_next_multiple_of(8).unwrap_or(bits) } else { bits };
        if !widths.contains(&taken) {
            let list = widths.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            return Err(fault(format!("{list} bits per sample"), bits.to_string(), CONVERT));
        }
        let format = Format { encoding, channels, rate, bits: taken };
        if u64::from(block) != format.block() {
            let expected = format!("{} bytes per {channels} samples of {bits} bits", format.block());
            return Err(fault(expected, block.to_string(), CONVERT));
        }
        let place = format!("chunk \"data\" at byte {}", chunks.data_at - 8);
        let len = chunks.data_len;
        if len == 0 {
            let remedy = "there is no sound in it: leave it out";
            return Err(Fault::new(place, "samples", "none", remedy).into());
        }
        if !len.is_multiple_of(format.block()) {
            let expected = format!("a multiple of {} bytes", format.block());
            return Err(Fault::new(place, expected, len.to_string(), CUT_OFF).into());
        }
        Ok(format)
    }

    /// Bytes of one sample of every channel.
    pub fn block(&self) -> u64 {
        u64::from(self.channels) * u64::from(self.bits / 8)
    }

    /// The header of a file with `len` bytes of samples, up to the samples.
    pub fn header(&self, len: u32) -> Vec<u8> {
        // A-law and mu-law must say that their format goes on for 0 bytes.
        let extra: &[u8] = if [PCM, FLOAT].contains(&self.encoding) { &[] } else { &[0, 0] };
        let format = 16 + extra.len() as u32;
        let per_second = (u64::from(self.rate) * self.block()).min(u64::from(u32::MAX)) as u32;
        let pad = len % 2;
        [
            b"RIFF",
            &len.saturating_add(20 + format + pad).to_le_bytes()[..],
            b"WAVEfmt ",
            &format.to_le_bytes(),
            &self.encoding.to_le_bytes(),
            &self.channels.to_le_bytes(),
            &self.rate.to_le_bytes(),
            &per_second.to_le_bytes(),
            &(self.block() as u16).to_le_bytes(),
            &self.bits.to_le_bytes(),
            extra,
            b"data",
            &len.to_le_bytes(),
        ]
        .concat()
    }
}
