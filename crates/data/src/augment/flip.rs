//! Mirror images: the oldest operation, and right wherever left and right (or up and down) mean the same.

use super::canvas::Canvas;
use super::map::Map;
use super::operation::{Draw, Kind, Operation};

/// Left and right change places. Any strength above 0 does it in full.
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

/// Top and bottom change places. Any strength above 0 does it in full.
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
