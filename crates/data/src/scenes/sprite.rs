//! A garment cut out of its picture and resized for a scene.
//!
//! Two planes are resized together: how much of a pixel the garment covers
//! (from the pixels above 25/255, so holes stay holes and edges become soft),
//! and its gray value times that cover. Because the gray is multiplied by the
//! cover first, the dark surround of the picture cannot bleed into the
//! garment's edge.

use super::SCENE_SIZE;
use crate::Garments;
use crate::fashion_mnist::SIDE;

/// Values above this belong to the garment.
pub(super) const EDGE: u8 = 25;

/// A triangle filter that shrinks at most to half touches 5 pixels.
const MOST_TAPS: usize = 5;

/// The position of a garment in its picture: the tight box of its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cutout {
    /// The picture's index among the garments.
    pub picture: usize,
    pub class: usize,
    pub top: usize,
    pub left: usize,
    pub height: usize,
    pub width: usize,
}

impl Cutout {
    /// The garments in file order, without empty pictures.
    pub fn all(garments: &Garments) -> impl Iterator<Item = Cutout> {
        (0..garments.len()).filter_map(|picture| Cutout::find(garments, picture))
    }

    fn find(garments: &Garments, picture: usize) -> Option<Cutout> {
        let (mut rows, mut columns) = (0u32, 0u32);
        for (y, row) in garments.pixels(picture).chunks_exact(SIDE).enumerate() {
            let bits = row.iter().rev().fold(0, |bits, &value| bits << 1 | u32::from(value > EDGE));
            rows |= u32::from(bits != 0) << y;
            columns |= bits;
        }
        // First and last set bit, as (start, length).
        let span = |bits: u32| {
            let start = bits.trailing_zeros();
            (start as usize, (u32::BITS - bits.leading_zeros() - start) as usize)
        };
        if rows == 0 {
            return None;
        }
        let ((top, height), (left, width)) = (span(rows), span(columns));
        let class = usize::from(garments.labels()[picture]);
        Some(Cutout { picture, class, top, left, height, width })
    }
}

/// A garment at its size in the scene, without position and colour.
pub(super) struct Sprite {
    pub class: usize,
    pub height: usize,
    pub width: usize,
    /// `[height, width]` of (cover, cover * gray), both from 0 to 1.
    pub pixels: Vec<[f32; 2]>,
    /// Bit x of row y is set if the garment covers at least half of the pixel:
    /// these are its pixels in the labels.
    pub rows: Vec<u64>,
    /// The mean gray of the garment, from 0 to 1.
    pub shade: f32,
}

impl Sprite {
    /// Resizes the cutout so that its longer side is `side` pixels.
    pub fn new(garments: &Garments, cutout: &Cutout, side: usize, flip: bool) -> Sprite {
        let &Cutout { class, height, width, .. } = cutout;
        let longer = height.max(width);
        let scaled = |length: usize| ((length * side * 2 + longer) / (longer * 2)).clamp(1, SCENE_SIZE);
        let (out_height, out_width) = (scaled(height), scaled(width));

        let pixels = cut(garments, cutout, flip); // [height, width]
        let wide = resize_rows(&pixels, width, out_width); // [height, out_width]
        let pixels = resize_columns(&wide, out_width, out_height); // [out_height, out_width]

        // A garment of a few scattered pixels may cover half of no pixel after
        // shrinking; its best-covered pixels are then used.
        let most = pixels.iter().fold(0.0f32, |most, pixel| most.max(pixel[0]));
        let enough = most.min(0.5);
        let bits =
            |row: &[[f32; 2]]| row.iter().rev().fold(0, |b, pixel| b << 1 | u64::from(pixel[0] >= enough));
        let rows = pixels.chunks_exact(out_width).map(bits).collect();
        let [cover, gray] = pixels.iter().fold([0.0f32; 2], |sum, p| [sum[0] + p[0], sum[1] + p[1]]);
        Sprite { class, height: out_height, width: out_width, pixels, rows, shade: gray / cover }
    }
}

/// The cutout's pixels as (cover, cover * gray).
fn cut(garments: &Garments, cutout: &Cutout, flip: bool) -> Vec<[f32; 2]> {
    let picture = garments.pixels(cutout.picture);
    let mut pixels = Vec::with_capacity(cutout.height * cutout.width);
    for y in cutout.top..cutout.top + cutout.height {
        let row = &picture[y * SIDE + cutout.left..][..cutout.width];
        let start = pixels.len();
        pixels.extend(row.iter().map(|&value| match value > EDGE {
            true => [1.0, f32::from(value) / 255.0],
            false => [0.0; 2],
        }));
        if flip {
            pixels[start..].reverse();
        }
    }
    pixels
}

/// The input weights of one output pixel: `weights[k]` for pixel `start + k`.
struct Taps {
    start: usize,
    count: usize,
    weights: [f32; MOST_TAPS],
}

/// A triangle filter with half-pixel centres, widened when it shrinks so that
/// every input pixel counts; at the border, the weights inside are rescaled to
/// sum to one.
fn taps(input: usize, output: usize) -> impl Iterator<Item = Taps> {
    let scale = input as f32 / output as f32;
    let reach = scale.max(1.0);
    (0..output).map(move |at| {
        let centre = (at as f32 + 0.5) * scale - 0.5;
        let start = (centre - reach).floor().max(-1.0) as isize + 1;
        let end = ((centre + reach).ceil() as usize).min(input);
        let start = start as usize;
        let count = (end - start).min(MOST_TAPS);
        let mut weights = [0.0; MOST_TAPS];
        for (k, weight) in weights[..count].iter_mut().enumerate() {
            *weight = (1.0 - ((start + k) as f32 - centre).abs() / reach).max(0.0);
        }
        let sum: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Taps { start, count, weights }
    })
}

/// Resizes `[h, width]` to `[h, out_width]`.
fn resize_rows(pixels: &[[f32; 2]], width: usize, out_width: usize) -> Vec<[f32; 2]> {
    let height = pixels.len() / width;
    let mut out = vec![[0.0; 2]; height * out_width];
    for (x, taps) in taps(width, out_width).enumerate() {
        let weights = &taps.weights[..taps.count];
        for (row, out) in pixels.chunks_exact(width).zip(out.chunks_exact_mut(out_width)) {
            let mut sum = [0.0; 2];
            for (pixel, weight) in row[taps.start..].iter().zip(weights) {
                sum = [sum[0] + pixel[0] * weight, sum[1] + pixel[1] * weight];
            }
            out[x] = sum;
        }
    }
    out
}

/// Resizes `[h, width]` to `[out_height, width]`.
fn resize_columns(pixels: &[[f32; 2]], width: usize, out_height: usize) -> Vec<[f32; 2]> {
    let mut out = vec![[0.0; 2]; out_height * width];
    for (taps, out) in taps(pixels.len() / width, out_height).zip(out.chunks_exact_mut(width)) {
        let rows = pixels[taps.start * width..].chunks_exact(width);
        for (row, weight) in rows.zip(&taps.weights[..taps.count]) {
            for (sum, pixel) in out.iter_mut().zip(row) {
                *sum = [sum[0] + pixel[0] * weight, sum[1] + pixel[1] * weight];
            }
        }
    }
    out
}
