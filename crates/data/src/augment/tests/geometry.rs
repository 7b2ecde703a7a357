//! Compares labels moved by a map with labels read from the moved pixels.

use rand::RngExt;

use super::*;
use crate::augment::canvas::Canvas;
use crate::augment::operation::Draw;

/// The least brightness of a pixel counted as part of the rectangle: above the fill of the outside, about half way from
/// black to white.
const BRIGHT: u8 = 150;
/// How far a side read from the pixels may be from the side of the box.
const PIXEL: f32 = 1.0;
/// The same if a rotated or sheared corner makes the side. A corner of 57 degrees, the sharpest here, is thinner than a
/// pixel for 0.9 pixels; the next pixel centre is up to 1 away, and is bright if more than half of its surroundings
/// are.
const TIP: f32 = 2.4;
/// A corner that is cut off by the frame, or a strip at its edge, may be thinner than this and light no pixel.
const THIN: f32 = 1.5;

fn acted(operations: &[&Operation], sample: &Sample, strength: f64, random: Stream) -> Canvas {
    let mut canvas = Canvas::new(sample.clone());
    for (place, operation) in operations.iter().enumerate() {
        let random = stream(random.clone().random(), "operation", 0, place as u64);
        operation.act(&mut canvas, Draw { strength, random, partners: vec![] });
    }
    canvas
}

/// Moves a sample with a `round` object, or a rectangle, and compares all labels with each other. Returns whether the
/// object is still visible.
fn all_agree(canvas: Canvas, round: bool, told: &str) -> bool {
    let most = if round || canvas.map().keeps_boxes() { PIXEL } else { TIP };
    // Where the picture is enlarged, the values between two of its pixels form a ramp.
    let ramp = canvas.map().stretch(canvas.centre()).into_iter().fold(1.0, f64::max) as f32;
    let moved = &canvas.finish();
    masks_and_values_agree(moved, told);
    let bright = brightness(moved);
    for (&bright, &id) in bright.iter().zip(mask_of(moved)) {
        // A fully white pixel belongs to the rectangle; a fully black pixel does not.
        assert!(
            (bright < 255 || id == 1) && (bright > 0 || id == 0),
            "{told}: {bright} where the mask has {id}"
        );
    }
    let by_pixels = bounds(|place| bright[place] >= BRIGHT);
    let by_mask = bounds(|place| mask_of(moved)[place] == 1);
    let objects = moved.objects.as_ref().unwrap();
    for (found, most) in [(by_pixels, most * ramp), (by_mask, most)] {
        match (found, &objects[..]) {
            (None, objects) => {
                let thin = |object: &Object| {
                    (object.bbox[2] - object.bbox[0]).min(object.bbox[3] - object.bbox[1]) < THIN
                };
                assert!(objects.iter().all(thin), "{told}: {objects:?} where no pixel is seen");
            }
            (Some(found), [object]) => {
                let near = object.bbox.iter().zip(found).all(|(a, b)| (a - b).abs() <= most);
                // A flat arc that the frame cuts may be wide and yet too thin for any pixel to show it.
                let cut = round && object.bbox != clear_of_the_frame(object.bbox);
                assert!(
                    near || cut && holds(object.bbox, found, most),
                    "{told}: {:?}, pixels {found:?}",
                    object.bbox
                );
                let Label::Objects(parts) = &moved.more["parts"] else { panic!("no objects") };
                assert!(
                    holds(parts[0].bbox, object.bbox, 1e-3),
                    "{told}: the outline is larger than its corners"
                );
            }
            (Some(found), _) => panic!("{told}: no box where pixels are seen at {found:?}"),
        }
    }
    by_pixels.is_some()
}

/// A box, moved inwards where it reaches the frame.
fn clear_of_the_frame([x1, y1, x2, y2]: [f32; 4]) -> [f32; 4] {
    let [height, width] = SIZE.map(|side| side as f32);
    [x1.max(0.5), y1.max(0.5), x2.min(width - 0.5), y2.min(height - 0.5)]
}

/// Whether a box contains another, up to `most` pixels.
fn holds(outer: [f32; 4], inner: [f32; 4], most: f32) -> bool {
    (0..2).all(|side| outer[side] <= inner[side] + most && outer[side + 2] >= inner[side + 2] - most)
}

/// A disc that fills a square box. When it is rotated, its bounds are tighter than those of the rotated box's corners.
fn disc([left, top]: [f32; 2], across: f32) -> Sample {
    let middle = [left + across / 2.0, top + across / 2.0];
    let from = |place: usize, middle: f32| place as f32 + 0.5 - middle;
    let inside = |x: usize, y: usize| from(x, middle[0]).hypot(from(y, middle[1])) < across / 2.0;
    scene_of([left, top, left + across, top + across], inside)
}

#[test]
fn picture_box_mask_and_values_that_agree_before_agree_after() {
    for operation in of_kind(Kind::Geometry) {
        let mut seen = 0;
        let rectangles = [[20, 10, 40, 30], [0, 0, 30, 20], [50, 5, 64, 48], [3, 30, 61, 38]].map(scene);
        let discs = [([20.0, 10.0], 26.0), ([0.0, 0.0], 20.0), ([44.0, 28.0], 20.0)]
            .map(|(at, across)| disc(at, across));
        let rectangles = rectangles.iter().map(|sample| (sample, false));
        for (sample, round) in rectangles.chain(discs.iter().map(|sample| (sample, true))) {
            for (number, random) in draws(operation.name, 60).enumerate() {
                let told = format!("{} {number} of {:?}", operation.name, sample.objects);
                // Shears beyond the usual range make corners so sharp that their tips are not visible.
                let most = if round { 2.0 } else { 1.0 };
                let canvas = acted(&[operation], sample, [0.3, 0.7, most][number % 3], random);
                seen += usize::from(all_agree(canvas, round, &told));
            }
        }
        assert!(seen > 200, "{}: seen {seen} times", operation.name);
    }
}

#[test]
fn chains_of_operations_agree_as_single_ones_do() {
    let all: Vec<&Operation> = of_kind(Kind::Geometry).collect();
    let mut seen = 0;
    for (sample, round) in [(scene([12, 8, 44, 36]), false), (disc([20.0, 10.0], 26.0), true)] {
        for (number, mut random) in draws("chain", 150).enumerate() {
            let chain: Vec<&Operation> = (0..3).map(|_| all[random.random_range(0..all.len())]).collect();
            let told = format!("chain {number} of {chain:?}");
            seen += usize::from(all_agree(acted(&chain, &sample, 0.7, random), round, &told));
        }
    }
    assert!(seen > 200, "{seen}");
}

#[test]
fn the_mask_of_a_rectangle_and_its_corners_give_the_same_box() {
    let sample = scene([12, 8, 44, 36]);
    for operation in of_kind(Kind::Geometry) {
        for random in draws(operation.name, 30) {
            let moved = acted(&[operation], &sample, 1.0, random).finish();
            let Label::Objects(parts) = &moved.more["parts"] else { panic!("no objects") };
            let objects = moved.objects.as_ref().unwrap();
            assert_eq!(objects.len(), parts.len(), "{}", operation.name);
            for (object, part) in objects.iter().zip(parts) {
                assert!(
                    object.bbox.iter().zip(part.bbox).all(|(a, b)| (a - b).abs() < 1e-3),
                    "{}",
                    operation.name
                );
                assert!(
                    (object.area - part.area).abs() < 0.1 && object.crowd == part.crowd,
                    "{}",
                    operation.name
                );
            }
        }
    }
}

#[test]
fn points_go_where_the_pixels_around_them_go() {
    for operation in of_kind(Kind::Geometry) {
        let mut compared = 0;
        for random in draws(operation.name, 60) {
            let dot = [30usize, 20];
            let sample = scene([dot[0], dot[1], dot[0] + 4, dot[1] + 4]);
            let canvas = acted(&[operation], &sample, 1.0, random);
            let middle = [dot[0] as f64 + 2.0, dot[1] as f64 + 2.0];
            let point = canvas.map().point(middle).unwrap();
            let large = canvas.map().stretch(middle).iter().all(|&length| length > 0.6);
            let [width, height] = canvas.frame();
            let within = |place: f64, side: f64| (12.0..side - 12.0).contains(&place);
            if large && within(point[0], width) && within(point[1], height) {
                let bright = brightness(&canvas.finish());
                let lit: Vec<usize> = (0..bright.len()).filter(|&place| bright[place] >= BRIGHT).collect();
                let mean = |of: &dyn Fn(usize) -> usize| {
                    lit.iter().map(|&place| of(place) as f64 + 0.5).sum::<f64>() / lit.len() as f64
                };
                let found = [mean(&|place| place % SIZE[1]), mean(&|place| place / SIZE[1])];
                let away = (found[0] - point[0]).hypot(found[1] - point[1]);
                assert!(away < 1.0, "{}: {point:?} is at {found:?}", operation.name);
                compared += 1;
            }
        }
        assert!(compared > 5, "{}: {compared}", operation.name);
    }
}

#[test]
fn a_flip_and_its_repetition_in_one_chain_leave_every_byte() {
    let sample = scene([20, 10, 40, 30]);
    let flips = [&flip::HORIZONTAL, &flip::VERTICAL, &flip::HORIZONTAL, &flip::VERTICAL];
    assert_eq!(acted(&flips, &sample, 1.0, stream(0, "flips", 0, 0)).finish(), sample);
    let once = acted(&flips[..1], &sample, 1.0, stream(0, "flips", 0, 0)).finish();
    assert_eq!(once.objects.unwrap()[0].bbox, [24.0, 10.0, 44.0, 30.0]);
}

#[test]
fn a_chain_renders_once_so_that_turning_there_and_back_does_not_blur() {
    let sample = scene([20, 10, 40, 30]);
    let mut canvas = Canvas::new(sample.clone());
    warp::rotate(&mut canvas, 30.0);
    canvas.bytes().unwrap().pixels[0] = 9;
    warp::rotate(&mut canvas, -30.0);
    let back = brightness(&canvas.finish());
    let before = brightness(&sample);
    assert!((1..before.len()).all(|place| before[place].abs_diff(back[place]) <= 1));
}

#[test]
fn what_comes_from_outside_is_gray_ignored_and_unknown() {
    let sample = scene([20, 10, 40, 30]);
    let mut canvas = Canvas::new(sample);
    warp::translate(&mut canvas, 0.5, 0.0);
    let moved = canvas.finish();
    assert_eq!((brightness(&moved)[5], mask_of(&moved)[5]), (128, crate::IGNORED));
    assert!(depth_of(&moved)[5].is_nan());
    assert_eq!(moved.objects.unwrap()[0].bbox, [52.0, 10.0, 64.0, 30.0]);
}
