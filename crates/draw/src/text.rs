//! Lays out a line of text, from characters to positioned glyphs: the reading order (Unicode's bidirectional
//! algorithm), a font for each grapheme, and within a font the shaping that joins Arabic letters, reorders Indic vowels
//! and places marks over their letters.
//!
//! Measuring, shortening and drawing all use [`Line`], so that measured and drawn text agree.
//!
//! At `zoom` 1, small letters of Latin, Greek and Cyrillic are 6 pixels high and capitals 8. If the baseline is on a
//! pixel edge, the tops of the letters are too, so horizontal strokes are sharp without hinting.

use super::fonts::{Font, font_for, is_invisible};
use rustybuzz::ttf_parser::GlyphId;
use rustybuzz::{Direction, UnicodeBuffer, shape};
use std::ops::Range;
use unicode_bidi::BidiInfo;
use unicode_segmentation::UnicodeSegmentation;

/// Height of capitals relative to the font size, in the embedded Latin font.
const CAPITALS: f32 = 0.714;
/// The distance in pixels between the two copies of a bold glyph, at zoom 1.
const STRIKE: f32 = 0.5;
/// Columns of the box drawn for a letter that no font has, at zoom 1, with a gap on both sides.
const BOX_ADVANCE: i64 = 8;

/// The style of a text: capitals of `8 * zoom` pixels; bold draws each glyph twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextStyle {
    pub zoom: i64,
    pub bold: bool,
}

impl TextStyle {
    /// Height of a capital letter.
    pub fn cap_height(self) -> i64 {
        8 * self.zoom
    }

    /// The space that accents need above capitals; the letters need as much below the baseline.
    pub fn margin(self) -> i64 {
        3 * self.zoom
    }

    /// Pixels between the two copies of a bold glyph.
    pub fn strike(self) -> f32 {
        if self.bold { STRIKE * self.zoom as f32 } else { 0.0 }
    }

    /// Width of a text in pixels.
    pub fn width(self, text: &str) -> i64 {
        Line::new(text, self).width
    }

    /// The text if it fits, otherwise the longest start that fits with an ellipsis, cut between graphemes. Empty if not
    /// even the ellipsis fits.
    pub fn fitted(self, text: &str, width: i64) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let ends: Vec<usize> = text.grapheme_indices(true).map(|(start, _)| start).collect();
        let shortened = |end: usize| format!("{}…", text[..end].trim_end());
        // Binary search: measuring every prefix would take quadratic time for a long text.
        let fitting = ends.partition_point(|&end| self.width(&shortened(end)) <= width);
        let short = fitting.checked_sub(1).map(|last| shortened(ends[last]));
        short.unwrap_or_default()
    }
}

/// A glyph and its position.
pub(super) struct Placed {
    /// The font and its glyph; `None` for a letter that no font has.
    pub glyph: Option<(&'static Font, GlyphId)>,
    /// Pixels from the start of the line to the glyph's origin.
    pub x: f32,
    /// Pixels above the baseline.
    pub y: f32,
}

/// A text ready to be drawn.
pub(super) struct Line {
    /// From left to right.
    pub glyphs: Vec<Placed>,
    /// Pixels from the first glyph's origin to the origin of the next glyph, if there were one.
    pub width: i64,
}

impl Line {
    /// Shapes a text. Control characters, including line ends, become spaces.
    pub fn new(text: &str, style: TextStyle) -> Self {
        let text: String = text.chars().map(|c| if is_space(c) { ' ' } else { c }).collect();
        let mut pen = Pen { style, x: 0.0, glyphs: Vec::new() };
        let bidi = BidiInfo::new(&text, None);
        for paragraph in &bidi.paragraphs {
            let (levels, runs) = bidi.visual_runs(paragraph, paragraph.range.clone());
            for run in runs {
                let right_to_left = levels[run.start].is_rtl();
                let mut pieces = pieces(&text, run);
                if right_to_left {
                    pieces.reverse();
                }
                for (piece, font) in pieces {
                    match font {
                        Some(font) => pen.write(&text[piece], font, right_to_left),
                        None => pen.write_boxes(&text[piece]),
                    }
                }
            }
        }
        Self { width: pen.x.ceil() as i64, glyphs: pen.glyphs }
    }
}

fn is_space(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Splits a run into the longest pieces with one font; invisible characters stay with the characters before them.
fn pieces(text: &str, run: Range<usize>) -> Vec<(Range<usize>, Option<&'static Font>)> {
    let mut pieces: Vec<(Range<usize>, Option<&'static Font>)> = Vec::new();
    for (start, grapheme) in text[run.clone()].grapheme_indices(true) {
        let (start, end) = (run.start + start, run.start + start + grapheme.len());
        let font = font_for(grapheme);
        match pieces.last_mut() {
            Some((last, of)) if grapheme.chars().all(is_invisible) || same(*of, font) => last.end = end,
            _ => pieces.push((start..end, font)),
        }
    }
    pieces
}

fn same(a: Option<&'static Font>, b: Option<&'static Font>) -> bool {
    a.map(std::ptr::from_ref) == b.map(std::ptr::from_ref)
}

/// Places glyphs one after the other.
struct Pen {
    style: TextStyle,
    x: f32,
    glyphs: Vec<Placed>,
}

impl Pen {
    /// Places a piece of text in one font and one direction.
    fn write(&mut self, text: &str, font: &'static Font, right_to_left: bool) {
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.set_direction(if right_to_left { Direction::RightToLeft } else { Direction::LeftToRight });
        buffer.guess_segment_properties();
        let shaped = shape(font.face(), &[], buffer);
        let size = pixels_per_unit(font, self.style);
        let glyphs: Vec<_> = shaped.glyph_infos().iter().zip(shaped.glyph_positions()).collect();
        // A cluster is a letter with its marks, which keep their positions relative to it.
        for cluster in glyphs.chunk_by(|a, b| a.0.cluster == b.0.cluster) {
            let start = self.x;
            for (info, position) in cluster {
                if info.glyph_id == 0 {
                    self.write_box();
                    continue;
                }
                let glyph = Some((font, GlyphId(info.glyph_id as u16)));
                let (x, y) = (position.x_offset as f32 * size, position.y_offset as f32 * size);
                self.glyphs.push(Placed { glyph, x: self.x + x, y });
                self.x += position.x_advance as f32 * size;
            }
            if font.separate && self.x > start {
                self.x = (self.x + self.style.strike()).round().max(start + 1.0);
            }
        }
        // The next piece starts on a whole pixel.
        self.x = self.x.ceil();
    }

    /// Places a box for each grapheme.
    fn write_boxes(&mut self, text: &str) {
        for grapheme in text.graphemes(true) {
            if !grapheme.chars().all(is_invisible) {
                self.write_box();
            }
        }
    }

    fn write_box(&mut self) {
        self.x = self.x.ceil();
        self.glyphs.push(Placed { glyph: None, x: self.x, y: 0.0 });
        self.x += (BOX_ADVANCE * self.style.zoom) as f32;
    }
}

/// Pixels per font unit.
pub(super) fn pixels_per_unit(font: &'static Font, style: TextStyle) -> f32 {
    style.cap_height() as f32 / CAPITALS * font.scale / font.face().units_per_em() as f32
}

#[cfg(test)]
mod tests;
