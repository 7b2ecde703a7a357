//! RandAugment: a few operations of a list, drawn anew for every picture, all with the same strength.

use crate::Image;

use super::canvas::Canvas;
use super::colour::{Colour, recolour};
use super::operation::{Kind, Operation};
use super::warp::{rotate, shear, translate};

/// Two of 14 operations at magnitude 9 of 10 (Cubuk et al., "RandAugment", 2020, N = 2 and M = 9 on ImageNet; the
/// operations and their ranges are those of Cubuk et al., "AutoAugment", 2019, table 6). The strength is a factor of
/// the magnitude, which stays below 10.
pub(super) const RAND_AUGMENT: Operation = Operation {
    name: "rand_augment",
    what: "two of 14 changes of place, colour and tone at magnitude 9 of 10; floats take those of place alone",
    kind: Kind::Policy,
    partners: 0,
    probability: 1.0,
    floats: true,
    apply: |canvas, draw| {
        for _ in 0..OPERATIONS_DRAWN {
            let change = CHANGES[draw.within(0..CHANGES.len())];
            let magnitude = (0.9 * draw.strength).min(1.0);
            let signed = if draw.chance(0.5) { magnitude } else { -magnitude };
            change(canvas, signed);
        }
    },
};

const OPERATIONS_DRAWN: usize = 2;

/// The operations to draw from: functions of the canvas and a magnitude of -1 to 1. Some use the sign, others ignore
/// it.
const CHANGES: [fn(&mut Canvas, f64); 14] = [
    |_, _| {},
    |canvas, magnitude| rotate(canvas, 30.0 * magnitude),
    |canvas, magnitude| shear(canvas, 0.3 * magnitude, 0.0),
    |canvas, magnitude| shear(canvas, 0.0, 0.3 * magnitude),
    |canvas, magnitude| translate(canvas, 0.45 * magnitude, 0.0),
    |canvas, magnitude| translate(canvas, 0.0, 0.45 * magnitude),
    |canvas, magnitude| colour(canvas, |by| Colour { brightness: by, ..Colour::NONE }, magnitude),
    |canvas, magnitude| colour(canvas, |by| Colour { contrast: by, ..Colour::NONE }, magnitude),
    |canvas, magnitude| colour(canvas, |by| Colour { saturation: by, ..Colour::NONE }, magnitude),
    |canvas, magnitude| sharpen(canvas, 1.0 + 0.9 * magnitude as f32),
    |canvas, magnitude| {
        let threshold = 256.0 * (1.0 - magnitude.abs());
        tone(canvas, |value| if f64::from(value) < threshold { value } else { 255 - value });
    },
    |canvas, magnitude| {
        let kept = u8::MAX << (4.0 * magnitude.abs()).round() as u32;
        tone(canvas, |value| value & kept);
    },
    |canvas, _| stretch_tones(canvas),
    |canvas, _| equalise(canvas),
];

fn colour(canvas: &mut Canvas, of: impl Fn(f32) -> Colour, magnitude: f64) {
    if let Some(image) = canvas.bytes() {
        recolour(image, &of((1.0 + 0.9 * magnitude) as f32));
    }
}

/// Maps each value to another value.
fn tone(canvas: &mut Canvas, change: impl Fn(u8) -> u8) {
    if let Some(image) = canvas.bytes() {
        image.pixels.iter_mut().for_each(|value| *value = change(*value));
    }
}

/// Scales the distance from a smoothed copy (weights 1 around 5, over 13) by a factor.
fn sharpen(canvas: &mut Canvas, factor: f32) {
    if canvas.bytes().is_none() {
        return;
    }
    let image = &mut canvas.rendered().image;
    let Image { height, width, channels, .. } = *image;
    let before = image.pixels.to_vec();
    // The outermost pixels lack neighbours on one side and stay unchanged.
    for row in 1..height.saturating_sub(1) {
        for column in 1..width.saturating_sub(1) {
            for channel in 0..channels {
                let at = |row: usize, column: usize| {
                    f32::from(before[(row * width + column) * channels + channel])
                };
                let around: f32 =
                    (row - 1..=row + 1).flat_map(|r| (column - 1..=column + 1).map(move |c| at(r, c))).sum();
                let smooth = (around + 4.0 * at(row, column)) / 13.0;
                let sharp = smooth + factor * (at(row, column) - smooth);
                image.pixels[(row * width + column) * channels + channel] =
                    (sharp + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// Stretches each channel to the whole range.
fn stretch_tones(canvas: &mut Canvas) {
    each_channel(canvas, |histogram| {
        let first = histogram.iter().position(|&count| count > 0)?;
        let last = histogram.iter().rposition(|&count| count > 0)?;
        let scale = if last > first { 255.0 / (last - first) as f32 } else { return None };
        Some(std::array::from_fn(|value| ((value as f32 - first as f32) * scale + 0.5) as u8))
    });
}

/// Equalises the histogram of each channel.
fn equalise(canvas: &mut Canvas) {
    each_channel(canvas, |histogram| {
        let total: usize = histogram.iter().sum();
        let last = histogram[histogram.iter().rposition(|&count| count > 0)?];
        let step = (total - last) / 255;
        if step == 0 {
            return None;
        }
        let mut below = step / 2;
        Some(std::array::from_fn(|value| {
            let level = (below / step).min(255) as u8;
            below += histogram[value];
            level
        }))
    });
}

/// Maps each channel's values by a table made from its histogram; `None` leaves the channel unchanged.
fn each_channel(canvas: &mut Canvas, table: impl Fn(&[usize; 256]) -> Option<[u8; 256]>) {
    let Some(image) = canvas.bytes() else { return };
    let channels = image.channels.max(1);
    for channel in 0..channels {
        let mut histogram = [0; 256];
        image
            .pixels
            .iter()
            .skip(channel)
            .step_by(channels)
            .for_each(|&value| histogram[usize::from(value)] += 1);
        if let Some(table) = table(&histogram) {
            let values = image.pixels.iter_mut().skip(channel).step_by(channels);
            values.for_each(|value| *value = table[usize::from(*value)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Sample;

    fn ramp() -> Canvas {
        let pixels: Vec<u8> = (0..32 * 32).map(|i| 40 + (i / 16) as u8).collect();
        let image = Image { height: 32, width: 32, channels: 1, pixels: pixels.into() };
        Canvas::new(Sample {
            image,
            class: None,
            objects: None,
            mask: None,
            more: BTreeMap::new(),
            inputs: BTreeMap::new(),
        })
    }

    #[test]
    fn tones_that_are_stretched_or_equalised_fill_the_range() {
        for change in [stretch_tones as fn(&mut Canvas), equalise] {
            let mut canvas = ramp();
            change(&mut canvas);
            let pixels = canvas.finish().image.pixels;
            assert!(pixels.is_sorted() && pixels[0] < 8 && pixels[1023] > 247, "{:?}", &pixels[..]);
        }
    }

    #[test]
    fn every_change_does_something_but_the_first() {
        for (place, change) in CHANGES.iter().enumerate() {
            let mut canvas = ramp();
            canvas.bytes().unwrap().pixels[500] = 200;
            let before = canvas.clone().finish();
            change(&mut canvas, 0.9);
            // A gray picture has no saturation to change.
            assert_eq!(canvas.finish() == before, place == 0 || place == 8, "change {place}");
        }
    }
}
