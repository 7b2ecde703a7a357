//! Renders a picture and its ids under a map: bilinear for values that can be interpolated, the nearest pixel for the
//! others.
//!
//! A pixel of the output shows the source point that the map takes to the pixel's centre. Where the map shrinks the
//! picture, a pixel is the mean of several points; otherwise fine patterns would become coarse ones (aliasing). Points
//! outside the source are filled.

use crate::{Image, Pixels};

use super::map::Map;

/// The fill of byte pictures outside the source: middle gray, which a network sees as 0.
pub const FILL: u8 = 128;

/// The maximum number of points, across or down, that are averaged for a pixel.
const MOST_POINTS: f64 = 8.0;

/// A value of a picture.
trait Value: Copy {
    const OUTSIDE: f32;
    fn get(self) -> f32;
    fn put(value: f32) -> Self;
}

impl Value for u8 {
    const OUTSIDE: f32 = FILL as f32;

    fn get(self) -> f32 {
        f32::from(self)
    }

    fn put(value: f32) -> u8 {
        (value + 0.5) as u8
    }
}

impl Value for f32 {
    const OUTSIDE: f32 = 0.0;

    fn get(self) -> f32 {
        self
    }

    fn put(value: f32) -> f32 {
        value
    }
}

/// The picture under a map, at the same size; bytes outside of it are [`FILL`], floats 0.
pub fn picture(image: &Image, map: &Map) -> Image {
    let pixels = match &image.pixels {
        Pixels::Bytes(values) => bilinear(values, image, map).into(),
        Pixels::Floats(values) => bilinear(values, image, map).into(),
    };
    Image { pixels, ..*image }
}

// values: [height, width, channels] , from the image
fn bilinear<V: Value>(values: &[V], image: &Image, map: &Map) -> Vec<V> {
    let Image { height, width, channels, .. } = *image;
    let back = map.inverse();
    let points = back
        .stretch([width as f64 / 2.0, height as f64 / 2.0])
        // A quarter of a pixel more does not justify a second point.
        .map(|length| (length - 0.25).ceil().clamp(1.0, MOST_POINTS) as usize);
    let [across, down] = points;
    let share = 1.0 / (across * down) as f32;
    let mut out = Vec::with_capacity(values.len());
    let mut sum = vec![0.0; channels];
    for pixel in 0..height * width {
        let (row, column) = ((pixel / width) as f64, (pixel % width) as f64);
        sum.fill(0.0);
        for point in 0..across * down {
            let x = column + ((point % across) as f64 + 0.5) / across as f64;
            let y = row + ((point / across) as f64 + 0.5) / down as f64;
            match inside(&back, [x, y], [height, width]) {
                None => sum.iter_mut().for_each(|sum| *sum += V::OUTSIDE),
                Some(point) => add(&mut sum, values, [height, width], point),
            }
        }
        out.extend(sum.iter().map(|&sum| V::put(if share == 1.0 { sum } else { sum * share })));
    }
    out
}

/// The point of the source that a point of the output shows; `None` if it lies outside.
fn inside(back: &Map, point: [f64; 2], [height, width]: [usize; 2]) -> Option<[f64; 2]> {
    back.point(point).filter(|&[x, y]| x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64)
}

/// Adds the interpolated values at a point, from the four pixels whose centres surround it.
fn add<V: Value>(sum: &mut [f32], values: &[V], [height, width]: [usize; 2], [x, y]: [f64; 2]) {
    let along = |place: f64, len: usize| {
        let place = (place - 0.5).clamp(0.0, (len - 1) as f64);
        let first = place.floor();
        (first as usize, (first as usize + 1).min(len - 1), (place - first) as f32)
    };
    let ((x0, x1, fx), (y0, y1, fy)) = (along(x, width), along(y, height));
    let corners = [
        (y0, x0, (1.0 - fy) * (1.0 - fx)),
        (y0, x1, (1.0 - fy) * fx),
        (y1, x0, fy * (1.0 - fx)),
        (y1, x1, fy * fx),
    ];
    // Pixels with weight 0 are skipped: they may hold a float that is not finite.
    for (row, column, weight) in corners.into_iter().filter(|corner| corner.2 != 0.0) {
        let start = (row * width + column) * sum.len();
        for (sum, value) in sum.iter_mut().zip(&values[start..]) {
            *sum += if weight == 1.0 { value.get() } else { weight * value.get() };
        }
    }
}

/// Values `[height, width]` under a map, each pixel with the value nearest to its centre. Ids cannot be interpolated,
/// and a depth between two surfaces belongs to neither.
pub fn nearest<V: Copy>(values: &[V], [height, width]: [usize; 2], map: &Map, outside: V) -> Vec<V> {
    let back = map.inverse();
    let pixel = |place: usize| {
        let point = [(place % width) as f64 + 0.5, (place / width) as f64 + 0.5];
        let found = inside(&back, point, [height, width]);
        found.map_or(outside, |[x, y]| values[y as usize * width + x as usize])
    };
    (0..height * width).map(pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_steps_and_flips_copy_pixels_exactly_and_fill_the_rest() {
        let image = Image { height: 2, width: 3, channels: 1, pixels: vec![1u8, 2, 3, 4, 5, 6].into() };
        let shifted = picture(&image, &Map::shift(1.0, 0.0));
        assert_eq!(shifted.pixels[..], [FILL, 1, 2, FILL, 4, 5]);
        let flipped = picture(&image, &Map::affine([-1.0, 0.0, 0.0, 1.0], [3.0, 0.0]));
        assert_eq!(flipped.pixels[..], [3, 2, 1, 6, 5, 4]);
    }

    #[test]
    fn a_float_that_is_not_finite_stays_in_its_pixel() {
        let pixels = vec![1.0, f32::NAN, -3.0f32].into();
        let image = Image { height: 1, width: 3, channels: 1, pixels };
        let Pixels::Floats(moved) = picture(&image, &Map::shift(-1.0, 0.0)).pixels else { panic!("bytes") };
        assert!(moved[0].is_nan() && moved[1..] == [-3.0, 0.0], "{moved:?}");
    }

    #[test]
    fn a_fine_pattern_becomes_gray_when_it_is_shrunk() {
        let pixels: Vec<u8> =
            (0..64 * 64).map(|i| if (i % 64 + i / 64) % 2 == 0 { 0 } else { 255 }).collect();
        let image = Image { height: 64, width: 64, channels: 1, pixels: pixels.into() };
        let small = picture(&image, &Map::scale(0.25, 0.25));
        assert!((0..16).all(|i| (100..=156).contains(&small.pixels[i * 64 + i])));
    }
}
