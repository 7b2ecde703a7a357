//! COCO's annotations (Lin et al., "Microsoft COCO", 2014): one JSON file with
//! images, categories and annotations with boxes and polygons.
//!
//! `--data` is the JSON file, a folder with `annotations.json`, or a folder with
//! `annotations/instances_*.json`, of which one with `val` in its name is the
//! validation part and one with `test` the test part. Pictures are looked for
//! beside the file, in `images/`, and in the folder the file is named after
//! (`train2017/` for `instances_train2017.json`), there and one level up.
//!
//! | label | says |
//! |---|---|
//! | `objects` | every annotation's box; `iscrowd` as in the file |
//! | `mask` | the classes of polygons and run-length coded masks, smaller ones above larger; not judged are the masks of crowds, and boxes of annotations without a mask |
//! | `present` | for each class whether the image shows it |
//!
//! Category ids become classes in rising order. An image without annotations
//! shows none of them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::run_lengths::RunLengths;
use super::{
    Found, MaskSource, Outline, Photo, PhotoOptions, Shape, expected, polygon, remark, text, usable_box,
};
use crate::dataset::{LabelInfo, LabelKind, MASK, OBJECTS};
use crate::{DataError, DatasetInfo, IGNORED, Image, Label, Object, Split};

const REMEDY: &str = "mend the annotations, or leave the entry out";

#[derive(Deserialize)]
struct File {
    images: Vec<Picture>,
    #[serde(default)]
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Picture {
    id: i64,
    file_name: String,
    width: usize,
    height: usize,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    id: i64,
    image_id: i64,
    category_id: i64,
    bbox: Vec<f64>,
    area: Option<f64>,
    #[serde(default)]
    iscrowd: u8,
    #[serde(default)]
    segmentation: Segmentation,
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Segmentation {
    Polygons(Vec<Vec<f32>>),
    Runs(RunLengths),
    /// Null, or what is no mask.
    Other(serde_json::Value),
    #[default]
    Missing,
}

pub(super) fn is_at(path: &Path) -> bool {
    !files(path).is_empty()
}

/// The annotation files at a path and the part each stands for.
fn files(path: &Path) -> Vec<(PathBuf, Split)> {
    let is_json = |path: &Path| path.is_file() && path.extension().is_some_and(|end| end == "json");
    if is_json(path) {
        return vec![(path.into(), Split::Train)];
    }
    let single = path.join("annotations.json");
    if is_json(&single) {
        return vec![(single, Split::Train)];
    }
    let Ok(entries) = std::fs::read_dir(path.join("annotations")) else { return Vec::new() };
    let mut files: Vec<(PathBuf, Split)> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| is_json(path))
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_string();
            let part = match name.strip_prefix("instances_")? {
                name if name.contains("val") => Split::Validation,
                name if name.contains("test") => Split::Test,
                _ => Split::Train,
            };
            Some((path, part))
        })
        .collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

pub(super) fn read(path: &Path, options: &PhotoOptions) -> Result<Found, DataError> {
    let mut photos = Vec::new();
    let mut classes: Option<Vec<String>> = None;
    let mut reader = Reader::default();
    for (file, part) in files(path) {
        let text = text::read(&file)?;
        let parsed: File = serde_json::from_str(&text).map_err(|error| DataError::Malformed {
            path: file.clone(),
            place: format!("line {}, column {}", error.line(), error.column()),
            expected: "COCO's images, annotations and categories".into(),
            found: error.to_string(),
            remedy: "compare with the format at cocodataset.org, and mend the file".into(),
        })?;
        let names = reader.photos(&file, part, parsed, options, &mut photos)?;
        if classes.get_or_insert_with(|| names.clone()) != &names {
            return Err(wrong(&file, "categories", "the same categories in every file", &names.join(", ")));
        }
    }
    let classes = classes.unwrap_or_default();
    let mut labels = vec![
        LabelInfo::new(OBJECTS, LabelKind::Objects, &classes),
        LabelInfo::new("present", LabelKind::Classes, &classes),
    ];
    if reader.masks {
        labels.insert(1, LabelInfo::new(MASK, LabelKind::Mask, &classes));
    } else {
        photos.iter_mut().for_each(|photo: &mut Photo| photo.mask = MaskSource::Missing);
    }
    let info = DatasetInfo {
        name: "coco".into(),
        height: options.size,
        width: options.size,
        channels: 3,
        labels,
        remarks: remark(reader.empty, "boxes without area were", &reader.first_empty).into_iter().collect(),
    };
    Ok(Found { info, photos })
}

fn wrong(path: &Path, place: &str, expected: &str, found: &str) -> DataError {
    DataError::Malformed {
        path: path.into(),
        place: place.into(),
        expected: expected.into(),
        found: found.into(),
        remedy: REMEDY.into(),
    }
}

/// What is counted over all files.
#[derive(Default)]
struct Reader {
    /// Whether any object has a mask.
    masks: bool,
    empty: usize,
    first_empty: String,
}

impl Reader {
    /// Appends a file's photos and returns its class names.
    fn photos(
        &mut self,
        path: &Path,
        part: Split,
        file: File,
        options: &PhotoOptions,
        photos: &mut Vec<Photo>,
    ) -> Result<Vec<String>, DataError> {
        let (classes, names) = classes(path, &file.categories, options)?;
        let mut of_image: HashMap<i64, Vec<&Annotation>> = HashMap::new();
        for picture in &file.images {
            if of_image.insert(picture.id, Vec::new()).is_some() {
                return Err(wrong(path, "images", "each id once", &format!("{} again", picture.id)));
            }
        }
        for annotation in &file.annotations {
            let place = format!("annotation {}", annotation.id);
            if !classes.contains_key(&annotation.category_id) {
                let found = annotation.category_id.to_string();
                return Err(wrong(path, &place, "a category_id of the file's categories", &found));
            }
            let Some(list) = of_image.get_mut(&annotation.image_id) else {
                let found = annotation.image_id.to_string();
                return Err(wrong(path, &place, "an image_id of the file's images", &found));
            };
            list.push(annotation);
        }
        for picture in &file.images {
            let size = [picture.height, picture.width];
            let found = find(path, &picture.file_name)?;
            Image::check(&found, size)?;
            let annotations = &of_image[&picture.id];
            let (objects, mask) = self.labels(path, annotations, &classes, size)?;
            let mut present = vec![false; names.len()];
            annotations.iter().for_each(|a| present[classes[&a.category_id]] = true);
            photos.push(Photo {
                name: picture.file_name.clone(),
                path: found,
                size,
                part,
                class: None,
                objects: Some(objects),
                mask,
                more: BTreeMap::from([("present".to_string(), Label::Classes(present))]),
            });
        }
        Ok(names)
    }

    fn labels(
        &mut self,
        path: &Path,
        annotations: &[&Annotation],
        classes: &HashMap<i64, usize>,
        size: [usize; 2],
    ) -> Result<(Vec<Object>, MaskSource), DataError> {
        let mut objects = Vec::new();
        let mut outlines: Vec<(f32, Outline)> = Vec::new();
        for annotation in annotations {
            let place = format!("annotation {}", annotation.id);
            let [x, y, w, h] = annotation.bbox[..] else {
                let found = format!("{} numbers", annotation.bbox.len());
                return Err(wrong(path, &place, "a bbox of four numbers: left, top, width, height", &found));
            };
            let given = [x, y, x + w, y + h].map(|v| v as f32);
            if given.iter().any(|v| !v.is_finite()) || w < 0.0 || h < 0.0 {
                let found = format!("{:?}", annotation.bbox);
                return Err(wrong(path, &place, "a bbox without negative or infinite sides", &found));
            }
            let class = classes[&annotation.category_id];
            let Some(bbox) = usable_box(given, size) else {
                self.empty += 1;
                if self.first_empty.is_empty() {
                    self.first_empty = format!("{place} of {}", path.display());
                }
                continue;
            };
            let mut object = Object { crowd: annotation.iscrowd != 0, ..Object::new(class, bbox) };
            if let Some(area) = annotation.area.filter(|area| area.is_finite()) {
                object.area = area as f32;
            }
            objects.push(object);
            let shape = shape(&annotation.segmentation, size)
                .map_err(|(expected, found)| wrong(path, &place, &expected, &found))?;
            let around = || {
                let [x1, y1, x2, y2] = bbox;
                Shape::Polygons(vec![vec![[x1, y1], [x2, y1], [x2, y2], [x1, y2]]])
            };
            // What is not judged lies below everything else.
            outlines.push(match shape {
                Some((_, shape)) if object.crowd => (f32::INFINITY, Outline { value: IGNORED, shape }),
                None => (f32::INFINITY, Outline { value: IGNORED, shape: around() }),
                Some((area, shape)) => {
                    self.masks = true;
                    (area, Outline { value: class as u8 + 1, shape })
                }
            });
        }
        outlines.sort_by(|a, b| b.0.total_cmp(&a.0));
        Ok((objects, MaskSource::Outlines(outlines.into_iter().map(|(_, outline)| outline).collect())))
    }
}

/// What an annotation covers, with its area; `None` if the file does not say.
type Covered = Option<(f32, Shape)>;

/// What is expected and what was found, where a mask cannot be.
fn shape(segmentation: &Segmentation, size: [usize; 2]) -> Result<Covered, (String, String)> {
    match segmentation {
        Segmentation::Polygons(lists) => {
            let polygons = points(lists).ok_or_else(|| {
                let expected = "polygons of at least three points, as x, y, x, y, ..";
                (expected.to_string(), "another number of values, or one that is not finite".to_string())
            })?;
            let area = polygons.iter().map(|p| polygon::area(p)).sum();
            Ok((!polygons.is_empty()).then_some((area, Shape::Polygons(polygons))))
        }
        Segmentation::Runs(lengths) => {
            let runs = lengths.runs(size)?;
            let area = runs.iter().skip(1).step_by(2).sum::<usize>() as f32;
            Ok((area > 0.0).then_some((area, Shape::Runs(runs))))
        }
        Segmentation::Other(serde_json::Value::Null) | Segmentation::Missing => Ok(None),
        Segmentation::Other(other) => {
            let expected = "polygons, or run lengths with their size and counts".to_string();
            Err((expected, other.to_string().chars().take(80).collect()))
        }
    }
}

/// Lists of x, y, x, y as points; `None` where one is no polygon.
pub(super) fn points(lists: &[Vec<f32>]) -> Option<Vec<Vec<[f32; 2]>>> {
    let polygon = |list: &Vec<f32>| {
        let whole = list.len() >= 6 && list.len().is_multiple_of(2) && list.iter().all(|v| v.is_finite());
        whole.then(|| list.chunks_exact(2).map(|p| [p[0], p[1]]).collect())
    };
    lists.iter().map(polygon).collect()
}

/// From category id to class, and the class names.
fn classes(
    path: &Path,
    categories: &[Category],
    options: &PhotoOptions,
) -> Result<(HashMap<i64, usize>, Vec<String>), DataError> {
    let mut sorted: Vec<&Category> = categories.iter().collect();
    sorted.sort_by_key(|category| category.id);
    if sorted.is_empty() || sorted.len() > 254 {
        return Err(wrong(path, "categories", "1 to 254 of them", &sorted.len().to_string()));
    }
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(wrong(path, "categories", "each id once", &format!("{} again", pair[0].id)));
    }
    let names: Vec<String> = sorted.iter().map(|category| category.name.clone()).collect();
    let (places, names) = expected(options, OBJECTS, &names, path)?;
    Ok((sorted.iter().map(|category| category.id).zip(places).collect(), names))
}

/// The picture of this name, looked for where COCO's are.
fn find(annotations: &Path, name: &str) -> Result<PathBuf, DataError> {
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if !inside || name.is_empty() {
        return Err(wrong(annotations, "images", "a file_name below the pictures' folder", name));
    }
    let beside = annotations.parent().unwrap_or(Path::new("."));
    let stem = annotations.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
    let part = stem.rsplit_once('_').map_or(stem, |(_, part)| part);
    let above = beside.join("..");
    let folders = [beside.to_path_buf(), above].into_iter().flat_map(|base| {
        [base.clone(), base.join("images"), base.join(part), base.join("images").join(part)]
    });
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let expected = format!("the picture \"{name}\" beside the file, in images/ or in {part}/");
        wrong(annotations, "images", &expected, "no such file")
    })
}
