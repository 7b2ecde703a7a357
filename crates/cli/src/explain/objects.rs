//! The pixels of what a target is about, where the labels know them.

use cerberus::data::{DatasetInfo, Label, MASK, OBJECTS, Object, Sample};
use cerberus::explain::Target;
use cerberus::metrics::boxes::iou;
use cerberus::multitask::{HeadConfig, Prediction};

/// A true box is found by a detection that overlaps it by so much.
const FOUND: f64 = 0.5;

/// For each pixel whether it belongs to the object: of a class the pixels with it (in the mask, or else in its boxes),
/// of a detection the true box that it found. `None` if the labels do not tell, or the object is not there: a wrong
/// answer has no right place.
pub(super) fn inside(
    sample: &Sample,
    info: &DatasetInfo,
    head: &HeadConfig,
    target: &Target,
    prediction: Option<&Prediction>,
) -> Option<Vec<bool>> {
    let pixels = match target {
        Target::Logit { class } | Target::Margin { class, .. } => {
            let name = head.classes.get(*class)?;
            of_class(sample, info, name)
        }
        Target::Region { class, .. } => of_class(sample, info, head.classes.get((*class)?)?),
        Target::Score { class, .. } => {
            // What is explained without a wish is the most certain detection.
            let Some(Prediction::Objects(found)) = prediction else { return None };
            let best = found.first()?.bbox;
            let objects =
                objects(sample, info, &head.label)?.iter().filter(|o| o.class == *class && !o.crowd);
            let (overlap, object) =
                objects.map(|o| (iou(&o.bbox, &best), o)).max_by(|a, b| a.0.total_cmp(&b.0))?;
            (overlap >= FOUND).then(|| of_boxes(sample, std::iter::once(&object.bbox)))
        }
        Target::Side { .. } | Target::Number { .. } | Target::Depth { .. } => None,
    }?;
    pixels.contains(&true).then_some(pixels)
}

/// The objects of a label.
fn objects<'a>(sample: &'a Sample, info: &DatasetInfo, label: &str) -> Option<&'a [Object]> {
    match info.label(label)?.name.as_str() {
        OBJECTS => sample.objects.as_deref(),
        name => match sample.more.get(name)? {
            Label::Objects(objects) => Some(objects),
            _ => None,
        },
    }
}

/// The pixels of a class, by its name: from the mask, or else from the boxes.
fn of_class(sample: &Sample, info: &DatasetInfo, name: &str) -> Option<Vec<bool>> {
    let class_in = |label: &str| info.label(label)?.classes.iter().position(|class| class == name);
    if let (Some(mask), Some(class)) = (&sample.mask, class_in(MASK)) {
        let (height, width) = (sample.image.height, sample.image.width);
        // The mask covers the image, at whatever resolution.
        let at = |pixel: usize| {
            let (y, x) = (pixel / width * mask.height / height, pixel % width * mask.width / width);
            usize::from(mask.classes[y * mask.width + x]) == class + 1
        };
        return Some((0..height * width).map(at).collect());
    }
    let (objects, class) = (sample.objects.as_ref()?, class_in(OBJECTS)?);
    Some(of_boxes(sample, objects.iter().filter(|object| object.class == class).map(|object| &object.bbox)))
}

/// The pixels whose centres lie in one of the boxes.
fn of_boxes<'a>(sample: &Sample, boxes: impl Iterator<Item = &'a [f32; 4]>) -> Vec<bool> {
    let (height, width) = (sample.image.height, sample.image.width);
    let mut pixels = vec![false; height * width];
    for &[x1, y1, x2, y2] in boxes {
        for (pixel, inside) in pixels.iter_mut().enumerate() {
            let (y, x) = ((pixel / width) as f32 + 0.5, (pixel % width) as f32 + 0.5);
            *inside |= (x1..x2).contains(&x) && (y1..y2).contains(&y);
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use cerberus::data::{Image, LabelInfo, LabelKind, Mask};
    use cerberus::multitask::Detection;

    use super::*;

    /// Four columns and two rows; a cat in the left half by its box, in the left column by its mask; a dog at the
    /// right.
    fn sample() -> (Sample, DatasetInfo) {
        let names = ["dog", "cat"].map(String::from);
        let info = DatasetInfo {
            name: "pets".into(),
            height: 2,
            width: 4,
            channels: 1,
            labels: vec![
                LabelInfo::new(OBJECTS, LabelKind::Objects, &names),
                LabelInfo::new(MASK, LabelKind::Mask, &names),
            ],
            inputs: Vec::new(),
            accounts: Default::default(),
        };
        let sample = Sample {
            image: Image { height: 2, width: 4, channels: 1, pixels: vec![0; 8].into() },
            class: Some(1),
            objects: Some(vec![Object::new(1, [0.0, 0.0, 2.0, 2.0]), Object::new(0, [3.0, 0.0, 4.0, 2.0])]),
            mask: Some(Mask { height: 1, width: 2, classes: vec![2, 1] }),
            more: Default::default(),
            inputs: Default::default(),
        };
        (sample, info)
    }

    fn head(label: &str) -> HeadConfig {
        HeadConfig {
            name: label.into(),
            kind: "any".into(),
            label: label.into(),
            classes: ["cat", "dog"].map(String::from).into(),
            weight: 1.0,
            options: Default::default(),
        }
    }

    #[test]
    fn a_class_is_found_by_its_name_in_the_mask_or_else_in_the_boxes() {
        let (mut sample, info) = sample();
        let cat = Target::Logit { class: 0 };
        let found = inside(&sample, &info, &head("class"), &cat, None).unwrap();
        // The mask has half the resolution.
        assert_eq!(found, [true, true, false, false, true, true, false, false]);
        sample.mask = None;
        sample.objects.as_mut().unwrap().remove(0);
        assert_eq!(inside(&sample, &info, &head("class"), &cat, None), None, "there is none");
        let dog = Target::Margin { class: 1, over: 0 };
        let found = inside(&sample, &info, &head("class"), &dog, None).unwrap();
        assert_eq!(found, [false, false, false, true, false, false, false, true]);
    }

    #[test]
    fn a_detection_has_the_true_box_that_it_overlaps_and_a_wrong_one_has_none() {
        let (sample, info) = sample();
        let target = Target::Score { place: 0, class: 1 };
        let found = |class: usize, bbox: [f32; 4]| {
            let detection = Detection { class, score: 0.9, bbox };
            inside(&sample, &info, &head(OBJECTS), &target, Some(&Prediction::Objects(vec![detection])))
        };
        let left = [true, true, false, false, true, true, false, false];
        assert_eq!(found(1, [0.0, 0.0, 2.0, 1.5]).as_deref(), Some(&left[..]));
        assert_eq!(found(1, [2.0, 0.0, 4.0, 2.0]), None);
    }
}
