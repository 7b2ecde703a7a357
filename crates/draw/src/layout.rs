//! Lays out panels, titles and the legend on a page.
//!
//! The legend names the classes of the masks that no box's tag names already.

use super::canvas::{Canvas, Rect};
use super::palette::class_color;
use super::text::TextStyle;
use super::{Annotated, class_name, panel};
use cerberus_metrics::IGNORED_CLASS;
use image::{Rgb, RgbImage};
use std::collections::BTreeSet;

const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const INK: Rgb<u8> = Rgb([32, 33, 36]);
const FAINT: Rgb<u8> = Rgb([128, 132, 138]);
const RIGHT: Rgb<u8> = Rgb([30, 160, 75]);
const WRONG: Rgb<u8> = Rgb([215, 50, 50]);
const MARGIN: i64 = 8;
/// Longest side of an enlarged image.
const MAX_SIDE: u32 = 4096;

/// A picture with its caption and title.
struct Panel<'a> {
    picture: RgbImage,
    caption: &'a str,
    title: &'a str,
    correct: Option<bool>,
}

/// Draws the annotations over the image, enlarged `scale` times, on a page with its title (if there is one) and a
/// legend of the mask's classes that no box names.
///
/// # Panics
/// When the mask does not hold height x width values.
#[track_caller]
pub fn overlay(image: &RgbImage, annotated: &Annotated, class_names: &[String], scale: u32) -> RgbImage {
    check_mask("overlay", annotated);
    let (scale, style) = sizes(image, scale);
    let picture = panel::annotated(image, annotated, class_names, scale, style.text);
    let panel = Panel { picture, caption: "", title: &annotated.title, correct: annotated.title_correct };
    page(&[panel], &unnamed_classes(&[annotated]), class_names, style)
}

/// Draws the image, its true and its predicted annotations in a row, each enlarged `scale` times, with titles and a
/// legend of the masks' classes that no box names.
///
/// # Panics
/// When a mask does not hold height x width values.
#[track_caller]
pub fn side_by_side(
    image: &RgbImage,
    truth: &Annotated,
    predicted: &Annotated,
    class_names: &[String],
    scale: u32,
) -> RgbImage {
    check_mask("side_by_side (truth)", truth);
    check_mask("side_by_side (prediction)", predicted);
    let (scale, style) = sizes(image, scale);
    let draw = |annotated| panel::annotated(image, annotated, class_names, scale, style.text);
    let panels = [
        Panel { picture: panel::enlarged(image, scale), caption: "input", title: "", correct: None },
        Panel { picture: draw(truth), caption: "truth", title: &truth.title, correct: truth.title_correct },
        Panel {
            picture: draw(predicted),
            caption: "predicted",
            title: &predicted.title,
            correct: predicted.title_correct,
        },
    ];
    page(&panels, &unnamed_classes(&[truth, predicted]), class_names, style)
}

/// Draws pictures in a row, each with its own annotations and its title above it, enlarged `scale` times. There is no
/// legend, so that several rows can be stacked.
///
/// # Panics
/// When a mask does not hold height x width values.
#[track_caller]
pub fn strip(pictures: &[(RgbImage, Annotated)], class_names: &[String], scale: u32) -> RgbImage {
    let panels: Vec<Panel> = pictures
        .iter()
        .map(|(image, annotated)| {
            check_mask("strip", annotated);
            let (scale, style) = sizes(image, scale);
            let picture = panel::annotated(image, annotated, class_names, scale, style.text);
            Panel { picture, caption: "", title: &annotated.title, correct: annotated.title_correct }
        })
        .collect();
    let style =
        pictures.first().map_or_else(|| sizes(&RgbImage::new(1, 1), 1).1, |(image, _)| sizes(image, scale).1);
    page(&panels, &[], class_names, style)
}

/// Stacks rows, such as those of [`side_by_side`], into one picture.
pub fn gallery(rows: &[RgbImage]) -> RgbImage {
    let width = rows.iter().map(|row| i64::from(row.width())).max().unwrap_or(0);
    let height = rows.iter().map(|row| i64::from(row.height())).sum();
    let mut canvas = Canvas::new(width, height, PAPER);
    let mut top = 0;
    for row in rows {
        canvas.paste(row, 0, top);
        top += i64::from(row.height());
    }
    canvas.image
}

/// The text sizes of a page.
#[derive(Clone, Copy)]
struct Style {
    text: TextStyle,
    title: TextStyle,
}

/// The enlargement, kept within limits, and text sizes that suit it.
fn sizes(image: &RgbImage, scale: u32) -> (u32, Style) {
    let longest = image.width().max(image.height()).max(1);
    let scale = scale.clamp(1, (MAX_SIDE / longest).max(1));
    let zoom = if longest * scale >= 700 { 2 } else { 1 };
    (scale, Style { text: TextStyle { zoom, bold: false }, title: TextStyle { zoom, bold: true } })
}

fn page(panels: &[Panel], legend: &[usize], class_names: &[String], style: Style) -> RgbImage {
    let line = style.title.cap_height() + 10 * style.title.zoom;
    let titled = panels.iter().any(|panel| !(panel.caption.is_empty() && panel.title.is_empty()));
    let top = if titled { line } else { MARGIN };
    let width = panels.iter().map(|panel| i64::from(panel.picture.width()) + MARGIN).sum::<i64>() + MARGIN;
    let height = panels.iter().map(|panel| i64::from(panel.picture.height())).max().unwrap_or(0);
    let entries = legend_entries(legend, class_names, width - 2 * MARGIN, style.text);
    let legend_lines = entries.last().map_or(0, |entry| entry.line + 1);

    let mut canvas = Canvas::new(width, top + height + MARGIN + legend_lines * line, PAPER);
    let mut left = MARGIN;
    for panel in panels {
        if titled {
            draw_title(&mut canvas, panel, (left, top), style);
        }
        canvas.paste(&panel.picture, left, top);
        left += i64::from(panel.picture.width()) + MARGIN;
    }
    for entry in entries {
        let (x, y) = (MARGIN + entry.x, top + height + MARGIN + entry.line * line);
        let swatch = style.text.cap_height() + 2 * style.text.zoom;
        canvas.fill(Rect::at(x, y, swatch, swatch), class_color(entry.class), 1.0);
        canvas.text(x + swatch + 4 * style.text.zoom, y + style.text.zoom, &entry.name, style.text, INK);
    }
    canvas.image
}

/// Writes caption, title and tick or cross above a panel whose top left corner is `corner`.
fn draw_title(canvas: &mut Canvas, panel: &Panel, corner: (i64, i64), style: Style) {
    let zoom = style.title.zoom;
    let baseline = corner.1 - 5 * zoom;
    let (mut x, end) = (corner.0, corner.0 + i64::from(panel.picture.width()));
    let y = baseline - style.title.cap_height();
    let mark_width = if panel.correct.is_some() { 14 * zoom } else { 0 };
    let gap = 6 * zoom;
    let caption_width = style.text.width(panel.caption) + gap;
    // If both do not fit, the caption is left out: the title is more important.
    if panel.title.is_empty() || x + caption_width + style.title.width(panel.title) + mark_width <= end {
        canvas.text(x, y, &style.text.fitted(panel.caption, end - x), style.text, FAINT);
        x += if panel.caption.is_empty() { 0 } else { caption_width };
    }
    let title = style.title.fitted(panel.title, end - x - mark_width);
    canvas.text(x, y, &title, style.title, INK);
    if let Some(correct) = panel.correct {
        draw_mark(canvas, x + style.title.width(&title) + gap, y, zoom, correct);
    }
}

/// A green tick or a red cross in the 7 x 7 font pixels to the right of and below (x, y).
fn draw_mark(canvas: &mut Canvas, x: i64, y: i64, zoom: i64, correct: bool) {
    let zoom = zoom as f32;
    let at = |column: f32, row: f32| (x as f32 + column * zoom, y as f32 + row * zoom);
    let width = 2.0 * zoom;
    if correct {
        canvas.stroke(&[at(0.5, 3.5), at(3.0, 6.0), at(7.5, 0.5)], width, RIGHT);
    } else {
        canvas.stroke(&[at(0.5, 0.5), at(6.5, 6.5)], width, WRONG);
        canvas.stroke(&[at(6.5, 0.5), at(0.5, 6.5)], width, WRONG);
    }
}

/// A class in the legend, at column `x` of line `line`.
struct LegendEntry {
    class: usize,
    name: String,
    x: i64,
    line: i64,
}

/// Arranges the legend in lines of at most `width` pixels.
fn legend_entries(
    classes: &[usize],
    class_names: &[String],
    width: i64,
    text: TextStyle,
) -> Vec<LegendEntry> {
    let swatch = text.cap_height() + 6 * text.zoom;
    let (mut x, mut line) = (0, 0);
    let mut entries = Vec::new();
    for &class in classes {
        let name = text.fitted(&class_name(class_names, class), width - swatch);
        let needed = swatch + text.width(&name);
        if x > 0 && x + needed > width {
            (x, line) = (0, line + 1);
        }
        entries.push(LegendEntry { class, name, x, line });
        x += needed + 14 * text.zoom;
    }
    entries
}

/// The classes in the masks that no box names, in ascending order, counted from 0 (value 1 in the mask).
fn unnamed_classes(annotated: &[&Annotated]) -> Vec<usize> {
    let masks = annotated.iter().filter_map(|annotated| annotated.mask.as_ref());
    let present: BTreeSet<u16> = masks.flat_map(|(_, _, mask)| mask).copied().collect();
    let named = |class| annotated.iter().any(|a| a.boxes.iter().any(|drawn| drawn.class == class));
    let foreground = present.into_iter().filter(|&class| class != 0 && class != IGNORED_CLASS);
    foreground.map(|class| usize::from(class) - 1).filter(|&class| !named(class)).collect()
}

#[track_caller]
fn check_mask(operation: &str, annotated: &Annotated) {
    if let Some((height, width, mask)) = &annotated.mask {
        assert!(
            *height > 0 && *width > 0 && height * width == mask.len(),
            "{operation}: a mask of {height} x {width} must hold {} values, not {}, and at least one",
            height * width,
            mask.len()
        );
    }
}
