//! Pastes some pixels of one sample over another, with the labels that belong to them: the common part of CutMix,
//! mosaic and copy-paste.
//!
//! A label that only one of the two samples has is unknown for the other's pixels: masks are ignored there and value
//! maps are not finite. Objects would then be incomplete, so that label becomes missing.

use crate::{ClassId, IGNORED, Label, Mask, Object, Pixels, Sample, ValueMap};

use super::outline::{LEFT, cells, drawn};

/// A set of pixels.
#[derive(Clone)]
pub(super) struct Cover {
    size: [usize; 2],
    // [height, width]
    covered: Vec<bool>,
}

impl Cover {
    /// No pixel of a picture with `size` rows and columns.
    pub fn none(size: [usize; 2]) -> Cover {
        Cover { size, covered: vec![false; size[0] * size[1]] }
    }

    /// The pixels of a rectangle `left, top, right, bottom` in the picture.
    pub fn rectangle(size: [usize; 2], [left, top, right, bottom]: [usize; 4]) -> Cover {
        let mut cover = Cover::none(size);
        for row in top..bottom {
            cover.covered[row * size[1]..][left..right].fill(true);
        }
        cover
    }

    /// Adds a pixel.
    pub fn add(&mut self, [row, column]: [usize; 2]) {
        self.covered[row * self.size[1] + column] = true;
    }

    /// The pixels that are not covered.
    pub fn others(&self) -> Cover {
        Cover { size: self.size, covered: self.covered.iter().map(|covered| !covered).collect() }
    }

    /// Whether a pixel is covered; a pixel outside the picture is not.
    pub fn has(&self, [row, column]: [usize; 2]) -> bool {
        row < self.size[0] && column < self.size[1] && self.covered[row * self.size[1] + column]
    }

    /// The indices of the covered pixels, row after row.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        (0..self.covered.len()).filter(|&place| self.covered[place])
    }

    /// The share of the picture that is covered.
    pub fn share(&self) -> f32 {
        self.places().count() as f32 / self.covered.len().max(1) as f32
    }
}

/// Objects after the covered pixels are hidden: they are cut back to the visible part, become crowds if less than a
/// quarter is left, and are removed if nothing is. `mask`, as it was before, may draw their outlines.
pub(super) fn hide(objects: &[Object], mask: Option<&Mask>, cover: &Cover) -> Vec<Object> {
    objects.iter().filter_map(|object| hide_one(object, mask, cover)).collect()
}

fn hide_one(object: &Object, mask: Option<&Mask>, cover: &Cover) -> Option<Object> {
    let in_box = || {
        let [left, right, top, bottom] = cells(object.bbox, cover.size);
        (top..bottom).flat_map(|row| (left..right).map(move |column| [row, column])).collect()
    };
    let own: Vec<[usize; 2]> = mask.and_then(|mask| drawn(object, mask)).unwrap_or_else(in_box);
    let seen: Vec<[usize; 2]> = own.iter().copied().filter(|&place| !cover.has(place)).collect();
    if seen.len() == own.len() {
        return Some(*object);
    }
    // Hidden sides move to the visible pixels; the other sides keep their fractions.
    let (before, after) = (bounds(&own)?, bounds(&seen)?);
    let bbox =
        std::array::from_fn(
            |side| {
                if before[side] == after[side] { object.bbox[side] } else { after[side] as f32 }
            },
        );
    let left = seen.len() as f32 / own.len() as f32;
    Some(Object { bbox, crowd: object.crowd || left < LEFT, area: object.area * left, ..*object })
}

/// `x1, y1, x2, y2` of pixels that are sorted by row.
fn bounds(places: &[[usize; 2]]) -> Option<[usize; 4]> {
    let columns = || places.iter().map(|place| place[1]);
    Some([columns().min()?, places.first()?[0], columns().max()? + 1, places.last()?[0] + 1])
}

/// Whether two samples can be in one picture: the same size, channels and kind of values.
pub(super) fn fit(a: &Sample, b: &Sample) -> bool {
    let size = |sample: &Sample| (sample.image.height, sample.image.width, sample.image.channels);
    let kind = |sample: &Sample| matches!(sample.image.pixels, Pixels::Bytes(_));
    size(a) == size(b) && kind(a) == kind(b)
}

/// Pastes the covered pixels of `other` over `base`, which must [`fit`], with all labels that have a position in the
/// picture. Labels of the whole picture stay those of `base`.
pub(super) fn paste(base: &mut Sample, other: &Sample, cover: &Cover) {
    let channels = base.image.channels;
    let values = cover.places().flat_map(|place| place * channels..(place + 1) * channels);
    match (&mut base.image.pixels, &other.image.pixels) {
        (Pixels::Bytes(to), Pixels::Bytes(from)) => values.for_each(|place| to[place] = from[place]),
        (Pixels::Floats(to), Pixels::Floats(from)) => values.for_each(|place| to[place] = from[place]),
        _ => unreachable!("paste: pictures of bytes and of floats do not fit"),
    }
    let joined = base
        .objects
        .as_ref()
        .zip(other.objects.as_ref())
        .map(|(below, above)| join([below, above], [base.mask.as_ref(), other.mask.as_ref()], cover));
    base.objects = joined;
    base.mask = over_masks([base.mask.as_ref(), other.mask.as_ref()], cover);
    let placed = |label: &Label| matches!(label, Label::Objects(_) | Label::Mask(_) | Label::ValueMap(_));
    let names = base.more.iter().chain(&other.more).filter(|(_, label)| placed(label));
    let names: std::collections::BTreeSet<String> = names.map(|(name, _)| name.clone()).collect();
    for name in names {
        match over(base.more.get(&name), other.more.get(&name), cover) {
            Some(label) => base.more.insert(name, label),
            None => base.more.remove(&name),
        };
    }
}

/// The objects of the lower and of the upper picture.
fn join(objects: [&Vec<Object>; 2], masks: [Option<&Mask>; 2], cover: &Cover) -> Vec<Object> {
    [hide(objects[0], masks[0], cover), hide(objects[1], masks[1], &cover.others())].concat()
}

/// Pastes one label over another; `None` if the two are of different kinds, or if a label is missing that is needed.
fn over(below: Option<&Label>, above: Option<&Label>, cover: &Cover) -> Option<Label> {
    match (below, above) {
        (Some(Label::Objects(below)), Some(Label::Objects(above))) => {
            Some(Label::Objects(join([below, above], [None; 2], cover)))
        }
        (Some(Label::Mask(below)), Some(Label::Mask(above))) => {
            over_masks([Some(below), Some(above)], cover).map(Label::Mask)
        }
        (Some(Label::Mask(below)), None) => over_masks([Some(below), None], cover).map(Label::Mask),
        (None, Some(Label::Mask(above))) => over_masks([None, Some(above)], cover).map(Label::Mask),
        (Some(Label::ValueMap(below)), Some(Label::ValueMap(above))) => {
            over_maps([Some(below), Some(above)], cover).map(Label::ValueMap)
        }
        (Some(Label::ValueMap(below)), None) => over_maps([Some(below), None], cover).map(Label::ValueMap),
        (None, Some(Label::ValueMap(above))) => over_maps([None, Some(above)], cover).map(Label::ValueMap),
        _ => None,
    }
}

fn over_masks(masks: [Option<&Mask>; 2], cover: &Cover) -> Option<Mask> {
    let ids = masks.map(|mask| mask.map(|mask| &mask.classes[..]));
    let classes: Vec<ClassId> = over_values(ids, cover, IGNORED)?;
    Some(Mask { height: cover.size[0], width: cover.size[1], classes })
}

fn over_maps(maps: [Option<&ValueMap>; 2], cover: &Cover) -> Option<ValueMap> {
    let values = over_values(maps.map(|map| map.map(|map| &map.values[..])), cover, f32::NAN)?;
    Some(ValueMap { height: cover.size[0], width: cover.size[1], values })
}

// below, above: [height, width]
fn over_values<V: Copy>([below, above]: [Option<&[V]>; 2], cover: &Cover, unknown: V) -> Option<Vec<V>> {
    if below.is_none() && above.is_none() {
        return None;
    }
    let value = |place: usize| {
        let from = if cover.covered[place] { above } else { below };
        from.map_or(unknown, |values| values[place])
    };
    Some((0..cover.covered.len()).map(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_cut_back_to_the_part_of_it_that_is_seen() {
        let object = Object::new(2, [1.4, 1.0, 9.4, 5.0]);
        let seen = |rectangle| hide(&[object], None, &Cover::rectangle([10, 10], rectangle));
        assert_eq!(seen([0, 6, 10, 10]), [object]);
        // A hole, or a corner, does not change the bounds.
        assert_eq!(seen([3, 2, 5, 4])[0].bbox, object.bbox);
        assert_eq!(seen([0, 0, 3, 3])[0].bbox, object.bbox);
        assert_eq!(seen([5, 0, 10, 9])[0].bbox, [1.4, 1.0, 5.0, 5.0]);
        assert!(!seen([5, 0, 10, 9])[0].crowd && seen([2, 0, 10, 9])[0].crowd);
        assert_eq!(seen([0, 0, 10, 10]), []);
    }
}
