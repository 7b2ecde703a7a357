//! Backgrounds, tints, and painting on the canvas.
//!
//! A garment keeps the gray values of its picture as light and shadow on one
//! tint. The tint stands out: at the garment's mean gray it differs from every
//! colour of the background by at least [`CONTRAST`], and on a noisy background
//! by the spread of the noise in addition. Differences are weighted by the
//! eye's sensitivity to red, green and blue (ITU-R BT.601), so that black and
//! white are 1 apart.

use cerberus_tensor::random::Stream;
use rand::RngExt;

use super::SCENE_SIZE;
use super::layout::{Colour, Placed};
use crate::Image;

/// The least distance of a garment's mean colour from any colour of the background.
pub(crate) const CONTRAST: f32 = 0.2;
const EYE: Colour = [0.299, 0.587, 0.114];
/// The share of its tint that a garment's darkest pixel keeps; with less, dark
/// prints would be black in every tint.
const SHADOW: f32 = 0.25;
/// The least mean light on a garment: shadows of dark garments are lifted,
/// otherwise no tint would make them visible on a background of middle gray.
const LIGHT: f32 = 0.62;
/// Tints drawn before the best one of `LAST_RESORT` is taken.
const TRIES: usize = 32;
const LAST_RESORT: [Colour; 8] = [
    [1.0, 1.0, 1.0],
    [0.12, 0.12, 0.15],
    [1.0, 0.1, 0.05],
    [0.05, 0.9, 0.15],
    [0.1, 0.2, 1.0],
    [1.0, 0.9, 0.05],
    [0.05, 0.9, 1.0],
    [1.0, 0.1, 0.9],
];

/// The background behind the garments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Background {
    Plain(Colour),
    /// A gradient from one colour to the other along a direction (down, right).
    Graded {
        from: Colour,
        to: Colour,
        direction: [f32; 2],
    },
    /// A colour with noise: its strength, and its grain size in pixels.
    Noisy {
        colour: Colour,
        strength: f32,
        grain: usize,
    },
}

impl Background {
    /// Draws each kind with probability 1/3, in muted colours.
    pub fn draw(random: &mut Stream) -> Background {
        let hue = random.random_range(0.0..1.0);
        let (saturation, value) = (random.random_range(0.0..0.5), random.random_range(0.1..0.95f32));
        let colour = hsv(hue, saturation, value);
        match random.random_range(0..3) {
            0 => Background::Plain(colour),
            1 => {
                // Towards the middle, so that the other end is a valid colour too.
                let change = random.random_range(0.15..0.4) * if value > 0.5 { -1.0 } else { 1.0 };
                let to = hsv(hue + random.random_range(-0.12..0.12), saturation, value + change);
                let direction = [random.random_range(-1.0..1.0), random.random_range(-1.0..1.0)];
                Background::Graded { from: colour, to, direction }
            }
            _ => {
                let (strength, grain) = (random.random_range(0.05..0.14), random.random_range(1..=2));
                Background::Noisy { colour, strength, grain }
            }
        }
    }

    /// Draws a colour that stands out, for a garment of mean gray `shade`.
    pub fn draw_tint(&self, shade: f32, random: &mut Stream) -> Colour {
        let contrast = |tint: Colour| self.distance(mean_colour(tint, shade));
        for _ in 0..TRIES {
            let [hue, saturation, value] = [0.0..1.0, 0.15..0.9, 0.55..1.0].map(|r| random.random_range(r));
            let tint = hsv(hue, saturation, value);
            if contrast(tint) >= CONTRAST {
                return tint;
            }
        }
        let farther = |a: Colour, b: Colour| if contrast(b) > contrast(a) { b } else { a };
        LAST_RESORT.into_iter().reduce(farther).unwrap_or_default()
    }

    /// The distance of `colour` from the nearest colour of the background, less
    /// the spread of the noise (about half its strength), which is not
    /// contrast.
    pub fn distance(&self, colour: Colour) -> f32 {
        let (from, to, grain) = match *self {
            Background::Plain(colour) => (colour, colour, 0.0),
            Background::Graded { from, to, .. } => (from, to, 0.0),
            Background::Noisy { colour, strength, .. } => (colour, colour, strength / 2.0),
        };
        // The nearest point on the line between the two colours, by projection.
        let dot = |a: Colour, b: Colour| a[0] * b[0] * EYE[0] + a[1] * b[1] * EYE[1] + a[2] * b[2] * EYE[2];
        let minus = |a: Colour, b: Colour| [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
        let (line, offset) = (minus(to, from), minus(colour, from));
        let along = (dot(offset, line) / dot(line, line).max(1e-9)).clamp(0.0, 1.0);
        let off = minus(offset, line.map(|part| part * along));
        dot(off, off).sqrt() - grain
    }

    /// The empty canvas: `[SCENE_SIZE, SCENE_SIZE, 3]`, from 0 to 1.
    pub fn paint(&self, random: &mut Stream) -> Vec<f32> {
        let mut canvas = Vec::with_capacity(SCENE_SIZE * SCENE_SIZE * 3);
        match *self {
            Background::Plain(colour) => {
                for _ in 0..SCENE_SIZE * SCENE_SIZE {
                    canvas.extend_from_slice(&colour);
                }
            }
            Background::Graded { from, to, direction: [down, right] } => {
                // Along the direction, the corners lie between -reach and reach.
                let middle = (SCENE_SIZE - 1) as f32 / 2.0;
                let reach = (down.abs() + right.abs()).max(1e-3) * middle;
                for y in 0..SCENE_SIZE {
                    for x in 0..SCENE_SIZE {
                        let along = (y as f32 - middle) * down + (x as f32 - middle) * right;
                        let t = 0.5 + 0.5 * along / reach;
                        canvas.extend((0..3).map(|c| from[c] + (to[c] - from[c]) * t));
                    }
                }
            }
            Background::Noisy { colour, strength, grain } => {
                for y in 0..SCENE_SIZE {
                    if y % grain != 0 {
                        canvas.extend_from_within((y - 1) * SCENE_SIZE * 3..);
                        continue;
                    }
                    for _ in 0..SCENE_SIZE / grain {
                        let noise = noise(random);
                        let pixel = [0, 1, 2].map(|c| (colour[c] + strength * noise[c]).clamp(0.0, 1.0));
                        (0..grain).for_each(|_| canvas.extend_from_slice(&pixel));
                    }
                }
            }
        }
        canvas
    }
}

/// Mostly noise in brightness, a little in colour: from -1.1 to 1.1.
pub(crate) fn noise(random: &mut Stream) -> Colour {
    let noise = random.random::<u32>().to_le_bytes().map(|b| f32::from(b) / 127.5 - 1.0);
    [0, 1, 2].map(|c: usize| noise[3] * 0.75 + noise[c] * 0.35)
}

/// The canvas as a picture.
pub(crate) fn image(canvas: &[f32]) -> Image {
    let pixels: Vec<u8> = canvas.iter().map(|value| (value * 255.0 + 0.5) as u8).collect();
    Image { height: SCENE_SIZE, width: SCENE_SIZE, channels: 3, pixels: pixels.into() }
}

/// Paints a garment over the canvas, in proportion to its cover of each pixel.
pub(crate) fn garment(canvas: &mut [f32], placed: &Placed) {
    let (sprite, tint) = (&placed.sprite, placed.tint);
    let shadow = shadow(sprite.shade);
    let rows = canvas.chunks_exact_mut(SCENE_SIZE * 3).skip(placed.top);
    for (row, pixels) in rows.zip(sprite.pixels.chunks_exact(sprite.width)) {
        for (under, &[cover, gray]) in row[placed.left * 3..].chunks_exact_mut(3).zip(pixels) {
            let light = cover * shadow + gray * (1.0 - shadow);
            for (under, tint) in under.iter_mut().zip(tint) {
                *under = *under * (1.0 - cover) + tint * light;
            }
        }
    }
}

/// The light on a black pixel of a garment of mean gray `shade`; a white pixel has 1.
fn shadow(shade: f32) -> f32 {
    ((LIGHT - shade) / (1.0 - shade).max(1e-3)).max(SHADOW)
}

/// The mean colour of a garment of mean gray `shade` in this tint.
pub(crate) fn mean_colour(tint: Colour, shade: f32) -> Colour {
    let shadow = shadow(shade);
    tint.map(|part| part * (shadow + shade * (1.0 - shadow)))
}

/// Converts hue (any real number: the circle has length 1), saturation and
/// value (clamped to 0 to 1) to red, green, blue.
pub(crate) fn hsv(hue: f32, saturation: f32, value: f32) -> Colour {
    let (saturation, value) = (saturation.clamp(0.0, 1.0), value.clamp(0.0, 1.0));
    [5.0, 3.0, 1.0].map(|shift| {
        let k = (shift + hue * 6.0).rem_euclid(6.0);
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    })
}
