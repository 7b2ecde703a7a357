//! The layout YOLO's programs read: a YAML file with class names and folders of
//! images; for `images/../NAME.jpg` a text file `labels/../NAME.txt` with a line
//! per object, `class x y width height` (the centre) or `class x1 y1 x2 y2 x3 y3 ..`
//! (a polygon), all relative to the image's size.
//!
//! Where there is no folder `labels` beside `images`, one in a folder named
//! after the YAML file is taken. An image without a text file shows nothing;
//! with `skip_if_label_file_missing: true` it is left out. `train`, `val` and
//! `test` are the parts; those whose folder does not exist are passed over.
//! Class ids need not be without gaps: they become classes in rising order.
//!
//! Of YAML only what these files use is understood: `key: value`, and under
//! `names:` either `id: name` or `- name` on lines of their own, or `[a, b]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{
    Found, MaskSource, Outline, Photo, PhotoOptions, Shape, coco, expected, polygon, remark, text, usable_box,
};
use crate::dataset::{LabelInfo, LabelKind, MASK, OBJECTS};
use crate::{DataError, DatasetInfo, Image, Label, Object, Split};

const REMEDY: &str = "compare with the layout in docs/data.md, and mend the file";

pub(super) fn is_at(path: &Path) -> bool {
    is_yaml(path) || yaml_in(path).is_some()
}

fn is_yaml(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|end| end == "yaml" || end == "yml")
}

/// The only YAML file of a folder.
fn yaml_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut files = entries.filter_map(|e| e.ok().map(|e| e.path())).filter(|path| is_yaml(path));
    let first = files.next()?;
    files.next().is_none().then_some(first)
}

/// What the YAML file says.
#[derive(Default)]
struct Settings {
    keys: BTreeMap<String, String>,
    names: BTreeMap<usize, String>,
}

impl Settings {
    fn read(path: &Path) -> Result<Settings, DataError> {
        let mut settings = Settings::default();
        let mut in_names = false;
        let plain = |value: &str| value.trim().trim_matches(['"', '\'']).to_string();
        for (index, line) in text::read(path)?.lines().enumerate() {
            let content = line.split(" #").next().unwrap_or("").trim_end();
            if content.trim().is_empty() || content.trim_start().starts_with('#') {
                continue;
            }
            let wrong = |expected: &str| text::wrong(path, index + 1, expected, line, REMEDY);
            let inside = content.starts_with([' ', '-']);
            if inside && in_names {
                let entry = content.trim();
                let next = settings.names.keys().next_back().map_or(0, |last| last + 1);
                let (id, name) = match entry.strip_prefix("- ") {
                    Some(name) => (next, name),
                    None => {
                        let pair =
                            entry.split_once(':').and_then(|(id, n)| Some((id.trim().parse().ok()?, n)));
                        pair.ok_or_else(|| wrong("\"id: name\" or \"- name\""))?
                    }
                };
                if settings.names.insert(id, plain(name)).is_some() {
                    return Err(wrong("each class id once"));
                }
                continue;
            }
            if inside {
                continue; // Below a key that is not used here.
            }
            let (key, value) = content.split_once(':').ok_or_else(|| wrong("\"key: value\""))?;
            in_names = key.trim() == "names";
            if in_names && let Some(list) = value.trim().strip_prefix('[') {
                let list = list.strip_suffix(']').ok_or_else(|| wrong("a list that ends with ]"))?;
                settings.names = list.split(',').map(plain).enumerate().collect();
            }
            settings.keys.insert(key.trim().into(), plain(value));
        }
        if settings.names.is_empty() || settings.names.len() > 254 {
            let found = settings.names.len().to_string();
            return Err(text::wrong(path, 1, "1 to 254 class names under \"names:\"", &found, REMEDY));
        }
        Ok(settings)
    }
}

pub(super) fn read(path: &Path, options: &PhotoOptions) -> Result<Found, DataError> {
    let yaml = if path.is_file() { path.to_path_buf() } else { yaml_in(path).unwrap_or_default() };
    let settings = Settings::read(&yaml)?;
    let names: Vec<String> = settings.names.values().cloned().collect();
    let (places, names) = expected(options, OBJECTS, &names, &yaml)?;
    let classes = settings.names.keys().copied().zip(places).collect();
    let skip = settings.keys.get("skip_if_label_file_missing").is_some_and(|value| value == "true");
    let mut reader =
        Reader { classes, count: names.len(), polygons: false, empty: 0, first_empty: String::new() };
    let mut photos = Vec::new();
    for (key, part) in [("train", Split::Train), ("val", Split::Validation), ("test", Split::Test)] {
        let Some(images) = settings.keys.get(key).filter(|value| !value.is_empty()) else { continue };
        let base = yaml.parent().unwrap_or(Path::new(".")).to_path_buf();
        let base = settings.keys.get("path").map_or(base.clone(), |path| base.join(path));
        let folder = base.join(images);
        if !folder.is_dir() {
            continue;
        }
        let labels = labels_of(&yaml, &base, images)?;
        for image in pictures(&folder)? {
            let name = image.file_stem().map_or(String::new(), |stem| stem.to_string_lossy().into_owned());
            let file = labels.join(format!("{name}.txt"));
            if skip && !file.is_file() {
                continue;
            }
            photos.push(reader.photo(name, image, &file, part)?);
        }
    }
    if photos.is_empty() {
        let expected = "a folder of images under \"train:\"";
        return Err(text::wrong(&yaml, 1, expected, "no picture at all", REMEDY));
    }
    let mut labels = vec![
        LabelInfo::new(OBJECTS, LabelKind::Objects, &names),
        LabelInfo::new("present", LabelKind::Classes, &names),
    ];
    if reader.polygons {
        labels.insert(1, LabelInfo::new(MASK, LabelKind::Mask, &names));
    } else {
        photos.iter_mut().for_each(|photo| photo.mask = MaskSource::Missing);
    }
    let info = DatasetInfo {
        name: "yolo".into(),
        height: options.size,
        width: options.size,
        channels: 3,
        labels,
        remarks: remark(reader.empty, "objects without area were", &reader.first_empty).into_iter().collect(),
    };
    Ok(Found { info, photos })
}

/// The folder of text files that belongs to a folder of images.
fn labels_of(yaml: &Path, base: &Path, images: &str) -> Result<PathBuf, DataError> {
    let swapped = match images.strip_prefix("images") {
        Some(rest) => format!("labels{rest}"),
        None => images.replace("/images", "/labels"),
    };
    let beside = base.join(&swapped);
    let named = yaml.with_extension("").join(&swapped);
    [beside.clone(), named]
        .into_iter()
        .find(|folder| folder.is_dir() && *folder != base.join(images))
        .ok_or_else(|| {
            let expected = format!("a folder of text files at {}", beside.display());
            text::wrong(yaml, 1, &expected, "no such folder", REMEDY)
        })
}

/// The PNG, JPEG and GIF files of a folder, by name.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed =
        |source| DataError::Read { path: folder.into(), source, remedy: "check its permissions".into() };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let end = path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
        if ["jpg", "jpeg", "png", "gif"].contains(&end.as_str()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

struct Reader {
    classes: BTreeMap<usize, usize>,
    count: usize,
    polygons: bool,
    empty: usize,
    first_empty: String,
}

impl Reader {
    fn photo(&mut self, name: String, path: PathBuf, labels: &Path, part: Split) -> Result<Photo, DataError> {
        let size = Image::upright_size(&path)?;
        let text = if labels.is_file() { text::read(labels)? } else { String::new() };
        let mut objects = Vec::new();
        let mut outlines: Vec<(f32, Outline)> = Vec::new();
        let mut present = vec![false; self.count];
        let mut all_outlined = true;
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |expected: &str| text::wrong(labels, index + 1, expected, line, REMEDY);
            let mut cells = line.split_whitespace();
            let id = cells.next().and_then(|id| id.parse::<usize>().ok());
            let class = id.and_then(|id| self.classes.get(&id).copied());
            let class = class.ok_or_else(|| wrong("a class id of the YAML file's names"))?;
            let values: Option<Vec<f32>> = cells.map(text::number).collect();
            let values = values.ok_or_else(|| wrong("numbers after the class id"))?;
            if values.iter().any(|v| !(-0.5..=1.5).contains(v)) {
                return Err(wrong("values from 0 to 1, relative to the image's size"));
            }
            let [height, width] = size.map(|side| side as f32);
            let (bbox, polygon) = if let [x, y, w, h] = values[..] {
                all_outlined = false;
                let sides = [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0];
                ([sides[0] * width, sides[1] * height, sides[2] * width, sides[3] * height], None)
            } else {
                let scaled: Vec<f32> = values
                    .iter()
                    .enumerate()
                    .map(|(place, v)| v * if place % 2 == 0 { width } else { height })
                    .collect();
                let points = coco::points(&[scaled])
                    .and_then(|mut polygons| polygons.pop())
                    .ok_or_else(|| wrong("four values, or an even number of at least six"))?;
                let around = points.iter().fold([f32::INFINITY, f32::INFINITY, 0.0, 0.0], |b, p| {
                    [b[0].min(p[0]), b[1].min(p[1]), b[2].max(p[0]), b[3].max(p[1])]
                });
                (around, Some(points))
            };
            let Some(bbox) = usable_box(bbox, size) else {
                self.empty += 1;
                if self.first_empty.is_empty() {
                    self.first_empty = format!("line {} of {}", index + 1, labels.display());
                }
                continue;
            };
            present[class] = true;
            let mut object = Object::new(class, bbox);
            if let Some(points) = polygon {
                object.area = polygon::area(&points);
                self.polygons = true;
                outlines.push((
                    object.area,
                    Outline { value: class as u8 + 1, shape: Shape::Polygons(vec![points]) },
                ));
            }
            objects.push(object);
        }
        outlines.sort_by(|a, b| b.0.total_cmp(&a.0));
        let outlines = outlines.into_iter().map(|(_, outline)| outline).collect();
        let mask = if all_outlined { MaskSource::Outlines(outlines) } else { MaskSource::Missing };
        let more = BTreeMap::from([("present".to_string(), Label::Classes(present))]);
        Ok(Photo { name, path, size, part, class: None, objects: Some(objects), mask, more })
    }
}
