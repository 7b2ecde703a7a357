//! Pascal VOC: the original layout, the layouts of export programs, and their mistakes.

use std::fs;
use std::path::Path;

use tempfile::{TempDir, tempdir};

use super::super::{Dataset, PhotoOptions, Photos};
use super::made::{account, first, halves, open, open_as, options, parts, picture, refused, told, write};
use crate::FindingKind::{Changed, LabelLeftOut, LeftOut, Suspicious};
use crate::{IGNORED, Image, Label, Split};

/// An object with its corners and more elements.
fn object(name: &str, [x1, y1, x2, y2]: [f32; 4], more: &str) -> String {
    format!(
        "<object>\n<name>{name}</name>{more}\n<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>\
         <xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>\n</object>\n"
    )
}

fn xml(filename: &str, size: &str, objects: &[String]) -> String {
    format!(
        "<annotation>\n<folder>somewhere</folder>\n<filename>{filename}</filename>\n{size}\n{}</annotation>\n",
        objects.concat()
    )
}

const SIZE: &str = "<size><width>40</width><height>30</height><depth>3</depth></size>";
const BOX: [f32; 4] = [11.0, 6.0, 30.0, 25.0];

/// A set of these pictures in the original layout, each with a cat.
fn set(names: &[&str]) -> TempDir {
    let folder = tempdir().unwrap();
    for (seed, name) in names.iter().enumerate() {
        write(folder.path(), &format!("JPEGImages/{name}.jpg"), picture(seed as u8));
        annotate(folder.path(), name, &[object("cat", BOX, "")]);
    }
    folder
}

fn annotate(folder: &Path, name: &str, objects: &[String]) {
    write(folder, &format!("Annotations/{name}.xml"), xml(&format!("{name}.jpg"), SIZE, objects));
}

/// The boxes of the first picture, with the stretch from 30 to 40 rows undone.
fn boxes(photos: &Photos) -> Vec<[f32; 4]> {
    let objects = first(photos).objects.unwrap();
    objects
        .iter()
        .map(|o| [o.bbox[0], o.bbox[1] * 0.75, o.bbox[2], o.bbox[3] * 0.75].map(f32::round))
        .collect()
}

#[test]
fn lists_say_the_parts_and_trainval_counts_nothing_twice() {
    let set = set(&["a", "b", "c", "d", "e"]);
    for (list, text) in [
        ("train", "a  1\nb -1\r\n"),
        ("val", "c\n"),
        ("test", "\"d\"\n"),
        ("trainval", "a\nb\nc\n"),
        ("cat_train", "e 1\n"),
    ] {
        write(set.path(), &format!("ImageSets/Main/{list}.txt"), text);
    }
    write(set.path(), "ImageSets/Layout/train.txt", "e\n");
    let photos = open(set.path()).unwrap();
    assert_eq!(parts(&photos), [2, 1, 1]);
    assert_eq!((account(&photos).format.as_str(), account(&photos).found), ("voc", 5));
    assert_eq!(told(&photos, LeftOut, "no list of a part names"), 1);
    assert_eq!(account(&photos).findings.iter().filter(|f| f.kind == Suspicious).count(), 0);
    assert_eq!(photos.info().label("objects").unwrap().classes, ["cat"]);
    assert_eq!(first(&photos).more["present"], Label::Classes(vec![true]));
}

#[test]
fn what_lists_say_twice_or_of_nothing_is_told_and_pictures_in_two_parts_do_not_train() {
    let set = set(&["a", "b", "c", "d"]);
    write(set.path(), "ImageSets/Main/train.txt", "a\nb\nb.jpg\nnone\n");
    write(set.path(), "ImageSets/Main/val.txt", "b\n");
    write(set.path(), "ImageSets/Main/trainval.txt", "a\nb\nc\n");
    let photos = open(set.path()).unwrap();
    assert_eq!(parts(&photos), [2, 1, 0]);
    assert_eq!(told(&photos, Suspicious, "lists of two parts"), 1);
    assert_eq!(told(&photos, Suspicious, "only the list of both parts"), 1);
    assert_eq!(told(&photos, Changed, "one list names twice"), 1);
    assert_eq!(told(&photos, LabelLeftOut, "of which there is no picture"), 1);
    write(set.path(), "ImageSets/Main/val.txt", "x\ny\n");
    refused(set.path(), &["val.txt, line 1", "the name of a picture", "\"x\""]);
    for list in ["train", "val", "trainval"] {
        write(set.path(), &format!("ImageSets/Main/{list}.txt"), "\n");
    }
    assert_eq!(parts(&open(set.path()).unwrap()), [4, 0, 0], "empty lists are none");
}

#[test]
fn trainval_alone_trains() {
    let set = set(&["a", "b", "c"]);
    write(set.path(), "ImageSets/Main/trainval.txt", "a\nb\n");
    write(set.path(), "ImageSets/Main/test.txt", "c\n");
    let photos = open(set.path()).unwrap();
    assert_eq!(parts(&photos), [2, 0, 1]);
    assert_eq!(told(&photos, Suspicious, "only the list"), 0);
}

#[test]
fn difficult_objects_are_neither_right_nor_wrong_and_parts_of_objects_are_no_objects() {
    let set = set(&["a"]);
    let part = "<difficult>0</difficult><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>";
    let objects = [
        object("dog", BOX, part),
        object("cat", [2.0, 2.0, 9.0, 9.0], "<difficult>1</difficult><pose>Left</pose>"),
    ];
    annotate(set.path(), "a", &objects);
    let photos = open(set.path()).unwrap();
    assert_eq!(photos.info().label("objects").unwrap().classes, ["cat", "dog"]);
    let found: Vec<(usize, bool)> =
        first(&photos).objects.unwrap().iter().map(|o| (o.class, o.crowd)).collect();
    assert_eq!(found, [(1, false), (0, true)]);
    assert_eq!(told(&photos, Changed, "marked as difficult"), 1);
}

#[test]
fn how_boxes_count_pixels_is_seen_from_all_of_them_together() {
    let set = set(&["a", "b", "c"]);
    let of = |all: [[f32; 4]; 3]| {
        for (name, corners) in ["a", "b", "c"].iter().zip(all) {
            annotate(set.path(), name, &[object("cat", corners, "")]);
        }
        open(set.path()).unwrap()
    };
    let whole = |photos: &Photos| {
        (boxes(photos)[0], told(photos, Changed, "count pixels"), told(photos, Suspicious, "begin at 0"))
    };
    // Counted from 1 with the last pixel included, like VOC; also in unclear cases.
    let photos = of([[1.0, 1.0, 40.0, 30.0], BOX, BOX]);
    assert_eq!(whole(&photos), ([0.0, 0.0, 40.0, 30.0], 3, 0));
    assert_eq!(whole(&of([BOX, BOX, BOX])), ([10.0, 5.0, 30.0, 25.0], 3, 0));
    assert_eq!(whole(&of([BOX, BOX, [5.5, 6.0, 9.0, 9.0]])).1, 3, "a fraction tells nothing");
    // Edges from 0: one of them begins at 0.
    assert_eq!(whole(&of([BOX, [0.0, 4.0, 40.0, 9.0], BOX])), ([11.0, 6.0, 30.0, 25.0], 0, 0));
    assert_eq!(whole(&of([[5.5, 6.0, 9.0, 9.0], [1.5, 1.0, 9.0, 9.0], BOX])).1, 0, "most have fractions");
    // Pixels from 0 with the last one included: boxes begin at 0 and end one pixel before the picture's side.
    let photos = of([[0.0, 0.0, 39.0, 29.0], [0.0, 5.0, 39.0, 9.0], BOX]);
    assert_eq!(whole(&photos), ([0.0, 0.0, 40.0, 30.0], 3, 0));
    // One box at 0 among several at 1.
    assert_eq!(whole(&of([[1.0, 1.0, 9.0, 9.0], [1.0, 1.0, 40.0, 9.0], [0.0, 1.0, 9.0, 9.0]])).2, 1);
}

#[test]
fn a_box_that_is_a_point_or_a_line_has_no_area_however_pixels_are_counted() {
    let set = set(&["a"]);
    annotate(
        set.path(),
        "a",
        &[
            object("cat", BOX, ""),
            object("cat", [7.0, 7.0, 7.0, 7.0], ""),
            object("cat", [7.0, 7.0, 9.0, 7.0], ""),
        ],
    );
    let photos = open(set.path()).unwrap();
    assert_eq!((boxes(&photos).len(), told(&photos, LabelLeftOut, "without area")), (1, 2));
}

#[test]
fn a_size_of_zero_or_none_is_the_pictures_own_and_another_size_is_refused() {
    let set = set(&["a", "b"]);
    for size in
        ["<size><width>0</width><height>0</height></size>", "", "<size/>", "<size><width> </width></size>"]
    {
        write(set.path(), "Annotations/a.xml", xml("a.jpg", size, &[object("cat", BOX, "")]));
        let photos = open(set.path()).unwrap();
        assert_eq!(
            (boxes(&photos)[0], told(&photos, Changed, "without the picture's size")),
            ([10.0, 5.0, 30.0, 25.0], 1),
            "{size}"
        );
    }
    let size = "<size><width>41</width><height>30</height></size>";
    write(set.path(), "Annotations/a.xml", xml("a.jpg", size, &[]));
    refused(set.path(), &["a.jpg", "41x30", "40x30"]);
}

#[test]
fn xml_files_without_picture_and_pictures_without_xml_file_are_told() {
    let set = set(&["a", "b"]);
    annotate(set.path(), "z", &[object("cat", BOX, "")]);
    write(set.path(), "Annotations/other.xml", "<metadata/>");
    write(set.path(), "JPEGImages/c.jpg", picture(9));
    let photos = open(set.path()).unwrap();
    assert_eq!((parts(&photos)[0], account(&photos).found, account(&photos).used), (2, 3, 2));
    assert_eq!(told(&photos, LabelLeftOut, "XML files that belong to no picture"), 1);
    assert_eq!(told(&photos, LabelLeftOut, "XML files of another kind"), 1);
    assert_eq!(told(&photos, LeftOut, "pictures without an XML file"), 1);
    annotate(set.path(), "c", &[]);
    let photos = open(set.path()).unwrap();
    assert_eq!(photos.sample(Split::Train, 0, 2).unwrap().objects, Some(vec![]), "nothing is in it");
    for name in ["a", "b", "c"] {
        fs::rename(
            set.path().join(format!("JPEGImages/{name}.jpg")),
            set.path().join(format!("JPEGImages/x{name}.jpg")),
        )
        .unwrap();
    }
    for name in ["a", "b", "c", "z"] {
        annotate(set.path(), name, &[]);
        let path = set.path().join(format!("Annotations/{name}.xml"));
        fs::write(&path, xml("elsewhere.jpg", SIZE, &[])).unwrap();
    }
    refused(set.path(), &["Annotations", "5 XML files", "JPEGImages", "none of 3"]);
}

#[test]
fn a_wrong_filename_does_not_part_a_picture_from_its_xml_file() {
    let set = set(&["a", "b"]);
    for filename in ["a.png", "C:\\pictures\\a.jpeg", "../old/a.jpg", "unknown.jpg", ""] {
        write(set.path(), "Annotations/a.xml", xml(filename, SIZE, &[object("dog", BOX, "")]));
        let photos = open(set.path()).unwrap();
        assert_eq!(first(&photos).objects.unwrap()[0].class, 1, "{filename}");
        assert_eq!(told(&photos, Suspicious, "filename"), 0);
    }
    write(set.path(), "Annotations/a.xml", xml("b.jpg", SIZE, &[object("dog", BOX, "")]));
    assert_eq!(told(&open(set.path()).unwrap(), Suspicious, "filename is that of another"), 1);
    // The other way round: the XML file has another name, and its `filename` gives the picture.
    fs::rename(set.path().join("Annotations/a.xml"), set.path().join("Annotations/0001.xml")).unwrap();
    write(set.path(), "Annotations/0001.xml", xml("D:\\a.bmp", SIZE, &[object("dog", BOX, "")]));
    let photos = open(set.path()).unwrap();
    assert_eq!((parts(&photos)[0], first(&photos).objects.unwrap()[0].class), (2, 1));
}

#[test]
fn of_two_pictures_of_one_name_the_xml_file_means_that_of_its_filename() {
    let set = set(&["a"]);
    write(set.path(), "JPEGImages/a.png", picture(5));
    write(set.path(), "Annotations/a.xml", xml("a.png", SIZE, &[object("cat", BOX, "")]));
    let photos = open(set.path()).unwrap();
    assert_eq!((parts(&photos)[0], told(&photos, LeftOut, "with the name of another")), (1, 1));
    assert!(account(&photos).findings.iter().any(|f| f.first.iter().any(|place| place.ends_with("a.jpg"))));
}

#[test]
fn pictures_and_xml_files_may_lie_side_by_side_and_in_folders_of_the_parts() {
    let set = tempdir().unwrap();
    for (seed, name) in ["train/a", "valid/b", "Test/c"].iter().enumerate() {
        write(set.path(), &format!("{name}.png"), picture(seed as u8));
        let text = format!("<?xml version=\"1.0\"?>\r\n{}", xml("x.png", SIZE, &[object("cat", BOX, "")]));
        write(set.path(), &format!("{name}.xml"), text);
    }
    assert_eq!(parts(&open(set.path()).unwrap()), [1, 1, 1]);
    assert_eq!(parts(&open(&set.path().join("train")).unwrap()), [1, 0, 0], "one folder alone");
    let set = tempdir().unwrap();
    for (seed, (part, name)) in [("train", "a"), ("val", "b")].iter().enumerate() {
        write(set.path(), &format!("{part}/images/{name}.png"), picture(seed as u8));
        write(
            set.path(),
            &format!("{part}/annotations/{name}.xml"),
            xml("", SIZE, &[object("cat", BOX, "")]),
        );
    }
    assert_eq!(parts(&open(set.path()).unwrap()), [1, 1, 0]);
    let set = tempdir().unwrap();
    for (seed, name) in ["train/a", "test/b"].iter().enumerate() {
        write(set.path(), &format!("images/{name}.png"), picture(seed as u8));
        write(set.path(), &format!("annotations/{name}.xml"), xml("", SIZE, &[object("cat", BOX, "")]));
    }
    assert_eq!(parts(&open(set.path()).unwrap()), [1, 0, 1]);
}

#[test]
fn the_years_of_a_development_kit_are_read_together() {
    let set = tempdir().unwrap();
    for (year, part) in [("VOC2007", "train"), ("VOC2012", "val")] {
        let base = format!("VOCdevkit/{year}");
        write(set.path(), &format!("{base}/JPEGImages/{year}_1.jpg"), picture(part.len() as u8));
        write(
            set.path(),
            &format!("{base}/Annotations/{year}_1.xml"),
            xml("", SIZE, &[object("cat", BOX, "")]),
        );
        write(set.path(), &format!("{base}/ImageSets/Main/{part}.txt"), format!("{year}_1\n"));
    }
    assert_eq!(parts(&open(set.path()).unwrap()), [1, 1, 0]);
    assert_eq!(parts(&open(&set.path().join("VOCdevkit")).unwrap()), [1, 1, 0]);
    assert_eq!(parts(&open(&set.path().join("VOCdevkit/VOC2007")).unwrap()), [1, 0, 0]);
}

#[test]
fn a_folder_of_several_sets_is_none() {
    let set = tempdir().unwrap();
    for (seed, name) in ["one", "two"].iter().enumerate() {
        write(set.path(), &format!("{name}/JPEGImages/a.jpg"), picture(seed as u8));
        write(set.path(), &format!("{name}/Annotations/a.xml"), xml("", SIZE, &[object("cat", BOX, "")]));
    }
    assert!(!Photos::is_at(set.path()) && Photos::is_at(&set.path().join("one")));
}

#[test]
fn damaged_xml_files_are_refused_with_file_and_line() {
    let set = set(&["a", "b"]);
    let fails = |text: &str, words: &[&str]| {
        write(set.path(), "Annotations/b.xml", text);
        refused(set.path(), &[&["b.xml", "line"], words].concat());
    };
    let good = xml("b.jpg", SIZE, &[object("cat", BOX, "")]);
    fails("", &["line 1", "an XML element"]);
    fails(good.split("</object>").next().unwrap(), &["line 5", "an end of <object>"]);
    fails(&good.replace("</object>", "</objekt>"), &["line 8"]);
    fails(&good.replace("<name>cat</name>", ""), &["line 5", "no <name>"]);
    fails(&good.replace("<name>cat</name>", "<name> </name>"), &["line 5", "no <name>"]);
    fails(&good.replace("<xmax>30</xmax>", ""), &["line 7", "no <xmax>"]);
    fails(&good.replace("<xmax>30</xmax>", "<xmax>nan</xmax>"), &["line 7", "<xmax>", "nan"]);
    fails(&good.replace("<xmax>30</xmax>", "<xmax>3</xmax>"), &["line 7", "not before", "11 6 3 25"]);
    fails(&good.replace("<width>40</width>", "<width>forty</width>"), &["line 4", "<width>", "forty"]);
    fails(&good.replace("</name>", "</name><difficult>7</difficult>"), &["line 6", "<difficult>", "7"]);
    fails("<html/>", &["line 1", "<annotation>"]);
    write(set.path(), "Annotations/b.xml", b"<annotation>caf\xe9</annotation>");
    refused(set.path(), &["b.xml", "UTF-8"]);
}

#[test]
fn files_in_other_encodings_and_with_rotated_boxes_are_read_as_far_as_they_go() {
    let set = set(&["a"]);
    let rotated = "<object><name>cat</name><robndbox><cx>9</cx></robndbox></object>".to_string();
    let outlined = object("caf\u{e9} &amp; bar", BOX, "<polygon><x1>1</x1></polygon>");
    let text = format!("\u{feff}{}", xml("a.jpg", SIZE, &[rotated, outlined]));
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [text.as_bytes(), &utf16] {
        write(set.path(), "Annotations/a.xml", bytes);
        let photos = open(set.path()).unwrap();
        assert_eq!(photos.info().label("objects").unwrap().classes, ["caf\u{e9} & bar"]);
        assert_eq!(told(&photos, LabelLeftOut, "without an upright box"), 1);
        assert_eq!(told(&photos, LabelLeftOut, "outlines (polygon)"), 1);
    }
}

#[test]
fn classes_are_those_of_a_list_in_its_order_and_names_that_differ_in_capitals_are_told() {
    let set = set(&["a", "b"]);
    annotate(set.path(), "b", &[object("Cat", BOX, "")]);
    let photos = open(set.path()).unwrap();
    assert_eq!(photos.info().label("objects").unwrap().classes, ["Cat", "cat"]);
    assert_eq!(told(&photos, Suspicious, "capitals alone"), 1);
    annotate(set.path(), "b", &[object("ape", BOX, "")]);
    write(set.path(), "classes.txt", "cat\nbear\nape\n");
    let photos = open(set.path()).unwrap();
    assert_eq!(photos.info().label("objects").unwrap().classes, ["cat", "bear", "ape"]);
    assert_eq!(told(&photos, Suspicious, "never occur"), 1);
    write(set.path(), "classes.txt", "cat\nbear\n");
    refused(set.path(), &["b.xml, line 5", "classes.txt", "\"ape\""]);
    write(set.path(), "classes.txt", "cat\ncat\nape\n");
    refused(set.path(), &["classes.txt", "once"]);
    fs::remove_file(set.path().join("classes.txt")).unwrap();
    let mut known = options();
    known.classes.insert("objects".into(), vec!["cat".into()]);
    let message = Photos::open(set.path(), 1, known).err().unwrap().to_string();
    assert!(message.contains("\"ape\"") && message.contains("the model was trained on"), "{message}");
}

/// A set with a cat in every picture and a mask for the first.
fn masked(mask: impl AsRef<[u8]>) -> TempDir {
    let set = set(&["a", "b"]);
    write(set.path(), "SegmentationClass/a.png", mask);
    set
}

#[test]
fn masks_hold_ids_of_vocs_classes_and_255_is_not_judged() {
    // A cat is 8 in VOC's order.
    let set = masked(halves(10, [8, 255]));
    let photos = open(set.path()).unwrap();
    assert_eq!(photos.info().label("mask").unwrap().classes.len(), 20);
    assert_eq!(account(&photos).labelled(Split::Train, "mask"), 1);
    let mask = first(&photos).mask.unwrap();
    assert_eq!([0, 9, 10, 39].map(|x| mask.classes[x]), [8, 8, IGNORED, IGNORED]);
    assert_eq!(first(&photos).objects.unwrap()[0].class, 7);
    assert_eq!(photos.sample(Split::Train, 0, 1).unwrap().mask, None);
}

#[test]
fn masks_in_colours_have_those_of_the_label_map_or_of_vocs_palette() {
    let coloured = |left: [u8; 3], right: [u8; 3]| {
        let pixels: Vec<u8> =
            (0..1200).flat_map(|place| if place % 40 < 10 { left } else { right }).collect();
        Image { height: 30, width: 40, channels: 3, pixels: pixels.into() }.to_png().unwrap()
    };
    let set = masked(coloured([64, 0, 0], [224, 224, 192]));
    let mask = first(&open(set.path()).unwrap()).mask.unwrap();
    assert_eq!([mask.classes[0], mask.classes[39]], [8, IGNORED]);
    write(set.path(), "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:9,8,7::\n");
    write(set.path(), "SegmentationClass/a.png", coloured([9, 8, 7], [0; 3]));
    let photos = open(set.path()).unwrap();
    let mask = first(&photos).mask.unwrap();
    assert_eq!([mask.classes[0], mask.classes[39]], [1, 0]);
    assert_eq!(photos.info().label("mask").unwrap().classes, ["cat"]);
    write(set.path(), "SegmentationClass/a.png", coloured([9, 8, 7], [1, 2, 3]));
    refused(set.path(), &["a.png, row 0, column 10", "labelmap.txt", "[1, 2, 3]"]);
}

#[test]
fn masks_of_unknown_classes_are_left_out_and_told_until_a_list_names_them() {
    // Objects that VOC does not have, and objects that it has with other numbers.
    for (name, id) in [("cup", 1), ("cat", 1), ("cat", 77)] {
        let set = masked(halves(10, [id, 0]));
        ["a", "b"].iter().for_each(|picture| annotate(set.path(), picture, &[object(name, BOX, "")]));
        let photos = open(set.path()).unwrap();
        assert!(photos.info().label("mask").is_none(), "{name} {id}");
        assert_eq!(told(&photos, LabelLeftOut, "masks whose classes are not known"), 1);
        write(set.path(), "classes.txt", format!("{name}\n"));
        if id == 1 {
            let photos = open(set.path()).unwrap();
            assert_eq!(first(&photos).mask.unwrap().classes[..11], [&[1; 10][..], &[0]].concat());
        } else {
            refused(set.path(), &["a.png, row 0, column 0", "0 to 1", "77"]);
        }
    }
}

#[test]
fn a_mask_of_another_size_is_refused_and_one_of_no_picture_told() {
    let small = Image { height: 2, width: 2, channels: 1, pixels: vec![0u8; 4].into() }.to_png().unwrap();
    refused(masked(small).path(), &["SegmentationClass/a.png", "40x30", "2x2"]);
    let set = masked(halves(10, [8, 0]));
    write(set.path(), "SegmentationClass/z.png", halves(10, [8, 0]));
    assert_eq!(told(&open(set.path()).unwrap(), LabelLeftOut, "masks that belong to no picture"), 1);
}

#[test]
fn masks_alone_are_a_set_where_a_list_names_their_classes() {
    let set = tempdir().unwrap();
    write(set.path(), "JPEGImages/a.jpg", picture(1));
    write(set.path(), "SegmentationClass/a.png", halves(10, [1, 0]));
    write(set.path(), "ImageSets/Segmentation/train.txt", "a\n");
    write(set.path(), "labelmap.txt", "background:0,0,0::\ncup:128,0,0::\n");
    let photos = open(set.path()).unwrap();
    let sample = first(&photos);
    assert_eq!((sample.objects, sample.mask.unwrap().classes[0]), (None, 1));
    assert!(photos.info().label("objects").is_none());
    fs::remove_file(set.path().join("labelmap.txt")).unwrap();
    refused(set.path(), &["labelmap.txt", "the classes of the masks"]);
}

#[test]
fn a_broken_picture_is_refused_or_left_out_and_a_folder_of_nothing_refused() {
    let set = set(&["a", "b"]);
    write(set.path(), "JPEGImages/b.jpg", &picture(1)[..200]);
    refused(set.path(), &["b.jpg"]);
    let photos = Photos::open(set.path(), 1, PhotoOptions { skip_broken: true, ..options() }).unwrap();
    assert_eq!((parts(&photos)[0], told(&photos, LeftOut, "cannot be read")), (1, 1));
    let nothing = tempdir().unwrap();
    let message = open_as("voc", nothing.path()).err().unwrap().to_string();
    assert!(message.contains("Annotations/") && message.contains("neither"), "{message}");
}
