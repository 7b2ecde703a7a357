//! Draws outlines as masks.
//!
//! A pixel belongs to a polygon if its centre is inside by the even-odd rule:
//! each row is cut with every edge, and filled between the first and second
//! cut, the third and fourth, and so on.

use super::{Outline, Shape, run_lengths};
use crate::{ClassId, Mask};

/// The mask of outlines, later ones drawn over earlier ones; 0 where there is none.
pub(super) fn fill(outlines: &[Outline], [height, width]: [usize; 2]) -> Mask {
    let mut classes = vec![0; height * width];
    for outline in outlines {
        match &outline.shape {
            Shape::Polygons(polygons) => polygons
                .iter()
                .for_each(|polygon| fill_one(&mut classes, polygon, outline.value, [height, width])),
            Shape::Runs(runs) => run_lengths::fill(&mut classes, runs, outline.value, [height, width]),
        }
    }
    Mask { height, width, classes }
}

impl Shape {
    /// The bounding box of the shape.
    pub(super) fn bounds(&self, [height, _]: [usize; 2]) -> [f32; 4] {
        match self {
            Shape::Polygons(polygons) => around(&polygons.concat()),
            Shape::Runs(runs) => run_lengths::bounds(runs, height),
        }
    }
}

fn fill_one(classes: &mut [ClassId], polygon: &[[f32; 2]], value: ClassId, [height, width]: [usize; 2]) {
    let (low, high) =
        polygon.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), p| (l.min(p[1]), h.max(p[1])));
    // Casting a negative number gives 0.
    let rows = (low.floor() as usize)..(high.ceil().max(0.0) as usize).min(height);
    let mut cuts: Vec<f32> = Vec::new();
    for row in rows {
        let y = row as f32 + 0.5;
        cuts.clear();
        let mut previous = polygon[polygon.len() - 1];
        for &point in polygon {
            let ([x1, y1], [x2, y2]) = (previous, point);
            // Half-open, so that a corner exactly on the line counts as one cut, not two.
            if (y1 <= y) != (y2 <= y) {
                cuts.push(x1 + (y - y1) / (y2 - y1) * (x2 - x1));
            }
            previous = point;
        }
        cuts.sort_by(f32::total_cmp);
        for pair in cuts.chunks_exact(2) {
            // The pixels whose centre x + 0.5 lies in [from, to).
            let column = |x: f32| ((x - 0.5).ceil().max(0.0) as usize).min(width);
            let (from, to) = (column(pair[0]), column(pair[1]));
            classes[row * width + from..row * width + to.max(from)].fill(value);
        }
    }
}

/// The box around points.
pub(super) fn around(points: &[[f32; 2]]) -> [f32; 4] {
    let none = [f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY];
    points.iter().fold(none, |b, p| [b[0].min(p[0]), b[1].min(p[1]), b[2].max(p[0]), b[3].max(p[1])])
}

/// The area of a polygon (the shoelace formula).
pub(super) fn area(polygon: &[[f32; 2]]) -> f32 {
    let next = polygon.iter().cycle().skip(1);
    let twice: f64 = polygon
        .iter()
        .zip(next)
        .map(|(a, b)| f64::from(a[0]) * f64::from(b[1]) - f64::from(b[0]) * f64::from(a[1]))
        .sum();
    (twice.abs() / 2.0) as f32
}
