//! Labels of pictures that are mixed from several.

use super::*;
use crate::{Batch, CLASS, IGNORED, annotated_key};

const NOTHING: [usize; 4] = [0; 4];
const THING: [usize; 4] = [20, 10, 40, 30];

fn of_class(class: usize, rectangle: [usize; 4]) -> Sample {
    Sample { class: Some(class), ..scene(rectangle) }
}

fn shares(sample: &Sample) -> Option<&[f32]> {
    match sample.more.get(CLASS) {
        Some(Label::Shares(shares)) => Some(shares),
        None => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pasted_and_covered_things_agree_with_their_pixels() {
    let pasting = [&cutmix::CUTMIX, &mosaic::MOSAIC, &copy_paste::COPY_PASTE];
    for operation in pasting {
        let mut seen = 0;
        for (number, random) in draws(operation.name, 120).enumerate() {
            // The object is in the picture itself, or in its first partner.
            let own = number % 2 == 0;
            let mut partners = vec![of_class(1, NOTHING); operation.partners];
            let base = of_class(1, if own { THING } else { NOTHING });
            partners[0] = of_class(1, if own { NOTHING } else { THING });
            let mixed = operation.run(base, 1.0, random, partners);
            let told = format!("{} {number}", operation.name);
            masks_and_values_agree(&mixed, &told);
            let bright = brightness(&mixed);
            assert!(
                bright
                    .iter()
                    .zip(mask_of(&mixed))
                    .all(|(&b, &id)| (b < 255 || id == 1) && (b > 0 || id == 0))
            );
            let found = bounds(|place| bright[place] >= 150);
            let objects = mixed.objects.as_ref().unwrap();
            match (found, &objects[..]) {
                (Some(found), [object]) => {
                    let near = object.bbox.iter().zip(found).all(|(a, b)| (a - b).abs() <= 1.0);
                    assert!(near, "{told}: box {:?}, pixels {found:?}", object.bbox);
                    seen += 1;
                }
                (None, objects) => {
                    assert!(objects.iter().all(|object| object.area < 20.0), "{told}: {objects:?}")
                }
                (found, objects) => panic!("{told}: {objects:?} where pixels are seen at {found:?}"),
            }
        }
        assert!(seen > 30, "{}: {seen}", operation.name);
    }
}

#[test]
fn the_shares_of_cutmix_are_those_of_the_area() {
    for random in draws("cutmix", 50) {
        let (base, other) = (of_class(0, NOTHING), of_class(3, [0, 0, SIZE[1], SIZE[0]]));
        let mixed = cutmix::CUTMIX.run(base, 1.0, random, vec![other]);
        let pasted = brightness(&mixed).iter().filter(|&&bright| bright == 255).count();
        let pasted = pasted as f32 / (SIZE[0] * SIZE[1]) as f32;
        let found = shares(&mixed).map_or_else(|| vec![1.0, 0.0, 0.0, 0.0], <[f32]>::to_vec);
        assert!(
            (found[3] - pasted).abs() < 1e-6 && (found[0] + found[3] - 1.0).abs() < 1e-6,
            "{found:?} {pasted}"
        );
        assert_eq!(mixed.class, Some(if pasted > 0.5 { 3 } else { 0 }));
    }
}

#[test]
fn pictures_of_one_class_have_no_shares() {
    for random in draws("one class", 20) {
        let mixed = cutmix::CUTMIX.run(of_class(2, NOTHING), 1.0, random, vec![of_class(2, THING)]);
        assert_eq!((mixed.class, shares(&mixed)), (Some(2), None));
    }
}

#[test]
fn mixup_mixes_pixels_and_classes_by_the_same_share_and_judges_only_what_both_say() {
    let mut faint = 0;
    for random in draws("mixup", 60) {
        let (base, other) = (of_class(0, NOTHING), of_class(2, [0, 0, SIZE[1], SIZE[0]]));
        let mixed = mixup::MIXUP.run(base, 2.0, random, vec![other]);
        let share = f32::from(brightness(&mixed)[0]) / 255.0;
        let found = shares(&mixed).map_or(0.0, |shares| shares[2]);
        assert!((share - found).abs() < 0.003 && share <= 0.502, "{share} {found}");
        let plain = found < 0.25;
        faint += usize::from(plain);
        assert!(mask_of(&mixed).iter().all(|&id| id == if plain { 0 } else { IGNORED }));
        assert!(depth_of(&mixed).iter().all(|value| if plain { *value == 0.0 } else { value.is_nan() }));
        assert_eq!(mixed.objects.as_ref().unwrap()[0].crowd, plain);
    }
    assert!((10..60).contains(&faint), "{faint}");
}

#[test]
fn a_label_that_one_of_two_samples_lacks_is_not_made_up() {
    for operation in of_kind(Kind::Mixing) {
        let bare = Sample { class: None, objects: None, mask: None, more: BTreeMap::new(), ..scene(THING) };
        for random in draws(operation.name, 30) {
            let full = of_class(1, THING);
            let mixed = operation.run(full.clone(), 1.0, random, vec![bare.clone(); operation.partners]);
            if operation.name == "copy_paste" {
                assert_eq!(mixed, full, "without a mask nothing can be cut out");
                continue;
            }
            let changed = mixed.objects.is_none();
            assert!(
                !changed || mixed.class.is_none() && !mixed.more.contains_key("parts"),
                "{}",
                operation.name
            );
            if let Some(mask) = mixed.mask.as_ref().filter(|_| changed && operation.name != "mixup") {
                assert!(mask.classes.contains(&IGNORED), "{}", operation.name);
            }
        }
    }
}

#[test]
fn sets_of_classes_are_joined_numbers_averaged_and_further_classes_shared() {
    let with = |sample: &mut Sample, tags: [bool; 3], number: f32, kind: usize| {
        sample.more.insert("tags".into(), Label::Classes(tags.to_vec()));
        sample.more.insert("number".into(), Label::Values(vec![number]));
        sample.more.insert("kind".into(), Label::Class(kind));
    };
    let (mut a, mut b) = (of_class(0, NOTHING), of_class(0, NOTHING));
    with(&mut a, [true, false, false], 4.0, 1);
    with(&mut b, [false, false, true], 8.0, 0);
    let mut mixed = a.clone();
    whole::Whole::of(&[(&a, 0.75), (&b, 0.25)]).label(&mut mixed);
    assert_eq!(mixed.more["tags"], Label::Classes(vec![true, false, true]));
    assert_eq!(mixed.more["number"], Label::Values(vec![5.0]));
    assert_eq!(mixed.more["kind"], Label::Shares(vec![0.25, 0.75]));
    assert_eq!((mixed.class, shares(&mixed)), (Some(0), None));
    // Mixed a second time.
    let before = mixed.clone();
    whole::Whole::of(&[(&before, 0.5), (&b, 0.5)]).label(&mut mixed);
    assert_eq!(mixed.more["kind"], Label::Shares(vec![0.625, 0.375]));
}

#[test]
fn a_picture_of_several_annotates_what_all_of_its_parts_annotate() {
    let key = annotated_key("objects");
    let all = of_class(0, NOTHING);
    let part = |known: [bool; 3]| {
        let mut sample = all.clone();
        sample.more.insert(key.clone(), Label::Classes(known.to_vec()));
        sample
    };
    let (a, b) = (part([true, true, false]), part([false, true, true]));
    for (parts, expected) in [
        ([(&a, 0.75), (&b, 0.25)], [false, true, false]),
        ([(&all, 0.75), (&b, 0.25)], [false, true, true]),
        ([(&a, 0.75), (&all, 0.25)], [true, true, false]),
        ([(&a, 1.0), (&b, 0.0)], [true, true, false]),
    ] {
        let mut mixed = parts[0].0.clone();
        whole::Whole::of(&parts).label(&mut mixed);
        assert_eq!(mixed.more[&key], Label::Classes(expected.to_vec()));
    }
}

#[test]
fn a_batch_gives_shares_of_mixed_and_of_single_classes() {
    let mut mixed = of_class(2, NOTHING);
    mixed.more.insert(CLASS.into(), Label::Shares(vec![0.25, 0.0, 0.75]));
    mixed.more.insert("kind".into(), Label::Shares(vec![0.5, 0.5]));
    let missing = Sample { class: None, ..of_class(0, NOTHING) };
    let batch = Batch::assemble(&[mixed, of_class(1, NOTHING), missing], vec![0, 1, 2]).unwrap();
    let expected = [Some(vec![0.25, 0.0, 0.75, 0.0]), Some(vec![0.0, 1.0, 0.0, 0.0]), None];
    assert_eq!(batch.shares_of(CLASS, 4), expected);
    assert_eq!(batch.classes_of(CLASS), [Some(2), Some(1), None]);
    assert_eq!(batch.classes_of("kind"), [Some(0), None, None]);
}
