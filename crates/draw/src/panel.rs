//! One annotated picture: the enlarged image, the mask blended over it with its contours, boxes and their tags.

use super::canvas::{Canvas, Rect, mix};
use super::palette::{class_color, luma, readable_on};
use super::text::TextStyle;
use super::{Annotated, DrawnBox, class_name};
use cerberus_metrics::IGNORED_CLASS;
use cerberus_metrics::boxes;
use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};

const TINT: f32 = 0.5;
const CONTOUR: f32 = 0.95;
const LINE: i64 = 2;
const DARK: Rgb<u8> = Rgb([16, 16, 20]);
const WHITE: Rgb<u8> = Rgb([255, 255, 255]);

/// The enlarged image without annotations.
pub(super) fn enlarged(image: &RgbImage, scale: u32) -> RgbImage {
    if scale == 1 || image.width() == 0 || image.height() == 0 {
        return image.clone();
    }
    resize(image, image.width() * scale, image.height() * scale, FilterType::CatmullRom)
}

/// The enlarged image with its annotations.
pub(super) fn annotated(
    image: &RgbImage,
    annotated: &Annotated,
    class_names: &[String],
    scale: u32,
    text: TextStyle,
) -> RgbImage {
    let mut canvas = Canvas { image: enlarged(image, scale) };
    if let Some((height, width, mask)) = &annotated.mask {
        draw_mask(&mut canvas, *height, *width, mask);
    }
    draw_boxes(&mut canvas, &annotated.boxes, class_names, scale as f32, text);
    canvas.image
}

/// Turns the picture gray, so that colour means class, and tints it by the mask.
fn draw_mask(canvas: &mut Canvas, mask_height: usize, mask_width: usize, mask: &[u16]) {
    let (width, height) = (canvas.image.width() as usize, canvas.image.height() as usize);
    let classes = enlarged_mask(mask, (mask_height, mask_width), (height, width));
    // Whether a pixel up to two steps away has another class; this gives contours two pixels wide.
    let on_contour = |x: usize, y: usize| {
        let class = classes[y * width + x];
        (1..=2).any(|step| {
            let (left, right) = (x.saturating_sub(step), (x + step).min(width - 1));
            let (above, below) = (y.saturating_sub(step), (y + step).min(height - 1));
            [(left, y), (right, y), (x, above), (x, below)]
                .iter()
                .any(|&(x, y)| classes[y * width + x] != class)
        })
    };
    for (x, y, pixel) in canvas.image.enumerate_pixels_mut() {
        let (column, row) = (x as usize, y as usize);
        let grey = luma(*pixel).round() as u8;
        let muted = mix(*pixel, Rgb([grey; 3]), 0.75);
        *pixel = match classes[row * width + column] {
            0 => mix(muted, WHITE, 0.12),
            IGNORED_CLASS if (column + row) % 8 < 2 => mix(muted, WHITE, 0.6),
            IGNORED_CLASS => muted,
            class => {
                let alpha = if on_contour(column, row) { CONTOUR } else { TINT };
                mix(muted, class_color(usize::from(class) - 1), alpha)
            }
        };
    }
}

/// Enlarges a class map with smooth borders: each pixel takes the class with the most weight among its four neighbours
/// in a bilinear enlargement. Sizes are (height, width).
fn enlarged_mask(mask: &[u16], from: (usize, usize), to: (usize, usize)) -> Vec<u16> {
    // For each new coordinate: the two old ones, and the weight of the second.
    let neighbours = |from: usize, to: usize| -> Vec<(usize, usize, f32)> {
        let place = |new: usize| {
            let old = ((new as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, from as f32 - 1.0);
            let first = (old as usize).min(from - 1);
            (first, (first + 1).min(from - 1), old - first as f32)
        };
        (0..to).map(place).collect()
    };
    let (rows, columns) = (neighbours(from.0, to.0), neighbours(from.1, to.1));
    let mut classes = Vec::with_capacity(to.0 * to.1);
    for &(top, bottom, down) in &rows {
        for &(left, right, across) in &columns {
            let corners = [
                (mask[top * from.1 + left], (1.0 - down) * (1.0 - across)),
                (mask[top * from.1 + right], (1.0 - down) * across),
                (mask[bottom * from.1 + left], down * (1.0 - across)),
                (mask[bottom * from.1 + right], down * across),
            ];
            let votes = |class: u16| corners.iter().filter(|c| c.0 == class).map(|c| c.1).sum::<f32>();
            let winner = corners.iter().max_by(|a, b| votes(a.0).total_cmp(&votes(b.0)));
            classes.push(winner.map_or(0, |corner| corner.0));
        }
    }
    classes
}

/// Draws all boxes, the large ones first, then all tags, so that no line crosses a text.
fn draw_boxes(canvas: &mut Canvas, drawn: &[DrawnBox], class_names: &[String], scale: f32, text: TextStyle) {
    let (width, height) = (canvas.image.width(), canvas.image.height());
    let mut placed: Vec<(&DrawnBox, Rect)> = drawn
        .iter()
        .filter(|drawn| drawn.bbox.iter().all(|x| x.is_finite()))
        .map(|drawn| {
            let scaled = drawn.bbox.map(|x| x * scale);
            let [x1, y1, x2, y2] = boxes::clip_to_image(&scaled, width as f32, height as f32);
            let side = |x: f32| x.round() as i64;
            (drawn, Rect { x1: side(x1), y1: side(y1), x2: side(x2), y2: side(y2) })
        })
        .collect();
    placed.sort_by(|a, b| boxes::area(&b.0.bbox).total_cmp(&boxes::area(&a.0.bbox)));
    let frame = Rect::at(0, 0, width.into(), height.into());
    for (drawn, rect) in &placed {
        // Around the object, but never outside the picture; the dark rim separates it from a tint of the same colour.
        let rect = intersection(rect.grown(1), frame);
        canvas.outline(rect.grown(1), LINE + 2, DARK, 0.45);
        canvas.outline(rect, LINE, class_color(drawn.class), 1.0);
    }
    let mut tags: Vec<Rect> = Vec::new();
    for (drawn, rect) in &placed {
        let name = class_name(class_names, drawn.class);
        let label = drawn.score.map_or(name.clone(), |score| format!("{name} {score:.2}"));
        let label = text.fitted(&label, frame.x2 - 2 * TAG_PADDING);
        let others: Vec<Rect> = placed.iter().map(|p| p.1).filter(|other| other != rect).collect();
        let tag = place_tag(intersection(rect.grown(1), frame), frame, &tags, &others, &label, text);
        let color = class_color(drawn.class);
        canvas.fill(tag, color, 1.0);
        canvas.text(tag.x1 + TAG_PADDING, tag.y1 + text.margin(), &label, text, readable_on(color));
        tags.push(tag);
    }
}

const TAG_PADDING: i64 = 3;

/// The position of a box's tag: above its top left corner if that is inside the picture and free; otherwise the usual
/// position (below, at the right end, inside) that covers the least of other tags and boxes.
fn place_tag(rect: Rect, frame: Rect, tags: &[Rect], others: &[Rect], label: &str, text: TextStyle) -> Rect {
    let (width, height) = (text.width(label) + 2 * TAG_PADDING, text.cap_height() + 2 * text.margin());
    let (left, right) = (rect.x1, rect.x2 - width);
    let (above, below) = (rect.y1 - height, rect.y2);
    let places = [
        (left, above),
        (left, below),
        (right, above),
        (right, below),
        (left, rect.y1),
        (left, rect.y2 - height),
        (right, rect.y1),
        (right, rect.y2 - height),
    ];
    let inside = places.iter().filter(|&&(_, y)| y >= frame.y1 && y + height <= frame.y2).map(|&(x, y)| {
        let x = x.min(frame.x2 - width).max(frame.x1);
        Rect::at(x, y, width, height)
    });
    // Hiding another tag is worse than hiding a part of another object.
    let cost = |tag: &Rect| {
        let hidden: i64 = tags.iter().map(|other| 8 * tag.overlap(*other)).sum();
        hidden + others.iter().map(|other| tag.overlap(*other)).sum::<i64>()
    };
    inside.min_by_key(cost).unwrap_or(Rect::at(frame.x1, frame.y1, width, height))
}

fn intersection(a: Rect, b: Rect) -> Rect {
    Rect { x1: a.x1.max(b.x1), y1: a.y1.max(b.y1), x2: a.x2.min(b.x2), y2: a.y2.min(b.y2) }
}
