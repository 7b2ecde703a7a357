//! Samples from bytes, by the `symphonia` library.

use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSourceStream, ReadOnlySource};
use symphonia::default::codecs::PcmDecoder;
use symphonia::default::formats::WavReader;

use super::Problem;
use super::chunks::{CONVERT, CUT_OFF, Chunks};
use super::format::Format;
use crate::error::Fault;
use crate::sound::Sound;

/// All samples of a file whose header was checked.
pub(super) fn samples(
    mut file: BufReader<impl Read + Seek + Send + Sync>,
    chunks: &Chunks,
    format: &Format,
) -> Result<Sound, Problem> {
    let place = format!("chunk \"data\" at byte {}", chunks.data_at - 8);
    file.seek(SeekFrom::Start(chunks.data_at))?;
    // Found in a 32-bit number, so it fits into one.
    let header = format.header(chunks.data_len as u32);
    let source = ReadOnlySource::new(Cursor::new(header).chain(file.take(chunks.data_len)));
    let stream = MediaSourceStream::new(Box::new(source), Default::default());
    let refused = |error: Error| match error {
        Error::IoError(error) => Problem::Io(error),
        error => Fault::new(place.clone(), "samples", error.to_string(), CONVERT).into(),
    };
    let mut reader = WavReader::try_new(stream, FormatOptions::default()).map_err(refused)?;
    let parameters = reader.tracks().first().and_then(|track| track.codec_params.as_ref()?.audio());
    let parameters = parameters.ok_or(Error::Unsupported("no sound")).map_err(refused)?;
    let mut decoder = PcmDecoder::try_new(parameters, &AudioDecoderOptions::default()).map_err(refused)?;
    // Grows as samples come, not by what the header says.
    let mut channels = vec![Vec::new(); usize::from(format.channels)];
    let mut part: Vec<Vec<f32>> = Vec::new();
    while let Some(packet) = reader.next_packet().map_err(refused)? {
        let decoded = decoder.decode(&packet).map_err(refused)?;
        decoded.copy_to_vecs_planar(&mut part);
        for (channel, part) in channels.iter_mut().zip(&part) {
            channel.extend_from_slice(part);
        }
    }
    let sound = Sound { rate: format.rate, channels };
    let expected = (chunks.data_len / format.block()) as usize;
    if sound.channels.iter().any(|channel| channel.len() != expected) {
        let found = format!("{}", sound.len());
        return Err(Fault::new(place, format!("{expected} samples per channel"), found, CUT_OFF).into());
    }
    for (number, channel) in sound.channels.iter().enumerate() {
        if let Some(at) = channel.iter().position(|sample| !sample.is_finite()) {
            let place = format!("sample {at} of channel {number}, both counted from 0");
            let remedy =
                "the program that wrote it failed: make the file again, or replace such samples by 0";
            return Err(Fault::new(place, "a finite number", channel[at].to_string(), remedy).into());
        }
    }
    Ok(sound)
}
