//! Four smaller pictures in one: objects at other sizes, in other surroundings.

use crate::{Label, Sample};

use super::canvas::Canvas;
use super::map::Map;
use super::operation::{Draw, Kind, Operation};
use super::paste::{Cover, fit, hide, paste};
use super::whole::Whole;

/// Four samples around a point that lies within a quarter of each side from the centre (Bochkovskiy et al., "YOLOv4",
/// 2020, section 3.3). Each sample fills its part: it is shrunk with its aspect ratio kept, and cut where the part is
/// too narrow.
pub(super) const MOSAIC: Operation = Operation {
    name: "mosaic",
    what: "four samples around a point that lies up to a quarter of each side from the centre",
    kind: Kind::Mixing,
    partners: 3,
    probability: 0.5,
    floats: true,
    apply: mosaic,
};

fn mosaic(canvas: &mut Canvas, draw: &mut Draw) {
    let others: Vec<Sample> = draw.partners.drain(..).take(3).collect();
    let frame = canvas.frame();
    let reach = (0.25 * draw.strength).min(0.45);
    let [x, y] = frame.map(|side| (side * (0.5 + draw.within(-reach..=reach))).round() as usize);
    let base = canvas.rendered();
    if !others.iter().all(|other| fit(base, other)) {
        return;
    }
    let size = [base.image.height, base.image.width];
    let parts = [[0, 0, x, y], [x, 0, size[1], y], [0, y, x, size[0]], [x, y, size[1], size[0]]];
    let covers = parts.map(|part| Cover::rectangle(size, part));
    let sources: Vec<&Sample> = std::iter::once(&*base).chain(&others).collect();
    let shares: Vec<(&Sample, f32)> =
        sources.iter().zip(&covers).map(|(&source, cover)| (source, cover.share())).collect();
    let whole = Whole::of(&shares);
    let mut shown = sources.iter().zip(parts).zip(&covers).filter(|(_, cover)| cover.share() > 0.0);
    let mut moved = |(&source, part): (&&Sample, [usize; 4])| into(source, part, frame, draw);
    // The first picture is cut to its own part, so that pasting the others beside it hides nothing more of its objects.
    let Some((first, cover)) = shown.next() else { return };
    let mut picture = moved(first);
    only(&mut picture, cover);
    for (source, cover) in shown {
        paste(&mut picture, &moved(source), cover);
    }
    whole.label(&mut picture);
    *base = picture;
}

/// A sample scaled over a part of the frame with its aspect ratio kept; where it reaches past the part, the cut is
/// random.
fn into(source: &Sample, part: [usize; 4], [width, height]: [f64; 2], draw: &mut Draw) -> Sample {
    let [left, top, right, bottom] = part.map(|side| side as f64);
    let factor = ((right - left) / width).max((bottom - top) / height);
    let mut start = |from: f64, to: f64, len: f64| {
        // Rounding may make the picture slightly smaller than its part.
        let past = (factor * len - (to - from)).max(0.0);
        from - draw.within(0.0..=past)
    };
    let (x, y) = (start(left, right, width), start(top, bottom, height));
    let mut canvas = Canvas::new(source.clone());
    canvas.warp(&Map::scale(factor, factor).then(&Map::shift(x, y)));
    canvas.finish()
}

/// Removes objects, and parts of them, that are outside the cover.
fn only(sample: &mut Sample, cover: &Cover) {
    let hidden = cover.others();
    let mask = sample.mask.as_ref();
    sample.objects = sample.objects.as_ref().map(|objects| hide(objects, mask, &hidden));
    for label in sample.more.values_mut() {
        if let Label::Objects(objects) = label {
            *objects = hide(objects, None, &hidden);
        }
    }
}
