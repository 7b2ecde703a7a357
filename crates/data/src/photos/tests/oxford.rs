//! The layout of Oxford-IIIT Pet as it is distributed.

use std::fs;

use tempfile::{TempDir, tempdir};

use super::super::{Dataset, PhotoOptions, Photos};
use super::made::{account, first, halves, open, options, parts, picture, refused, told, write};
use crate::FindingKind::{Changed, LabelLeftOut, LeftOut, Suspicious};
use crate::{CLASS, IGNORED, Label, Split};

const COMMENT: &str = "#Image CLASS-ID SPECIES BREED ID\n#ID: 1:37 Class ids\n";

fn head(corners: [usize; 4]) -> String {
    let [x1, y1, x2, y2] = corners;
    format!(
        "<annotation>\n<filename>x.jpg</filename>\n<size><width>40</width><height>30</height></size>\n\
         <object><name>cat</name>\n<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>\n\
         </object></annotation>"
    )
}

/// Two cats and a dog for training, and a cat without a head box for testing.
fn set() -> TempDir {
    let set = tempdir().unwrap();
    let rows = ["Bengal_1 6 1 2", "Bengal_2 6 1 2", "pug_7 3 2 1", "Bengal_3 6 1 2"];
    for (seed, row) in rows.iter().enumerate() {
        let name = row.split(' ').next().unwrap();
        write(set.path(), &format!("images/{name}.jpg"), picture(seed as u8));
        write(set.path(), &format!("annotations/trimaps/{name}.png"), halves(10, [2, 1]));
        write(set.path(), &format!("annotations/trimaps/._{name}.png"), "another system's");
        if seed < 3 {
            write(set.path(), &format!("annotations/xmls/{name}.xml"), head([11, 6, 20, 15]));
        }
    }
    write(set.path(), "annotations/list.txt", format!("{COMMENT}{}\n", rows.join("\n")));
    write(set.path(), "annotations/trainval.txt", rows[..3].join("\r\n"));
    write(set.path(), "annotations/test.txt", rows[3]);
    set
}

#[test]
fn breeds_species_heads_and_the_box_of_the_trimap_are_the_labels_of_the_table() {
    let set = set();
    let ids: Vec<u8> = (0..1200)
        .map(|p| [2, 2, 3, 1][usize::from(p % 40 > 4) + usize::from(p % 40 > 9) + usize::from(p % 40 > 14)])
        .collect();
    let trimap = crate::Image { height: 30, width: 40, channels: 1, pixels: ids.into() };
    write(set.path(), "annotations/trimaps/Bengal_1.png", trimap.to_png().unwrap());
    let photos = open(set.path()).unwrap();
    assert_eq!((account(&photos).format.as_str(), parts(&photos)), ("oxford", [3, 0, 1]));
    assert_eq!(photos.info().label(CLASS).unwrap().classes, ["pug", "Bengal"], "by rising id");
    assert_eq!(photos.info().label("species").unwrap().classes, ["cat", "dog"]);
    let sample = first(&photos);
    assert_eq!((sample.class, &sample.more["species"]), (Some(1), &Label::Class(0)));
    let mask = sample.mask.unwrap();
    assert_eq!([9, 10, 14, 15].map(|x| mask.classes[x]), [0, IGNORED, IGNORED, 1]);
    assert_eq!(sample.objects.unwrap()[0].bbox, [10.0, 0.0, 40.0, 40.0], "the border belongs to the box");
    let Label::Objects(heads) = &sample.more["head"] else { panic!("a head is an object") };
    assert_eq!(heads[0].bbox.map(f32::round), [10.0, 7.0, 20.0, 20.0], "counted from 1, with the last pixel");
    assert_eq!(told(&photos, Changed, "count pixels from 1"), 3);
    let tested = photos.sample(Split::Test, 0, 0).unwrap();
    assert!(!tested.more.contains_key("head") && tested.objects.is_some());
}

#[test]
fn a_trimap_without_an_animal_or_none_at_all_gives_no_body() {
    let set = set();
    write(set.path(), "annotations/trimaps/Bengal_1.png", halves(10, [2, 2]));
    fs::remove_file(set.path().join("annotations/trimaps/Bengal_2.png")).unwrap();
    let photos = open(set.path()).unwrap();
    assert_eq!(account(&photos).labelled(Split::Train, "objects"), 1);
    assert_eq!(account(&photos).labelled(Split::Train, "mask"), 2);
    assert_eq!(account(&photos).labelled(Split::Train, "head"), 3);
}

#[test]
fn the_list_of_all_pictures_is_enough() {
    let set = set();
    let annotations = set.path().join("annotations");
    fs::remove_file(annotations.join("trainval.txt")).unwrap();
    let photos = open(set.path()).err().unwrap().to_string();
    assert!(photos.contains("train on"), "the test list alone trains nothing: {photos}");
    fs::remove_file(annotations.join("test.txt")).unwrap();
    assert_eq!(parts(&open(set.path()).unwrap()), [4, 0, 0]);
}

#[test]
fn what_the_lists_leave_open_or_say_twice_is_told() {
    let set = set();
    write(set.path(), "images/Bengal_9.jpg", picture(9));
    write(set.path(), "annotations/trimaps/Bengal_9.png", halves(10, [2, 1]));
    write(set.path(), "annotations/list.txt", "Bengal_8 6 1 2\n");
    write(set.path(), "annotations/test.txt", "Bengal_3 6 1 2\nBengal_3 6 1 2\nBengal_2 6 1 2\n");
    let photos = open(set.path()).unwrap();
    assert_eq!((parts(&photos), account(&photos).found), ([2, 0, 2], 6));
    assert_eq!(told(&photos, LeftOut, "pictures that no list names"), 1);
    assert_eq!(told(&photos, LabelLeftOut, "trimaps of pictures that no list names"), 1);
    assert_eq!(told(&photos, LeftOut, "list.txt names, but neither"), 1);
    assert_eq!(told(&photos, Suspicious, "lists of two parts"), 1);
    assert_eq!(told(&photos, Changed, "one list names twice"), 1);
}

#[test]
fn mistakes_in_lists_and_files_are_refused_with_file_and_line() {
    for (line, words) in [
        ("pug_7 3 2", &["a name, a class id"][..]),
        ("pug_7 x 2 1", &["a class id from 1"]),
        ("pug_7 0 2 1", &["a class id from 1"]),
        ("pug_7 3 3 1", &["1 for a cat or 2 for a dog"]),
        ("../pug_7 3 2 1", &["without folder"]),
        ("pug_7 6 1 1", &["class 6 to be Bengal, a cat"]),
        ("Bengal_4 6 2 1", &["class 6 to be Bengal, a cat"]),
    ] {
        let set = set();
        write(set.path(), "annotations/trainval.txt", format!("Bengal_1 6 1 2\n{line}\n"));
        refused(set.path(), &[&["trainval.txt, line 2", line], words].concat());
    }
    let broken = |file: &str, content: &[u8], words: &[&str]| {
        let set = set();
        write(set.path(), file, content);
        refused(set.path(), &[&[file], words].concat());
    };
    broken("annotations/list.txt", b"Bengal_1 5 1 2\n", &["line 1", "class 6, as", "of this breed"]);
    broken("annotations/xmls/Bengal_1.xml", b"<annotation>\n<object>", &["line 2"]);
    broken("annotations/xmls/Bengal_1.xml", b"<list/>", &["line 1", "<annotation>"]);
    broken("annotations/trimaps/Bengal_1.png", &halves(3, [0, 1]), &["row 0, column 0", "1, 2 or 3"]);
    broken("images/Bengal_1.jpg", b"no picture", &[]);
    let set = set();
    fs::remove_file(set.path().join("images/pug_7.jpg")).unwrap();
    refused(set.path(), &["images/pug_7.jpg"]);
    let photos = Photos::open(set.path(), 1, PhotoOptions { skip_broken: true, ..options() }).unwrap();
    assert_eq!(told(&photos, LeftOut, "cannot be read"), 1);
    ["list", "trainval", "test"]
        .iter()
        .for_each(|list| write(set.path(), &format!("annotations/{list}.txt"), COMMENT));
    refused(set.path(), &["annotations", "a line for each picture"]);
}
