//! Erases rectangles of a picture, so that a network cannot rely on one part of an object. Labels inside the rectangle
//! are no longer used: masks are ignored there, values are unknown, and objects are cut back to the part that is still
//! visible.

use crate::{IGNORED, Label, Pixels, Sample};

use super::canvas::Canvas;
use super::operation::{Draw, Kind, Operation};
use super::paste::{Cover, hide};
use super::render::FILL;

/// A square with half the length of the shorter side, its centre anywhere, filled with middle gray (DeVries and Taylor,
/// "Improved Regularization of Convolutional Neural Networks with Cutout", 2017: 16 of 32 pixels on CIFAR-10).
pub(super) const CUTOUT: Operation = Operation {
    name: "cutout",
    what: "a square of half the shorter side made plain, anywhere, also past the edge",
    kind: Kind::Pixels,
    partners: 0,
    probability: 1.0,
    floats: true,
    apply: cutout,
};

fn cutout(canvas: &mut Canvas, draw: &mut Draw) {
    let [width, height] = canvas.frame().map(|side| side as usize);
    let side = (0.5 * draw.strength * width.min(height) as f64).floor() as usize;
    let (x, y) = (draw.within(0..width), draw.within(0..height));
    let part =
        |centre: usize, len: usize| [centre.saturating_sub(side / 2), (centre + side.div_ceil(2)).min(len)];
    let ([left, right], [top, bottom]) = (part(x, width), part(y, height));
    erase(canvas.rendered(), [left, top, right, bottom], None);
}

/// A rectangle with 2 to 40 % of the area and an aspect ratio of 0.3 to 1/0.3, filled with random values, with
/// probability 0.5 (Zhong et al., "Random Erasing Data Augmentation", 2020, algorithm 1).
pub(super) const RANDOM_ERASING: Operation = Operation {
    name: "random_erasing",
    what: "a rectangle of 2 to 40 % of the area and 0.3 to 3.3 of the proportions filled with random values",
    kind: Kind::Pixels,
    partners: 0,
    probability: 0.5,
    floats: true,
    apply: random_erasing,
};

fn random_erasing(canvas: &mut Canvas, draw: &mut Draw) {
    let [width, height] = canvas.frame();
    for _ in 0..10 {
        let area = (draw.within(0.02..=0.4) * draw.strength).min(0.9) * width * height;
        let proportion: f64 = draw.within(0.3f64.ln()..=-0.3f64.ln()).exp();
        let (across, down) = ((area * proportion).sqrt().round(), (area / proportion).sqrt().round());
        if (1.0..=width).contains(&across) && (1.0..=height).contains(&down) {
            let x = draw.within(0..=(width - across) as usize);
            let y = draw.within(0..=(height - down) as usize);
            let rectangle = [x, y, x + across as usize, y + down as usize];
            return erase(canvas.rendered(), rectangle, Some(draw));
        }
    }
}

/// Erases a rectangle `left, top, right, bottom` and fills it from `noise`, or with one value.
fn erase(sample: &mut Sample, rectangle: [usize; 4], mut noise: Option<&mut Draw>) {
    let image = &mut sample.image;
    let size = [image.height, image.width];
    let cover = Cover::rectangle(size, rectangle);
    let places = cover.places().flat_map(|place| place * image.channels..(place + 1) * image.channels);
    match &mut image.pixels {
        Pixels::Bytes(values) => {
            let mut fill = || noise.as_mut().map_or(FILL, |draw| draw.within(0..=u8::MAX));
            places.for_each(|place| values[place] = fill());
        }
        Pixels::Floats(values) => {
            // A random value of the picture itself: the range of floats is unknown.
            let own = if noise.is_some() { values.clone() } else { Vec::new() };
            let mut fill = || noise.as_mut().map_or(0.0, |draw| own[draw.within(0..own.len())]);
            places.for_each(|place| values[place] = fill());
        }
    }
    let mask = sample.mask.as_ref();
    sample.objects = sample.objects.as_ref().map(|objects| hide(objects, mask, &cover));
    for label in sample.more.values_mut() {
        match label {
            Label::Objects(objects) => *objects = hide(objects, None, &cover),
            Label::Mask(mask) => cover.places().for_each(|place| mask.classes[place] = IGNORED),
            Label::ValueMap(map) => cover.places().for_each(|place| map.values[place] = f32::NAN),
            Label::Class(_) | Label::Shares(_) | Label::Classes(_) | Label::Values(_) => {}
        }
    }
    if let Some(mask) = &mut sample.mask {
        cover.places().for_each(|place| mask.classes[place] = IGNORED);
    }
}
