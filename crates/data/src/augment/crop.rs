//! Crops that keep the picture's size: stretched crops, padded crops, crops of a scaled picture.

use super::canvas::Canvas;
use super::map::Map;
use super::operation::{Draw, Kind, Operation};

/// A rectangle with 8 to 100 % of the area and 3/4 to 4/3 of the aspect ratio, anywhere in the picture, stretched to
/// the whole picture (Szegedy et al., "Going Deeper with Convolutions", 2015, section 6).
pub(super) const RANDOM_RESIZED: Operation = Operation {
    name: "random_resized_crop",
    what: "a rectangle of 8 to 100 % of the area and 3/4 to 4/3 of the proportions, stretched to all of the picture",
    kind: Kind::Geometry,
    partners: 0,
    probability: 1.0,
    floats: true,
    apply: random_resized,
};

/// The smallest share of the area at any strength.
const LEAST_AREA: f64 = 0.04;

fn random_resized(canvas: &mut Canvas, draw: &mut Draw) {
    let least = (1.0 - 0.92 * draw.strength).max(LEAST_AREA);
    let area = draw.within(least..=1.0);
    let proportion = draw.either_way((4.0f64 / 3.0).ln()).exp();
    let [width, height] = canvas.frame();
    let across = width * (area * proportion).sqrt().min(1.0);
    let down = height * (area / proportion).sqrt().min(1.0);
    let x = draw.within(0.0..=width - across);
    let y = draw.within(0.0..=height - down);
    canvas.warp(&Map::shift(-x, -y).then(&Map::scale(width / across, height / down)));
}

/// Padded by an eighth of each side (4 of 32 pixels) and cropped at random to the original size. Moves are whole
/// pixels, so nothing is blurred (He et al., "Deep Residual Learning for Image Recognition", 2016, section 4.2).
pub(super) const PAD_AND: Operation = Operation {
    name: "pad_and_crop",
    what: "padded by an eighth of each side (4 of 32 pixels) and cropped to its size again",
    kind: Kind::Geometry,
    partners: 0,
    probability: 1.0,
    floats: true,
    apply: |canvas, draw| {
        let [x, y] = canvas.frame().map(|side| {
            let reach = (side / 8.0 * draw.strength).round() as i64;
            draw.within(-reach..=reach) as f64
        });
        canvas.warp(&Map::shift(x, y));
    },
};

/// Scaled by 0.1 to 2 and cropped, or padded, at random to the original size: the large scale jittering of Ghiasi et
/// al., "Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation", 2021, section 3.
pub(super) const SCALE_JITTER: Operation = Operation {
    name: "scale_jitter",
    what: "scaled by a factor of 0.1 to 2, then cropped or padded to its size",
    kind: Kind::Geometry,
    partners: 0,
    probability: 1.0,
    floats: true,
    apply: scale_jitter,
};

/// The smallest scale factor at any strength.
const LEAST_SCALE: f64 = 0.1;

fn scale_jitter(canvas: &mut Canvas, draw: &mut Draw) {
    let least = (1.0 - 0.9 * draw.strength).max(LEAST_SCALE);
    let factor = draw.within(least..=1.0 + draw.strength);
    let [x, y] = canvas.frame().map(|side| {
        // The scaled picture moves inside the frame, or the frame inside the scaled picture.
        let room = side * (1.0 - factor);
        draw.within(room.min(0.0)..=room.max(0.0))
    });
    canvas.warp(&Map::scale(factor, factor).then(&Map::shift(x, y)));
}
