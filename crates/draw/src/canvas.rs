//! A small drawing surface over an RGB image: blended rectangles, strokes and text.
//!
//! Coordinates are signed pixels and everything is clipped, so callers never have to check whether something lies
//! inside.

use super::ink::Ink;
use super::text::{Line, TextStyle};
use image::{Rgb, RgbImage};

/// Width of the box drawn for a character that no font has, at zoom 1.
const BOX_WIDTH: i64 = 6;

/// A rectangle in pixels, right and bottom edges exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rect {
    pub x1: i64,
    pub y1: i64,
    pub x2: i64,
    pub y2: i64,
}

impl Rect {
    pub fn at(x: i64, y: i64, width: i64, height: i64) -> Self {
        Self { x1: x, y1: y, x2: x + width, y2: y + height }
    }

    /// Grown by `margin` on every side (shrunk if `margin` is negative).
    pub fn grown(self, margin: i64) -> Self {
        Self { x1: self.x1 - margin, y1: self.y1 - margin, x2: self.x2 + margin, y2: self.y2 + margin }
    }

    /// The area shared with another rectangle.
    pub fn overlap(self, other: Self) -> i64 {
        let width = (self.x2.min(other.x2) - self.x1.max(other.x1)).max(0);
        let height = (self.y2.min(other.y2) - self.y1.max(other.y1)).max(0);
        width * height
    }
}

/// An image being drawn on.
pub(super) struct Canvas {
    pub image: RgbImage,
}

impl Canvas {
    /// A canvas of one colour.
    pub fn new(width: i64, height: i64, color: Rgb<u8>) -> Self {
        let side = |length: i64| u32::try_from(length.max(1)).unwrap_or(1);
        Self { image: RgbImage::from_pixel(side(width), side(height), color) }
    }

    /// Blends a colour into one pixel; `alpha` 1 replaces it. Outside the image nothing happens.
    pub fn blend(&mut self, x: i64, y: i64, color: Rgb<u8>, alpha: f32) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if let Some(pixel) = self.image.get_pixel_mut_checked(x, y) {
            *pixel = mix(*pixel, color, alpha);
        }
    }

    /// Blends a colour into a rectangle.
    pub fn fill(&mut self, rect: Rect, color: Rgb<u8>, alpha: f32) {
        let (width, height) = (i64::from(self.image.width()), i64::from(self.image.height()));
        for y in rect.y1.max(0)..rect.y2.min(height) {
            for x in rect.x1.max(0)..rect.x2.min(width) {
                self.blend(x, y, color, alpha);
            }
        }
    }

    /// Draws the border of a rectangle, `thickness` pixels inwards from its edges.
    pub fn outline(&mut self, rect: Rect, thickness: i64, color: Rgb<u8>, alpha: f32) {
        let inner = rect.grown(-thickness);
        let (top, bottom) = (inner.y1.min(rect.y2), inner.y2.max(inner.y1));
        self.fill(Rect { y2: top, ..rect }, color, alpha);
        self.fill(Rect { y1: bottom, ..rect }, color, alpha);
        self.fill(Rect { y1: top, y2: bottom, x2: inner.x1, ..rect }, color, alpha);
        self.fill(Rect { y1: top, y2: bottom, x1: inner.x2.max(inner.x1), ..rect }, color, alpha);
    }

    /// Draws a text; the top left corner of its capitals is at (x, y).
    pub fn text(&mut self, x: i64, y: i64, text: &str, style: TextStyle, color: Rgb<u8>) {
        let line = Line::new(text, style);
        let baseline = y + style.cap_height();
        for placed in line.glyphs.iter().filter(|placed| placed.glyph.is_none()) {
            let (side, height) = (BOX_WIDTH * style.zoom, style.cap_height());
            self.outline(Rect::at(x + placed.x as i64 + style.zoom, y, side, height), style.zoom, color, 1.0);
        }
        if let Some(ink) = Ink::of(&line, style) {
            ink.raster.for_each_pixel_2d(|column, row, coverage| {
                if coverage > 1e-3 {
                    let at = (x + ink.left + i64::from(column), baseline + ink.top + i64::from(row));
                    self.blend(at.0, at.1, color, coverage.min(1.0));
                }
            });
        }
    }

    /// Draws a line with round ends and soft edges through `points`.
    pub fn stroke(&mut self, points: &[(f32, f32)], width: f32, color: Rgb<u8>) {
        let reach = width / 2.0 + 1.0;
        let ends = |of: fn(&(f32, f32)) -> f32| {
            let low = points.iter().map(of).fold(f32::INFINITY, f32::min) - reach;
            let high = points.iter().map(of).fold(f32::NEG_INFINITY, f32::max) + reach;
            low.floor() as i64..high.ceil() as i64
        };
        let (columns, rows) = (ends(|point| point.0), ends(|point| point.1));
        for y in rows {
            for x in columns.clone() {
                let centre = (x as f32 + 0.5, y as f32 + 0.5);
                let distance = points
                    .windows(2)
                    .map(|segment| distance_to_segment(centre, segment[0], segment[1]))
                    .fold(f32::INFINITY, f32::min);
                let coverage = (width / 2.0 + 0.5 - distance).clamp(0.0, 1.0);
                if coverage > 0.0 {
                    self.blend(x, y, color, coverage);
                }
            }
        }
    }

    /// Copies an image onto the canvas, its top left corner at (x, y).
    pub fn paste(&mut self, image: &RgbImage, x: i64, y: i64) {
        image::imageops::replace(&mut self.image, image, x, y);
    }
}

/// Blends `under` with a share `alpha` of `over`.
pub(super) fn mix(under: Rgb<u8>, over: Rgb<u8>, alpha: f32) -> Rgb<u8> {
    let channel = |c: usize| {
        let (under, over) = (f32::from(under.0[c]), f32::from(over.0[c]));
        (under + (over - under) * alpha).round() as u8
    };
    Rgb([channel(0), channel(1), channel(2)])
}

fn distance_to_segment(point: (f32, f32), from: (f32, f32), to: (f32, f32)) -> f32 {
    let along = (to.0 - from.0, to.1 - from.1);
    let offset = (point.0 - from.0, point.1 - from.1);
    let length_squared = along.0 * along.0 + along.1 * along.1;
    let share = ((offset.0 * along.0 + offset.1 * along.1) / length_squared.max(1e-6)).clamp(0.0, 1.0);
    (offset.0 - share * along.0).hypot(offset.1 - share * along.1)
}
