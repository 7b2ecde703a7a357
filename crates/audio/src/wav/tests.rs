//! Sound and broken WAV files.

use std::io::Cursor;

use proptest::prelude::*;

use super::write::encode;
use super::{Problem, WavFormat, read, read_wav, write_wav};
use crate::{AudioError, MOST_CHANNELS, MOST_RATE, Sound};

/// A chunk with its pad byte.
fn chunk(name: &[u8; 4], bytes: &[u8]) -> Vec<u8> {
    let pad: &[u8] = if bytes.len() % 2 == 1 { &[0] } else { &[] };
    [&name[..], &(bytes.len() as u32).to_le_bytes(), bytes, pad].concat()
}

fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let inside = chunks.concat();
    [&b"RIFF"[..], &(inside.len() as u32 + 4).to_le_bytes(), b"WAVE", &inside].concat()
}

/// A format chunk: encoding, channels, rate and bits.
fn format(encoding: u16, channels: u16, rate: u32, bits: u16) -> Vec<u8> {
    let block = channels.wrapping_mul(bits.div_ceil(8));
    let words = [channels.to_le_bytes(), block.to_le_bytes(), bits.to_le_bytes()];
    let second = rate.wrapping_mul(u32::from(block)).to_le_bytes();
    [&encoding.to_le_bytes()[..], &words[0], &rate.to_le_bytes(), &second, &words[1], &words[2]].concat()
}

/// The rest of an extensible format.
fn extended(used: u16, encoding: u16) -> Vec<u8> {
    let guid = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];
    [&22u16.to_le_bytes()[..], &used.to_le_bytes(), &[0; 4], &encoding.to_le_bytes(), &guid].concat()
}

/// A file of one format and its samples.
fn file(format: Vec<u8>, data: &[u8]) -> Vec<u8> {
    riff(&[chunk(b"fmt ", &format), chunk(b"data", data)])
}

fn parse(bytes: &[u8]) -> Result<Sound, Problem> {
    read(Cursor::new(bytes), bytes.len() as u64)
}

/// The message for a broken file.
fn refused(bytes: &[u8]) -> String {
    match parse(bytes) {
        Err(Problem::Fault(fault)) => fault.of("some.wav".as_ref()).to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_width_and_encoding_has_its_scale() {
    let bytes = |values: &[i64], width: usize| -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()[..width].to_vec()).collect()
    };
    let pcm = |bits, values: &[i64]| file(format(1, 1, 8000, bits), &bytes(values, usize::from(bits / 8)));
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let doubles = [0.1, -1.0, 1.5].iter().flat_map(|value: &f64| value.to_le_bytes()).collect::<Vec<_>>();
    let part = 2.0_f32.powi(-23);
    for (file, expected) in [
        (pcm(8, &[0, 128, 192, 255]), vec![-1.0, 0.0, 0.5, 127.0 / 128.0]),
        (pcm(16, &[-32768, 0, 16384, 32767]), vec![-1.0, 0.0, 0.5, 32767.0 / 32768.0]),
        (pcm(24, &[-8388608, 1, 4194304]), vec![-1.0, part, 0.5]),
        (pcm(32, &[-2147483648, 256, 1073741824]), vec![-1.0, part, 0.5]),
        (file(format(3, 1, 8000, 32), &floats(&[0.1, -1.0, 1.5])), vec![0.1, -1.0, 1.5]),
        (file(format(3, 1, 8000, 64), &doubles), vec![0.1, -1.0, 1.5]),
        // 12 bits in the upper ones of 16.
        (file(format(1, 1, 8000, 12), &bytes(&[-32768, 16384], 2)), vec![-1.0, 0.5]),
        // ITU-T G.711: the smallest and largest values of both laws.
        (
            file([format(6, 1, 8000, 8), vec![0, 0]].concat(), &[0xD5, 0xAA]),
            vec![8.0 / 32768.0, 32256.0 / 32768.0],
        ),
        (file(format(7, 1, 8000, 8), &[0xFF, 0x80]), vec![0.0, 32124.0 / 32768.0]),
    ] {
        assert_eq!(parse(&file).unwrap(), Sound { rate: 8000, channels: vec![expected] });
    }
}

#[test]
fn extensible_headers_lists_pads_and_wrong_lengths_of_the_whole_are_no_obstacle() {
    let expected = Sound { rate: 44100, channels: vec![vec![0.5, -1.0], vec![0.0, 0.25]] };
    let data: Vec<u8> = [16384i16, 0, -32768, 8192].iter().flat_map(|value| value.to_le_bytes()).collect();
    let plain = chunk(b"fmt ", &format(1, 2, 44100, 16));
    let extensible = chunk(b"fmt ", &[format(0xFFFE, 2, 44100, 16), extended(16, 1)].concat());
    let longer = chunk(b"fmt ", &[format(1, 2, 44100, 16), vec![0; 27]].concat());
    let list = chunk(b"LIST", b"INFOISFT\x03\0\0\0abc\0x");
    let samples = chunk(b"data", &data);
    for chunks in [
        vec![plain.clone(), samples.clone()],
        vec![extensible, samples.clone()],
        vec![longer, samples.clone()],
        vec![list.clone(), plain.clone(), chunk(b"fact", &[0; 4]), list.clone(), samples.clone(), list],
        vec![chunk(b"JUNK", &[]), plain, chunk(b"bext", &[7; 603]), samples],
    ] {
        let mut bytes = riff(&chunks);
        assert_eq!(parse(&bytes).unwrap(), expected);
        bytes[4..8].copy_from_slice(&[0; 4]);
        assert_eq!(parse(&bytes).unwrap(), expected);
    }
    // 20 bits in 24, as an extensible header says it.
    let format = [format(0xFFFE, 1, 48000, 24), extended(20, 1)].concat();
    assert_eq!(parse(&file(format, &[0, 0, 0x40])).unwrap().channels, [[0.5]]);
    // An odd length of samples whose pad byte is missing.
    let mut bytes = file(super::tests::format(1, 1, 8000, 8), &[128; 3]);
    bytes.pop();
    assert_eq!(parse(&bytes).unwrap().channels, [[0.0; 3]]);
}

#[test]
fn all_channels_and_rates_to_the_limits_are_read() {
    for (channels, rate) in [(1, 1), (3, 96000), (8, 22050), (MOST_CHANNELS, MOST_RATE)] {
        for bits in [8, 32] {
            let encoding = if bits == 8 { 1 } else { 3 };
            let len = 5 * usize::from(channels) * usize::from(bits / 8);
            let sound = parse(&file(format(encoding, channels, rate, bits), &vec![0; len])).unwrap();
            assert_eq!((sound.rate, sound.channels.len(), sound.len()), (rate, channels.into(), 5));
        }
    }
}

#[test]
fn broken_files_are_refused_with_the_place_and_what_is_wrong() {
    let good = file(format(1, 1, 8000, 16), &[0; 100]);
    let with = |format: Vec<u8>| file(format, &[0; 96]);
    for (bytes, words) in [
        (vec![], ["byte 0", "an empty file"]),
        (b"RIF".to_vec(), ["byte 0", "RIF"]),
        (b"not a sound at all".to_vec(), ["byte 0", "not a sound"]),
        ([b"RIFX", &good[4..]].concat(), ["byte 0", "big-endian"]),
        ([b"RF64", &good[4..]].concat(), ["byte 0", "64 bits"]),
        ([&good[..8], b"AVI ", &good[12..]].concat(), ["byte 0", "WAVE"]),
        (good[..12].to_vec(), ["byte 12", "chunk \"fmt \""]),
        (good[..30].to_vec(), ["chunk \"fmt \" at byte 12", "expected 16 bytes, found 10"]),
        (good[..36].to_vec(), ["byte 36", "chunk \"data\""]),
        (good[..44].to_vec(), ["chunk \"data\" at byte 36", "expected 100 bytes, found 0"]),
        (good[..99].to_vec(), ["chunk \"data\" at byte 36", "found 55"]),
        (riff(&[chunk(b"data", &[0; 4])]), ["chunk \"data\" at byte 12", "before the samples"]),
        (riff(&[chunk(b"fmt ", &[0; 14])]), ["byte 34", "expected a chunk \"data\""]),
        (file(vec![0; 14], &[0; 4]), ["chunk \"fmt \"", "at least 16 bytes, found 14"]),
        (with(format(1, 0, 8000, 16)), ["chunk \"fmt \" at byte 12", "channels, found 0"]),
        (with(format(1, 27, 8000, 16)), ["1 to 26 channels", "found 27"]),
        (with(format(1, 1, 0, 16)), ["a rate of", "found 0"]),
        (with(format(1, 1, 768_001, 16)), ["a rate of", "found 768001"]),
        (with(format(1, 1, 8000, 0)), ["bits per sample", "found 0"]),
        (with(format(1, 1, 8000, 40)), ["8, 16, 24, 32 bits", "found 40"]),
        (with(format(1, 1, 8000, u16::MAX)), ["8, 16, 24, 32 bits", "found 65535"]),
        (with(format(3, 1, 8000, 16)), ["32, 64 bits", "found 16"]),
        (with(format(0x55, 1, 8000, 16)), ["PCM (1)", "encoding 0x0055"]),
        (with(format(0xFFFE, 1, 8000, 16)), ["PCM (1)", "encoding 0xfffe"]),
        (file(format(1, 2, 8000, 16), &[0; 6]), ["a multiple of 4 bytes", "found 6"]),
        (file(format(1, 2, 8000, 16), &[]), ["chunk \"data\" at byte 36", "no sound in it"]),
    ] {
        let message = refused(&bytes);
        assert!(message.starts_with("some.wav, ") && message.contains("; "), "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{words:?}: {message}");
    }
    // Blocks that are larger than their samples.
    let mut bytes = with(format(1, 1, 8000, 16));
    bytes[32] = 4;
    assert!(refused(&bytes).contains("2 bytes per 1 samples of 16 bits, found 4"));
}

#[test]
fn claims_of_gigabytes_are_refused_before_memory_is_asked_for() {
    for (name, place) in [(b"data", 40), (b"fmt ", 16), (b"LIST", 16)] {
        let mut chunks = vec![chunk(b"fmt ", &format(1, 1, 8000, 16)), chunk(b"data", &[0; 56])];
        if name == b"LIST" {
            chunks.insert(0, chunk(name, b"INFO"));
        }
        for claim in [2u32 << 30, u32::MAX - 1, u32::MAX] {
            let mut bytes = riff(&chunks);
            bytes[place..place + 4].copy_from_slice(&claim.to_le_bytes());
            let message = refused(&bytes);
            assert!(message.contains(&format!("expected {claim} bytes")), "{message}");
            assert_eq!(message.contains("convert it again, into a file"), claim == u32::MAX, "{message}");
        }
    }
}

#[test]
fn samples_that_are_not_finite_are_refused_with_their_place() {
    for value in [f32::NAN, f32::INFINITY] {
        let samples = [0.0, 0.0, 0.5, value];
        let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let message = refused(&file(format(3, 2, 8000, 32), &data));
        assert!(message.contains("sample 1 of channel 1") && message.contains("finite"), "{message}");
    }
    let data = [0.0, 1e300].map(f64::to_le_bytes).concat();
    assert!(refused(&file(format(3, 1, 8000, 64), &data)).contains("sample 1 of channel 0"));
}

#[test]
fn files_that_are_not_there_or_cannot_be_written_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/tone.wav");
    let message = read_wav(&missing).unwrap_err().to_string();
    assert!(message.contains("tone.wav"), "{message}");
    assert!(matches!(read_wav(folder.path()), Err(AudioError::Read { .. })));
    let tone = Sound { rate: 8000, channels: vec![vec![0.5; 3]] };
    let message = write_wav(&missing, &tone, WavFormat::Int16).unwrap_err().to_string();
    assert!(message.contains("tone.wav"), "{message}");
}

#[test]
fn a_file_is_replaced_as_a_whole_and_impossible_sounds_leave_it_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tone.wav");
    let tone = Sound { rate: 8000, channels: vec![vec![0.5; 3]] };
    write_wav(&path, &Sound { rate: 7, ..tone.clone() }, WavFormat::Int24).unwrap();
    write_wav(&path, &tone, WavFormat::Int24).unwrap();
    for (rate, channels) in [
        (0, vec![vec![0.0]]),
        (MOST_RATE + 1, vec![vec![0.0]]),
        (8000, vec![]),
        (8000, vec![vec![]]),
        (8000, vec![vec![0.0], vec![]]),
        (8000, vec![vec![0.0]; 27]),
        (8000, vec![vec![f32::NAN]]),
    ] {
        let sound = Sound { rate, channels };
        assert!(
            matches!(write_wav(&path, &sound, WavFormat::Int16), Err(AudioError::Write { .. })),
            "{sound:?}"
        );
    }
    assert_eq!(read_wav(&path).unwrap(), tone);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A file with any of the formats that are read.
fn any_file() -> impl Strategy<Value = Vec<u8>> {
    let data = proptest::collection::vec(any::<u8>(), 0..200);
    (0usize..7, 1u16..4, data, any::<bool>()).prop_map(|(kind, channels, mut data, list)| {
        let (encoding, bits) = [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64), (7, 8)][kind];
        let block = usize::from(channels * bits / 8);
        data.truncate(data.len() / block * block);
        let mut chunks = vec![chunk(b"fmt ", &format(encoding, channels, 8000, bits)), chunk(b"data", &data)];
        if list {
            chunks.insert(1, chunk(b"LIST", b"INFOabc"));
        }
        riff(&chunks)
    })
}

proptest! {
    #[test]
    fn written_sounds_come_back_to_the_precision_of_the_format(
        channels in 1usize..5,
        rate in 1..=MOST_RATE,
        samples in proptest::collection::vec(-1.2f32..1.2, 1..50),
    ) {
        let channel = |number: usize| samples.iter().map(|sample| sample / (number + 1) as f32).collect();
        let sound = Sound { rate, channels: (0..channels).map(channel).collect() };
        // The largest number of each format is a step below 1.
        for (format, step) in [
            (WavFormat::Int16, 1.0 / 32768.0),
            (WavFormat::Int24, 1.0 / 8388608.0),
            (WavFormat::Float32, 0.0),
        ] {
            let again = parse(&encode(&sound, format).unwrap()).unwrap();
            prop_assert_eq!((again.rate, again.channels.len(), again.len()), (rate, channels, samples.len()));
            for (a, b) in again.channels.iter().flatten().zip(sound.channels.iter().flatten()) {
                let cut = if step == 0.0 { *b } else { b.clamp(-1.0, 1.0 - step) };
                prop_assert!((a - cut).abs() <= 0.5 * step, "{:?}: {} instead of {}", format, a, cut);
            }
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse(&bytes).is_err());
        let start: &[u8] = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0";
        // Random formats may be accepted; what counts is that none panics.
        let _ = parse(&[start, &bytes].concat());
    }

    #[test]
    fn damaged_files_are_read_or_refused(
        mut bytes in any_file(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        kept in any::<proptest::sample::Index>(),
        cut: bool,
    ) {
        for (place, value) in changes {
            // Mostly the header, where it matters.
            let place = place.index(if value % 4 == 0 { bytes.len() } else { bytes.len().min(64) });
            bytes[place] = value;
        }
        if cut {
            bytes.truncate(kept.index(bytes.len()));
        }
        if let Ok(sound) = parse(&bytes) {
            prop_assert!(sound.rate > 0 && !sound.is_empty());
            prop_assert!(sound.channels.iter().all(|channel| channel.len() == sound.len()));
            prop_assert!(sound.channels.iter().flatten().all(|sample| sample.is_finite()));
            prop_assert!(sound.len() * sound.channels.len() <= bytes.len());
        }
    }
}
