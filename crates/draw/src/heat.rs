//! Numbers as colours: a map of what matters, over its picture.
//!
//! Equal steps of a number are equal steps for the eye: viridis for numbers that are never negative, blue over white to
//! red for those that have a sign.

use image::{Rgb, RgbImage};

use crate::palette::luma;

/// The opacity of the colours over a picture.
const OPACITY: f32 = 0.6;
/// The share of numbers that a scale covers: a few far out would leave no colours for the others.
const COVERED: f64 = 0.995;

/// Which colour a number has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeatScale {
    /// 0, or the negative of `high` if there are negative numbers.
    pub low: f32,
    /// The number of the last colour; larger ones have it, too.
    pub high: f32,
}

impl HeatScale {
    /// A scale for these numbers: from 0 if none is negative, otherwise even on both sides of 0. It ends where all but
    /// half a percent of the numbers do; those that are not finite do not count.
    pub fn of(values: &[f32]) -> Self {
        let mut sizes: Vec<f32> = values.iter().map(|v| v.abs()).filter(|v| v.is_finite()).collect();
        sizes.sort_by(f32::total_cmp);
        let last = sizes.len().saturating_sub(1);
        let covered = sizes.get((last as f64 * COVERED).ceil() as usize).copied().unwrap_or(0.0);
        // A map that is zero nearly everywhere still shows where it is not.
        let high = if covered > 0.0 { covered } else { sizes.last().copied().unwrap_or(0.0) };
        let has_sign = values.iter().any(|&v| v.is_finite() && v < 0.0);
        Self { low: if has_sign { -high } else { 0.0 }, high }
    }

    /// The colour of a number; numbers beyond the ends have the colour of the end, and one that is not a number that of
    /// the lowest.
    pub fn colour(&self, value: f32) -> Rgb<u8> {
        let width = self.high - self.low;
        let place = if width > 0.0 { f64::from(((value - self.low) / width).clamp(0.0, 1.0)) } else { 0.0 };
        let place = if place.is_nan() { 0.0 } else { place };
        let colour = if self.low < 0.0 {
            // Red is the positive side.
            colorous::RED_BLUE.eval_continuous(1.0 - place)
        } else {
            colorous::VIRIDIS.eval_continuous(place)
        };
        Rgb(colour.into_array())
    }

    /// The colours from the lowest to the highest number, as they look over a middle grey.
    pub fn legend(&self, width: u32, height: u32) -> RgbImage {
        let steps = width.saturating_sub(1).max(1) as f32;
        RgbImage::from_fn(width, height, |x, _| {
            let value = self.low + (self.high - self.low) * x as f32 / steps;
            blend(Rgb([128; 3]), self.colour(value))
        })
    }
}

/// The picture in grey, enlarged `enlarge` times, with the colours of a number for each of its pixels over it, row by
/// row.
///
/// # Panics
/// If there is not one number for each pixel.
#[track_caller]
pub fn heat_overlay(picture: &RgbImage, values: &[f32], scale: &HeatScale, enlarge: u32) -> RgbImage {
    let (width, height, enlarge) = (picture.width(), picture.height(), enlarge.max(1));
    assert!(
        values.len() == width as usize * height as usize,
        "heat_overlay: {} values for {width} x {height} pixels",
        values.len()
    );
    RgbImage::from_fn(width * enlarge, height * enlarge, |x, y| {
        let (x, y) = (x / enlarge, y / enlarge);
        let grey = luma(*picture.get_pixel(x, y)).round() as u8;
        blend(Rgb([grey; 3]), scale.colour(values[(y * width + x) as usize]))
    })
}

fn blend(under: Rgb<u8>, over: Rgb<u8>) -> Rgb<u8> {
    let mix = |i: usize| f32::from(under[i]) * (1.0 - OPACITY) + f32::from(over[i]) * OPACITY;
    Rgb([0, 1, 2].map(|i| mix(i).round() as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_numbers_are_brighter_and_signs_have_colours_of_their_own() {
        let scale = HeatScale::of(&[0.0, 1.0, 2.0]);
        assert_eq!((scale.low, scale.high), (0.0, 2.0));
        let steps: Vec<f32> = (0..=8).map(|i| luma(scale.colour(i as f32 / 4.0))).collect();
        assert!(steps.windows(2).all(|pair| pair[0] + 5.0 < pair[1]), "{steps:?}");
        let scale = HeatScale::of(&[-3.0, 1.0]);
        assert_eq!((scale.low, scale.high), (-3.0, 3.0));
        let [plus, zero, minus] = [3.0, 0.0, -3.0].map(|value| scale.colour(value).0);
        assert!(plus[0] > plus[2] && minus[2] > minus[0], "{plus:?} {minus:?}");
        assert!(zero.iter().all(|&channel| channel > 230), "{zero:?}");
        assert_eq!(scale.colour(99.0).0, plus);
    }

    #[test]
    fn a_few_numbers_far_out_and_those_that_are_not_finite_do_not_set_the_scale() {
        let mut values = vec![1.0; 999];
        values.extend([500.0, f32::NAN, f32::INFINITY]);
        assert_eq!(HeatScale::of(&values).high, 1.0);
        assert_eq!(HeatScale::of(&[0.0, 0.0, 0.0, 7.0]).high, 7.0);
        let mut sparse = vec![0.0; 1000];
        sparse[3] = 0.25;
        assert_eq!(HeatScale::of(&sparse).high, 0.25);
        let none = HeatScale::of(&[]);
        assert_eq!(none.colour(f32::NAN), none.colour(0.0));
    }

    #[test]
    fn an_overlay_is_enlarged_and_its_colours_lie_on_their_pixels() {
        let picture = RgbImage::from_pixel(2, 1, Rgb([200, 10, 30]));
        let scale = HeatScale::of(&[0.0, 1.0]);
        let drawn = heat_overlay(&picture, &[0.0, 1.0], &scale, 3);
        assert_eq!(drawn.dimensions(), (6, 3));
        assert_eq!(drawn.get_pixel(0, 0), drawn.get_pixel(2, 2));
        assert!(luma(*drawn.get_pixel(3, 0)) > luma(*drawn.get_pixel(2, 0)) + 30.0);
        assert_eq!(scale.legend(11, 2).dimensions(), (11, 2));
    }
}
