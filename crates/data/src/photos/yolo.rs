//! The layout of YOLO's programs: a YAML file gives class names and picture folders. `images/../NAME.jpg` belongs to a
//! text file `labels/../NAME.txt` with one line per object, in fractions of the picture's size:
//!
//! | line | says |
//! |---|---|
//! | `class x y width height` | a box, by its centre |
//! | `class x1 y1 x2 y2 x3 y3 ..` | an outline |
//! | `class x y width height` and keypoints, if the YAML file has `kpt_shape` | a box; the key points are left out |
//!
//! `train`, `val` and `test` are the parts: each is a folder, with its subfolders; a `.txt` file with one path per
//! line; or a list of those. They are relative to `path`, which is relative to the YAML file. Everything named must
//! exist. If `../train/images` does not exist, `train/images` beside the YAML file is used, because export tools mean
//! that.
//!
//! To find the text files, the last `images` in a picture's path is replaced by `labels`; without `images`, the text
//! files are beside the pictures. If that folder does not exist, one inside a folder named after the YAML file is used.
//! A picture without a text file shows nothing; with `skip_if_label_file_missing: true` it is left out. A part without
//! any text file was never labelled: as training part it is an error, any other part is left out. Class ids may have
//! gaps: they become classes in ascending order.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files::{self, ByStem};
use super::reading::{Reading, Thing, classes, object_labels, present};
use super::yaml::{self, Names, is_yaml};
use super::{Format, MaskSource, Photo, Shape, coco, masks, polygon, text};
use crate::FindingKind::{LabelLeftOut, LeftOut, Suspicious};
use crate::dataset::OBJECTS;
use crate::{DataError, Split};

const REMEDY: &str = "compare with the layout in docs/data.md, and mend the file";

pub(super) const FORMAT: Format =
    Format { name: "yolo", what: "a .yaml file that names train and names", is_at, read };

fn is_at(path: &Path) -> bool {
    let yaml = if path.is_file() { is_yaml(path).then(|| path.to_path_buf()) } else { yaml_in(path) };
    // A YAML file may also describe folders of masks.
    yaml.is_some_and(|yaml| !masks::is_description(&yaml))
}

/// The only YAML file of a folder that names classes.
fn yaml_in(folder: &Path) -> Option<PathBuf> {
    let found = yaml::in_folder(folder);
    match found.len() {
        0 | 1 => found.into_iter().next(),
        _ => {
            let mut ours = found.into_iter().filter(|path| {
                text::read(path)
                    .is_ok_and(|text| text.lines().any(|line| line.trim_start().starts_with("names")))
            });
            let first = ours.next()?;
            ours.next().is_none().then_some(first)
        }
    }
}

/// The content of the YAML file, as far as it is used here.
#[derive(Deserialize)]
struct Settings {
    path: Option<String>,
    train: Option<Places>,
    #[serde(alias = "valid", alias = "validation")]
    val: Option<Places>,
    test: Option<Places>,
    names: Names,
    nc: Option<usize>,
    kpt_shape: Option<Vec<usize>>,
    #[serde(default)]
    skip_if_label_file_missing: bool,
}

/// One folder or file, or several.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Places {
    One(String),
    Several(Vec<String>),
}

impl Settings {
    fn read(path: &Path) -> Result<Settings, DataError> {
        let text = text::read(path)?;
        let settings: Settings = serde_saphyr::from_str(&text).map_err(|error| {
            let at = error.location();
            DataError::Malformed {
                path: path.into(),
                place: at.map_or("the file".into(), |at| format!("line {}", at.line())),
                expected: "YAML with train, val, test and the names of classes".into(),
                found: error.to_string().lines().next().unwrap_or("").into(),
                remedy: REMEDY.into(),
            }
        })?;
        let count = settings.named().len();
        if let Some(nc) = settings.nc.filter(|&nc| nc != count) {
            let expected = format!("nc: {count}, as many as there are names");
            return Err(wrong(path, &expected, &format!("nc: {nc}")));
        }
        Ok(settings)
    }

    /// Ids and names of classes in ascending order of ids.
    fn named(&self) -> Vec<(usize, String)> {
        self.names.0.iter().map(|(&id, name)| (id, name.clone())).collect()
    }

    /// The total number of values of all keypoints.
    fn key_point_values(&self) -> Option<usize> {
        self.kpt_shape.as_deref().map(|shape| shape.iter().product())
    }
}

fn wrong(yaml: &Path, expected: &str, found: &str) -> DataError {
    DataError::malformed(yaml, "the file", expected, found, REMEDY)
}

fn read(path: &Path, reading: &mut Reading) -> Result<(), DataError> {
    let yaml = if path.is_file() { path.to_path_buf() } else { yaml_in(path).unwrap_or_default() };
    let settings = Settings::read(&yaml)?;
    let (names, mut of) = classes(OBJECTS, vec![(&yaml, settings.named())], reading)?;
    let classes = of.pop().unwrap_or_default();
    let key_points = settings.key_point_values();
    let mut reader = Reader { classes, count: names.len(), key_points, polygons: false, corners: [0; 2] };
    let parts = [
        ("train", &settings.train, Split::Train),
        ("val", &settings.val, Split::Validation),
        ("test", &settings.test, Split::Test),
    ];
    if settings.train.is_none() {
        return Err(wrong(&yaml, "a folder of pictures under \"train:\"", "no such line"));
    }
    for (key, places, part) in parts {
        let places = match places {
            None => Vec::new(),
            Some(Places::One(place)) => vec![place.clone()],
            Some(Places::Several(places)) => places.clone(),
        };
        let mut batch = Vec::new();
        for place in places.iter().filter(|place| !place.trim().is_empty()) {
            let place = match resolve(&yaml, settings.path.as_deref(), key, place) {
                // Sets are often downloaded without the validation part that their file names.
                Err(_) if reading.options.skip_broken && part != Split::Train => {
                    reading.findings.add(
                        LeftOut,
                        "parts that are named and not there",
                        format!("{key}: {place}"),
                    );
                    continue;
                }
                resolved => resolved?,
            };
            batch.extend(listed(&yaml, &place, reading)?);
        }
        reader.part(&yaml, key, part, batch, settings.skip_if_label_file_missing, reading)?;
    }
    if !reader.polygons {
        reading.photos.iter_mut().for_each(|photo| photo.mask = MaskSource::Missing);
    }
    let [others, all] = reader.corners;
    if others == 0 && all > 3 {
        let what = format!(
            "set whose {all} outlines all have four corners: if they are rotated boxes, masks show boxes"
        );
        reading.findings.add(Suspicious, &what, yaml.display());
    }
    reading.labels = object_labels(&names, reader.polygons);
    Ok(())
}

/// The file or folder that a part names, among all places that the path can mean.
fn resolve(yaml: &Path, path: Option<&str>, key: &str, place: &str) -> Result<PathBuf, DataError> {
    let beside = yaml.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut tried: Vec<PathBuf> = Vec::new();
    for place in files::as_written(place) {
        let bases = path
            .iter()
            .flat_map(|path| files::as_written(path))
            .flat_map(|path| [beside.join(&path), PathBuf::from(&path)]);
        for base in bases.chain([beside.to_path_buf()]) {
            tried.push(base.join(&place));
            // Export tools write paths that are relative to a subfolder.
            if let Some(rest) = place.strip_prefix("../") {
                tried.push(base.join(rest));
            }
        }
    }
    if let Some(found) = tried.iter().find(|place| place.exists()) {
        return Ok(files::tidy(found));
    }
    tried.dedup();
    let tried: Vec<String> = tried.iter().map(|place| place.display().to_string()).collect();
    let expected = format!("the pictures that \"{key}: {place}\" names, at {}", tried.join(" or "));
    let mut error = wrong(yaml, &expected, "nothing there");
    if let (DataError::Malformed { remedy, .. }, true) = (&mut error, key != "train") {
        *remedy = "mend the file, take the line out, or leave the part out with --skip-broken".into();
    }
    Err(error)
}

/// The pictures of a folder or of a list file; each with the folder where it was found.
fn listed(yaml: &Path, place: &Path, reading: &mut Reading) -> Result<Vec<(PathBuf, PathBuf)>, DataError> {
    if place.is_dir() {
        let pictures = files::pictures(place, reading)?;
        return Ok(pictures.into_iter().map(|picture| (place.to_path_buf(), picture)).collect());
    }
    if files::ending(place) != "txt" {
        let found = place.display().to_string();
        return Err(wrong(yaml, "a folder of pictures, or a .txt file that lists them", &found));
    }
    let beside = place.parent().unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for (index, line) in text::read(place)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let above = yaml.parent().unwrap_or(Path::new("."));
        let tries = files::as_written(line).into_iter();
        let tries = tries.flat_map(|line| [beside.join(&line), above.join(&line), PathBuf::from(&line)]);
        let picture =
            tries.into_iter().map(|path| files::tidy(&path)).find(|path| path.is_file()).ok_or_else(
                || text::wrong(place, index + 1, "a picture's path, relative to the list", line, REMEDY),
            )?;
        found.push((picture.parent().unwrap_or(beside).to_path_buf(), picture));
    }
    Ok(found)
}

/// The folder of text files for a folder of pictures: the last `images` of its path becomes `labels`.
fn labels_of(yaml: &Path, pictures: &Path) -> PathBuf {
    let parts: Vec<&OsStr> = pictures.components().map(|part| part.as_os_str()).collect();
    let Some(images) = parts.iter().rposition(|part| *part == "images") else { return pictures.into() };
    let with = |labels: &str| -> PathBuf {
        let part = |(place, part): (usize, &&OsStr)| {
            if place == images { OsString::from(labels) } else { part.into() }
        };
        parts.iter().enumerate().map(part).collect()
    };
    let beside = with("labels");
    if beside.is_dir() {
        return beside;
    }
    // One set of pictures may have several sets of labels, each in a folder named after its YAML file.
    let below: PathBuf = parts[images + 1..].iter().collect();
    let named = yaml.with_extension("").join("labels").join(below);
    if named.is_dir() { named } else { beside }
}

struct Reader {
    /// Maps ids to classes.
    classes: BTreeMap<usize, usize>,
    count: usize,
    /// The number of keypoint values after each box.
    key_points: Option<usize>,
    polygons: bool,
    /// Outlines with other than four corners, and those with four.
    corners: [usize; 2],
}

impl Reader {
    /// The pictures of one part with their text files.
    fn part(
        &mut self,
        yaml: &Path,
        key: &str,
        part: Split,
        pictures: Vec<(PathBuf, PathBuf)>,
        skip: bool,
        reading: &mut Reading,
    ) -> Result<(), DataError> {
        let mut texts: BTreeMap<PathBuf, Option<ByStem>> = BTreeMap::new();
        let mut matched = 0;
        let mut found = Vec::with_capacity(pictures.len());
        for (folder, picture) in pictures {
            let labels = labels_of(yaml, &folder);
            if !texts.contains_key(&labels) {
                let files = if labels.is_dir() { Some(ByStem::new(&labels, &["txt"])?) } else { None };
                texts.insert(labels.clone(), files);
            }
            let stem = files::stem(&folder, &picture);
            let text = texts.get_mut(&labels).and_then(Option::as_mut).and_then(|files| files.take(&stem));
            matched += usize::from(text.is_some());
            found.push((stem.to_string_lossy().into_owned(), picture, text));
        }
        reading.found += found.len();
        reading.findings.picture = None;
        let unmatched: Vec<&PathBuf> = texts.values().flatten().flat_map(ByStem::left).collect();
        if matched == 0 && !found.is_empty() {
            let folders: Vec<String> = texts.keys().map(|folder| folder.display().to_string()).collect();
            if part == Split::Train {
                let expected =
                    format!("text files for the pictures under \"{key}:\", in {}", folders.join(" or "));
                let count = found.len();
                let found = match unmatched.first() {
                    Some(first) => format!(
                        "none of the {} text files there named like one of {count} pictures ({} beside {})",
                        texts.values().flatten().map(ByStem::len).sum::<usize>(),
                        first.display(),
                        found[0].1.display()
                    ),
                    None => format!("none for {count} pictures"),
                };
                return Err(wrong(yaml, &expected, &found));
            }
            let what =
                format!("pictures of the {} part, for which there is no label file at all", part.name());
            found.iter().for_each(|(_, picture, _)| reading.findings.add(LeftOut, &what, picture.display()));
            return Ok(());
        }
        for path in unmatched {
            reading.findings.add(LabelLeftOut, "label files that belong to no picture", path.display());
        }
        for (name, picture, text) in found {
            if skip && text.is_none() {
                reading.findings.add(LeftOut, "pictures without a label file", picture.display());
                continue;
            }
            if let Some(photo) = self.photo(name, picture, text.as_deref(), reading)? {
                reading.photos.push(Photo { part: Some(part), ..photo });
            }
        }
        Ok(())
    }

    fn photo(
        &mut self,
        name: String,
        path: PathBuf,
        labels: Option<&Path>,
        reading: &mut Reading,
    ) -> Result<Option<Photo>, DataError> {
        let Some(size) = reading.header(&path).map(|header| header.upright) else { return Ok(None) };
        let mut things = Vec::new();
        if let Some(labels) = labels {
            for (index, line) in
                text::read(labels)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty())
            {
                things.push(self.thing(labels, index + 1, line, size, reading)?);
            }
        }
        let outlined = things.iter().filter(|thing| thing.shape.is_some()).count();
        self.polygons |= outlined > 0;
        let all_outlined = outlined == things.len();
        if outlined > 0 && !all_outlined {
            let what = "masks of pictures with boxes among the outlines";
            reading.findings.add(LabelLeftOut, what, path.display());
        }
        let shown = present(things.iter().map(|thing| thing.class), self.count);
        let (objects, outlines) = reading.things(things, size);
        let mask = if all_outlined { MaskSource::Outlines(outlines) } else { MaskSource::Missing };
        let more = BTreeMap::from([("present".to_string(), shown)]);
        Ok(Some(Photo { objects: Some(objects), mask, more, ..Photo::new(name, path, size) }))
    }

    /// The object that one line describes.
    fn thing(
        &mut self,
        labels: &Path,
        number: usize,
        line: &str,
        size: [usize; 2],
        reading: &mut Reading,
    ) -> Result<Thing, DataError> {
        let wrong = |expected: &str| text::wrong(labels, number, expected, line, REMEDY);
        let place = format!("line {number} of {}", labels.display());
        let mut cells = line.split_whitespace();
        let id = cells.next().and_then(text::id);
        let class = id.and_then(|id| self.classes.get(&id).copied());
        let class = class.ok_or_else(|| wrong("a class id of the YAML file's names"))?;
        let values: Option<Vec<f32>> = cells.map(text::number).collect();
        let mut values = values.ok_or_else(|| wrong("numbers after the class id"))?;
        match self.key_points {
            Some(count) if values.len() == 4 + count => {
                values.truncate(4);
                reading.findings.add(LabelLeftOut, "lines of key points, of which the box is used", &place);
            }
            Some(count) if values.len() != 4 => {
                let expected = format!("a box, or a box and {count} values of key points as kpt_shape says");
                return Err(wrong(&expected));
            }
            _ => {}
        }
        if values.iter().any(|v| !(-0.5..=1.5).contains(v)) {
            return Err(wrong("values from 0 to 1, relative to the picture's size"));
        }
        let [height, width] = size.map(|side| side as f32);
        if let [x, y, w, h] = values[..] {
            if w < 0.0 || h < 0.0 {
                return Err(wrong("a width and a height that are not negative"));
            }
            let sides = [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0];
            let bbox = [sides[0] * width, sides[1] * height, sides[2] * width, sides[3] * height];
            return Ok(Thing::new(class, bbox, place));
        }
        let scale = |(place, v): (usize, f32)| v * if place % 2 == 0 { width } else { height };
        let scaled: Vec<f32> = values.into_iter().enumerate().map(scale).collect();
        let points = coco::points(&[scaled]).and_then(|mut polygons| polygons.pop());
        let points = points.ok_or_else(|| wrong("four values, or an even number of at least six"))?;
        self.corners[usize::from(points.len() == 4)] += 1;
        let around = polygon::around(&points);
        let area = Some(polygon::area(&points));
        Ok(Thing { area, shape: Some(Shape::Polygons(vec![points])), ..Thing::new(class, around, place) })
    }
}
