//! Moves a picture together with all its labels. Only this file lists the labels that have a position in the picture,
//! so no way of moving can forget one.

use crate::{IGNORED, Image, Label, Mask, Object, Sample, ValueMap};

/// A way of moving pictures.
pub(crate) trait Mover {
    /// Rows and columns of the result.
    fn size(&self) -> [usize; 2];

    /// The moved picture.
    fn image(&self, image: &Image) -> Image;

    /// The moved objects; the mask may draw their outlines. Objects that are no longer visible are left out.
    fn objects(&self, objects: &[Object], mask: Option<&Mask>) -> Vec<Object>;

    /// Moves values `[height, width]` that cannot be interpolated; pixels outside the picture become `outside`.
    fn nearest<V: Copy>(&self, values: &[V], size: [usize; 2], outside: V) -> Vec<V>;

    /// The moved picture with all its labels. Labels of the whole picture stay.
    fn sample(&self, sample: &Sample) -> Sample {
        let [height, width] = self.size();
        let mask = |mask: &Mask| Mask {
            height,
            width,
            classes: self.nearest(&mask.classes, [mask.height, mask.width], IGNORED),
        };
        let map = |map: &ValueMap| ValueMap {
            height,
            width,
            values: self.nearest(&map.values, [map.height, map.width], f32::NAN),
        };
        let label = |label: &Label| match label {
            Label::Objects(objects) => Label::Objects(self.objects(objects, None)),
            Label::Mask(ids) => Label::Mask(mask(ids)),
            Label::ValueMap(values) => Label::ValueMap(map(values)),
            Label::Class(_) | Label::Shares(_) | Label::Classes(_) | Label::Values(_) => label.clone(),
        };
        Sample {
            image: self.image(&sample.image),
            class: sample.class,
            objects: sample.objects.as_ref().map(|objects| self.objects(objects, sample.mask.as_ref())),
            mask: sample.mask.as_ref().map(mask),
            more: sample.more.iter().map(|(name, found)| (name.clone(), label(found))).collect(),
            inputs: sample.inputs.clone(),
        }
    }
}
