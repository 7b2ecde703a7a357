//! Tests the readers on small folders that the test makes, and the moves of augmentation.

use std::fs;
use std::path::Path;

use cerberus_tensor::random::stream;
use tempfile::tempdir;

mod cache;
mod class_folders;
mod made;
mod oxford;
mod pairs;
mod voc;

use super::augment::Colour;
use super::*;
use crate::{CLASS, IGNORED, Image, Mask};

mod fitted;

/// A photo of 40x30 pixels (width x height), black with a white rectangle.
fn white_at([x1, y1, x2, y2]: [usize; 4]) -> Image {
    let inside = |place: usize| (x1..x2).contains(&(place % 40)) && (y1..y2).contains(&(place / 40));
    let pixels: Vec<u8> = (0..40 * 30).flat_map(|place| [if inside(place) { 255 } else { 0 }; 3]).collect();
    Image { height: 30, width: 40, channels: 3, pixels: pixels.into() }
}

fn gray_png(ids: Vec<u8>) -> Vec<u8> {
    Image { height: 30, width: 40, channels: 1, pixels: ids.into() }.to_png().unwrap()
}

const HEADER: &str = "name,class,species,split,width,height,head_xmin,head_ymin,head_xmax,head_ymax,body_xmin,body_ymin,body_xmax,body_ymax";

/// A folder of two breeds with `rows` of the table.
fn pets(folder: &Path, rows: &[String], ends: &str) {
    fs::create_dir_all(folder.join("images")).unwrap();
    fs::create_dir_all(folder.join("trimaps")).unwrap();
    for row in rows {
        let name = row.split(',').next().unwrap();
        // The content is PNG, as in some real data sets.
        fs::write(folder.join(format!("images/{name}.jpg")), white_at([10, 5, 30, 25]).to_png().unwrap())
            .unwrap();
        let ids = (0..1200)
            .map(|p| {
                if p % 40 < 10 {
                    2
                } else if p % 40 == 10 {
                    3
                } else {
                    1
                }
            })
            .collect();
        fs::write(folder.join(format!("trimaps/{name}.png")), gray_png(ids)).unwrap();
    }
    let table = format!("\u{feff}{HEADER}{ends}{}{ends}", rows.join(ends));
    fs::write(folder.join("labels.csv"), table).unwrap();
}

fn row(name: &str, class: usize, rest: &str) -> String {
    format!("{name},{class},0,trainval,40,30,{rest}")
}

fn options(side: usize) -> PhotoOptions {
    PhotoOptions { size: [side, side], repeats: 1, ..PhotoOptions::default() }
}

#[test]
fn pets_are_read_with_a_byte_order_mark_windows_line_ends_and_missing_boxes() {
    let folder = tempdir().unwrap();
    let rows = [
        row("Fluffy_cat_1", 4, "12,6,20,12,10,5,30,25"),
        row("Fluffy_cat_2", 4, ",,,,-5,5,50,25"),
        row("Dog_7", 9, "3,3,3,9,10,5,30,25"),
    ];
    pets(folder.path(), &rows, "\r\n");
    let photos = Photos::open(folder.path(), 1, PhotoOptions { augment: 0.0, ..options(20) }).unwrap();
    assert_eq!(photos.info().label(CLASS).unwrap().classes, ["Fluffy_cat", "Dog"]);
    let findings = &photos.info().accounts[0].findings;
    assert!(
        findings.iter().any(|f| f.what == "boxes without area" && f.count == 1),
        "the head without width"
    );
    let samples: Vec<Sample> = (0..3).map(|i| photos.sample(Split::Train, 0, i).unwrap()).collect();
    assert_eq!([samples[0].class, samples[2].class], [Some(0), Some(1)]);
    // Stretched to half the width and two thirds of the height.
    let close =
        |found: [f32; 4], wanted: [f32; 4]| found.iter().zip(wanted).all(|(f, w)| (f - w).abs() < 1e-4);
    assert!(close(samples[0].objects.as_ref().unwrap()[0].bbox, [5.0, 10.0 / 3.0, 15.0, 50.0 / 3.0]));
    assert!(
        close(samples[1].objects.as_ref().unwrap()[0].bbox, [0.0, 10.0 / 3.0, 20.0, 50.0 / 3.0]),
        "clipped"
    );
    assert!(samples[0].more.contains_key("head"));
    assert!(!samples[1].more.contains_key("head") && !samples[2].more.contains_key("head"));
    let mask = samples[0].mask.as_ref().unwrap();
    assert_eq!(&mask.classes[..8], &[0, 0, 0, 0, 0, 1, 1, 1]);
    assert_eq!((samples[0].image.height, samples[0].image.width), (20, 20));
}

#[test]
fn mistakes_in_the_table_and_beside_it_are_errors_with_file_line_and_remedy() {
    let good = row("Cat_1", 0, "12,6,20,12,10,5,30,25");
    let fails = |rows: &[String], damage: &dyn Fn(&Path), words: &[&str]| {
        let folder = tempdir().unwrap();
        pets(folder.path(), rows, "\n");
        damage(folder.path());
        let opened = Photos::open(folder.path(), 1, options(16));
        let error = match opened {
            Ok(photos) => photos.sample(Split::Train, 0, 0).unwrap_err(),
            Err(error) => error,
        };
        let message = error.to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message} lacks one of {words:?}");
    };
    let nothing = |_: &Path| {};
    fails(&[good.clone(), row("Cat_2", 0, "1,2,3")], &nothing, &["labels.csv, line 3", "as many cells"]);
    fails(&[row("Cat_1", 0, "a,6,20,12,10,5,30,25")], &nothing, &["line 2", "head_xmin"]);
    fails(&[row("Cat_1", 0, "12,6,20,12,10,5,30,nan")], &nothing, &["line 2", "body_ymax"]);
    fails(&[row("Cat_1", 0, "12,6,20,12,30,5,10,25")], &nothing, &["line 2", "right and bottom"]);
    fails(&[good.clone(), good.clone()], &nothing, &["line 3", "each name once"]);
    fails(&["Cat_1,x,0,trainval,40,30,,,,,1,1,2,2".into()], &nothing, &["line 2", "whole number"]);
    fails(&["Cat_1,0,0,trainval,50,30,,,,,1,1,2,2".into()], &nothing, &["Cat_1.jpg", "50x30", "40x30"]);
    let no_picture = |folder: &Path| fs::remove_file(folder.join("images/Cat_1.jpg")).unwrap();
    fails(std::slice::from_ref(&good), &no_picture, &["Cat_1.jpg", "fetch"]);
    let bad_trimap =
        |folder: &Path| fs::write(folder.join("trimaps/Cat_1.png"), gray_png(vec![7; 1200])).unwrap();
    fails(std::slice::from_ref(&good), &bad_trimap, &["Cat_1.png, row 0, column 0", "1, 2 or 3", "7"]);
    let no_rows = |folder: &Path| fs::write(folder.join("labels.csv"), HEADER).unwrap();
    fails(std::slice::from_ref(&good), &no_rows, &["labels.csv, line 2"]);
    let no_column = |folder: &Path| fs::write(folder.join("labels.csv"), "name,class\nCat_1,0\n").unwrap();
    fails(std::slice::from_ref(&good), &no_column, &["line 1", "width"]);
    let escape = row("..", 0, "12,6,20,12,10,5,30,25");
    fails(
        &[good],
        &|folder| fs::write(folder.join("labels.csv"), format!("{HEADER}\n{escape}")).unwrap(),
        &["name = .."],
    );
}

#[test]
fn a_held_back_share_depends_on_names_alone_and_takes_of_every_class() {
    let folder = tempdir().unwrap();
    let mut rows: Vec<String> =
        (0..20).map(|i| row(&format!("{}_{i}", ["A", "B"][i % 2]), i % 2, "1,1,9,9,10,5,30,25")).collect();
    pets(folder.path(), &rows, "\n");
    let held = |rows: &[String]| {
        pets(folder.path(), rows, "\n");
        let photos = Photos::open(folder.path(), 1, PhotoOptions { hold_back: 0.2, ..options(16) }).unwrap();
        assert_eq!((photos.len(Split::Train), photos.len(Split::Test)), (16, 4));
        let mut names: Vec<String> =
            photos.splits[2].iter().map(|&p| photos.photos[p].name.clone()).collect();
        names.sort();
        names
    };
    let first = held(&rows);
    assert_eq!(first.iter().filter(|name| name.starts_with('A')).count(), 2);
    rows.reverse();
    assert_eq!(held(&rows), first);
}

#[test]
fn classes_of_a_trained_model_are_kept_in_its_order() {
    let folder = tempdir().unwrap();
    pets(folder.path(), &[row("B_1", 0, "1,1,9,9,10,5,30,25")], "\n");
    let known = |names: &[&str]| {
        let names = names.iter().map(|name| name.to_string()).collect();
        PhotoOptions { classes: BTreeMap::from([(CLASS.to_string(), names)]), hold_back: 1.0, ..options(16) }
    };
    let photos = Photos::open(folder.path(), 1, known(&["A", "B"])).unwrap();
    assert_eq!(photos.sample(Split::Test, 0, 0).unwrap().class, Some(1), "by name");
    let photos = Photos::open(folder.path(), 1, known(&["X", "Y"])).unwrap();
    assert_eq!(photos.sample(Split::Test, 0, 0).unwrap().class, Some(0), "names unknown: by number");
    let refused = Photos::open(folder.path(), 1, known(&[])).err().unwrap();
    assert!(refused.to_string().contains("\"B\""), "{refused}");
}

fn coco(folder: &Path, annotations: &str) {
    fs::create_dir_all(folder.join("images")).unwrap();
    for name in ["a.png", "b.png"] {
        fs::write(folder.join("images").join(name), white_at([10, 5, 30, 25]).to_png().unwrap()).unwrap();
    }
    let images = r#"[{"id": 3, "file_name": "a.png", "width": 40, "height": 30},
        {"id": 5, "file_name": "b.png", "width": 40, "height": 30}]"#;
    let categories = r#"[{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}]"#;
    let text = format!(r#"{{"images": {images}, "categories": {categories}, "annotations": {annotations}}}"#);
    fs::write(folder.join("annotations.json"), text).unwrap();
}

#[test]
fn coco_boxes_polygons_and_crowds_become_objects_and_masks() {
    let folder = tempdir().unwrap();
    coco(
        folder.path(),
        r#"[
        {"id": 1, "image_id": 3, "category_id": 18, "bbox": [10, 5, 20, 20], "area": 400, "iscrowd": 0,
         "segmentation": [[10, 5, 30, 5, 30, 25, 10, 25]]},
        {"id": 2, "image_id": 3, "category_id": 1, "bbox": [12, 7, 4, 4], "area": 9, "iscrowd": 0,
         "segmentation": [[12, 7, 16, 7, 16, 11, 12, 11]]},
        {"id": 3, "image_id": 3, "category_id": 1, "bbox": [32, 0, 8, 30], "iscrowd": 1,
         "segmentation": {"counts": [960, 180, 60], "size": [30, 40]}},
        {"id": 5, "image_id": 3, "category_id": 1, "bbox": [1, 26, 3, 2], "iscrowd": 0,
         "segmentation": {"counts": "h12l0000nP1", "size": [30, 40]}},
        {"id": 4, "image_id": 3, "category_id": 1, "bbox": [2, 2, 0, 5], "iscrowd": 0}]"#,
    );
    let photos = Photos::open(folder.path(), 1, PhotoOptions { augment: 0.0, ..options(40) }).unwrap();
    assert_eq!(photos.info().label("objects").unwrap().classes, ["person", "dog"]);
    let findings = &photos.info().accounts[0].findings;
    assert!(findings.iter().any(|f| f.what == "boxes without area" && f.first[0].contains("annotation 4")));
    let sample = photos.sample(Split::Train, 0, 0).unwrap();
    let objects = sample.objects.unwrap();
    assert_eq!(
        objects.iter().map(|o| (o.class, o.crowd)).collect::<Vec<_>>(),
        [(1, false), (0, false), (0, true), (0, false)]
    );
    assert!((objects[1].area - 9.0 * 4.0 / 3.0).abs() < 1e-3, "the annotated area, stretched");
    let mask = sample.mask.unwrap();
    // Stretched from 30 to 40 rows: row 12 is row 9 of the file.
    assert_eq!([0, 11, 13, 20, 31, 35, 39].map(|x| mask.classes[12 * 40 + x]), [0, 2, 1, 2, 0, IGNORED, 0]);
    // Row 35 is row 26 of the file: the run-length coded object, below the others.
    assert_eq!([0, 1, 3, 4].map(|x| mask.classes[35 * 40 + x]), [0, 1, 1, 0]);
    assert_eq!(sample.more["present"], Label::Classes(vec![true, true]));
    let empty = photos.sample(Split::Train, 0, 1).unwrap();
    assert_eq!((empty.objects, empty.mask.unwrap().classes.iter().max()), (Some(vec![]), Some(&0)));
}

#[test]
fn mistakes_in_coco_files_name_the_annotation() {
    let fails = |annotations: &str, words: &[&str]| {
        let folder = tempdir().unwrap();
        coco(folder.path(), annotations);
        let message = Photos::open(folder.path(), 1, options(16)).err().unwrap().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message} lacks one of {words:?}");
    };
    let one = |fields: &str| format!(r#"[{{"id": 8, "image_id": 3, "category_id": 1, {fields}}}]"#);
    fails(&one(r#""bbox": [1, 2, 3]"#), &["annotation 8", "four numbers"]);
    fails(&one(r#""bbox": [1, 2, -3, 4]"#), &["annotation 8", "negative"]);
    fails(&one(r#""bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 3, 4]]"#), &["annotation 8", "three points"]);
    let runs = |text: &str| one(&format!(r#""bbox": [1, 2, 3, 4], "segmentation": {text}"#));
    fails(&runs(r#"{"size": [30, 40], "counts": [7]}"#), &["annotation 8", "1200 pixels", "7 in all"]);
    fails(&runs(r#"{"size": [40, 30], "counts": [1200]}"#), &["annotation 8", "[40, 30]"]);
    fails(&runs(r#"{"counts": [1200]}"#), &["annotation 8", "size and counts"]);
    fails(
        r#"[{"id": 8, "image_id": 4, "category_id": 1, "bbox": [1, 2, 3, 4]}]"#,
        &["annotation 8", "image_id"],
    );
    fails(
        r#"[{"id": 8, "image_id": 3, "category_id": 2, "bbox": [1, 2, 3, 4]}]"#,
        &["annotation 8", "category_id"],
    );
    fails("[{]", &["annotations.json, line"]);
}

#[test]
fn yolo_boxes_and_polygons_are_relative_and_ids_may_have_gaps() {
    let folder = tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join("images/all")).unwrap();
    fs::create_dir_all(path.join("labels/all")).unwrap();
    for name in ["a.png", "b.png"] {
        fs::write(path.join("images/all").join(name), white_at([10, 5, 30, 25]).to_png().unwrap()).unwrap();
    }
    fs::write(path.join("labels/all/a.txt"), "7 0.25 0.5 0.5 1.0\r\n2 0 0 0.5 0 0.5 0.5 0 0.5\r\n").unwrap();
    let yaml = "# comment\npath: .\ntrain: images/all\nnames:\n  2: cat\n  7: \"dog\"\n";
    fs::write(path.join("data.yaml"), yaml).unwrap();
    let photos = Photos::open(path, 1, PhotoOptions { augment: 0.0, ..options(40) }).unwrap();
    assert_eq!(photos.info().label("objects").unwrap().classes, ["cat", "dog"]);
    let sample = photos.sample(Split::Train, 0, 0).unwrap();
    assert_eq!(
        sample.objects.unwrap().iter().map(|o| (o.class, o.bbox)).collect::<Vec<_>>(),
        [(1, [0.0, 0.0, 20.0, 40.0]), (0, [0.0, 0.0, 20.0, 20.0])]
    );
    assert_eq!(photos.sample(Split::Train, 0, 1).unwrap().objects, Some(vec![]));
    for (line, words) in [
        ("9 0 0 1 1", "class id"),
        ("2 0 0 x 1", "numbers"),
        ("2 0 0 30 40", "relative"),
        ("2 0 0 1", "four"),
    ] {
        fs::write(path.join("labels/all/a.txt"), line).unwrap();
        let message = Photos::open(path, 1, options(40)).err().unwrap().to_string();
        assert!(message.contains("a.txt, line 1") && message.contains(words), "{message}");
    }
}

/// A photo whose white rectangle, box and mask agree.
fn consistent(place: [usize; 4]) -> Sample {
    let image = white_at(place);
    let classes = image.pixels.chunks_exact(3).map(|p| ClassId::from(p[0] / 255)).collect();
    Sample {
        image,
        class: Some(0),
        objects: Some(vec![Object::new(0, place.map(|side| side as f32))]),
        mask: Some(Mask { height: 30, width: 40, classes }),
        more: BTreeMap::new(),
        inputs: BTreeMap::new(),
    }
}

#[test]
fn image_box_and_mask_move_together() {
    let photo = consistent([10, 5, 30, 25]);
    for index in 0..200 {
        let mut view = View::draw(&photo, 1.0, &mut stream(3, "test", 0, index));
        view.colour = Colour::NONE;
        let shown = show(&photo, &view, [64, 64], Fit::Stretch);
        let mask = shown.mask.unwrap();
        let [x1, y1, x2, y2] = shown.objects.unwrap()[0].bbox;
        // The mask contains the pixels whose centre lies in the box, up to the rounding of one source pixel.
        let slack = 64.0 / view.window[2].min(view.window[3]) as f32;
        let lit: Vec<(f32, f32)> = (0..64 * 64)
            .filter(|&p| mask.classes[p] == 1)
            .map(|p| ((p % 64) as f32 + 0.5, (p / 64) as f32 + 0.5))
            .collect();
        let reach =
            |f: fn(f32, f32) -> f32, of: fn(&(f32, f32)) -> f32| lit.iter().map(of).reduce(f).unwrap();
        assert!(
            (reach(f32::min, |p| p.0) - x1).abs() <= slack && (reach(f32::max, |p| p.0) - x2).abs() <= slack
        );
        assert!(
            (reach(f32::min, |p| p.1) - y1).abs() <= slack && (reach(f32::max, |p| p.1) - y2).abs() <= slack
        );
        // The picture is bright where the mask is set, except for the soft edge.
        let agree =
            (0..64 * 64).filter(|&p| (shown.image.pixels[3 * p] > 127) == (mask.classes[p] == 1)).count();
        assert!(agree as f32 > 0.94 * 4096.0, "{agree} of 4096 at view {view:?}");
        let [x, y, w, h] = view.window.map(|v| v as f32);
        let seen = (30f32.min(x + w) - 10f32.max(x)) * (25f32.min(y + h) - 5f32.max(y));
        assert!(seen >= 0.5 * 400.0 * 0.99, "half of the object is kept: {view:?}");
    }
}

#[test]
fn flipping_twice_gives_the_photo_back() {
    let photo = consistent([4, 5, 20, 25]);
    let (fit, flip) = (Fit::Stretch, View { flip: true, ..View::whole(&photo.image) });
    let once = augment::show(&photo, &flip, [40, 40], fit);
    let twice = augment::show(&once, &View { flip: true, ..View::whole(&once.image) }, [40, 40], fit);
    let plain = augment::show(&photo, &View::whole(&photo.image), [40, 40], fit);
    assert_eq!(twice, plain);
    let wanted = [20.0, 20.0 / 3.0, 36.0, 100.0 / 3.0];
    let found = once.objects.unwrap()[0].bbox;
    assert!(found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-4), "{found:?}");
    assert_ne!(once.image, plain.image);
    assert_ne!(once.mask, plain.mask);
}

#[test]
fn samples_are_pure_functions_of_seed_epoch_and_index() {
    let folder = tempdir().unwrap();
    pets(folder.path(), &[row("A_1", 0, "1,1,9,9,10,5,30,25")], "\n");
    let open = |seed| Photos::open(folder.path(), seed, PhotoOptions { repeats: 3, ..options(32) }).unwrap();
    let (one, same, other) = (open(1), open(1), open(2));
    assert_eq!(one.len(Split::Train), 3);
    assert_eq!(one.sample(Split::Train, 4, 2).unwrap(), same.sample(Split::Train, 4, 2).unwrap());
    assert_ne!(one.sample(Split::Train, 4, 2).unwrap(), one.sample(Split::Train, 4, 1).unwrap());
    assert_ne!(one.sample(Split::Train, 4, 2).unwrap(), one.sample(Split::Train, 5, 2).unwrap());
    assert_ne!(one.sample(Split::Train, 4, 2).unwrap(), other.sample(Split::Train, 4, 2).unwrap());
    assert!(one.sample(Split::Train, 0, 3).is_err() && one.sample(Split::Test, 0, 0).is_err());
}

#[test]
fn polygons_fill_the_pixels_whose_centres_they_hold() {
    let fill = |polygon: &[[f32; 2]]| {
        let outline = Outline { value: 3, shape: Shape::Polygons(vec![polygon.to_vec()]) };
        polygon::fill(&[outline], [4, 4]).classes
    };
    assert_eq!(
        fill(&[[1.0, 1.0], [3.0, 1.0], [3.0, 3.0], [1.0, 3.0]]),
        [0, 0, 0, 0, 0, 3, 3, 0, 0, 3, 3, 0, 0, 0, 0, 0]
    );
    assert_eq!(fill(&[[-9.0, -9.0], [90.0, -9.0], [90.0, 90.0], [-9.0, 90.0]]), [3; 16]);
    assert_eq!(fill(&[[0.0, 0.0], [4.0, 4.0], [0.0, 4.0]]).iter().filter(|&&v| v == 3).count(), 6);
    assert_eq!(polygon::area(&[[0.0, 0.0], [4.0, 4.0], [0.0, 4.0]]), 8.0);
    assert_eq!(fill(&[[5.0, -5.0], [6.0, -4.0], [5.0, -3.0]]), [0; 16]);
}

mod mapped;
