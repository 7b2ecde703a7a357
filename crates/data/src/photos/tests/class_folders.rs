//! Class folders, and folders that look like them but are not.

use std::path::Path;

use tempfile::{TempDir, tempdir};

use super::super::{Dataset, Photos};
use super::made::{account, first, open, open_as, options, parts, picture, refused, told, write};
use crate::FindingKind::{LeftOut, Suspicious};
use crate::{CLASS, Split};

fn set(pictures: &[&str]) -> TempDir {
    let set = tempdir().unwrap();
    pictures.iter().enumerate().for_each(|(seed, name)| write(set.path(), name, picture(seed as u8)));
    set
}

fn classes(photos: &Photos) -> Vec<&str> {
    photos.info().label(CLASS).unwrap().classes.iter().map(String::as_str).collect()
}

fn is_class_folders(path: &Path) -> bool {
    (super::super::class_folders::FORMAT.is_at)(path)
}

#[test]
fn folders_are_classes_in_alphabetical_order_and_what_lies_below_belongs_to_them() {
    let set = set(&["dog/a.jpg", "dog/small/puppies/b.png", "cat/a.jpg"]);
    let photos = open(set.path()).unwrap();
    assert_eq!((classes(&photos), parts(&photos)), (vec!["cat", "dog"], [3, 0, 0]));
    assert_eq!(first(&photos).class, Some(0));
    let names: Vec<&str> = account(&photos).pictures.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["cat/a", "dog/a", "dog/small/puppies/b"]);
    assert!(account(&photos).findings.is_empty());
}

#[test]
fn folders_of_parts_are_known_in_every_spelling() {
    for [train, validation, test] in
        [["train", "val", "test"], ["Training", "validation", "TEST"], ["train2017", "dev", "testing"]]
    {
        let files = [
            format!("{train}/cat/a.jpg"),
            format!("{train}/dog/b.jpg"),
            format!("{validation}/cat/c.jpg"),
            format!("{test}/dog/d.jpg"),
        ];
        let set = set(&files.each_ref().map(String::as_str));
        let photos = open(set.path()).unwrap();
        assert_eq!((classes(&photos), parts(&photos)), (vec!["cat", "dog"], [2, 1, 1]));
        assert_eq!(photos.sample(Split::Test, 0, 0).unwrap().class, Some(1));
        assert_eq!(account(&photos).pictures[0].name, "cat/a");
    }
}

#[test]
fn classes_without_pictures_and_those_that_training_lacks_are_told() {
    let set = set(&["train/cat/a.jpg", "train/dog/b.jpg", "test/fox/c.jpg", "test/cat/d.jpg"]);
    std::fs::create_dir_all(set.path().join("train/ape")).unwrap();
    std::fs::create_dir_all(set.path().join("train/fox")).unwrap();
    write(set.path(), "train/owl/e.heic", "not read");
    let photos = open(set.path()).unwrap();
    assert_eq!(classes(&photos), ["cat", "dog", "fox"]);
    assert_eq!(told(&photos, Suspicious, "folders of classes without pictures"), 3);
    assert_eq!(told(&photos, Suspicious, "classes that occur, but not in training"), 1);
    assert_eq!(told(&photos, LeftOut, ".heic"), 1);
}

#[test]
fn pictures_in_no_class_and_folders_of_no_part_are_told() {
    let set = set(&[
        "train/cat/a.jpg",
        "train/dog/b.jpg",
        "test/1.jpg",
        "test/2.jpg",
        "val/cat/c.jpg",
        "more/d.jpg",
        "logo.png",
    ]);
    let photos = open(set.path()).unwrap();
    assert_eq!((parts(&photos), account(&photos).found), ([2, 1, 0], 7));
    assert_eq!(told(&photos, LeftOut, "in no folder of a class"), 3);
    assert_eq!(told(&photos, LeftOut, "stand for no part"), 1);
}

#[test]
fn a_class_may_be_called_like_a_part_unless_that_is_in_doubt() {
    let photos = set(&["train/a.jpg", "car/b.jpg", "plane/c.jpg"]);
    assert_eq!(classes(&open(photos.path()).unwrap()), ["car", "plane", "train"]);
    refused(
        set(&["train/steam/a.jpg", "train/diesel/b.jpg", "car/b.jpg"]).path(),
        &["train", "beside car", "rename"],
    );
    let set = set(&["cup/train/a.jpg", "cup/test/b.jpg", "box/train/c.jpg"]);
    let photos = open(set.path()).unwrap();
    assert_eq!((classes(&photos), parts(&photos)), (vec!["box", "cup"], [3, 0, 0]));
    assert_eq!(told(&photos, Suspicious, "named like parts below a class"), 3);
}

#[test]
fn two_folders_of_one_part_and_names_that_differ_in_capitals_are_told() {
    let set = set(&["train/cat/a.jpg", "train/Cat/b.jpg", "val/cat/c.jpg", "valid/cat/d.jpg"]);
    let photos = open(set.path()).unwrap();
    assert_eq!((classes(&photos), parts(&photos)), (vec!["Cat", "cat"], [2, 2, 0]));
    assert_eq!(told(&photos, Suspicious, "stand for one part"), 1);
    assert_eq!(told(&photos, Suspicious, "capitals alone"), 1);
}

#[test]
fn folders_that_other_layouts_have_are_no_classes_unless_the_format_is_named() {
    for pictures in [
        &["images/a.jpg", "labels/b.jpg"][..],
        &["images/train/a.jpg", "images/val/b.jpg", "masks/train/a.jpg"],
        &["train/images/a.jpg", "train/labels/a.jpg", "val/images/b.jpg"],
        &["photos/a.jpg", "SegmentationObject/a.png"],
        &["day/images/a.jpg", "day/labels/a.png", "night/images/a.jpg"],
        &["mine/first/images/a.jpg", "yours/second/images/a.jpg"],
        &["train/a.jpg", "val/b.jpg"],
        &["train2017/a.jpg", "val2017/b.jpg", "cup/c.jpg", "box/d.jpg"],
        &["train/a.jpg", "car/b.jpg"],
        &["pictures of a journey/a.jpg"],
        &["a.jpg", "b.jpg"],
    ] {
        let set = set(pictures);
        assert!(!is_class_folders(set.path()), "{pictures:?}");
        assert!(!Photos::is_at(set.path()), "{pictures:?}");
    }
    for labels in ["xml", "txt", "json"] {
        let set = set(&["day/a.jpg", "night/b.jpg"]);
        assert!(is_class_folders(set.path()));
        write(set.path(), &format!("night/b.{labels}"), "");
        assert!(!is_class_folders(set.path()), "labels beside pictures: .{labels}");
    }
    let set = set(&["images/a.jpg", "labels/b.jpg"]);
    assert_eq!(classes(&open_as("class-folders", set.path()).unwrap()), ["images", "labels"]);
}

#[test]
fn a_folder_without_classes_and_a_class_the_model_does_not_know_are_refused() {
    let nothing = set(&["a.jpg"]);
    let message = open_as("class-folders", nothing.path()).err().unwrap().to_string();
    assert!(message.contains("folders of pictures, one for each class"), "{message}");
    let set = set(&["cat/a.jpg", "dog/b.jpg"]);
    let mut known = options();
    known.classes.insert(CLASS.into(), vec!["dog".into(), "ape".into(), "cat".into()]);
    assert_eq!(first(&Photos::open(set.path(), 1, known.clone()).unwrap()).class, Some(2));
    known.classes.insert(CLASS.into(), vec!["dog".into()]);
    assert!(Photos::open(set.path(), 1, known).err().unwrap().to_string().contains("\"cat\""));
    write(set.path(), "dog/c.jpg", "no picture");
    refused(set.path(), &["dog/c.jpg"]);
}
