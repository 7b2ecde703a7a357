//! Moves an object's box by a map: the new box is the bounds of the visible part of the object's outline.
//!
//! The outline is the object's pixels in the mask if the mask draws it, otherwise the rectangle of its box. It is split
//! into rectangles; each is mapped, clipped to the picture (Sutherland and Hodgman, "Reentrant Polygon Clipping", 1974)
//! and measured. Clipping comes before the division, so that points behind the viewer are cut off as well.

use crate::{ClassId, IGNORED, Mask, Object};

use super::map::Map;

/// The share of an object that must remain visible. An object with less left is no longer a target and becomes a crowd:
/// neither right nor wrong.
pub(crate) const LEFT: f32 = 0.25;

/// Width times height.
pub(crate) fn box_area([x1, y1, x2, y2]: &[f32; 4]) -> f32 {
    (x2 - x1) * (y2 - y1)
}

/// Moves objects by a map, into a picture of `height` rows and `width` columns; `mask` may draw their outlines.
pub fn move_objects(objects: &[Object], mask: Option<&Mask>, map: &Map, size: [usize; 2]) -> Vec<Object> {
    objects.iter().filter_map(|object| move_object(object, mask, map, size)).collect()
}

fn move_object(object: &Object, mask: Option<&Mask>, map: &Map, size: [usize; 2]) -> Option<Object> {
    // If the box stays axis-aligned and fully visible, the moved box bounds its contents to a fraction of a pixel: no
    // outline is needed.
    let runs =
        if is_whole(&object.bbox, map, size) { None } else { mask.and_then(|mask| runs_of(object, mask)) };
    let rectangles = runs.unwrap_or_else(|| vec![object.bbox.map(f64::from)]);
    let back = map.inverse();
    let mut bounds = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
    // Areas: the whole object and its visible part in pixels of the source, and the visible part in pixels of the
    // output.
    let (mut whole, mut seen, mut shown) = (0.0, 0.0, 0.0);
    for [x1, y1, x2, y2] in rectangles {
        whole += (x2 - x1) * (y2 - y1);
        let corners = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];
        let polygon = clip(corners.map(|corner| map.homogeneous(corner)).to_vec(), size);
        for &[x, y] in &polygon {
            bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x), bounds[3].max(y)];
        }
        let source: Vec<[f64; 2]> = polygon.iter().filter_map(|&point| back.point(point)).collect();
        seen += area(&source);
        shown += area(&polygon);
    }
    let [height, width] = size.map(|side| side as f64);
    let bbox = [bounds[0].max(0.0), bounds[1].max(0.0), bounds[2].min(width), bounds[3].min(height)];
    let bbox = bbox.map(|side| side as f32);
    let left = (seen / whole) as f32;
    let crowd = object.crowd || left < LEFT;
    let area = object.area * (shown / whole) as f32;
    // This condition also rejects boxes without area and numbers that are not finite.
    (box_area(&bbox) > 0.0 && bbox[2] > bbox[0] && left > 0.0).then_some(Object {
        bbox,
        crowd,
        area,
        ..*object
    })
}

/// Whether a box stays an axis-aligned rectangle and lies in the picture.
fn is_whole([x1, y1, x2, y2]: &[f32; 4], map: &Map, [height, width]: [usize; 2]) -> bool {
    let inside = |corner: [f32; 2]| {
        let moved = map.point(corner.map(f64::from));
        moved.is_some_and(|[x, y]| (0.0..=width as f64).contains(&x) && (0.0..=height as f64).contains(&y))
    };
    map.keeps_boxes() && inside([*x1, *y1]) && inside([*x2, *y2])
}

/// The pixels of a box that lie in a picture: start and end of its columns, start and end of its rows.
pub fn cells([x1, y1, x2, y2]: [f32; 4], [height, width]: [usize; 2]) -> [usize; 4] {
    // The pixels whose centres are in the box; the cast saturates.
    let cell = |side: f32, most: usize| ((side - 0.5).ceil() as usize).min(most);
    [cell(x1, width), cell(x2, width), cell(y1, height), cell(y2, height)]
}

/// The pixels `(row, column)` that a mask draws for an object: those of the object's class inside its box. `None`
/// unless they reach all four sides of the box to within a pixel.
pub fn drawn(object: &Object, mask: &Mask) -> Option<Vec<[usize; 2]>> {
    let value = ClassId::try_from(object.class).ok()?.checked_add(1).filter(|&value| value != IGNORED)?;
    let [left, right, top, bottom] = cells(object.bbox, [mask.height, mask.width]);
    let places = (top..bottom).flat_map(|row| (left..right).map(move |column| [row, column]));
    let found: Vec<[usize; 2]> =
        places.filter(|&[row, column]| mask.classes[row * mask.width + column] == value).collect();
    let columns = || found.iter().map(|place| place[1]);
    let reached = [columns().min()?, found.first()?[0], columns().max()? + 1, found.last()?[0] + 1];
    let near = object.bbox.iter().zip(reached).all(|(side, reached)| (side - reached as f32).abs() <= 1.0);
    near.then_some(found)
}

/// The same pixels as rectangles, one for each run of pixels in a row.
fn runs_of(object: &Object, mask: &Mask) -> Option<Vec<[f64; 4]>> {
    let mut runs: Vec<[f64; 4]> = Vec::new();
    for [row, column] in drawn(object, mask)? {
        let (x, y) = (column as f64, row as f64);
        match runs.last_mut() {
            Some(run) if run[1] == y && run[2] == x => run[2] += 1.0,
            _ => runs.push([x, y, x + 1.0, y + 1.0]),
        }
    }
    Some(runs)
}

/// The part of a polygon, corners `x, y, w` before the division, that lies in the picture.
fn clip(mut polygon: Vec<[f64; 3]>, [height, width]: [usize; 2]) -> Vec<[f64; 2]> {
    // Each side is a half-space `a x + b y + c w >= 0`; the first is the half-space in front of the viewer.
    let sides = [
        [0.0, 0.0, 1.0],
        [1.0, 0.0, 0.0],
        [-1.0, 0.0, width as f64],
        [0.0, 1.0, 0.0],
        [0.0, -1.0, height as f64],
    ];
    for (number, side) in sides.into_iter().enumerate() {
        // A point at `w` = 0 would lie infinitely far away.
        let least = if number == 0 { 1e-9 } else { 0.0 };
        let distance = |p: &[f64; 3]| side[0] * p[0] + side[1] * p[1] + side[2] * p[2] - least;
        let mut kept = Vec::with_capacity(polygon.len() + 1);
        for (place, to) in polygon.iter().enumerate() {
            let from = &polygon[(place + polygon.len() - 1) % polygon.len()];
            let (a, b) = (distance(from), distance(to));
            if (a >= 0.0) != (b >= 0.0) {
                let t = a / (a - b);
                kept.push(std::array::from_fn(|k| from[k] + t * (to[k] - from[k])));
            }
            if b >= 0.0 {
                kept.push(*to);
            }
        }
        polygon = kept;
    }
    polygon.into_iter().map(|[x, y, w]| [x / w, y / w]).collect()
}

/// The area of a polygon by the shoelace formula.
fn area(polygon: &[[f64; 2]]) -> f64 {
    let next = polygon.iter().cycle().skip(1);
    let doubled: f64 = polygon.iter().zip(next).map(|(p, q)| p[0] * q[1] - q[0] * p[1]).sum();
    doubled.abs() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIGHTH: [f64; 4] = [
        std::f64::consts::FRAC_1_SQRT_2,
        -std::f64::consts::FRAC_1_SQRT_2,
        std::f64::consts::FRAC_1_SQRT_2,
        std::f64::consts::FRAC_1_SQRT_2,
    ];

    #[test]
    fn a_turned_disc_keeps_its_box_where_the_mask_draws_it() {
        let inside = |i: usize| ((i % 40) as f64 - 19.5).hypot((i / 40) as f64 - 19.5) < 10.0;
        let mask = Mask { height: 40, width: 40, classes: (0..1600).map(|i| inside(i).into()).collect() };
        let objects = [Object::new(0, [10.0, 10.0, 30.0, 30.0])];
        let map = Map::about([20.0, 20.0], EIGHTH);
        let by_mask = move_objects(&objects, Some(&mask), &map, [40, 40])[0].bbox;
        assert!(by_mask.iter().zip(objects[0].bbox).all(|(a, b)| (a - b).abs() < 1.0), "{by_mask:?}");
        let by_corners = move_objects(&objects, None, &map, [40, 40])[0].bbox;
        let reach = 10.0 * 2f32.sqrt();
        assert!((by_corners[0] - (20.0 - reach)).abs() < 1e-4, "{by_corners:?}");
    }

    #[test]
    fn an_object_of_which_a_fifth_is_left_becomes_a_crowd_and_one_outside_goes() {
        let objects = [Object::new(0, [0.0, 0.0, 10.0, 4.0]), Object::new(1, [0.0, 4.0, 2.0, 8.0])];
        let moved = move_objects(&objects, None, &Map::shift(-8.0, 0.0), [20, 20]);
        assert_eq!(moved, [Object { class: 0, bbox: [0.0, 0.0, 2.0, 4.0], crowd: true, area: 8.0 }]);
        let moved = move_objects(&objects, None, &Map::shift(-7.0, 0.0), [20, 20]);
        assert!(!moved[0].crowd);
    }

    #[test]
    fn a_mask_of_another_thing_does_not_draw_the_object() {
        let mut mask = Mask { height: 10, width: 10, classes: vec![0; 100] };
        mask.classes[33] = 1;
        assert_eq!(drawn(&Object::new(0, [1.0, 1.0, 9.0, 9.0]), &mask), None);
        assert_eq!(drawn(&Object::new(0, [3.0, 3.0, 4.0, 4.0]), &mask), Some(vec![[3, 3]]));
    }

    #[test]
    fn boxes_that_are_no_boxes_are_left_out() {
        let wrong = [[5.0, 5.0, 5.0, 9.0], [6.0, 6.0, 4.0, 4.0], [f32::NAN, 0.0, 3.0, 3.0]];
        let objects = wrong.map(|bbox| Object { class: 0, bbox, crowd: false, area: 1.0 });
        assert_eq!(move_objects(&objects[..1], None, &Map::shift(1.0, 0.0), [20, 20]), []);
        assert_eq!(move_objects(&objects[2..], None, &Map::about([3.0, 3.0], EIGHTH), [20, 20]), []);
    }
}
