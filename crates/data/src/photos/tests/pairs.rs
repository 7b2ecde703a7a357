//! No format may be mistaken for another: a folder that holds the files of two is refused until the format is given.

use std::path::Path;

use tempfile::tempdir;

use super::super::FORMATS;
use super::made::{account, open, open_as, picture, write};

const XML: &str = "<annotation><object><name>cup</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax>\
     <ymax>9</ymax></bndbox></object></annotation>";

/// The files of a small set in a format. Some share pictures; every set has two.
fn make(format: &str, folder: &Path) {
    for (seed, name) in ["images/a_1.jpg", "images/a_2.jpg"].iter().enumerate() {
        if !["class-folders", "yolo"].contains(&format) {
            write(folder, name, picture(seed as u8));
        }
    }
    match format {
        "pets" => write(
            folder,
            "labels.csv",
            "name,class,width,height,body_xmin,body_ymin,body_xmax,body_ymax\na_1,0,40,30,1,1,9,9\na_2,0,40,30,1,1,9,9\n",
        ),
        "oxford" => write(folder, "annotations/list.txt", "a_1 1 1 1\na_2 1 1 1\n"),
        "coco" => write(
            folder,
            "annotations.json",
            r#"{"images": [{"id": 1, "file_name": "a_1.jpg", "width": 40, "height": 30}],
                "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 8, 8]}],
                "categories": [{"id": 1, "name": "cup"}]}"#,
        ),
        "yolo" => {
            write(folder, "train/images/y.png", picture(3));
            write(folder, "train/labels/y.txt", "0 0.5 0.5 0.2 0.2\n");
            write(folder, "data.yaml", "train: train/images\nnames: [cup]\n");
        }
        "voc" => {
            ["a_1", "a_2"].iter().for_each(|name| write(folder, &format!("annotations/{name}.xml"), XML))
        }
        "class-folders" => {
            write(folder, "cup/1.jpg", picture(4));
            write(folder, "box/1.jpg", picture(5));
        }
        other => panic!("no set of {other} is made here"),
    }
}

#[test]
fn every_format_is_known_alone_and_every_two_of_them_are_refused_until_one_is_named() {
    // Other tests cover masks and tables together with the other formats.
    let elsewhere = ["panoptic", "masks", "table"];
    let names = FORMATS.iter().map(|format| format.name).filter(|name| !elsewhere.contains(name));
    let names: Vec<&str> = names.collect();
    assert_eq!(names.len() + elsewhere.len(), FORMATS.len());
    for (place, one) in names.iter().enumerate() {
        let folder = tempdir().unwrap();
        make(one, folder.path());
        let photos = open(folder.path()).unwrap_or_else(|error| panic!("{one}: {error}"));
        assert_eq!(account(&photos).format, *one);
        for other in &names[place + 1..] {
            let folder = tempdir().unwrap();
            make(one, folder.path());
            make(other, folder.path());
            let message =
                open(folder.path()).err().unwrap_or_else(|| panic!("{one} and {other}")).to_string();
            for word in [format!("--format {one}"), format!("--format {other}"), "in one format".into()] {
                assert!(message.contains(&word), "{one} and {other}: {message} lacks {word}");
            }
            for named in [one, other] {
                let photos = open_as(named, folder.path()).unwrap_or_else(|error| panic!("{named}: {error}"));
                assert_eq!(account(&photos).format, **named);
            }
        }
    }
}

#[test]
fn class_folders_in_parts_are_not_taken_for_the_parts_of_another_format_nor_they_for_classes() {
    // The parts of COCO and VOC contain pictures directly; those of YOLO contain folders that are not classes.
    let folder = tempdir().unwrap();
    for part in ["train", "valid"] {
        write(folder.path(), &format!("{part}/a.jpg"), picture(part.len() as u8));
        write(folder.path(), &format!("{part}/a.xml"), XML);
    }
    assert_eq!(account(&open(folder.path()).unwrap()).format, "voc");
    // The parts contain class folders, with VOC's XML files beside the pictures: nothing shows which is meant.
    write(folder.path(), "train/cup/b.jpg", picture(7));
    write(folder.path(), "train/box/c.jpg", picture(8));
    assert_eq!(account(&open(folder.path()).unwrap()).format, "voc", "pictures lie in the part itself");
    for part in ["train", "valid"] {
        std::fs::remove_file(folder.path().join(format!("{part}/a.jpg"))).unwrap();
    }
    let message = open(folder.path()).err().unwrap().to_string();
    assert!(message.contains("--format voc or --format class-folders"), "{message}");
}
