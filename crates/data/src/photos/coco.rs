//! COCO's annotations (Lin et al., "Microsoft COCO", 2014): one JSON file with
//! images, categories and annotations with boxes and polygons.
//!
//! `--data` is the JSON file, or a folder that holds such files: itself (`annotations.json`, `_annotations.coco.json`),
//! in `annotations/` (`instances_train2017.json`), or in folders of the parts (`train/_annotations.coco.json`). A word
//! in the name of the file or its folder gives the part. Pictures are searched beside the file, in `images/`, and in
//! the folder that the file is named after (`train2017/` for `instances_train2017.json`), each there and one level up.
//!
//! | label | says |
//! |---|---|
//! | `objects` | every annotation's box, or the box of its outline; `iscrowd` as in the file |
//! | `mask` | the classes of polygons and run-length coded masks, smaller ones above larger; masks of crowds and boxes of annotations without a mask are ignored |
//! | `present` | for each class, whether the image shows it |
//!
//! Masks may also lie beside the file as PNGs that hold category ids ([`semantic`]); these are then used instead.
//!
//! Categories become classes in ascending order of their ids; files of several parts are merged by category name. An
//! image without annotations shows none of the categories; a validation or test file without any annotation was never
//! labelled and is left out.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::reading::{Reading, Thing, classes, object_labels, present};
use super::run_lengths::RunLengths;
use super::{Format, MaskSource, Photo, Shape, files, polygon, semantic, text};
use crate::FindingKind::{LabelLeftOut, LeftOut};
use crate::dataset::OBJECTS;
use crate::{DataError, Split};

const REMEDY: &str = "mend the annotations, or leave the entry out";

pub(super) const FORMAT: Format =
    Format { name: "coco", what: "a .json file of images, annotations and categories", is_at, read };

#[derive(Deserialize)]
struct File {
    images: Vec<Picture>,
    #[serde(default)]
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
pub(super) struct Picture {
    pub id: i64,
    pub file_name: String,
    pub width: usize,
    pub height: usize,
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
    bbox: Option<Vec<f64>>,
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
    /// Null, or a value that is not a mask.
    Other(serde_json::Value),
    #[default]
    Missing,
}

fn is_at(path: &Path) -> bool {
    if path.is_file() {
        return files::ending(path) == "json" && !files::is_panoptic(path);
    }
    files(path).is_ok_and(|files| !files.is_empty())
}

/// The annotation files at a path and the part of each, if a name gives one.
fn files(path: &Path) -> Result<Vec<(PathBuf, Option<Split>)>, DataError> {
    if path.is_file() {
        // A single file is training data, whatever its name says.
        return Ok(vec![(path.into(), None)]);
    }
    let json = |folder: &Path| -> Vec<PathBuf> {
        let entries = files::entries(folder).unwrap_or_default().into_iter();
        let is =
            |path: &PathBuf| path.is_file() && files::ending(path) == "json" && !files::is_panoptic(path);
        entries.filter(is).collect()
    };
    let named = |path: &Path, name: &str| path.join(name).is_file().then(|| path.join(name));
    let single = ["annotations.json", "_annotations.coco.json"].iter().find_map(|name| named(path, name));
    if let Some(single) = single {
        return Ok(vec![(single, None)]);
    }
    let is_instances = |path: &PathBuf| {
        let name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().to_lowercase());
        // Files of other tasks lie beside them: captions, keypoints, stuff.
        name.starts_with("instances")
    };
    let mut found: Vec<PathBuf> = json(&path.join("annotations"));
    if found.iter().any(is_instances) {
        found.retain(is_instances);
    }
    if found.is_empty() {
        let parts = files::entries(path).unwrap_or_default().into_iter().filter(|folder| folder.is_dir());
        found = parts.filter_map(|folder| named(&folder, "_annotations.coco.json")).collect();
    }
    if found.is_empty() {
        let mut own = json(path);
        own.retain(is_instances);
        found = own;
    }
    found.into_iter().map(|path| part_of(&path).map(|part| (path, part))).collect()
}

/// The part that the file's name gives, or else its folder's name.
pub(super) fn part_of(path: &Path) -> Result<Option<Split>, DataError> {
    let stem = path.file_stem().map_or(String::new(), |stem| stem.to_string_lossy().into_owned());
    let folder =
        path.parent().and_then(Path::file_name).map_or(String::new(), |n| n.to_string_lossy().into_owned());
    let of = |name: &str| {
        files::part_in(name).map_err(|parts| {
            let parts: Vec<&str> = parts.iter().map(|part| part.name()).collect();
            wrong(path, "the file's name", "one part that it stands for", &parts.join(" and "))
        })
    };
    Ok(match of(&stem)? {
        Some(part) => Some(part),
        None if files::part(&folder).is_some() => files::part(&folder),
        None => None,
    })
}

fn read(path: &Path, reading: &mut Reading) -> Result<(), DataError> {
    let mut files = files(path)?;
    // The training part first: its categories are the classes.
    files.sort_by_key(|(path, part)| (part.unwrap_or(Split::Train) as usize, path.clone()));
    let mut parsed = Vec::with_capacity(files.len());
    for (file, part) in files {
        let text = text::read(&file)?;
        let content: File = serde_json::from_str(&text).map_err(|error| DataError::Malformed {
            path: file.clone(),
            place: format!("line {}, column {}", error.line(), error.column()),
            expected: "COCO's images, annotations and categories".into(),
            found: error.to_string(),
            remedy: "compare with the format at cocodataset.org, and mend the file".into(),
        })?;
        parsed.push((file, part, content));
    }
    let lists: Vec<_> =
        parsed.iter().map(|(file, _, content)| (file.as_path(), categories(content))).collect();
    let (names, of) = classes(OBJECTS, lists, reading)?;
    let mut reader = Reader { masks: false, count: names.len() };
    let last = parsed.last().map_or(path.to_path_buf(), |(file, _, _)| file.clone());
    for ((file, part, content), of) in parsed.into_iter().zip(&of) {
        let start = reading.photos.len();
        reader.photos(&file, part, content, of, reading)?;
        reader.masks |= semantic::read(&file, of, start, reading)?;
    }
    if !reader.masks {
        reading.photos.iter_mut().for_each(|photo: &mut Photo| photo.mask = MaskSource::Missing);
    }
    reading.check_sides(&last)?;
    reading.labels = object_labels(&names, reader.masks);
    Ok(())
}

pub(super) fn wrong(path: &Path, place: &str, expected: &str, found: &str) -> DataError {
    DataError::malformed(path, place, expected, found, REMEDY)
}

/// Ids and names of a file's categories, in ascending order of ids.
fn categories(content: &File) -> Vec<(i64, String)> {
    let mut sorted: Vec<(i64, String)> = content.categories.iter().map(|c| (c.id, c.name.clone())).collect();
    sorted.sort_by_key(|(id, _)| *id);
    sorted
}

struct Reader {
    /// Whether any object has a mask.
    masks: bool,
    /// The number of classes.
    count: usize,
}

impl Reader {
    /// Adds a file's photos.
    fn photos(
        &mut self,
        path: &Path,
        part: Option<Split>,
        file: File,
        classes: &BTreeMap<i64, usize>,
        reading: &mut Reading,
    ) -> Result<(), DataError> {
        reading.found += file.images.len();
        if file.annotations.is_empty() && matches!(part, Some(Split::Validation | Split::Test)) {
            for picture in &file.images {
                let what = "pictures of a part for which there is no annotation at all";
                reading.findings.add(LeftOut, what, &picture.file_name);
            }
            return Ok(());
        }
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
        let finder = Finder::new(path);
        for picture in &file.images {
            let size = [picture.height, picture.width];
            let found = finder.find(&picture.file_name)?;
            if !reading.check(&found, size)? {
                continue;
            }
            let annotations = &of_image[&picture.id];
            let things =
                annotations.iter().filter_map(|a| self.thing(path, a, classes, size, reading).transpose());
            let things: Vec<Thing> = things.collect::<Result<_, _>>()?;
            let shown = present(things.iter().map(|thing| thing.class), self.count);
            let (objects, outlines) = reading.things(things, size);
            reading.photos.push(Photo {
                part,
                sized: true,
                objects: Some(objects),
                mask: MaskSource::Outlines(outlines),
                more: BTreeMap::from([("present".to_string(), shown)]),
                ..Photo::new(picture.file_name.clone(), found, size)
            });
        }
        Ok(())
    }

    /// The object that an annotation describes; `None` if it has neither box nor outline, which is noted.
    fn thing(
        &mut self,
        path: &Path,
        annotation: &Annotation,
        classes: &BTreeMap<i64, usize>,
        size: [usize; 2],
        reading: &mut Reading,
    ) -> Result<Option<Thing>, DataError> {
        let place = format!("annotation {}", annotation.id);
        let class = classes[&annotation.category_id];
        let covered = shape(&annotation.segmentation, size)
            .map_err(|(expected, found)| wrong(path, &place, &expected, &found))?;
        let place_in_file = format!("{place} of {}", path.display());
        let bbox = match annotation.bbox.as_deref() {
            Some(&[x, y, w, h]) => {
                let given = [x, y, x + w, y + h].map(|v| v as f32);
                if given.iter().any(|v| !v.is_finite()) || w < 0.0 || h < 0.0 {
                    let found = format!("{:?}", [x, y, w, h]);
                    return Err(wrong(path, &place, "a bbox without negative or infinite sides", &found));
                }
                reading.saw_sides([x, y, w, h].map(|v| v as f32), size);
                given
            }
            Some(&[]) | None => match &covered {
                Some((_, shape)) => shape.bounds(size),
                None => {
                    reading.findings.add(
                        LabelLeftOut,
                        "annotations with neither box nor outline",
                        &place_in_file,
                    );
                    return Ok(None);
                }
            },
            Some(other) => {
                let found = format!("{} numbers", other.len());
                return Err(wrong(path, &place, "a bbox of four numbers: left, top, width, height", &found));
            }
        };
        let crowd = annotation.iscrowd != 0;
        let area = annotation.area.filter(|area| area.is_finite()).map(|area| area as f32);
        let (shape, judged) = match covered {
            Some((_, shape)) => (shape, !crowd),
            None => {
                let [x1, y1, x2, y2] = bbox;
                (Shape::Polygons(vec![vec![[x1, y1], [x2, y1], [x2, y2], [x1, y2]]]), false)
            }
        };
        self.masks |= judged;
        Ok(Some(Thing { crowd, area, shape: Some(shape), judged, ..Thing::new(class, bbox, place_in_file) }))
    }
}

/// The area and the shape of an annotation; `None` if the file does not give them.
type Covered = Option<(f32, Shape)>;

/// The shape of an annotation. An invalid mask gives what was expected and what was found.
fn shape(segmentation: &Segmentation, size: [usize; 2]) -> Result<Covered, (String, String)> {
    match segmentation {
        Segmentation::Polygons(lists) => {
            let lists: Vec<Vec<f32>> = lists.iter().filter(|list| !list.is_empty()).cloned().collect();
            let polygons = points(&lists).ok_or_else(|| {
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

/// Converts lists of x, y, x, y to points; `None` if one of them is not a polygon.
pub(super) fn points(lists: &[Vec<f32>]) -> Option<Vec<Vec<[f32; 2]>>> {
    let polygon = |list: &Vec<f32>| {
        let whole = list.len() >= 6 && list.len().is_multiple_of(2) && list.iter().all(|v| v.is_finite());
        whole.then(|| list.chunks_exact(2).map(|p| [p[0], p[1]]).collect())
    };
    lists.iter().map(polygon).collect()
}

/// Searches for pictures in the folders where COCO keeps them.
pub(super) struct Finder<'a> {
    annotations: &'a Path,
    /// In the order of searching.
    folders: Vec<PathBuf>,
    part: &'a str,
}

impl<'a> Finder<'a> {
    pub fn new(annotations: &'a Path) -> Self {
        let beside =
            annotations.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stem = annotations.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
        let part = stem.rsplit_once('_').map_or(stem, |(_, part)| part);
        let folders = [beside.to_path_buf(), beside.join("..")].into_iter().flat_map(|base| {
            [base.clone(), base.join("images"), base.join(part), base.join("images").join(part)]
        });
        Finder { annotations, folders: folders.collect(), part }
    }

    /// The picture with this name, in the path notation of any system. If the path does not exist, as with paths of
    /// another computer, the file name alone is searched.
    pub fn find(&self, name: &str) -> Result<PathBuf, DataError> {
        let mut names: Vec<PathBuf> = files::as_written(name).into_iter().map(PathBuf::from).collect();
        let last = names.last().and_then(|path| path.file_name()).map(PathBuf::from);
        names.extend(last);
        for name in &names {
            let mut tried = self.folders.iter().map(|folder| folder.join(name));
            if let Some(found) = tried.find(|path| path.is_file()) {
                return Ok(found);
            }
        }
        let expected = format!("the picture \"{name}\" beside the file, in images/ or in {}/", self.part);
        Err(wrong(self.annotations, "images", &expected, "no such file"))
    }
}
