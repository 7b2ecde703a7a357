//! A garment cut out of its picture and resized for a scene.
//!
//! Two planes are resized together: how much of a pixel the garment covers
//! (from the pixels above 25/255, so holes stay holes and edges become soft),
//! and its gray value times that cover. Because the gray is multiplied by the
//! cover first, the dark surround of the picture cannot bleed into the
//! garment's edge.
//!
//! A garment that moves is sampled in its [`Pose`] instead, by linear
//! interpolation of the same two planes.

use super::SCENE_SIZE;
use crate::Garments;
use crate::fashion_mnist::SIDE;

/// Values above this belong to the garment.
pub(crate) const EDGE: u8 = 25;

/// A triangle filter that shrinks at most to half touches 5 pixels.
const MOST_TAPS: usize = 5;

/// The position of a garment in its picture: the tight box of its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cutout {
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

/// Where a garment is in a scene, between pixels too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pose {
    /// x, y of the middle of its tight crop, in pixels from the upper left corner.
    pub centre: [f32; 2],
    /// The longer side of the crop, in pixels.
    pub side: f32,
    /// In radians, clockwise.
    pub angle: f32,
}

/// A garment at its size in the scene, without position and colour.
pub(crate) struct Sprite {
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
        let shade = shade(&pixels);
        Sprite::of_pixels(class, out_width, pixels, shade)
    }

    /// The cutout in a pose, and the row and column of the scene where the sprite begins; what lies outside is cut off.
    pub fn posed(garments: &Garments, cutout: &Cutout, flip: bool, pose: &Pose) -> (Sprite, [usize; 2]) {
        let &Cutout { class, height, width, .. } = cutout;
        let source = cut(garments, cutout, flip); // [height, width]
        // Pixels of the cutout per pixel of the scene.
        let scale = height.max(width) as f32 / pose.side;
        let (sin, cos) = pose.angle.sin_cos();
        // The pixels of the scene between the edges of the turned crop, whose soft edge reaches half a pixel further.
        let [wide, high] = [width as f32 + 1.0, height as f32 + 1.0];
        let reach = [wide * cos.abs() + high * sin.abs(), wide * sin.abs() + high * cos.abs()];
        let [columns, rows] = [0, 1].map(|axis| {
            let place = |edge: f32| edge.clamp(0.0, SCENE_SIZE as f32) as usize;
            let half = reach[axis] / scale / 2.0;
            let start = place((pose.centre[axis] - half).floor()).min(SCENE_SIZE - 1);
            start..place((pose.centre[axis] + half).ceil()).max(start + 1)
        });
        let mut pixels = Vec::with_capacity(rows.len() * columns.len());
        for (row, column) in rows.clone().flat_map(|row| columns.clone().map(move |column| (row, column))) {
            let mut pixel = [0.0; 2];
            // The mean of four samples keeps a garment that shrinks from flickering.
            for [down, right] in [[0.25, 0.25], [0.25, 0.75], [0.75, 0.25], [0.75, 0.75]] {
                let (x, y) = (column as f32 + right - pose.centre[0], row as f32 + down - pose.centre[1]);
                // Turned back, from the centre of the scene's garment to that of the cutout.
                let u = (x * cos + y * sin) * scale + width as f32 / 2.0;
                let v = (y * cos - x * sin) * scale + height as f32 / 2.0;
                let value = interpolate(&source, width, [u - 0.5, v - 0.5]);
                pixel = [pixel[0] + value[0] / 4.0, pixel[1] + value[1] / 4.0];
            }
            pixels.push(pixel);
        }
        // The shade of the cutout, so that a garment keeps its colour in all poses.
        let sprite = Sprite::of_pixels(class, columns.len(), pixels, shade(&source));
        (sprite, [rows.start, columns.start])
    }

    fn of_pixels(class: usize, width: usize, pixels: Vec<[f32; 2]>, shade: f32) -> Sprite {
        // A garment of a few scattered pixels may cover half of no pixel after
        // shrinking; its best-covered pixels are then used.
        let most = pixels.iter().fold(0.0f32, |most, pixel| most.max(pixel[0]));
        let enough = most.min(0.5);
        let bits =
            |row: &[[f32; 2]]| row.iter().rev().fold(0, |b, pixel| b << 1 | u64::from(pixel[0] >= enough));
        let rows = pixels.chunks_exact(width).map(bits).collect();
        Sprite { class, height: pixels.len() / width, width, pixels, rows, shade }
    }
}

/// The mean gray of the covered pixels.
fn shade(pixels: &[[f32; 2]]) -> f32 {
    let [cover, gray] = pixels.iter().fold([0.0f32; 2], |sum, p| [sum[0] + p[0], sum[1] + p[1]]);
    gray / cover
}

/// The value at (x, y), counted from the centre of the first pixel, by linear interpolation of `[h, width]`; nothing is
/// around the pixels.
fn interpolate(pixels: &[[f32; 2]], width: usize, [x, y]: [f32; 2]) -> [f32; 2] {
    let height = pixels.len() / width;
    let (left, top) = (x.floor(), y.floor());
    if !(left >= -1.0 && top >= -1.0 && left < width as f32 && top < height as f32) {
        return [0.0; 2];
    }
    let mut sum = [0.0; 2];
    for (row, down) in [(top, 1.0 - (y - top)), (top + 1.0, y - top)] {
        for (column, right) in [(left, 1.0 - (x - left)), (left + 1.0, x - left)] {
            if row >= 0.0 && column >= 0.0 && row < height as f32 && column < width as f32 {
                let pixel = pixels[row as usize * width + column as usize];
                sum = [sum[0] + pixel[0] * down * right, sum[1] + pixel[1] * down * right];
            }
        }
    }
    sum
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
