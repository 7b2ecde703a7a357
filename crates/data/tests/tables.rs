//! Tables of labels: the meaning of each column, and every error with its line and column.

use std::fs;
use std::path::Path;

use cerberus_data::{
    CLASS, DataError, Dataset, FindingKind, Image, Label, LabelKind, PhotoOptions, Photos, Sample, Split,
    open,
};
use tempfile::{TempDir, tempdir};

/// A picture of 40x30 pixels (width x height).
fn picture(seed: u8) -> Vec<u8> {
    let pixels: Vec<u8> = (0..40 * 30 * 3).map(|p| (p as u8).wrapping_mul(seed | 1)).collect();
    Image { height: 30, width: 40, channels: 3, pixels: pixels.into() }.to_png().unwrap()
}

fn gray(ids: Vec<u8>) -> Vec<u8> {
    Image { height: 30, width: 40, channels: 1, pixels: ids.into() }.to_png().unwrap()
}

/// A 16-bit gray PNG.
fn deep(width: u32, height: u32, value: impl Fn(u32) -> u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Sixteen);
    let values: Vec<u8> = (0..width * height).flat_map(|place| value(place).to_be_bytes()).collect();
    encoder.write_header().unwrap().write_image_data(&values).unwrap();
    bytes
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Pictures `a.png`, `b.png`, .. in `images/`, and a table.
fn set(pictures: usize, table: &str) -> TempDir {
    let folder = tempdir().unwrap();
    for (number, name) in ('a'..='z').take(pictures).enumerate() {
        write(folder.path(), &format!("images/{name}.png"), picture(number as u8));
    }
    write(folder.path(), "table.csv", table);
    folder
}

fn plain() -> PhotoOptions {
    PhotoOptions { size: [40, 40], repeats: 1, augment: 0.0, ..PhotoOptions::default() }
}

fn photos(set: &TempDir) -> Photos {
    Photos::open(set.path(), 1, plain()).unwrap_or_else(|error| panic!("{error}"))
}

fn train(photos: &Photos) -> Vec<Sample> {
    (0..photos.len(Split::Train)).map(|index| photos.sample(Split::Train, 0, index).unwrap()).collect()
}

fn told(photos: &Photos, kind: FindingKind, what: &str) -> Vec<String> {
    let findings = photos.info().accounts[0].findings.iter();
    findings.filter(|f| f.kind == kind && f.what.contains(what)).flat_map(|f| f.first.clone()).collect()
}

fn refused(set: &TempDir, words: &[&str]) {
    let opened: Result<Photos, DataError> = Photos::open(set.path(), 1, plain());
    let message = match opened {
        Ok(photos) => photos.sample(Split::Train, 0, 0).expect_err("it must be refused").to_string(),
        Err(error) => error.to_string(),
    };
    assert!(words.iter().all(|word| message.contains(word)), "{message} lacks one of {words:?}");
}

#[test]
fn a_column_per_task_becomes_a_label_each_and_empty_cells_are_missing_labels() {
    let set = set(
        4,
        "image,split,class,class:maker,labels:seen,number:age,number:at/x,number:at/y\n\
         a.png,train,cat,Ann,red; round,3.5,1,2\n\
         b.png,train,dog,,-,,3,\n\
         c.png,Training,,Bob,,12,,\n\
         d.png,val,cat,Ann,red|flat,0,0,0\n",
    );
    let photos = photos(&set);
    let labels: Vec<_> =
        photos.info().labels.iter().map(|l| (l.name.as_str(), l.kind, l.classes.join(" "))).collect();
    assert_eq!(
        labels,
        [
            (CLASS, LabelKind::Class, "cat dog".to_string()),
            ("maker", LabelKind::Class, "Ann Bob".into()),
            ("seen", LabelKind::Classes, "flat red round".into()),
            ("age", LabelKind::Values, "age".into()),
            ("at", LabelKind::Values, "x y".into()),
        ]
    );
    let samples = train(&photos);
    assert_eq!(samples.iter().map(|s| s.class).collect::<Vec<_>>(), [Some(0), Some(1), None]);
    assert_eq!(samples[0].more["seen"], Label::Classes(vec![false, true, true]));
    assert_eq!(samples[1].more["seen"], Label::Classes(vec![false; 3]), "none is not missing");
    assert!(!samples[2].more.contains_key("seen") && !samples[1].more.contains_key("maker"));
    assert_eq!(samples[0].more["age"], Label::Values(vec![3.5]));
    assert!(!samples[1].more.contains_key("age"));
    let Label::Values(at) = &samples[1].more["at"] else { panic!("numbers") };
    assert!(at[0] == 3.0 && at[1].is_nan());
    assert!(!samples[2].more.contains_key("at"));
    let validation = photos.sample(Split::Validation, 0, 0).unwrap();
    assert_eq!(validation.more["age"], Label::Values(vec![0.0]), "a zero that is written is a zero");
}

#[test]
fn columns_of_other_names_are_used_where_their_cells_leave_no_doubt() {
    let set = set(
        4,
        "file;weather;things;score;year;remark;Unnamed: 0\n\
         a.png;sun;x|y;0.5;1999;first;\n\
         b.png;rain;x;2;2004;second;\n\
         c.png;sun;y|x;-1e2;1999;third;\n\
         d.png;rain;y;nan;2011;fourth;\n",
    );
    write(
        set.path(),
        "table.csv",
        fs::read_to_string(set.path().join("table.csv")).unwrap().replace("Unnamed: 0", ""),
    );
    let photos = photos(&set);
    let labels: Vec<_> = photos.info().labels.iter().map(|l| (l.name.as_str(), l.kind)).collect();
    assert_eq!(
        labels,
        [("weather", LabelKind::Class), ("things", LabelKind::Classes), ("score", LabelKind::Values)]
    );
    assert_eq!(told(&photos, FindingKind::LabelLeftOut, "not clear what they say"), ["year", "remark"]);
    let samples = train(&photos);
    assert_eq!(samples[2].more["score"], Label::Values(vec![-100.0]));
    assert!(!samples[3].more.contains_key("score"));
}

#[test]
fn boxes_come_as_corners_or_sides_in_as_many_rows_as_there_are_objects() {
    for (header, rows) in [
        (
            "filename,width,height,class,xmin,ymin,xmax,ymax",
            "a.png,40,30,cup,4,3,14,9\na.png,40,30,box,10,0,40,30\nb.png,40,30,,-,-,-,-\nc.png,40,30,,,,,\n",
        ),
        (
            "image,label,x,y,width,height",
            "a.png,cup,4,3,10,6\na.png,box,10,0,30,30\nb.png,,-,-,-,-\nc.png,,,,,\n",
        ),
    ] {
        let set = set(4, &format!("{header}\n{rows}"));
        let photos = photos(&set);
        assert_eq!(photos.info().label("objects").unwrap().classes, ["box", "cup"]);
        let samples = train(&photos);
        let found: Vec<_> = samples[0].objects.iter().flatten().map(|o| (o.class, o.bbox)).collect();
        assert_eq!(found, [(1, [4.0, 4.0, 14.0, 12.0]), (0, [10.0, 0.0, 40.0, 40.0])], "{header}");
        assert_eq!(samples[0].more["present"], Label::Classes(vec![true, true]));
        assert_eq!(samples[1].objects, Some(vec![]), "somebody looked");
        assert_eq!((samples[2].objects.as_ref(), samples[2].more.len()), (None, 0), "nobody looked");
        assert_eq!(told(&photos, FindingKind::LeftOut, "no row").len(), 1, "d.png");
        assert_eq!((photos.info().accounts[0].found, photos.info().accounts[0].used), (4, 3));
    }
    let one_class = set(1, "image,x1,y1,x2,y2\na.png,1,2,3,4\n");
    assert_eq!(photos(&one_class).info().label("objects").unwrap().classes, ["object"]);
}

#[test]
fn depth_maps_are_metres_and_zero_is_unknown() {
    for (column, steps) in [("depth", 1000.0), ("depth@256", 256.0), ("depth:far@500", 500.0)] {
        let set = set(2, &format!("image,{column}\na.png,depth/a.png\nb.png,\n"));
        write(set.path(), "depth/a.png", deep(40, 30, |place| if place < 40 { 0 } else { 2560 }));
        let photos = photos(&set);
        let label = &photos.info().labels[0];
        assert_eq!((label.kind, &label.classes[..]), (LabelKind::ValueMap, &["metres".to_string()][..]));
        let samples = train(&photos);
        let Label::ValueMap(map) = &samples[0].more[&label.name] else { panic!("a map") };
        assert_eq!((map.height, map.width), (40, 40));
        assert!(map.values[0].is_nan() && map.values[1599] == 2560.0 / steps, "{column}");
        assert!(samples[1].more.is_empty());
    }
    let set = set(1, "image,depth\na.png,a.png\n");
    write(set.path(), "depth/a.png", gray(vec![9; 1200]));
    refused(&set, &["depth/a.png", "16-bit", "depth@"]);
    write(set.path(), "depth/a.png", deep(20, 30, |_| 1));
    refused(&set, &["a.png", "20x30"]);
    write(set.path(), "table.csv", "image,depth\na.png,none.png\n");
    refused(&set, &["table.csv, line 2, column \"depth\"", "none.png"]);
}

#[test]
fn masks_of_a_table_are_named_by_a_list_beside_it() {
    let set = set(2, "image,mask\na.png,a.png\nb.png,\n");
    write(set.path(), "masks/a.png", gray((0..1200).map(|place| (place % 3) as u8).collect()));
    write(set.path(), "classes.txt", "sky\nroad\n");
    let photos = photos(&set);
    assert_eq!(photos.info().label("mask").unwrap().classes, ["sky", "road"]);
    let samples = train(&photos);
    assert_eq!(samples[0].mask.as_ref().unwrap().classes[..4], [0, 1, 2, 0]);
    assert!(samples[1].mask.is_none());
}

#[test]
fn tables_of_parts_in_files_or_folders_are_one_set() {
    let files = tempdir().unwrap();
    for (number, part) in ["train", "valid", "test"].iter().enumerate() {
        write(files.path(), &format!("{part}/{number}.png"), picture(number as u8));
        write(files.path(), &format!("{part}.csv"), format!("image\tclass\n{number}\tc{number}\n"));
    }
    let folders = tempdir().unwrap();
    for (number, part) in ["train", "valid", "test"].iter().enumerate() {
        write(folders.path(), &format!("{part}/{number}.png"), picture(number as u8));
        let table = format!("image,class\n{number}.png,c{number}\n");
        write(folders.path(), &format!("{part}/_annotations.csv"), table);
    }
    for set in [files, folders] {
        let photos = photos(&set);
        assert_eq!([Split::Train, Split::Validation, Split::Test].map(|split| photos.len(split)), [1, 1, 1]);
        assert_eq!(photos.info().labels[0].classes, ["c0", "c1", "c2"]);
    }
}

#[test]
fn a_table_may_be_named_alone_whatever_its_name_and_classes_by_number_are_in_their_order() {
    let set = set(3, "image,class\na,10\nb,9\nimages\\c.png,10\n");
    fs::rename(set.path().join("table.csv"), set.path().join("test.csv")).unwrap();
    let options = PhotoOptions { size: [16, 16], ..PhotoOptions::default() };
    let path = set.path().join("test.csv");
    let photos = Photos::open(&path, 1, options).unwrap();
    assert_eq!(photos.info().labels[0].classes, ["9", "10"]);
    assert_eq!(photos.photos(), 3);
    assert!(open(path.to_str().unwrap(), 1).is_ok());
}

#[test]
fn mistakes_name_the_line_and_the_column() {
    for (table, words) in [
        ("image,class\nz.png,cat\n", ["line 2, column \"image\"", "z.png"]),
        ("image,class\n,cat\n", ["line 2, column \"image\"", "a picture's file"]),
        ("image,class\na.png,cat\na.png,dog\n", ["line 3, column \"image\"", "line 2 has this one"]),
        ("image,class\na.png\n", ["table.csv, line 2", "as many cells"]),
        ("image,class\n", ["table.csv, line 2", "a row for each picture"]),
        ("image,split,class\na.png,maybe,cat\n", ["line 2, column \"split\"", "maybe"]),
        ("image,number:n\na.png,12\nb.png,many\n", ["line 3, column \"number:n\"", "many"]),
        ("image,colour:x\na.png,1\n", ["line 1", "class:NAME"]),
        ("image,number:\na.png,1\n", ["line 1", "number:"]),
        ("image,depth@none\na.png,1\n", ["line 1", "depth@none"]),
        ("image,class,Class\na.png,1,1\n", ["line 1", "each column once"]),
        ("image,class,class:class\na.png,1,1\n", ["line 1", "each label once"]),
        ("image,class:objects\na.png,1\n", ["line 1", "objects"]),
        ("image,year\na.png,1999\n", ["line 1", "class:NAME"]),
        ("image,class,width,height\na.png,x,41,30\n", ["images/a.png", "41x30"]),
        ("image,class,width,height\na.png,x,wide,30\n", ["line 2, column \"width\"", "wide"]),
        ("image,mask\na.png,none.png\n", ["line 2, column \"mask\"", "none.png"]),
        ("image,class,xmin,ymin,xmax,ymax\na.png,c,1,2,,4\n", ["line 2, column \"xmax\"", "empty"]),
        ("image,class,xmin,ymin,xmax,ymax\na.png,c,1,2,0,4\n", ["line 2, column \"xmax\"", "right"]),
        (
            "image,class,xmin,ymin,xmax,ymax\na.png,,1,2,3,4\na.png,c,5,6,7,8\n",
            ["line 2, column \"class\"", "the class"],
        ),
        ("image,class,xmin,ymin,xmax,ymax\na.png,c,.1,.2,.3,.4\n", ["the boxes", "pixels"]),
        ("image,class,x,y,w,h\na.png,c,1,2,-3,4\n", ["line 2, column \"w\"", "negative"]),
        ("image,class,x,y,w,h\na.png,c,nan,2,3,4\n", ["line 2, column \"x\"", "nan"]),
        (
            "image,x,y,w,h,number:n\na.png,1,2,3,4,7\na.png,5,6,7,8,9\n",
            ["line 3, column \"number:n\"", "same in all rows"],
        ),
    ] {
        refused(&set(2, table), &words);
    }
}

#[test]
fn tables_of_other_headers_are_refused_and_a_pet_table_is_not_taken_for_one_of_these() {
    let set = set(1, "image,class\na.png,cat\n");
    write(set.path(), "val.csv", "image,kind\na.png,cat\n");
    refused(&set, &["val.csv, line 1", "image,class"]);
    fs::remove_file(set.path().join("val.csv")).unwrap();
    fs::rename(set.path().join("table.csv"), set.path().join("labels.csv")).unwrap();
    assert_eq!(
        photos(&set).info().accounts[0].format,
        "table",
        "images/ and labels.csv with a column of pictures"
    );
    write(set.path(), "labels.csv", "name,class\na,cat\n");
    refused(&set, &["labels.csv", "width"]);
}
