//! Input as users really have it: some program misread each kind of input here. It must be read as intended, or refused
//! with the place and the remedy. Nothing may be dropped without a note in the account.

use std::fs;
use std::path::Path;

use cerberus_data::{Account, DataError, Dataset, FindingKind, Image, Object, PhotoOptions, Photos, Split};
use tempfile::{TempDir, tempdir};

fn picture(seed: u8) -> Vec<u8> {
    let pixels: Vec<u8> = (0..40 * 30 * 3).map(|p| (p as u8).wrapping_mul(seed | 1)).collect();
    Image { height: 30, width: 40, channels: 3, pixels: pixels.into() }.to_png().unwrap()
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn open(path: &Path) -> Result<Photos, DataError> {
    Photos::open(
        path,
        1,
        PhotoOptions { size: [32, 32], repeats: 1, augment: 0.0, ..PhotoOptions::default() },
    )
}

fn account(photos: &Photos) -> &Account {
    &photos.info().accounts[0]
}

/// How often the account reports this, or 0.
fn told(photos: &Photos, kind: FindingKind, what: &str) -> usize {
    let findings = account(photos).findings.iter();
    findings.filter(|f| f.kind == kind && f.what.contains(what)).map(|f| f.count).sum()
}

fn refused(path: &Path, words: &[&str]) {
    let message = open(path).err().expect("it must be refused").to_string();
    assert!(words.iter().all(|word| message.contains(word)), "{message} lacks one of {words:?}");
}

const NAMES: &str = "names: [cup, box]\n";

/// A set in YOLO's layout with these pictures in `images/train`, each with one box.
fn yolo(names: &[&str]) -> TempDir {
    let folder = tempdir().unwrap();
    for (seed, name) in names.iter().enumerate() {
        write(folder.path(), &format!("images/train/{name}.png"), picture(seed as u8));
        write(folder.path(), &format!("labels/train/{name}.txt"), "0 0.5 0.5 0.25 0.5\n");
    }
    write(folder.path(), "data.yaml", format!("train: images/train\n{NAMES}"));
    folder
}

fn yaml(folder: &TempDir, text: &str) {
    write(folder.path(), "data.yaml", text);
}

fn first_objects(photos: &Photos) -> Vec<Object> {
    photos.sample(Split::Train, 0, 0).unwrap().objects.unwrap()
}

#[test]
fn a_part_that_is_named_and_not_there_is_refused_with_the_places_looked_at() {
    let set = yolo(&["a"]);
    for key in ["train", "val", "test"] {
        let other = if key == "train" { "" } else { "train: images/train\n" };
        yaml(&set, &format!("{other}{key}: images/trian\n{NAMES}"));
        refused(set.path(), &["images/trian", key, "nothing there"]);
    }
    yaml(&set, &format!("train: images/train\ntest:\n{NAMES}"));
    assert!(open(set.path()).is_ok(), "an empty line names nothing");
    yaml(&set, &format!("train: images/train\nval: images/none\n{NAMES}"));
    let skip = PhotoOptions { skip_broken: true, ..PhotoOptions::default() };
    let photos = Photos::open(set.path(), 1, skip.clone()).unwrap();
    assert_eq!(told(&photos, FindingKind::LeftOut, "named and not there"), 1);
    yaml(&set, &format!("train: images/none\n{NAMES}"));
    assert!(Photos::open(set.path(), 1, skip).is_err(), "what is trained on must be there");
}

#[test]
fn a_part_may_be_several_folders_or_a_list_of_files() {
    let set = yolo(&["a/1", "b/2", "b/3"]);
    for train in
        ["[images/train/a, images/train/b]", "\n  - images/train/a\n  - images/train/b\n", "list.txt"]
    {
        write(
            set.path(),
            "list.txt",
            "./images/train/a/1.png\r\nimages\\train\\b\\2.png\n\nimages/train/b/3.png",
        );
        yaml(&set, &format!("train: {train}\n{NAMES}"));
        let photos = open(set.path()).unwrap();
        assert_eq!(photos.len(Split::Train), 3, "{train}");
        assert_eq!(account(&photos).labelled(Split::Train, "objects"), 3);
        assert!((0..3).all(|i| !photos.sample(Split::Train, 0, i).unwrap().objects.unwrap().is_empty()));
    }
    write(set.path(), "list.txt", "images/train/a/1.png\nimages/train/none.png\n");
    refused(set.path(), &["list.txt, line 2", "none.png"]);
}

#[test]
fn export_tools_paths_are_found_beside_the_file() {
    let set = tempdir().unwrap();
    for part in ["train", "valid"] {
        write(set.path(), &format!("{part}/images/{part}.png"), picture(part.len() as u8));
        write(set.path(), &format!("{part}/labels/{part}.txt"), "1 0.5 0.5 0.25 0.5\n");
    }
    yaml(&set, &format!("train: ../train/images\nval: ../valid/images\nnc: 2\n{NAMES}"));
    let photos = open(set.path()).unwrap();
    assert_eq!([Split::Train, Split::Validation].map(|split| photos.len(split)), [1, 1]);
    assert_eq!(account(&photos).labelled(Split::Validation, "objects"), 1);
}

#[test]
fn the_last_folder_called_images_stands_for_labels() {
    let set = tempdir().unwrap();
    write(set.path(), "images/set/images/train/a.png", picture(1));
    write(set.path(), "images/set/labels/train/a.txt", "0 0.5 0.5 0.25 0.5\n");
    for base in ["", &format!("{}/", set.path().display())] {
        yaml(&set, &format!("train: {base}images/set/images/train\n{NAMES}"));
        assert_eq!(first_objects(&open(set.path()).unwrap()).len(), 1);
    }
}

#[test]
fn pictures_in_folders_below_and_of_any_ending_are_used_and_the_rest_is_told() {
    let set = yolo(&["day1/a", "day2/a", "b"]);
    let folder = set.path().join("images/train");
    fs::copy(folder.join("b.png"), folder.join("c.jfif")).unwrap();
    fs::copy(folder.join("b.png"), folder.join("d")).unwrap();
    write(set.path(), "labels/train/c.txt", "0 0.5 0.5 0.25 0.5\n");
    write(set.path(), "images/train/e.heic", "not read");
    write(set.path(), "images/train/._b.png", "another system's");
    write(set.path(), "images/train/notes.txt", "no picture");
    let photos = open(set.path()).unwrap();
    assert_eq!((photos.len(Split::Train), account(&photos).found, account(&photos).used), (5, 6, 5));
    assert_eq!(told(&photos, FindingKind::LeftOut, ".heic"), 1);
    let with = (0..5).filter(|&i| !photos.sample(Split::Train, 0, i).unwrap().objects.unwrap().is_empty());
    assert_eq!(with.count(), 4);
}

#[test]
fn label_files_in_capitals_are_read_and_those_of_no_picture_are_told() {
    let set = yolo(&["a", "b"]);
    let labels = set.path().join("labels/train");
    fs::rename(labels.join("a.txt"), labels.join("A.TXT")).unwrap();
    write(set.path(), "labels/train/z.txt", "0 0.5 0.5 0.25 0.5\n");
    let photos = open(set.path()).unwrap();
    assert_eq!(first_objects(&photos).len(), 1);
    assert_eq!(told(&photos, FindingKind::LabelLeftOut, "belong to no picture"), 1);
    // No label file fits: these are not empty pictures, but labels that were not found.
    for name in ["A.TXT", "b.txt"] {
        fs::rename(labels.join(name), labels.join(format!("x{name}"))).unwrap();
    }
    refused(set.path(), &["labels/train", "a.png", "named like"]);
}

#[cfg(unix)]
#[test]
fn names_that_are_not_unicode_still_belong_together() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let set = yolo(&["a"]);
    let name = |ending: &str| OsStr::from_bytes(&[b"caf\xe9.", ending.as_bytes()].concat()).to_os_string();
    let move_to = |folder: &str, from: &str, ending: &str| {
        let folder = set.path().join(folder);
        fs::rename(folder.join(from), folder.join(name(ending)))
    };
    // Some file systems do not accept such names.
    if move_to("images/train", "a.png", "png").is_err() {
        return;
    }
    move_to("labels/train", "a.txt", "txt").unwrap();
    assert_eq!(first_objects(&open(set.path()).unwrap()).len(), 1);
}

#[test]
fn class_names_are_what_yaml_says() {
    let set = yolo(&["a"]);
    for (names, expected) in [
        ("{0: cup, 1: box}", ["cup", "box"]),
        ("['cup', 'box',]", ["cup", "box"]),
        ("[a cup that\n  stands, a box]", ["a cup that stands", "a box"]),
        ("[\"cup, small\", \"cup, large\"]", ["cup, small", "cup, large"]),
        ("\n  0: \"size #1\"\n  1: 'size #2' # a comment", ["size #1", "size #2"]),
        ("\n  0: 'cup: red'\n  1: \"it's a box\"", ["cup: red", "it's a box"]),
        ("\n- cup\n- box\nnc: 2", ["cup", "box"]),
        ("\n  3: cup\n  0: box", ["box", "cup"]),
        ("[1, 2]", ["1", "2"]),
        ("[yes, no]", ["yes", "no"]),
        ("[碗, Tür]", ["碗", "Tür"]),
    ] {
        yaml(&set, &format!("train: images/train\nnames: {names}\n"));
        let photos = open(set.path()).unwrap_or_else(|error| panic!("{names}: {error}"));
        assert_eq!(photos.info().label("objects").unwrap().classes, expected, "{names}");
    }
    for (text, words) in [
        ("train: images/train\nnames: [cup, box\n", "line"),
        ("train: images/train\nnc: 3\nnames: [cup, box]\n", "nc: 3"),
        ("train: images/train\nnames: []\n", "1 to"),
        ("names: [cup, box]\n", "train"),
        ("train: images/train\n", "names"),
    ] {
        yaml(&set, text);
        refused(set.path(), &["data.yaml", words]);
    }
}

#[test]
fn two_classes_of_one_name_are_told_apart() {
    let set = yolo(&["a"]);
    write(set.path(), "labels/train/a.txt", "0 0.2 0.2 0.1 0.1\n2 0.5 0.5 0.25 0.5\n");
    yaml(&set, "train: images/train\nnames: [cup, box, cup]\n");
    let photos = open(set.path()).unwrap();
    assert_eq!(photos.info().label("objects").unwrap().classes, ["cup (0)", "box", "cup (2)"]);
    assert_eq!(told(&photos, FindingKind::Suspicious, "share their name"), 2);
}

#[test]
fn lines_of_key_points_are_boxes_and_not_outlines() {
    let set = yolo(&["a"]);
    yaml(&set, "train: images/train\nkpt_shape: [2, 3]\nnames: [cup]\n");
    write(set.path(), "labels/train/a.txt", "0 0.5 0.5 0.25 0.5 0.4 0.4 2 0.6 0.6 1\n0 0.1 0.1 0.1 0.1\n");
    let photos = open(set.path()).unwrap();
    assert!(photos.info().label("mask").is_none());
    assert_eq!(first_objects(&photos)[0].bbox.map(f32::round), [12.0, 8.0, 20.0, 24.0]);
    assert_eq!(told(&photos, FindingKind::LabelLeftOut, "key points"), 1);
    write(set.path(), "labels/train/a.txt", "0 0.5 0.5 0.25 0.5 0.4 0.4\n");
    refused(set.path(), &["a.txt, line 1", "kpt_shape"]);
}

#[test]
fn ids_as_decimals_and_line_ends_of_old_systems_are_read() {
    let set = yolo(&["a"]);
    for text in
        ["1.0 0.5 0.5 0.25 0.5\r0.000e+00 0.2 0.2 0.1 0.1", "1 0.5 0.5 0.25 0.5\r\n0 0.2 0.2 0.1 0.1\r\n"]
    {
        write(set.path(), "labels/train/a.txt", text);
        let classes: Vec<usize> = first_objects(&open(set.path()).unwrap()).iter().map(|o| o.class).collect();
        assert_eq!(classes, [1, 0]);
    }
}

#[test]
fn pictures_without_objects_are_counted() {
    let set = yolo(&["a", "b", "c"]);
    fs::remove_file(set.path().join("labels/train/b.txt")).unwrap();
    write(set.path(), "labels/train/c.txt", "");
    let photos = open(set.path()).unwrap();
    let label = &account(&photos).parts[0].labels[0];
    assert_eq!((label.pictures, label.empty), (3, 2));
    let lines = account(&photos).lines();
    assert!(lines[1].contains("objects 3 (1, 2 without objects)"), "{lines:?}");
}

#[test]
fn a_folder_with_several_descriptions_is_refused_with_the_choices() {
    let set = yolo(&["a"]);
    write(set.path(), "other.yaml", format!("train: images/train\n{NAMES}"));
    let name = set.path().to_str().unwrap();
    let refused = cerberus_data::open(name, 1).err().unwrap().to_string();
    assert!(refused.contains("data.yaml") && refused.contains("other.yaml"), "{refused}");
}

#[test]
fn an_object_written_twice_counts_once_and_a_clipped_one_is_told() {
    let set = yolo(&["a"]);
    write(
        set.path(),
        "labels/train/a.txt",
        "0 0.5 0.5 0.25 0.5\n0 0.5 0.5 0.25 0.5\n1 0.5 0.5 0.25 0.5\n1 0.9 0.5 0.4 0.5\n1 0.5 0.5 0 0.5\n",
    );
    let photos = open(set.path()).unwrap();
    assert_eq!(first_objects(&photos).len(), 3);
    assert_eq!(told(&photos, FindingKind::Changed, "twice"), 1);
    assert_eq!(told(&photos, FindingKind::Changed, "clipped"), 1);
    assert_eq!(told(&photos, FindingKind::LabelLeftOut, "without area"), 1);
}

#[test]
fn a_box_among_outlines_costs_its_picture_the_mask_alone() {
    let set = yolo(&["a", "b"]);
    for (name, more) in [("a", ""), ("b", "0 0.2 0.2 0.1 0.1\n")] {
        write(set.path(), &format!("labels/train/{name}.txt"), format!("0 0.1 0.1 0.9 0.1 0.5 0.9\n{more}"));
    }
    let photos = open(set.path()).unwrap();
    assert_eq!(account(&photos).labelled(Split::Train, "mask"), 1);
    assert_eq!(account(&photos).labelled(Split::Train, "objects"), 2);
    assert_eq!(told(&photos, FindingKind::LabelLeftOut, "boxes among the outlines"), 1);
}

#[test]
fn a_part_that_nobody_labelled_is_left_out_unless_it_is_trained_on() {
    let set = yolo(&["a"]);
    write(set.path(), "images/test/x.png", picture(7));
    yaml(&set, &format!("train: images/train\ntest: images/test\n{NAMES}"));
    let photos = open(set.path()).unwrap();
    assert_eq!((photos.len(Split::Test), account(&photos).found), (0, 2));
    assert_eq!(told(&photos, FindingKind::LeftOut, "test part"), 1);
    yaml(&set, &format!("train: images/test\n{NAMES}"));
    refused(set.path(), &["train", "none for 1 pictures"]);
}

#[test]
fn more_classes_than_a_byte_holds_are_kept_apart() {
    let set = yolo(&["a"]);
    let names: Vec<String> = (0..1000).map(|class| format!("c{class}")).collect();
    yaml(&set, &format!("train: images/train\nnames: [{}]\n", names.join(", ")));
    write(set.path(), "labels/train/a.txt", "999 0 0 1 0 1 1 0 1\n");
    let photos = open(set.path()).unwrap();
    let sample = photos.sample(Split::Train, 0, 0).unwrap();
    assert_eq!(sample.objects.unwrap()[0].class, 999);
    assert!(sample.mask.unwrap().classes.iter().all(|&id| id == 1000));
}

#[test]
fn a_picture_that_breaks_off_is_found_before_training() {
    let set = yolo(&["a", "b", "c"]);
    for name in ["b", "c"] {
        let whole = picture(3);
        write(set.path(), &format!("images/train/{name}.png"), &whole[..whole.len() - 20]);
    }
    refused(set.path(), &["b.png", "c.png", "breaks off", "--skip-broken"]);
    let options = PhotoOptions { size: [32, 32], repeats: 1, skip_broken: true, ..PhotoOptions::default() };
    let photos = Photos::open(set.path(), 1, options).unwrap();
    assert_eq!((photos.len(Split::Train), told(&photos, FindingKind::LeftOut, "cannot be read")), (1, 2));
}

#[test]
fn training_on_nothing_and_holding_back_nothing_are_refused() {
    let set = yolo(&["a", "b", "c", "d"]);
    let hold = |share: f64| {
        let options = PhotoOptions { size: [32, 32], hold_back: share, ..PhotoOptions::default() };
        Photos::open(set.path(), 1, options).err().map(|error| error.to_string())
    };
    assert!(hold(0.9).unwrap().contains("train on"));
    assert!(hold(0.1).unwrap().contains("--hold-back"));
    assert!(hold(0.25).is_none());
}

#[test]
fn one_picture_in_two_parts_is_told() {
    let set = yolo(&["a", "b"]);
    write(set.path(), "images/val/other.png", picture(0));
    write(set.path(), "labels/val/other.txt", "0 0.5 0.5 0.25 0.5\n");
    yaml(&set, &format!("train: images/train\nval: images/val\n{NAMES}"));
    assert_eq!(told(&open(set.path()).unwrap(), FindingKind::Suspicious, "in two parts"), 1);
}

/// A file in COCO's format; each annotation belongs to image 1 and category 1 unless it says otherwise.
fn coco(folder: &Path, file: &str, images: &str, annotations: &[&str], categories: &str) {
    let annotations: Vec<String> = annotations
        .iter()
        .enumerate()
        .map(|(id, fields)| {
            let ids = [("image_id", 1), ("category_id", 1)];
            let ids = ids.iter().filter(|(key, _)| !fields.contains(key));
            let ids: String = ids.map(|(key, value)| format!(r#""{key}": {value}, "#)).collect();
            format!(r#"{{"id": {id}, {ids}{fields}}}"#)
        })
        .collect();
    let text = format!(
        r#"{{"images": [{images}], "annotations": [{}], "categories": [{categories}]}}"#,
        annotations.join(", ")
    );
    write(folder, file, text);
}

const CUP: &str = r#"{"id": 1, "name": "cup"}"#;
const BOX: &str = r#"{"id": 2, "name": "box"}"#;

fn image(id: usize, name: &str) -> String {
    format!(r#"{{"id": {id}, "file_name": {}, "width": 40, "height": 30}}"#, serde_json::json!(name))
}

fn of_name(name: &str) -> TempDir {
    let set = tempdir().unwrap();
    write(set.path(), "images/a.png", picture(1));
    coco(set.path(), "annotations.json", &image(1, name), &[r#""bbox": [1, 2, 10, 10]"#], CUP);
    set
}

#[test]
fn file_names_of_other_systems_and_computers_are_understood() {
    for name in
        ["images\\a.png", "./images/a.png", "../pictures/a.png", "/home/someone/a.png", "C:\\set\\a.png"]
    {
        let set = of_name(name);
        assert_eq!(first_objects(&open(set.path()).unwrap()).len(), 1, "{name}");
    }
    refused(of_name("none.png").path(), &["annotations.json", "none.png", "no such file"]);
}

#[test]
fn a_box_may_be_that_of_its_outline_and_an_outline_may_be_empty() {
    let set = of_name("a.png");
    for (fields, bbox) in [
        (r#""segmentation": [[4, 6, 24, 6, 24, 15]]"#, [3.2, 6.4, 19.2, 16.0]),
        (r#""bbox": [4, 6, 20, 9], "segmentation": []"#, [3.2, 6.4, 19.2, 16.0]),
        (r#""bbox": [4, 6, 20, 9], "segmentation": [[]]"#, [3.2, 6.4, 19.2, 16.0]),
    ] {
        coco(set.path(), "annotations.json", &image(1, "a.png"), &[fields], CUP);
        let found = first_objects(&open(set.path()).unwrap())[0].bbox;
        assert!(found.iter().zip(bbox).all(|(f, b)| (f - b).abs() < 1e-3), "{fields}: {found:?}");
    }
    coco(
        set.path(),
        "annotations.json",
        &image(1, "a.png"),
        &[r#""iscrowd": 0"#, r#""bbox": [1, 2, 10, 10]"#],
        CUP,
    );
    assert_eq!(told(&open(set.path()).unwrap(), FindingKind::LabelLeftOut, "neither box nor outline"), 1);
}

#[test]
fn boxes_written_as_corners_are_refused_and_a_few_too_large_ones_are_told() {
    let set = of_name("a.png");
    let corners =
        [r#""bbox": [10, 10, 35, 28]"#, r#""bbox": [12, 10, 36, 25]"#, r#""bbox": [20, 14, 38, 29]"#];
    coco(set.path(), "annotations.json", &image(1, "a.png"), &corners, CUP);
    refused(set.path(), &["annotations.json", "two corners", "subtract"]);
    let sides = [r#""bbox": [10, 10, 15, 8]"#, r#""bbox": [12, 10, 16, 15]"#, r#""bbox": [20, 14, 38, 29]"#];
    coco(set.path(), "annotations.json", &image(1, "a.png"), &sides, CUP);
    assert_eq!(told(&open(set.path()).unwrap(), FindingKind::Changed, "clipped"), 1);
}

#[test]
fn the_words_in_file_names_say_the_part() {
    let set = tempdir().unwrap();
    for (number, file) in
        ["instances_trainval35k", "instances_test", "instances_minival2014"].iter().enumerate()
    {
        let name = format!("{number}.png");
        write(set.path(), &format!("images/{name}"), picture(number as u8));
        let bbox = [r#""bbox": [1, 2, 10, 10]"#];
        coco(set.path(), &format!("annotations/{file}.json"), &image(1, &name), &bbox, CUP);
    }
    let photos = open(set.path()).unwrap();
    assert_eq!([Split::Train, Split::Validation, Split::Test].map(|split| photos.len(split)), [1, 1, 1]);
}

#[test]
fn categories_of_several_files_are_brought_together_by_name() {
    let set = tempdir().unwrap();
    for (number, (part, categories)) in
        [("train", format!("{CUP}, {BOX}")), ("val", r#"{"id": 1, "name": "box"}"#.into())].iter().enumerate()
    {
        let name = format!("{number}.png");
        write(set.path(), &format!("images/{name}"), picture(number as u8));
        let file = format!("annotations/instances_{part}.json");
        coco(set.path(), &file, &image(1, &name), &[r#""bbox": [1, 2, 10, 10]"#], categories);
    }
    let photos = open(set.path()).unwrap();
    assert_eq!(photos.info().label("objects").unwrap().classes, ["cup", "box"]);
    assert_eq!(photos.sample(Split::Validation, 0, 0).unwrap().objects.unwrap()[0].class, 1);
}

const HEADER: &str = "name,class,species,split,width,height,head_xmin,head_ymin,head_xmax,head_ymax,body_xmin,body_ymin,body_xmax,body_ymax";

/// The layout of Oxford-IIIT Pet, one row for each word under `split`.
fn pets(words: &[&str]) -> TempDir {
    let set = tempdir().unwrap();
    let mut table = String::from(HEADER);
    for (number, word) in words.iter().enumerate() {
        write(set.path(), &format!("images/cat_{number}.jpg"), picture(number as u8));
        table += &format!("\ncat_{number},{},0,{word},40,30,,,,,,,,", number % 10);
    }
    write(set.path(), "labels.csv", table);
    set
}

#[test]
fn parts_are_known_in_every_spelling_and_an_unknown_word_is_refused() {
    let photos =
        open(pets(&["train", "Test", "TEST", "testing", "valid", "VAL", "trainval"]).path()).unwrap();
    assert_eq!([Split::Train, Split::Validation, Split::Test].map(|split| photos.len(split)), [2, 2, 3]);
    refused(pets(&["train", "maybe"]).path(), &["labels.csv, line 3", "maybe", "train, validation or test"]);
}

#[test]
fn labels_that_no_training_picture_has_are_not_there() {
    let photos = open(pets(&["train", "test"]).path()).unwrap();
    let labels: Vec<&str> = photos.info().labels.iter().map(|label| label.name.as_str()).collect();
    assert_eq!(labels, ["class", "species"]);
    assert_eq!(told(&photos, FindingKind::LabelLeftOut, "no training picture has"), 3);
}

#[test]
fn a_share_of_many_small_classes_is_a_share_of_all() {
    let set = pets(&["train"; 20]);
    let options = PhotoOptions { size: [32, 32], repeats: 1, hold_back: 0.2, ..PhotoOptions::default() };
    let photos = Photos::open(set.path(), 1, options).unwrap();
    assert_eq!((photos.len(Split::Train), photos.len(Split::Test)), (16, 4));
}

#[test]
fn other_pictures_sizes_or_labels_have_another_fingerprint_and_the_change_is_named() {
    let set = yolo(&["a", "b"]);
    let before = account(&open(set.path()).unwrap()).clone();
    assert_eq!(account(&open(set.path()).unwrap()).changes_since(&before), None);
    write(set.path(), "images/train/c.png", picture(9));
    write(set.path(), "labels/train/b.txt", "1 0.5 0.5 0.25 0.5\n");
    fs::remove_file(set.path().join("images/train/a.png")).unwrap();
    let told = account(&open(set.path()).unwrap()).changes_since(&before).unwrap();
    assert!(told.contains("1 pictures are new (c in train)"), "{told}");
    assert!(
        told.contains("1 are gone (a in train)") && told.contains("other labels, sizes or contents (b in"),
        "{told}"
    );
}

/// A COCO set of rotated pictures (16 rows and 24 columns upright, red at the upper left), each with its annotated size
/// `[rows, columns]` and a box at the upper left in the orientation of the annotations.
fn turned(pictures: &[(&str, [usize; 2])]) -> TempDir {
    let set = tempdir().unwrap();
    let mut images = Vec::new();
    let mut annotations = Vec::new();
    for (id, (name, [rows, columns])) in pictures.iter().enumerate() {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures").join(name);
        write(set.path(), &format!("images/{name}"), fs::read(from).unwrap());
        images
            .push(format!(r#"{{"id": {id}, "file_name": "{name}", "width": {columns}, "height": {rows}}}"#));
        annotations.push(format!(r#""image_id": {id}, "bbox": [0, 0, 4, 4]"#));
    }
    let annotations: Vec<&str> = annotations.iter().map(String::as_str).collect();
    coco(set.path(), "annotations.json", &images.join(", "), &annotations, CUP);
    set
}

/// Whether each picture is read with red at the upper left, that is upright.
fn upright(set: &TempDir) -> Vec<bool> {
    let photos = open(set.path()).unwrap();
    let red = |index| {
        let sample = photos.sample(Split::Train, 0, index).unwrap();
        let at = (4 * 32 + 4) * 3;
        sample.image.pixels[at] > 200 && sample.image.pixels[at + 2] < 60
    };
    (0..photos.len(Split::Train)).map(red).collect()
}

#[test]
fn which_way_up_annotations_count_turned_pictures_is_one_thing_for_a_set() {
    // The sides show the orientation of quarter turns; half turns are treated the same way.
    assert_eq!(upright(&turned(&[("exif6.jpg", [16, 24]), ("exif3.jpg", [16, 24])])), [true, true]);
    assert_eq!(upright(&turned(&[("exif6.jpg", [24, 16]), ("exif3.jpg", [16, 24])])), [false, false]);
    assert_eq!(upright(&turned(&[("exif3.jpg", [16, 24])])), [true], "nothing tells");
    let both = turned(&[("exif6.jpg", [24, 16]), ("exif8.jpg", [16, 24]), ("exif3.jpg", [16, 24])]);
    assert_eq!(upright(&both), [false, true, true]);
    assert_eq!(told(&open(both.path()).unwrap(), FindingKind::Suspicious, "turn noted"), 1);
    refused(turned(&[("exif6.jpg", [17, 24])]).path(), &["exif6.jpg", "24x17"]);
}

#[test]
fn what_follows_a_jpeg_is_no_part_of_it_and_a_jpeg_that_breaks_off_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("moving.jpg");
    let whole = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures/baseline.jpg")).unwrap();
    let expected = {
        fs::write(&path, &whole).unwrap();
        Image::read(&path).unwrap()
    };
    // The data after the picture, such as a video, may contain the bytes of any marker.
    for trailer in [&b"\xff\xda film"[..], b"plain", b"\xff\xd8\xff\xda\xff\xd9", &[0; 300]] {
        fs::write(&path, [&whole[..], trailer].concat()).unwrap();
        assert_eq!(Image::read(&path).unwrap(), expected);
    }
    for end in (2..whole.len() - 2).step_by(7) {
        fs::write(&path, &whole[..end]).unwrap();
        assert!(Image::read(&path).is_err(), "cut at {end} of {}", whole.len());
    }
}

#[test]
fn a_picture_of_too_many_pixels_is_refused_from_its_header() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("large.png");
    let mut png = Image { height: 1, width: 1, channels: 1, pixels: vec![0u8].into() }.to_png().unwrap();
    // The width and height follow the signature and the chunk's length and name; the checksum follows the chunk's 17
    // bytes.
    png[16..20].copy_from_slice(&24_000u32.to_be_bytes());
    png[20..24].copy_from_slice(&24_000u32.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    fs::write(&path, png).unwrap();
    let message = Image::read(&path).unwrap_err().to_string();
    assert!(message.contains("large.png") && message.contains("24000x24000"), "{message}");
}
