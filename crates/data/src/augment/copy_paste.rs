//! Pastes objects of another picture, cut out by its mask, into this one.

use crate::{Label, Object, Sample};

use super::canvas::Canvas;
use super::operation::{Draw, Kind, Operation};
use super::outline::{cells, drawn};
use super::paste::{Cover, fit, paste};
use super::whole::annotated;

/// Pastes each object of another sample with a probability of one half, at the same place (Ghiasi et al., "Simple
/// Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation", 2021, section 3). The scale jitter and
/// flips, which the paper applies to both pictures, are separate operations that come before this one in a list.
///
/// Needs objects in both samples, and a mask of the other sample that draws its objects. The class of the picture
/// stays; sets of classes, which may no longer be right, are removed. An object under another label is pasted too if
/// the centre of its box is pasted.
pub(super) const COPY_PASTE: Operation = Operation {
    name: "copy_paste",
    what: "each object of another sample that its mask draws pasted with a probability of one half",
    kind: Kind::Mixing,
    partners: 1,
    probability: 1.0,
    floats: true,
    apply: copy_paste,
};

fn copy_paste(canvas: &mut Canvas, draw: &mut Draw) {
    let mut other = draw.partners.swap_remove(0);
    let chosen: Vec<bool> =
        other.objects.iter().flatten().map(|_| draw.chance(0.5 * draw.strength)).collect();
    let base = canvas.rendered();
    if base.objects.is_none() || !fit(base, &other) {
        return;
    }
    let size = [other.image.height, other.image.width];
    let mut cover = Cover::none(size);
    let (Some(objects), Some(mask)) = (&other.objects, &other.mask) else { return };
    let mut pasted: Vec<Object> = Vec::new();
    for (object, _) in objects.iter().zip(chosen).filter(|(object, chosen)| *chosen && !object.crowd) {
        if let Some(pixels) = drawn(object, mask) {
            pixels.into_iter().for_each(|pixel| cover.add(pixel));
            pasted.push(*object);
        }
    }
    if pasted.is_empty() {
        return;
    }
    other.objects = Some(pasted);
    paste_with_parts(base, other, &cover);
}

fn paste_with_parts(base: &mut Sample, mut other: Sample, cover: &Cover) {
    let pasted = |object: &Object| {
        let [x1, y1, x2, y2] = object.bbox;
        let (x, y) = ((x1 + x2) / 2.0, (y1 + y2) / 2.0);
        let [column, _, row, _] = cells([x - 0.5, y - 0.5, x, y], [usize::MAX; 2]);
        cover.has([row, column])
    };
    for label in other.more.values_mut() {
        if let Label::Objects(objects) = label {
            objects.retain(pasted);
        }
    }
    paste(base, &other, cover);
    let annotated = annotated(&[base, &other]);
    base.more.retain(|_, label| !matches!(label, Label::Classes(_)));
    base.more.extend(annotated);
}
