//! Classes that are renamed, merged and dropped.

use std::collections::BTreeMap;
use std::path::Path;

use tempfile::{TempDir, tempdir};

use super::made::{account, first, halves, options, picture, told, write};
use crate::FindingKind::{Changed, LabelLeftOut, NotAnnotated, Suspicious};
use crate::{DataError, Dataset, Label, MOST_CLASSES, PhotoOptions, Photos, annotated_key};

fn open(path: &Path, map: &[(&str, &str)], classes: &[&str]) -> Result<Photos, DataError> {
    let map = map.iter().map(|(old, new)| (old.to_string(), new.to_string())).collect();
    let classes: Vec<String> = classes.iter().map(|class| class.to_string()).collect();
    let classes = if classes.is_empty() {
        BTreeMap::new()
    } else {
        ["objects", "present"].map(|label| (label.to_string(), classes.clone())).into()
    };
    Photos::open(path, 1, PhotoOptions { map, classes, ..options() })
}

/// A picture with an object of each of four classes.
fn yolo() -> TempDir {
    let set = tempdir().unwrap();
    write(set.path(), "images/a.png", picture(1));
    let lines: Vec<String> =
        (0..4).map(|class| format!("{class} 0.{}5 0.5 0.1 0.5", 2 * class + 1)).collect();
    write(set.path(), "labels/a.txt", lines.join("\n"));
    write(set.path(), "data.yaml", "train: images\nnames: [cat, kitten, dog, car]\n");
    set
}

fn classes_of(photos: &Photos) -> Vec<usize> {
    first(photos).objects.unwrap().iter().map(|object| object.class).collect()
}

#[test]
fn two_classes_of_one_new_name_become_one_and_a_dropped_one_leaves_its_objects_out() {
    let set = yolo();
    let photos = open(set.path(), &[("kitten", "cat"), ("dog", "-"), ("car", "vehicle")], &[]).unwrap();
    assert_eq!(photos.info().label("objects").unwrap().classes, ["cat", "vehicle"]);
    assert_eq!(classes_of(&photos), [0, 0, 1]);
    assert_eq!(told(&photos, LabelLeftOut, "dropped"), 1);
    assert_eq!(told(&photos, Changed, "another name"), 2);
    assert_eq!(
        account(&photos).parts[0].labels[0].classes.iter().map(|c| c.count).collect::<Vec<_>>(),
        [2, 1]
    );
    if let Some(Label::Classes(shown)) = first(&photos).more.get("present") {
        assert_eq!(shown, &[true, true]);
    }
}

#[test]
fn without_renaming_everything_is_as_it_was() {
    let set = yolo();
    let (plain, same) =
        (open(set.path(), &[], &[]).unwrap(), open(set.path(), &[("cat", "cat")], &[]).unwrap());
    assert_eq!((first(&plain), &plain.info().labels), (first(&same), &same.info().labels));
    assert_eq!(account(&plain).fingerprint, account(&same).fingerprint);
}

#[test]
fn expected_classes_are_those_after_renaming() {
    let set = yolo();
    let map = [("kitten", "cat"), ("dog", "-"), ("car", "vehicle")];
    let photos = open(set.path(), &map, &["vehicle", "cat", "bird"]).unwrap();
    assert_eq!(photos.info().label("objects").unwrap().classes, ["vehicle", "cat", "bird"]);
    assert_eq!(classes_of(&photos), [1, 1, 0]);
    let message = open(set.path(), &map[..2], &["vehicle", "cat"]).err().unwrap().to_string();
    assert!(message.contains("--map is car") && message.contains("vehicle, cat"), "{message}");
}

#[test]
fn masks_are_renamed_with_dropped_classes_as_background() {
    let set = tempdir().unwrap();
    write(set.path(), "images/a.png", picture(1));
    write(set.path(), "masks/a.png", halves(20, [1, 2]));
    write(set.path(), "classes.txt", "cat\nkitten\ndog\n");
    let values = |map: &[(&str, &str)]| {
        let mask = first(&open(set.path(), map, &[]).unwrap()).mask.unwrap();
        [mask.classes[0], mask.classes[39]]
    };
    assert_eq!(values(&[]), [1, 2]);
    assert_eq!(values(&[("kitten", "cat")]), [1, 1]);
    assert_eq!(values(&[("cat", "-")]), [0, 1]);
}

#[test]
fn a_name_that_is_no_class_is_told_and_a_label_without_classes_is_refused() {
    let set = yolo();
    assert_eq!(told(&open(set.path(), &[("bird", "cat")], &[]).unwrap(), Suspicious, "no class"), 1);
    let all = ["cat", "kitten", "dog", "car"].map(|class| (class, "-"));
    assert!(open(set.path(), &all, &[]).err().unwrap().to_string().contains("keep one"));
}

/// The annotated classes of a label in the first sample.
fn annotated(photos: &Photos, label: &str) -> Option<Label> {
    first(photos).more.get(&annotated_key(label)).cloned()
}

#[test]
fn expected_classes_that_the_files_lack_are_not_annotated_and_dropped_ones_neither() {
    let set = yolo();
    let known = |classes: [bool; 5]| Some(Label::Classes(classes.to_vec()));
    let expected = ["bird", "cat", "kitten", "dog", "car"];
    for (map, annotated_there) in [
        (&[][..], known([false, true, true, true, true])),
        (&[("dog", "-")], known([false, true, true, false, true])),
        (&[("kitten", "cat")], known([false, true, false, true, true])),
    ] {
        let photos = open(set.path(), map, &expected).unwrap();
        for label in ["objects", "present"] {
            assert_eq!(annotated(&photos, label), annotated_there, "{label} {map:?}");
        }
        assert!(told(&photos, NotAnnotated, "not held against") > 0);
        assert_eq!(told(&photos, Suspicious, "never occur"), 0, "nobody looked for it");
    }
    for classes in [&[][..], &expected[1..]] {
        assert_eq!(annotated(&open(set.path(), &[], classes).unwrap(), "objects"), None);
    }
}

#[test]
fn masks_alone_are_brought_to_an_expected_list_and_say_which_classes_they_annotate() {
    let set = tempdir().unwrap();
    write(set.path(), "images/a.png", picture(1));
    write(set.path(), "masks/a.png", halves(20, [1, 2]));
    write(set.path(), "classes.txt", "cat\ndog\n");
    let classes = ["dog", "horse", "cat"].map(String::from).to_vec();
    let classes = BTreeMap::from([("mask".to_string(), classes)]);
    let photos = Photos::open(set.path(), 1, PhotoOptions { classes, ..options() }).unwrap();
    let mask = first(&photos).mask.unwrap();
    assert_eq!([mask.classes[0], mask.classes[39]], [3, 1]);
    assert_eq!(annotated(&photos, "mask"), Some(Label::Classes(vec![true, false, true])));
}

#[test]
fn more_expected_classes_than_masks_can_tell_apart_are_refused() {
    let set = yolo();
    let classes = (0..=MOST_CLASSES).map(|class| format!("class {class}"));
    let classes: Vec<String> =
        ["cat", "kitten", "dog", "car"].map(String::from).into_iter().chain(classes).collect();
    let classes = BTreeMap::from([("objects".to_string(), classes)]);
    let message =
        Photos::open(set.path(), 1, PhotoOptions { classes, ..options() }).err().unwrap().to_string();
    assert!(message.contains("at most") && message.contains("objects"), "{message}");
}
