//! COCO's panoptic annotations (Kirillov et al., "Panoptic Segmentation", 2019): a JSON file whose segments are drawn
//! in PNGs, each in its own colour.
//!
//! `--data` is `panoptic_NAME.json`, or a folder with such files, itself or in `annotations/`. The PNGs are in
//! `panoptic_NAME/` beside the file, and the pictures where COCO keeps them. A segment's id is R + 256 G + 65536 B of
//! its colour.
//!
//! | label | says |
//! |---|---|
//! | `objects` | the box of every segment that is a thing; `iscrowd` as in the file |
//! | `mask` | the class of every segment, things before stuff; crowds and pixels of no segment are ignored |
//! | `present` | for each class of things and stuff, whether the image shows it |

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::coco::{Finder, Picture, part_of, wrong};
use super::painted::Code;
use super::reading::{Reading, Thing, classes, present};
use super::{Format, MaskSource, Photo, files, text};
use crate::FindingKind::{LabelLeftOut, LeftOut};
use crate::dataset::{LabelInfo, LabelKind, MASK, OBJECTS};
use crate::image_file::Header;
use crate::{ClassId, DataError, IGNORED, Split};

pub(super) const FORMAT: Format =
    Format { name: "panoptic", what: "panoptic_*.json and its folder of PNGs", is_at, read };

#[derive(Deserialize)]
struct File {
    images: Vec<Picture>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: i64,
    file_name: String,
    segments_info: Vec<Segment>,
}

#[derive(Deserialize)]
struct Segment {
    id: u32,
    category_id: i64,
    bbox: Option<[f32; 4]>,
    area: Option<f32>,
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
    isthing: u8,
}

fn is_at(path: &Path) -> bool {
    if path.is_file() { files::is_panoptic(path) } else { !files_in(path).is_empty() }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = [folder.to_path_buf(), folder.join("annotations")].into_iter();
    let entries = entries.flat_map(|folder| files::entries(&folder).unwrap_or_default());
    entries.filter(|path| path.is_file() && files::is_panoptic(path)).collect()
}

/// A file with its part and content, and its categories as (id, name), things before stuff.
struct Parsed {
    path: PathBuf,
    part: Option<Split>,
    file: File,
    things: Vec<(i64, String)>,
    all: Vec<(i64, String)>,
}

impl Parsed {
    fn read(path: &Path, part: Option<Split>) -> Result<Parsed, DataError> {
        let content = text::read(path)?;
        let mut file: File = serde_json::from_str(&content).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            let expected = "images, annotations with segments_info, and categories with isthing";
            wrong(path, &place, expected, &error.to_string())
        })?;
        file.categories.sort_by_key(|category| (category.isthing == 0, category.id));
        let named = |category: &Category| (category.id, category.name.clone());
        let things = file.categories.iter().filter(|category| category.isthing != 0).map(named).collect();
        let all = file.categories.iter().map(named).collect();
        Ok(Parsed { path: path.into(), part, file, things, all })
    }
}

fn read(path: &Path, reading: &mut Reading) -> Result<(), DataError> {
    let mut parsed = Vec::new();
    if path.is_file() {
        // A single file is training data, whatever its name says.
        parsed.push(Parsed::read(path, None)?);
    } else {
        for file in files_in(path) {
            parsed.push(Parsed::read(&file, part_of(&file)?)?);
        }
    }
    if parsed.is_empty() {
        return Err(wrong(path, "the folder", "panoptic_*.json in it or in annotations/", "no such file"));
    }
    parsed.sort_by_key(|parsed| (parsed.part.unwrap_or(Split::Train) as usize, parsed.path.clone()));
    let lists = |of: fn(&Parsed) -> &Vec<(i64, String)>| -> Vec<(&Path, Vec<(i64, String)>)> {
        parsed.iter().map(|parsed| (parsed.path.as_path(), of(parsed).clone())).collect()
    };
    // A file may list only stuff.
    let no_things = parsed.iter().all(|parsed| parsed.things.is_empty());
    let (thing_names, of_things) = if no_things {
        (Vec::new(), vec![BTreeMap::new(); parsed.len()])
    } else {
        classes(OBJECTS, lists(|parsed| &parsed.things), reading)?
    };
    let (names, of_all) = classes(MASK, lists(|parsed| &parsed.all), reading)?;
    for ((parsed, things), all) in parsed.into_iter().zip(&of_things).zip(&of_all) {
        Reader { things, all, count: names.len(), path: &parsed.path }.photos(
            parsed.part,
            parsed.file,
            reading,
        )?;
    }
    if no_things {
        reading.photos.iter_mut().for_each(|photo: &mut Photo| photo.objects = None);
    } else {
        reading.labels.push(LabelInfo::new(OBJECTS, LabelKind::Objects, &thing_names));
    }
    reading.labels.push(LabelInfo::new(MASK, LabelKind::Mask, &names));
    reading.labels.push(LabelInfo::new("present", LabelKind::Classes, &names));
    Ok(())
}

struct Reader<'a> {
    path: &'a Path,
    /// The class of each category under `objects`, and under `mask`.
    things: &'a BTreeMap<i64, usize>,
    all: &'a BTreeMap<i64, usize>,
    /// The number of classes under `mask`.
    count: usize,
}

impl Reader<'_> {
    /// Adds a file's photos.
    fn photos(&self, part: Option<Split>, file: File, reading: &mut Reading) -> Result<(), DataError> {
        reading.found += file.images.len();
        let mut of_image: HashMap<i64, &Annotation> = HashMap::new();
        for annotation in &file.annotations {
            if of_image.insert(annotation.image_id, annotation).is_some() {
                let found = format!("image_id {} again", annotation.image_id);
                return Err(wrong(self.path, "annotations", "one for each image", &found));
            }
        }
        let folder = self.path.with_extension("");
        let finder = Finder::new(self.path);
        for picture in &file.images {
            let Some(annotation) = of_image.remove(&picture.id) else {
                let what = "pictures without an annotation";
                reading.findings.add(LeftOut, what, &picture.file_name);
                continue;
            };
            let size = [picture.height, picture.width];
            let found = finder.find(&picture.file_name)?;
            if !reading.check(&found, size)? {
                continue;
            }
            let png = files::as_written(&annotation.file_name).into_iter().map(|name| folder.join(name));
            let Some(png) = png.into_iter().find(|path| path.is_file()) else {
                let place = format!("the annotation of image {}", picture.id);
                let expected = format!("the PNG \"{}\" in {}", annotation.file_name, folder.display());
                return Err(wrong(self.path, &place, &expected, "no such file"));
            };
            super::painted::same_size(&png, size, Header::read(&png)?.stored)?;
            let photo = Photo { part, sized: true, ..Photo::new(picture.file_name.clone(), found, size) };
            let photo = self.labelled(photo, annotation, png, reading)?;
            reading.photos.push(photo);
        }
        if let Some(image) = of_image.keys().min() {
            let place = format!("the annotation of image {image}");
            return Err(wrong(self.path, &place, "an image_id of the file's images", &image.to_string()));
        }
        Ok(())
    }

    /// The photo with its labels.
    fn labelled(
        &self,
        photo: Photo,
        annotation: &Annotation,
        png: PathBuf,
        reading: &mut Reading,
    ) -> Result<Photo, DataError> {
        // 0 is no segment: nobody has said what is there.
        let mut code = BTreeMap::from([(0, IGNORED)]);
        let (mut things, mut shown) = (Vec::new(), Vec::new());
        for segment in &annotation.segments_info {
            let place = format!("segment {} of image {}", segment.id, annotation.image_id);
            let Some(&class) = self.all.get(&segment.category_id) else {
                let found = segment.category_id.to_string();
                return Err(wrong(self.path, &place, "a category_id of the file's categories", &found));
            };
            shown.push(class);
            let crowd = segment.iscrowd != 0;
            let value = if crowd { IGNORED } else { class as ClassId + 1 };
            if segment.id == 0 || code.insert(segment.id, value).is_some() {
                return Err(wrong(self.path, &place, "an id of its own, other than 0", "0, or an id again"));
            }
            let Some(&class) = self.things.get(&segment.category_id) else { continue };
            let place_in_file = format!("{place} of {}", self.path.display());
            let Some([x, y, w, h]) = segment.bbox else {
                reading.findings.add(LabelLeftOut, "things without a box", place_in_file);
                continue;
            };
            if [x, y, w, h].iter().any(|side| !side.is_finite()) || w < 0.0 || h < 0.0 {
                let found = format!("{:?}", [x, y, w, h]);
                return Err(wrong(self.path, &place, "a bbox without negative or infinite sides", &found));
            }
            reading.saw_sides([x, y, w, h], photo.size);
            let area = segment.area.filter(|area| area.is_finite());
            things.push(Thing { crowd, area, ..Thing::new(class, [x, y, x + w, y + h], place_in_file) });
        }
        let code = Code {
            colours: true,
            classes: code,
            expected: format!("the colour of a segment that {} lists", self.path.display()),
            remedy: "fetch the PNG and the annotations again: they must be of one release",
        };
        let (objects, _) = reading.things(things, photo.size);
        let more = BTreeMap::from([("present".to_string(), present(shown.into_iter(), self.count))]);
        let mask = MaskSource::Painted(png, Arc::new(code));
        Ok(Photo { objects: Some(objects), mask, more, ..photo })
    }
}
