//! Pastes a rectangle of another picture into this one.

use super::canvas::Canvas;
use super::operation::{Draw, Kind, Operation};
use super::paste::{Cover, fit, paste};
use super::whole::Whole;

/// A rectangle with the picture's aspect ratio, at the same place of another sample, with a share of the area from
/// Beta(1, 1), its centre anywhere (Yun et al., "CutMix", 2019, section 3.1), with probability 0.5, as in their code
/// for CIFAR. Below strength 1 the area shrinks in proportion.
pub(super) const CUTMIX: Operation = Operation {
    name: "cutmix",
    what: "a rectangle of another sample pasted at its place, of 0 to 100 % of the area before it is clipped",
    kind: Kind::Mixing,
    partners: 1,
    probability: 0.5,
    floats: true,
    apply: cutmix,
};

fn cutmix(canvas: &mut Canvas, draw: &mut Draw) {
    let other = draw.partners.swap_remove(0);
    let side = (draw.within(0.0..=1.0) * draw.strength).min(1.0f64).sqrt();
    let [[left, right], [top, bottom]] = canvas.frame().map(|whole| {
        let centre = draw.within(0.0..whole);
        [centre - side * whole / 2.0, centre + side * whole / 2.0]
            .map(|end| end.clamp(0.0, whole).round() as usize)
    });
    let base = canvas.rendered();
    if !fit(base, &other) {
        return;
    }
    let cover = Cover::rectangle([base.image.height, base.image.width], [left, top, right, bottom]);
    let share = cover.share();
    if share > 0.0 {
        let whole = Whole::of(&[(base, 1.0 - share), (&other, share)]);
        paste(base, &other, &cover);
        whole.label(base);
    }
}
