//! Event files read back with the messages they were written with, and their framing against known bytes.

use super::*;
use crate::config::TrainConfig;
use crate::evaluate::TaskFigures;

/// The events of a file, every checksum verified.
fn read(bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (head, after) = rest.split_at(12);
        assert_eq!(head[8..], records::masked(&head[..8]), "the length's checksum");
        let length = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
        let (data, after) = after.split_at(length);
        assert_eq!(after[..4], records::masked(data), "the data's checksum");
        events.push(Event::decode(data).unwrap());
        rest = &after[4..];
    }
    events
}

fn folder(path: &std::path::Path) -> RunFolder {
    let data = cerberus_data::open("fashion-scenes", 1).unwrap();
    RunFolder::create(path, &TrainConfig::for_data("fashion-scenes", data.info())).unwrap()
}

fn row() -> EpochRow {
    let metrics = vec![("accuracy".to_string(), Some(0.5)), ("other".to_string(), None)];
    EpochRow {
        epoch: 1,
        step: 7,
        learning_rate: 0.25,
        losses: vec![1.5],
        weights: vec![1.0],
        validation: vec![TaskFigures { task: "classify".into(), metrics }],
        score: None,
        is_best: true,
        images_per_second: 10.0,
        seconds: 1.0,
    }
}

/// CRC-32C of these bytes is 0x8a9136aa (RFC 3720, appendix B.4), of none 0.
#[test]
fn records_are_framed_as_tfrecord_says() {
    assert_eq!(records::masked(&[]), 0xa282_ead8_u32.to_le_bytes());
    let masked = 0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8);
    assert_eq!(records::masked(&[0; 32]), masked.to_le_bytes());
    let record = frame(&[0; 32]);
    assert_eq!(record.len(), 8 + 4 + 32 + 4);
    assert_eq!(record[..8], [32, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(record[44..], masked.to_le_bytes());
}

/// Field numbers and wire types as `event.proto` and `summary.proto` give them.
#[test]
fn events_are_encoded_as_the_published_messages_are() {
    let version = Event { file_version: Some("v".into()), ..Event::at(1.0, 0) };
    assert_eq!(version.encode_to_vec(), [9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x1a, 1, b'v']);
    let scalars = Scalars { values: vec![Value::scalar("t".into(), 1.0)] };
    let event = Event { summary: Some(scalars), ..Event::at(0.0, 3) };
    assert_eq!(event.encode_to_vec(), [0x10, 3, 0x2a, 10, 0x0a, 8, 0x0a, 1, b't', 0x15, 0, 0, 0x80, 0x3f]);
}

#[test]
fn a_file_begins_with_its_version_and_leaves_unknown_figures_out() {
    let place = tempfile::tempdir().unwrap();
    let folder = folder(place.path());
    let file = EventFile::of(&folder);
    file.epoch(&["classify".into()], &row()).unwrap();
    file.epoch(&["classify".into()], &row()).unwrap();
    let events = read(&std::fs::read(&file.path).unwrap());
    assert_eq!(events.len(), 3);
    assert_eq!(events[0].file_version.as_deref(), Some(VERSION));
    assert_eq!(events[2].step, 7);
    let values = &events[2].summary.as_ref().unwrap().values;
    let found: Vec<(&str, f32)> =
        values.iter().map(|value| (value.tag.as_str(), value.simple_value.unwrap())).collect();
    let expected = [
        ("loss/classify", 1.5),
        ("weight/classify", 1.0),
        ("validation/classify/accuracy", 0.5),
        ("learning_rate", 0.25),
        ("images_per_second", 10.0),
    ];
    assert_eq!(found, expected);
    // A program that continues the run has its own file.
    assert_ne!(EventFile::of(&folder).path, file.path);
}

#[test]
fn pictures_carry_their_size_and_what_is_no_png_is_left_out() {
    let picture = cerberus_draw::RgbImage::new(5, 3);
    let png = cerberus_draw::encode_png(&picture).unwrap();
    let image = Image::of_png(png.clone()).unwrap();
    assert_eq!((image.width, image.height, image.encoded_image_string), (5, 3, png));
    assert_eq!(Image::of_png(b"not a picture, but long enough".to_vec()), None);
    assert_eq!(Image::of_png(Vec::new()), None);
}
