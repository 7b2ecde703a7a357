//! Masks stored as pictures: in a folder beside the pictures, described by YAML, beside COCO's
//! JSON, and panoptic.

use std::fs;
use std::path::Path;

use cerberus_data::{
    ClassId, Dataset, FindingKind, IGNORED, Image, Label, PhotoOptions, Photos, Sample, Split,
};
use tempfile::{TempDir, tempdir};

/// Rows and columns of every picture here, and of the samples.
const SIDE: usize = 16;

fn picture(seed: u8) -> Vec<u8> {
    let pixels: Vec<u8> = (0..SIDE * SIDE * 3).map(|p| (p as u8).wrapping_mul(seed | 1)).collect();
    Image { height: SIDE, width: SIDE, channels: 3, pixels: pixels.into() }.to_png().unwrap()
}

/// A mask whose first pixels have these values; the other pixels repeat the last one.
fn ids(first: &[u8]) -> Vec<u8> {
    let mut ids = first.to_vec();
    ids.resize(SIDE * SIDE, first[first.len() - 1]);
    Image { height: SIDE, width: SIDE, channels: 1, pixels: ids.into() }.to_png().unwrap()
}

fn colours(first: &[[u8; 3]]) -> Vec<u8> {
    let mut pixels = first.to_vec();
    pixels.resize(SIDE * SIDE, first[first.len() - 1]);
    Image { height: SIDE, width: SIDE, channels: 3, pixels: pixels.concat().into() }.to_png().unwrap()
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn options() -> PhotoOptions {
    PhotoOptions { size: [SIDE, SIDE], repeats: 1, augment: 0.0, ..PhotoOptions::default() }
}

fn photos(path: &Path) -> Photos {
    Photos::open(path, 1, options()).unwrap_or_else(|error| panic!("{error}"))
}

fn sample(photos: &Photos, index: usize) -> Sample {
    photos.sample(Split::Train, 0, index).unwrap()
}

/// The first values of a training mask.
fn mask(photos: &Photos, index: usize, count: usize) -> Vec<ClassId> {
    sample(photos, index).mask.unwrap().classes[..count].to_vec()
}

fn classes(photos: &Photos) -> &[String] {
    &photos.info().label("mask").unwrap().classes
}

fn told(photos: &Photos, kind: FindingKind, what: &str) -> usize {
    let findings = photos.info().accounts[0].findings.iter();
    findings.filter(|f| f.kind == kind && f.what.contains(what)).map(|f| f.count).sum()
}

fn refused(path: &Path, words: &[&str]) {
    let message = match Photos::open(path, 1, options()) {
        Ok(photos) => photos.sample(Split::Train, 0, 0).expect_err("it must be refused").to_string(),
        Err(error) => error.to_string(),
    };
    assert!(words.iter().all(|word| message.contains(word)), "{message} lacks one of {words:?}");
}

/// `images/a.png` and `masks/a.png`.
fn one(mask: impl AsRef<[u8]>) -> TempDir {
    let set = tempdir().unwrap();
    write(set.path(), "images/a.png", picture(1));
    write(set.path(), "masks/a.png", mask);
    set
}

#[test]
fn folders_of_every_name_with_parts_above_or_below_are_pairs() {
    for (pictures, masks, suffix) in [
        ("images/train", "masks/train", ""),
        ("train/images", "train/masks", "_mask"),
        ("train/imgs", "train/labels", ""),
        ("Images/train/day", "annotations/train/day", "_gt"),
        ("training/image", "training/mask", "-mask"),
        ("img", "gt", "_label"),
    ] {
        let set = tempdir().unwrap();
        write(set.path(), &format!("{pictures}/a.jpg"), picture(1));
        write(set.path(), &format!("{masks}/a{suffix}.png"), ids(&[0, 2, 5]));
        let validation = |folder: &str| folder.replace("training", "val").replace("train", "val");
        write(set.path(), &format!("{}/b.jpg", validation(pictures)), picture(2));
        write(set.path(), &format!("{}/b{suffix}.png", validation(masks)), ids(&[5, 255]));
        let photos = photos(set.path());
        let parts = pictures.contains("train");
        let expected = if parts { [1, 1] } else { [2, 0] };
        assert_eq!([Split::Train, Split::Validation].map(|split| photos.len(split)), expected, "{pictures}");
        assert_eq!(classes(&photos), ["2", "5"], "{pictures}");
        assert_eq!(mask(&photos, 0, 3), [0, 1, 2]);
    }
}

#[test]
fn pictures_without_a_mask_and_masks_without_a_picture_are_told() {
    let set = one(ids(&[1, 0]));
    write(set.path(), "images/b.png", picture(2));
    write(set.path(), "masks/c.png", ids(&[1]));
    let photos = photos(set.path());
    assert_eq!((photos.photos(), photos.info().accounts[0].found), (1, 2));
    assert_eq!(told(&photos, FindingKind::LeftOut, "without a mask"), 1);
    assert_eq!(told(&photos, FindingKind::LabelLeftOut, "belong to no picture"), 1);
    fs::rename(set.path().join("masks/a.png"), set.path().join("masks/z.png")).unwrap();
    refused(set.path(), &["masks", "none that is called like one of them"]);
}

#[test]
fn a_list_names_ids_and_an_id_without_a_name_is_refused_with_its_place() {
    let set = one(ids(&[0, 1, 2, 255, 0]));
    write(set.path(), "classes.txt", "sky\nroad\ntree\n");
    let read = photos(set.path());
    assert_eq!(classes(&read), ["sky", "road", "tree"]);
    assert_eq!(mask(&read, 0, 5), [0, 1, 2, IGNORED, 0]);
    write(set.path(), "classes.txt", "background\nsky\nroad\n");
    let read = photos(set.path());
    assert_eq!(
        (classes(&read), &mask(&read, 0, 5)[..]),
        (&["sky".to_string(), "road".into()][..], &[0, 1, 2, IGNORED, 0][..])
    );
    write(set.path(), "classes.txt", "sky\n");
    refused(set.path(), &["masks/a.png, row 0, column 2", "classes.txt", "the id 2"]);
    write(set.path(), "masks/classes.txt", "sky\n");
    refused(set.path(), &["one list", "masks/classes.txt"]);
}

#[test]
fn masks_of_0_and_255_alone_show_one_class_and_the_account_says_so() {
    let set = one(ids(&[0, 255, 0]));
    let read = photos(set.path());
    assert_eq!((classes(&read), &mask(&read, 0, 3)[..]), (&["foreground".to_string()][..], &[0, 1, 0][..]));
    assert_eq!(told(&read, FindingKind::Changed, "0 and 255 alone"), 1);
    write(set.path(), "classes.txt", "background\nroad\n");
    let read = photos(set.path());
    assert_eq!((classes(&read), &mask(&read, 0, 3)[..]), (&["road".to_string()][..], &[0, 1, 0][..]));
    // If any mask contains another id, 255 is ignored.
    write(set.path(), "images/b.png", picture(2));
    write(set.path(), "masks/b.png", ids(&[1, 0]));
    let read = photos(set.path());
    assert_eq!(mask(&read, 0, 3), [0, IGNORED, 0]);
    assert_eq!(told(&read, FindingKind::Changed, "0 and 255 alone"), 0);
}

#[test]
fn colours_are_classes_by_their_table_and_others_are_refused_with_their_place() {
    let set = one(colours(&[[0, 0, 0], [128, 0, 0], [0, 64, 9], [9, 9, 9], [0, 0, 0]]));
    refused(set.path(), &["masks/a.png", "classes.csv", "name,r,g,b"]);
    let table = "name,r,g,b\nBackground,0,0,0\nroad,128,0,0\nsky,0,64,9\n";
    write(set.path(), "class_dict.csv", format!("{table}void,9,9,9\n"));
    let read = photos(set.path());
    assert_eq!(classes(&read), ["road", "sky"]);
    assert_eq!(mask(&read, 0, 5), [0, 1, 2, IGNORED, 0]);
    assert_eq!(told(&read, FindingKind::LabelLeftOut, "not judged"), 1);
    write(set.path(), "class_dict.csv", table);
    refused(set.path(), &["masks/a.png, row 0, column 3", "class_dict.csv", "(9, 9, 9)"]);
    write(set.path(), "class_dict.csv", "name,r,g,b\nroad,128,0,0\nsky,128,0,0\n");
    refused(set.path(), &["class_dict.csv", "again"]);
}

#[test]
fn a_mask_of_another_size_and_one_that_breaks_off_are_refused_when_the_set_is_opened() {
    let set = one(ids(&[0, 1]));
    let small = Image { height: 8, width: SIDE, channels: 1, pixels: vec![1; 8 * SIDE].into() };
    write(set.path(), "masks/a.png", small.to_png().unwrap());
    let error = Photos::open(set.path(), 1, options()).err().unwrap().to_string();
    assert!(error.contains("a.png") && error.contains("16x8") && error.contains("16x16"), "{error}");
    let whole = ids(&[0, 1]);
    write(set.path(), "masks/a.png", &whole[..whole.len() - 20]);
    let error = Photos::open(set.path(), 1, options()).err().unwrap().to_string();
    assert!(error.contains("masks/a.png"), "{error}");
}

#[test]
fn yaml_says_where_masks_are_and_what_their_ids_mean() {
    let set = tempdir().unwrap();
    let yaml = "train:\n  images: ../pictures/train\n  masks: drawn/train\nval:\n  images: ../pictures/val\n  masks: drawn/val\n";
    write(set.path(), "semantic.yaml", format!("{yaml}classes:\n  0: unlabeled\n  7: person\n  200: rug\n"));
    write(set.path(), "pictures/train/a.jpg", picture(1));
    // In a folder named after the file.
    write(set.path(), "semantic/drawn/train/a.png", ids(&[0, 200, 7]));
    for path in [set.path().to_path_buf(), set.path().join("semantic.yaml")] {
        let read = photos(&path);
        assert_eq!(classes(&read), ["person", "rug"]);
        assert_eq!(mask(&read, 0, 3), [IGNORED, 2, 1]);
        assert_eq!(told(&read, FindingKind::LeftOut, "neither the folder"), 1);
    }
    // A part of which only the pictures exist is incomplete, not missing.
    write(set.path(), "pictures/val/b.jpg", picture(2));
    refused(set.path(), &["semantic.yaml, val", "drawn/val", "not both"]);
    write(set.path(), "semantic.yaml", "train: { images: none, masks: none }\nclasses: [a]\n");
    refused(set.path(), &["semantic.yaml, train", "none"]);
    write(set.path(), "semantic.yaml", "train:\n  masks: drawn\nclasses: [a]\n");
    refused(set.path(), &["semantic.yaml, line", "images"]);
}

#[test]
fn folders_of_other_formats_are_not_taken_for_masks_and_two_formats_at_once_are_refused() {
    let set = tempdir().unwrap();
    write(set.path(), "images/a.png", picture(1));
    write(set.path(), "labels/a.txt", "0 0.5 0.5 0.25 0.5\n");
    write(set.path(), "data.yaml", "train: images\nnames: [cup]\n");
    assert_eq!(photos(set.path()).info().accounts[0].format, "yolo");
    write(set.path(), "masks/a.png", ids(&[0, 1]));
    refused(set.path(), &["yolo", "masks", "--format"]);
    let named = PhotoOptions { format: Some("masks".into()), ..options() };
    assert_eq!(Photos::open(set.path(), 1, named).unwrap().info().accounts[0].format, "masks");
}

const CATEGORIES: &str = r#"[{"id": 7, "name": "dog", "isthing": 1}, {"id": 92, "name": "sky", "isthing": 0},
    {"id": 3, "name": "cat", "isthing": 1}]"#;

fn coco_image(id: usize, name: &str) -> String {
    format!(r#"{{"id": {id}, "file_name": "{name}", "width": {SIDE}, "height": {SIDE}}}"#)
}

#[test]
fn semantic_pngs_beside_coco_json_hold_category_ids() {
    let set = tempdir().unwrap();
    let annotation = r#"{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 4, 4]}"#;
    let images = [coco_image(1, "a.png"), coco_image(2, "b.png")].join(", ");
    let json =
        format!(r#"{{"images": [{images}], "categories": {CATEGORIES}, "annotations": [{annotation}]}}"#);
    write(set.path(), "annotations/instances_train.json", json);
    write(set.path(), "images/a.png", picture(1));
    write(set.path(), "images/b.png", picture(2));
    write(set.path(), "semantic_train/a.png", ids(&[0, 3, 7, 92, 255, 0]));
    let read = photos(set.path());
    assert_eq!(classes(&read), ["cat", "dog", "sky"]);
    assert_eq!(mask(&read, 0, 6), [0, 1, 2, 3, IGNORED, 0]);
    assert_eq!(sample(&read, 0).objects.unwrap()[0].class, 1);
    assert!(sample(&read, 1).mask.is_none());
    assert_eq!(told(&read, FindingKind::LabelLeftOut, "no semantic PNG"), 1);
    write(set.path(), "semantic_train/a.png", ids(&[0, 4]));
    refused(set.path(), &["semantic_train/a.png, row 0, column 1", "the id 4", "instances_train.json"]);
}

/// A panoptic set of one picture.
fn panoptic(segments: &str, png: &[[u8; 3]]) -> TempDir {
    let set = tempdir().unwrap();
    let annotation = format!(r#"{{"image_id": 1, "file_name": "a.png", "segments_info": [{segments}]}}"#);
    let image = coco_image(1, "a.jpg");
    let json =
        format!(r#"{{"images": [{image}], "categories": {CATEGORIES}, "annotations": [{annotation}]}}"#);
    write(set.path(), "annotations/panoptic_train2017.json", json);
    write(set.path(), "annotations/panoptic_train2017/a.png", colours(png));
    write(set.path(), "train2017/a.jpg", picture(1));
    set
}

const DOG: &str = r#"{"id": 66051, "category_id": 7, "bbox": [1, 0, 1, 1], "area": 1, "iscrowd": 0}"#;

#[test]
fn panoptic_things_are_objects_and_stuff_is_in_the_mask_alone() {
    let stuff = r#"{"id": 5, "category_id": 92, "bbox": [2, 0, 14, 16], "area": 200}"#;
    let crowd = r#"{"id": 256, "category_id": 3, "bbox": [3, 0, 1, 1], "area": 1, "iscrowd": 1}"#;
    // 66051 is 3 + 256 * 2 + 65536.
    let set =
        panoptic(&format!("{DOG}, {stuff}, {crowd}"), &[[0; 3], [3, 2, 1], [5, 0, 0], [0, 1, 0], [5, 0, 0]]);
    let file = set.path().join("annotations/panoptic_train2017.json");
    for path in [set.path(), &file] {
        let read = photos(path);
        assert_eq!(read.info().label("objects").unwrap().classes, ["cat", "dog"]);
        assert_eq!(classes(&read), ["cat", "dog", "sky"]);
        let shown = sample(&read, 0);
        let objects: Vec<_> = shown.objects.as_ref().unwrap().iter().map(|o| (o.class, o.crowd)).collect();
        assert_eq!(objects, [(1, false), (0, true)]);
        assert_eq!(mask(&read, 0, 5), [IGNORED, 2, 3, IGNORED, 3]);
        assert_eq!(shown.more["present"], Label::Classes(vec![true, true, true]));
    }
}

#[test]
fn mistakes_in_panoptic_files_name_the_segment_or_the_pixel() {
    let dog = [[3, 2, 1]];
    refused(panoptic(DOG, &[[3, 2, 1], [4, 0, 0]]).path(), &["a.png, row 0, column 1", "(4, 0, 0)"]);
    refused(panoptic(&DOG.replace('7', "8"), &dog).path(), &["segment 66051 of image 1", "category_id"]);
    refused(panoptic(&format!("{DOG}, {DOG}"), &dog).path(), &["segment 66051 of image 1", "id of its own"]);
    refused(panoptic(&DOG.replace("1, 1]", "-1, 1]"), &dog).path(), &["segment 66051", "negative"]);
    refused(panoptic("{}", &dog).path(), &["panoptic_train2017.json, line", "missing field"]);
    let set = panoptic(DOG, &dog);
    fs::remove_file(set.path().join("annotations/panoptic_train2017/a.png")).unwrap();
    refused(set.path(), &["image 1", "the PNG \"a.png\"", "no such file"]);
}

#[test]
fn a_set_with_instances_and_panoptic_files_is_opened_by_the_format_that_is_named() {
    let set = panoptic(DOG, &[[3, 2, 1]]);
    let image = coco_image(1, "a.jpg");
    let annotation = r#"{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 4, 4]}"#;
    let json =
        format!(r#"{{"images": [{image}], "categories": {CATEGORIES}, "annotations": [{annotation}]}}"#);
    write(set.path(), "annotations/instances_train2017.json", json);
    refused(set.path(), &["coco", "panoptic", "--format"]);
    for format in ["coco", "panoptic"] {
        let named = PhotoOptions { format: Some(format.into()), ..options() };
        assert_eq!(Photos::open(set.path(), 1, named).unwrap().photos(), 1, "{format}");
    }
}
