//! Mirror images: useful wherever left and right (or up and down) mean the same.

use super::canvas::Canvas;
use super::map::Map;
use super::operation::{Draw, Kind, Operation};

/// Swaps left and right. Any strength above 0 does it fully.
pub(super) const HORIZONTAL: Operation = Operation {
    name: "horizontal_flip",
    what: "left and right change places",
    kind: Kind::Geometry,
    partners: 0,
    probability: 0.5,
    floats: true,
    apply: |canvas: &mut Canvas, _: &mut Draw| {
        let [width, _] = canvas.frame();
        canvas.warp(&Map::affine([-1.0, 0.0, 0.0, 1.0], [width, 0.0]));
    },
};

/// Swaps top and bottom. Any strength above 0 does it fully.
pub(super) const VERTICAL: Operation = Operation {
    name: "vertical_flip",
    what: "top and bottom change places",
    kind: Kind::Geometry,
    partners: 0,
    probability: 0.5,
    floats: true,
    apply: |canvas: &mut Canvas, _: &mut Draw| {
        let [_, height] = canvas.frame();
        canvas.warp(&Map::affine([1.0, 0.0, 0.0, -1.0], [0.0, height]));
    },
};
