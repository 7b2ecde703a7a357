//! The pixels of a line of text: the outlines of its glyphs are rasterised to the share of each pixel that lies inside.
//!
//! A whole line is one raster, so that where joined letters meet in the middle of a pixel, their shares add up to a
//! stroke without a seam.

use super::text::{Line, TextStyle, pixels_per_unit};
use ab_glyph_rasterizer::{Point, Rasterizer, point};
use rustybuzz::ttf_parser::OutlineBuilder;

/// Coverage and its position.
pub(super) struct Ink {
    pub raster: Rasterizer,
    /// Column of the raster's left edge, from the start of the line.
    pub left: i64,
    /// Row of the raster's top edge, counted downwards from the baseline.
    pub top: i64,
}

impl Ink {
    /// Rasterises a line; `None` if it has no outlines. The caller draws letters without a glyph.
    pub fn of(line: &Line, style: TextStyle) -> Option<Self> {
        let mut outline = Outline::default();
        for placed in &line.glyphs {
            let Some((font, id)) = placed.glyph else { continue };
            outline.scale = pixels_per_unit(font, style);
            let strikes = if style.bold { &[0.0, style.strike()][..] } else { &[0.0] };
            for strike in strikes {
                outline.origin = point(placed.x + strike, -placed.y);
                font.face().outline_glyph(id, &mut outline);
            }
        }
        outline.filled()
    }
}

/// Outlines in pixels, with y downwards from the baseline, as the font's curves.
#[derive(Default)]
struct Outline {
    scale: f32,
    origin: Point,
    /// The pen's position, and the start of the contour.
    at: Point,
    start: Point,
    curves: Vec<[Point; 4]>,
}

impl Outline {
    fn pixel(&self, x: f32, y: f32) -> Point {
        point(self.origin.x + x * self.scale, self.origin.y - y * self.scale)
    }

    fn curve(&mut self, first: Point, second: Point, end: Point) {
        self.curves.push([self.at, first, second, end]);
        self.at = end;
    }

    fn filled(self) -> Option<Ink> {
        let points = || self.curves.iter().flatten();
        let (mut low, mut high) = points().next().map(|&first| (first, first))?;
        for p in points() {
            low = point(low.x.min(p.x), low.y.min(p.y));
            high = point(high.x.max(p.x), high.y.max(p.y));
        }
        let (left, top) = (low.x.floor(), low.y.floor());
        // One spare column: the raster also writes to the column right of where an edge ends.
        let mut raster =
            Rasterizer::new((high.x - left).ceil() as usize + 2, (high.y - top).ceil() as usize + 1);
        for curve in &self.curves {
            let [from, first, second, end] = curve.map(|p| point(p.x - left, p.y - top));
            raster.draw_cubic(from, first, second, end);
        }
        Some(Ink { raster, left: left as i64, top: top as i64 })
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.at = self.pixel(x, y);
        self.start = self.at;
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let end = self.pixel(x, y);
        self.curve(self.at, end, end);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (control, end) = (self.pixel(x1, y1), self.pixel(x, y));
        // The same curve as a cubic: its control points lie two thirds of the way to the quadratic's.
        let between = |from: f32, to: f32| from + (to - from) * (2.0 / 3.0);
        let towards = |from: Point| point(between(from.x, control.x), between(from.y, control.y));
        self.curve(towards(self.at), towards(end), end);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (first, second, end) = (self.pixel(x1, y1), self.pixel(x2, y2), self.pixel(x, y));
        self.curve(first, second, end);
    }

    fn close(&mut self) {
        self.curve(self.at, self.start, self.start);
    }
}
