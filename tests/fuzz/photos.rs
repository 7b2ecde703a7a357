//! Small valid sets of photographs in every layout, with pictures of 40x30 pixels (width x
//! height).

use image::ImageFormat;

use crate::Part;
use crate::readers::{file, part, picture};

/// A picture that stays as it is.
fn photo(path: &str) -> Part {
    let side = 30;
    // Another picture for every name, so that none is found twice.
    let shade = path.bytes().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    let mut pixels = picture(side).to_rgb8();
    pixels.pixels_mut().for_each(|pixel| pixel.0[2] ^= shade);
    Part { damaged: false, ..part(path, file(&pixels.into(), ImageFormat::Png)) }
}

/// A gray PNG whose left half holds one number and the right half another.
fn halves(left: u8, right: u8) -> Vec<u8> {
    let pixel = |x, _| image::Luma([if x < 20 { left } else { right }]);
    file(&image::GrayImage::from_fn(40, 30, pixel).into(), ImageFormat::Png)
}

const CATEGORIES: &str =
    r#""categories": [{"id": 3, "name": "cat", "isthing": 1}, {"id": 7, "name": "sky", "isthing": 0}]"#;

fn images(names: &[&str]) -> String {
    let image = |(id, name)| format!(r#"{{"id": {id}, "file_name": "{name}", "width": 40, "height": 30}}"#);
    names.iter().enumerate().map(image).collect::<Vec<_>>().join(", ")
}

fn coco_file(annotations: &str) -> String {
    let images = images(&["a.png", "b.png"]);
    format!("{{\"images\": [{images}], \"annotations\": [{annotations}], {CATEGORIES}}}")
}

pub fn coco() -> Vec<Vec<Part>> {
    let annotations = r#"
        {"id": 1, "image_id": 0, "category_id": 3, "bbox": [1, 2.5, 10, 20], "area": 150.5, "iscrowd": 0,
         "segmentation": [[1, 2, 10, 2, 5.5, 20], [20, 20, 30, 20, 30, 29, 20, 29]]},
        {"id": 2, "image_id": 0, "category_id": 7, "bbox": [0, 0, 40, 15], "segmentation": null},
        {"id": 3, "image_id": 1, "category_id": 3, "bbox": [5, 5, 8, 8], "iscrowd": 1, "segmentation": []}"#;
    let parts = vec![
        part("annotations/instances_train.json", coco_file(annotations)),
        part("annotations/instances_val.json", coco_file(annotations)),
    ];
    let photos = ["images/a.png", "images/b.png"].map(photo);
    vec![parts.into_iter().chain(photos).collect()]
}

pub fn run_lengths() -> Vec<Vec<Part>> {
    let set = |counts: &str| {
        let annotations = format!(
            r#"{{"id": 1, "image_id": 0, "category_id": 3, "bbox": [1, 2, 10, 20],
                "segmentation": {{"size": [30, 40], "counts": {counts}}}}}"#
        );
        vec![part("annotations.json", coco_file(&annotations)), photo("a.png"), photo("b.png")]
    };
    // The same run lengths in both forms: the compressed one stores the fourth minus the second.
    vec![set("[300, 60, 240, 90, 510]"), set(r#""\\9l1`7n0^8""#)]
}

pub fn panoptic() -> Vec<Vec<Part>> {
    let segments = r#"[{"id": 258, "category_id": 3, "bbox": [0, 0, 20, 30], "area": 600, "iscrowd": 0},
        {"id": 7, "category_id": 7, "bbox": [20, 0, 20, 30], "area": 600, "iscrowd": 0}]"#;
    let image = images(&["a.png"]);
    let json = format!(
        r#"{{"images": [{image}], "annotations":
            [{{"image_id": 0, "file_name": "a.png", "segments_info": {segments}}}], {CATEGORIES}}}"#
    );
    let pixel = |x, _| image::Rgb(if x < 20 { [2, 1, 0] } else { [7, 0, 0] });
    let png = file(&image::RgbImage::from_fn(40, 30, pixel).into(), ImageFormat::Png);
    vec![vec![part("panoptic_train.json", json), part("panoptic_train/a.png", png), photo("images/a.png")]]
}

pub fn yolo() -> Vec<Vec<Part>> {
    let set = |yaml: &str, label: &str| {
        vec![
            part("data.yaml", yaml),
            part("labels/train/a.txt", label),
            part("labels/train/b.txt", "1 0.5 0.5 1 1\n"),
            photo("images/train/a.png"),
            photo("images/train/b.png"),
            photo("images/val/c.png"),
        ]
    };
    vec![
        set(
            "path: .\ntrain: images/train\nval: images/val\nnc: 2\nnames: [cup, box]\n",
            "0 0.5 0.5 0.25 0.5\n",
        ),
        set(
            "train:\n  - images/train # pictures\nnames:\n  0: cup\n  1: \"box\"\nother: &a [1, 2]\nmore: *a\n",
            "0 0.1 0.1 0.9 0.1 0.5 0.9\n1 0.2 0.2 0.3 0.2 0.3 0.3 0.2 0.3\n",
        ),
    ]
}

fn xml(objects: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<annotation>\n<filename>a.jpg</filename>\n\
         <size><width>40</width><height>30</height><depth>3</depth></size>\n{objects}</annotation>\n"
    )
}

const CAT: &str = "<object><name>cat</name><difficult>0</difficult>\
    <bndbox><xmin>11</xmin><ymin>6</ymin><xmax>30</xmax><ymax>25.5</ymax></bndbox></object>\n";
const DOG: &str = "<object><name>dog &amp; co</name><truncated>1</truncated>\
    <bndbox><xmax>40</xmax><ymax>30</ymax><xmin>1</xmin><ymin>1</ymin></bndbox>\
    <part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></part></object>\n";

pub fn voc() -> Vec<Vec<Part>> {
    let original = vec![
        part("Annotations/a.xml", xml(CAT)),
        part("Annotations/b.xml", xml(&format!("{CAT}{DOG}"))),
        part("ImageSets/Main/train.txt", "a\nb 1\n"),
        part("ImageSets/Main/val.txt", "c -1\n"),
        part("Annotations/c.xml", xml("")),
        photo("JPEGImages/a.jpg"),
        photo("JPEGImages/b.jpg"),
        photo("JPEGImages/c.jpg"),
    ];
    let masks = vec![
        part("Annotations/a.xml", xml(CAT)),
        part("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\n"),
        part("SegmentationClass/a.png", halves(0, 1)),
        photo("JPEGImages/a.jpg"),
    ];
    vec![original, masks]
}

pub fn table() -> Vec<Vec<Part>> {
    let labels = "image,split,class,labels:seen,number:age,depth\n\
        a.png,train,cat,red;round,3.5,depth/a.png\nb.png,train,\"dog\",-,,\nc.png,test,,,12,\n";
    let depth =
        image::ImageBuffer::<image::Luma<u16>, _>::from_fn(40, 30, |x, y| image::Luma([(x * y) as u16]));
    let photos = || ["images/a.png", "images/b.png", "images/c.png"].map(photo);
    let boxes = "image;xmin;ymin;xmax;ymax;class\na.png;1;2;30;20;cat\na.png;5;5;10;10;dog\nb.png;-;-;-;-;\n\
        c.png;0;0;40;30;cat\n";
    let of = |parts: Vec<Part>| parts.into_iter().chain(photos()).collect();
    let depth = file(&image::DynamicImage::ImageLuma16(depth), ImageFormat::Png);
    vec![of(vec![part("table.csv", labels), part("depth/a.png", depth)]), of(vec![part("boxes.csv", boxes)])]
}

pub fn masks() -> Vec<Vec<Part>> {
    let set = |list: Part, mask: Vec<u8>| vec![list, part("masks/a.png", mask), photo("images/a.png")];
    let colour = |x, _| image::Rgb(if x < 20 { [0, 0, 0] } else { [10, 20, 30] });
    let colours = file(&image::RgbImage::from_fn(40, 30, colour).into(), ImageFormat::Png);
    let yaml = "train: { images: images, masks: masks }\nclasses: { 0: unlabeled, 1: person, 9: rug }\n";
    vec![
        set(part("classes.txt", "background\ncat\ndog\n"), halves(0, 2)),
        set(part("class_dict.csv", "name,r,g,b\nbackground,0,0,0\ncat,10,20,30\n"), colours),
        set(part("data.yaml", yaml), halves(9, 1)),
    ]
}

/// Masks of every depth alone: the numbers of gray and paletted pictures.
pub fn ids() -> Vec<Vec<Part>> {
    let packed = |bits: png::BitDepth, colour: png::ColorType, row: usize| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 40, 30);
        encoder.set_color(colour);
        encoder.set_depth(bits);
        if colour == png::ColorType::Indexed {
            encoder.set_palette([0, 0, 0, 255, 0, 0, 0, 255, 0].as_slice());
        }
        encoder.write_header().unwrap().write_image_data(&vec![0b0001_0001; row * 30]).unwrap();
        vec![part("masks/a.png", bytes), photo("images/a.png")]
    };
    vec![
        packed(png::BitDepth::Four, png::ColorType::Grayscale, 20),
        packed(png::BitDepth::Four, png::ColorType::Indexed, 20),
        packed(png::BitDepth::Sixteen, png::ColorType::Grayscale, 80),
        vec![part("masks/a.png", halves(1, 255)), photo("images/a.png")],
    ]
}

pub fn pets() -> Vec<Vec<Part>> {
    let columns = "name,class,species,split,width,height,body_xmin,body_ymin,body_xmax,body_ymax,\
        head_xmin,head_ymin,head_xmax,head_ymax";
    let table = format!(
        "{columns}\nBengal_1,1,0,train,40,30,1,2,30,20,5,5,10,10\npug_2,2,1,,40,30,0,0,40,30,,,,\n\
         pug_3,2,1,test,40,30,,,,,,,,\n"
    );
    let photos = ["images/Bengal_1.jpg", "images/pug_2.jpg", "images/pug_3.jpg"].map(photo);
    let parts = vec![part("labels.csv", table), part("trimaps/pug_2.png", halves(1, 3))];
    vec![parts.into_iter().chain(photos).collect()]
}

pub fn oxford() -> Vec<Vec<Part>> {
    let trimap = |name: &str| part(&format!("annotations/trimaps/{name}.png"), halves(2, 1));
    let parts = vec![
        part(
            "annotations/list.txt",
            "#Image CLASS-ID SPECIES BREED ID\nBengal_1 6 1 2\npug_7 3 2 1\nBengal_3 6 1 2\n",
        ),
        part("annotations/trainval.txt", "Bengal_1 6 1 2\npug_7 3 2 1\n"),
        part("annotations/test.txt", "Bengal_3 6 1 2\n"),
        part("annotations/xmls/Bengal_1.xml", xml(CAT)),
        trimap("Bengal_1"),
        trimap("pug_7"),
        trimap("Bengal_3"),
    ];
    let photos = ["images/Bengal_1.jpg", "images/pug_7.jpg", "images/Bengal_3.jpg"].map(photo);
    vec![parts.into_iter().chain(photos).collect()]
}
