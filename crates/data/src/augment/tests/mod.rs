//! The requirements for every operation of the list. The sample is a bright rectangle on black. Its box, its mask and a
//! value map describe the same rectangle, so labels can be compared with the pixels.

mod data_set;
mod geometry;
mod mixing;

use std::collections::BTreeMap;

use cerberus_tensor::random::{Stream, stream};

use super::*;
use crate::batch::check;
use crate::{Image, Input, Label, Mask, Object, Pixels, Sample, ValueMap};

/// Rows and columns of the scene.
const SIZE: [usize; 2] = [48, 64];

/// The phases of a short tone.
const TONE: [f32; 400] = {
    let mut phases = [0.0; 400];
    let mut place = 0;
    while place < 400 {
        phases[place] = place as f32 * 0.3;
        place += 1;
    }
    phases
};

/// A bright rectangle `left, top, right, bottom` on black; all black if it has no area.
fn scene([left, top, right, bottom]: [usize; 4]) -> Sample {
    let rectangle = [left, top, right, bottom].map(|side| side as f32);
    scene_of(rectangle, |x, y| (left..right).contains(&x) && (top..bottom).contains(&y))
}

/// Bright where `inside` is true for a pixel (column, row), which happens only within `bbox`.
fn scene_of(bbox: [f32; 4], inside: impl Fn(usize, usize) -> bool) -> Sample {
    let [height, width] = SIZE;
    let inside = |place: usize| inside(place % width, place / width);
    let each = || (0..height * width).map(inside);
    let pixels: Vec<u8> = each().flat_map(|inside| [if inside { 255 } else { 0 }; 3]).collect();
    let mask = || Mask { height, width, classes: each().map(u16::from).collect() };
    let values = each().map(|inside| if inside { 1.0 } else { 0.0 }).collect();
    let object = Object::new(0, bbox);
    let objects = if object.area > 0.0 { vec![object] } else { vec![] };
    let more = BTreeMap::from([
        ("depth".into(), Label::ValueMap(ValueMap { height, width, values })),
        ("outline".into(), Label::Mask(mask())),
        ("parts".into(), Label::Objects(objects.clone())),
    ]);
    Sample {
        image: Image { height, width, channels: 3, pixels: pixels.into() },
        class: Some(1),
        objects: Some(objects),
        mask: Some(mask()),
        more,
        inputs: BTreeMap::from([("audio".into(), Input::Sound(TONE.map(f32::sin).into()))]),
    }
}

/// Whether two samples are the same, unknown values included.
fn equal<S: std::fmt::Debug>(a: &S, b: &S) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

fn mask_of(sample: &Sample) -> &[u16] {
    &sample.mask.as_ref().unwrap().classes
}

fn depth_of(sample: &Sample) -> &[f32] {
    let Label::ValueMap(map) = &sample.more["depth"] else { panic!("no value map") };
    &map.values
}

/// The first channel.
fn brightness(sample: &Sample) -> Vec<u8> {
    sample.image.pixels.chunks_exact(3).map(|pixel| pixel[0]).collect()
}

/// `x1, y1, x2, y2` of the pixels for which something holds.
fn bounds(holds: impl Fn(usize) -> bool) -> Option<[f32; 4]> {
    let [height, width] = SIZE;
    let found: Vec<usize> = (0..height * width).filter(|&place| holds(place)).collect();
    let columns = || found.iter().map(|place| place % width);
    let (first, last) = (found.first()? / width, found.last()? / width);
    Some([columns().min()?, first, columns().max()? + 1, last + 1].map(|side| side as f32))
}

/// Checks that both masks and the value map agree at every pixel.
fn masks_and_values_agree(sample: &Sample, told: &str) {
    let Label::Mask(outline) = &sample.more["outline"] else { panic!("no mask") };
    assert_eq!(&outline.classes, mask_of(sample), "{told}");
    for (&id, &value) in mask_of(sample).iter().zip(depth_of(sample)) {
        assert!(
            if id == crate::IGNORED { value.is_nan() } else { value == f32::from(id) },
            "{told}: {id} {value}"
        );
    }
}

fn draws(purpose: &str, count: u64) -> impl Iterator<Item = Stream> {
    (0..count).map(move |number| stream(3, purpose, 0, number))
}

fn of_kind(kind: Kind) -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(move |operation| operation.kind == kind)
}

/// Partner samples for an operation that needs them.
fn partners(operation: &Operation, sample: &Sample) -> Vec<Sample> {
    vec![sheet(&flip::VERTICAL, sample, 1, 0).remove(0); operation.partners]
}

#[test]
fn strength_0_is_the_identity() {
    let sample = scene([20, 10, 40, 30]);
    for operation in OPERATIONS {
        for random in draws(operation.name, 5) {
            let same = operation.run(sample.clone(), 0.0, random, partners(operation, &sample));
            assert_eq!(same, sample, "{}", operation.name);
        }
    }
}

#[test]
fn a_strength_near_0_changes_nearly_nothing() {
    // Operations without gradual strength: all or nothing, at least a JPEG file, or not measurable.
    let sudden = ["horizontal_flip", "vertical_flip", "jpeg", "rand_augment", "mosaic", "mixup"];
    let sample = scene([20, 10, 40, 30]);
    for operation in OPERATIONS.iter().filter(|operation| !sudden.contains(&operation.name)) {
        for random in draws(operation.name, 20) {
            let near = operation.run(sample.clone(), 1e-6, random, partners(operation, &sample));
            let pairs = near.image.pixels.iter().zip(&sample.image.pixels[..]);
            let farthest = pairs.map(|(a, b)| a.abs_diff(*b)).max();
            assert!(farthest <= Some(1), "{}: {farthest:?}", operation.name);
            assert_eq!(mask_of(&near), mask_of(&sample), "{}", operation.name);
        }
    }
}

#[test]
fn equal_streams_give_equal_samples_and_others_others() {
    let sample = scene([20, 10, 40, 30]);
    for operation in OPERATIONS {
        let results = |purpose: &str| -> Vec<(Image, BTreeMap<String, Input>)> {
            let run = |random| operation.run(sample.clone(), 1.0, random, partners(operation, &sample));
            draws(purpose, 10).map(run).map(|found| (found.image, found.inputs)).collect()
        };
        let first = results("a");
        assert_eq!(first, results("a"), "{}", operation.name);
        let flip = operation.name.ends_with("flip");
        // Black, white and gray have no colour to remove.
        if !flip && operation.name != "gray" {
            assert_ne!(first, results("b"), "{}", operation.name);
        }
    }
}

/// Pictures of odd sizes, of bytes and floats, with and without labels.
fn odd_samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for [height, width, channels] in
        [[1, 1, 3], [1, 9, 3], [9, 1, 1], [2, 3, 3], [5, 4, 2], [3, 3, 4], [0, 3, 3], [0, 0, 1], [3, 3, 0]]
    {
        let bytes: Vec<u8> = (0..height * width * channels).map(|value| (value * 37 % 256) as u8).collect();
        let floats: Vec<f32> = bytes.iter().map(|&value| f32::from(value) - 100.0).collect();
        for pixels in [Pixels::from(bytes), Pixels::from(floats)] {
            let image = Image { height, width, channels, pixels };
            let plain = Sample {
                image,
                class: None,
                objects: None,
                mask: None,
                more: BTreeMap::new(),
                inputs: BTreeMap::new(),
            };
            let bbox = [0.0, 0.0, width as f32, height as f32];
            let labelled = Sample {
                objects: Some(vec![
                    Object::new(0, bbox),
                    Object { class: usize::MAX, ..Object::new(0, [f32::NAN; 4]) },
                ]),
                mask: Some(Mask { height, width, classes: vec![1; height * width] }),
                class: Some(2),
                ..plain.clone()
            };
            samples.extend([plain, labelled]);
        }
    }
    samples
}

#[test]
fn pictures_of_any_size_with_and_without_labels_stay_whole() {
    let samples = odd_samples();
    for operation in OPERATIONS {
        for sample in &samples {
            for (strength, random) in [0.01, 0.5, 1.0, 2.0].into_iter().cycle().zip(draws(operation.name, 24))
            {
                let partners = vec![sample.clone(); operation.partners];
                let changed = operation.run(sample.clone(), strength, random, partners);
                let size = |image: &Image| [image.height, image.width, image.channels];
                assert_eq!(size(&changed.image), size(&sample.image), "{}", operation.name);
                check(std::slice::from_ref(&changed), &[0])
                    .unwrap_or_else(|told| panic!("{}: {told}", operation.name));
                assert_eq!(changed.objects.is_none(), sample.objects.is_none(), "{}", operation.name);
                assert_eq!(changed.class, sample.class, "{}", operation.name);
            }
        }
    }
}

#[test]
fn partners_that_are_missing_or_of_another_size_leave_the_sample() {
    let sample = scene([20, 10, 40, 30]);
    let other = odd_samples().remove(1);
    for operation in of_kind(Kind::Mixing) {
        for partners in [vec![], vec![other.clone(); operation.partners]] {
            let same = operation.run(sample.clone(), 1.0, stream(0, "any", 0, 0), partners);
            assert_eq!(same, sample, "{}", operation.name);
        }
    }
}

#[test]
fn floats_are_changed_by_the_operations_that_say_so_and_by_no_others() {
    let mut sample = scene([20, 10, 40, 30]);
    let floats: Vec<f32> = sample.image.pixels.iter().map(|&value| f32::from(value) / 10.0 - 7.0).collect();
    sample.image.pixels = floats.into();
    for operation in OPERATIONS {
        let run = |random| operation.run(sample.clone(), 1.0, random, partners(operation, &sample));
        let changed = draws(operation.name, 20).map(run);
        let changed = changed.map(|found| (found.image != sample.image, found.inputs != sample.inputs));
        let changed: Vec<(bool, bool)> = changed.collect();
        // Either the picture changes or the sound, never both.
        let is_sound = operation.kind == Kind::Sound;
        assert_eq!(changed.iter().any(|(_, sound)| *sound), is_sound, "{}", operation.name);
        assert!(!is_sound || changed.iter().all(|(picture, _)| !picture), "{}", operation.name);
        let changed = changed.into_iter().any(|(picture, sound)| picture || sound);
        assert_eq!(changed, operation.floats, "{}", operation.name);
    }
}

#[test]
fn erased_pixels_are_not_judged_and_boxes_are_cut_back_to_what_is_seen() {
    let sample = scene([20, 10, 40, 30]);
    for operation in [&erase::CUTOUT, &erase::RANDOM_ERASING] {
        let mut gone = 0;
        for random in draws(operation.name, 100) {
            let erased = operation.run(sample.clone(), 1.5, random, vec![]);
            masks_and_values_agree(&erased, operation.name);
            let seen = bounds(|place| mask_of(&erased)[place] == 1);
            assert_eq!(seen, erased.objects.as_ref().unwrap().first().map(|object| object.bbox));
            gone += mask_of(&erased).iter().filter(|&&id| id == crate::IGNORED).count();
        }
        assert!(gone > 100 * SIZE[0] * SIZE[1] / 20, "{}: {gone}", operation.name);
    }
}

#[test]
fn a_sheet_shows_an_operation_as_often_as_it_is_asked_to() {
    let sample = scene([20, 10, 40, 30]);
    for operation in OPERATIONS {
        let shown = sheet(operation, &sample, 3, 5);
        assert_eq!(shown.len(), 3);
        assert!(equal(&shown, &sheet(operation, &sample, 3, 5)), "{}", operation.name);
    }
    assert!(sheet(&warp::ROTATION, &sample, 0, 5).is_empty());
}

#[test]
fn names_are_unique_and_the_book_has_a_row_for_each() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/augmentation.md");
    let page = std::fs::read_to_string(page).unwrap();
    for (place, name) in OPERATIONS.iter().map(|operation| operation.name).enumerate() {
        assert!(OPERATIONS[..place].iter().all(|other| other.name != name), "{name}");
        assert!(page.contains(&format!("| `{name}` |")), "docs/augmentation.md has no row for {name}");
        assert_eq!(operation(name).unwrap().name, name);
    }
    assert!(operation("rotat").unwrap_err().to_string().contains("rotation"));
}
