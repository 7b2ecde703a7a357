//! Changes of viewpoint: rotation, shear, translation, scale and perspective, all about the centre of the picture.

use super::canvas::Canvas;
use super::map::Map;
use super::operation::{Draw, Kind, Operation};

/// Rotates the picture about its centre, clockwise for a positive angle.
pub(super) fn rotate(canvas: &mut Canvas, degrees: f64) {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    canvas.warp(&Map::about(canvas.centre(), [cosine, -sine, sine, cosine]));
}

/// Moves rows sideways by `x` pixels per pixel below the centre, and columns down by `y` per pixel to the right.
pub(super) fn shear(canvas: &mut Canvas, x: f64, y: f64) {
    let centre = canvas.centre();
    canvas.warp(&Map::about(centre, [1.0, x, 0.0, 1.0]));
    canvas.warp(&Map::about(centre, [1.0, 0.0, y, 1.0]));
}

/// Moves the picture by shares of its width and height.
pub(super) fn translate(canvas: &mut Canvas, x: f64, y: f64) {
    let [width, height] = canvas.frame();
    canvas.warp(&Map::shift(x * width, y * height));
}

/// Rotated by up to 30 degrees either way, the largest angle of Cubuk et al., "AutoAugment", 2019, table 6.
pub(super) const ROTATION: Operation = Operation {
    name: "rotation",
    what: "turned by up to 30 degrees either way",
    kind: Kind::Geometry,
    partners: 0,
    probability: 1.0,
    floats: true,
    apply: |canvas: &mut Canvas, draw: &mut Draw| {
        let degrees = draw.either_way(30.0);
        rotate(canvas, degrees);
    },
};

/// Sheared by up to 0.3 in each direction (Cubuk et al., "AutoAugment", 2019, table 6), translated by up to a tenth of
/// each side (as in the code of Ge et al., "YOLOX", 2021), and scaled by 0.8 to 1.25 (the standard scale jittering of
/// Ghiasi et al., 2021).
pub(super) const AFFINE: Operation = Operation {
    name: "affine",
    what: "sheared by up to 0.3 across and down, scaled by 0.8 to 1.25, moved by up to a tenth of each side",
    kind: Kind::Geometry,
    partners: 0,
    probability: 1.0,
    floats: true,
    apply: affine,
};

fn affine(canvas: &mut Canvas, draw: &mut Draw) {
    let (x, y) = (draw.either_way(0.3), draw.either_way(0.3));
    shear(canvas, x, y);
    let factor = draw.either_way(1.25f64.ln()).exp();
    canvas.warp(&Map::about(canvas.centre(), [factor, 0.0, 0.0, factor]));
    let (x, y) = (draw.either_way(0.1), draw.either_way(0.1));
    translate(canvas, x, y);
}

/// Each corner moves inwards by up to a quarter of each side: a distortion of 0.5, the default of torchvision's
/// `RandomPerspective`.
pub(super) const PERSPECTIVE: Operation = Operation {
    name: "perspective",
    what: "each corner moved inwards by up to a quarter of each side",
    kind: Kind::Geometry,
    partners: 0,
    probability: 0.5,
    floats: true,
    apply: perspective,
};

/// The farthest that a corner moves at any strength, as a share of the side: at one half, corners could meet.
const FARTHEST: f64 = 0.4;

fn perspective(canvas: &mut Canvas, draw: &mut Draw) {
    let [width, height] = canvas.frame();
    let reach = (0.25 * draw.strength).min(FARTHEST);
    let corners = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]].map(|corner: [f64; 2]| {
        corner.map(|side| {
            let inwards = draw.within(0.0..=reach);
            if side == 0.0 { inwards } else { 1.0 - inwards }
        })
    });
    let distort = Map::square_to(corners).then(&Map::scale(width, height));
    canvas.warp(&Map::scale(1.0 / width, 1.0 / height).then(&distort));
}
