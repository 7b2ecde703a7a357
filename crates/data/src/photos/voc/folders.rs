//! Finds the files of a set, and which picture, XML file and mask belong together.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::super::files::{self, ByStem};
use super::super::reading::Reading;
use super::annotation::Annotation;
use super::lists::{self, ByName};
use super::wrong;
use crate::FindingKind::{Changed, LabelLeftOut, LeftOut, Suspicious};
use crate::image_file::{Header, fits};
use crate::{DataError, Split};

/// Names of the folders of XML files, of pictures and of masks, in lower case.
const ANNOTATIONS: [&str; 6] = ["annotations", "annotation", "xml", "xmls", "labels", "label"];
const PICTURES: [&str; 8] = ["jpegimages", "images", "image", "imgs", "img", "pictures", "photos", "pics"];
const MASKS: [&str; 2] = ["segmentationclass", "segmentationclasspng"];

fn holds(folder: &Path, ending: &str) -> bool {
    let mut entries = files::entries(folder).unwrap_or_default().into_iter();
    entries.any(|path| files::ending(&path) == ending && path.is_file())
}

/// Whether XML files of this format are directly in the folder: one of the first few shows it in its first bytes.
fn holds_loose(folder: &Path) -> bool {
    let says = |path: &PathBuf| {
        use std::io::Read;
        let mut first = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(2048).read_to_end(&mut first));
        // UTF-16 has a zero byte beside every ASCII letter.
        first.retain(|&byte| byte != 0);
        read.is_ok()
            && first.windows(12).any(|tag| tag.starts_with(b"<annotation") && b"> \t\r\n".contains(&tag[11]))
    };
    let entries = files::entries(folder).unwrap_or_default().into_iter();
    let xml = entries.filter(|path| files::ending(path) == "xml" && path.is_file());
    xml.take(20).any(|path| says(&path))
}

/// A folder that holds a set, or one part of it.
pub(super) struct Root {
    pub folder: PathBuf,
    annotations: Option<PathBuf>,
    pictures: PathBuf,
    masks: Option<PathBuf>,
    part: Option<Split>,
}

impl Root {
    /// The set in `folder`, if `folder` has subfolders of XML files or masks.
    fn at(folder: &Path, part: Option<Split>) -> Option<Root> {
        let in_parts = |folder: &Path| {
            files::folders(folder)
                .iter()
                .any(|below| files::part(&files::name(below)).is_some() && holds(below, "xml"))
        };
        let has_xml = |name: &str| {
            files::folder_named(folder, &[name]).filter(|folder| holds(folder, "xml") || in_parts(folder))
        };
        let annotations = ANNOTATIONS.iter().find_map(|name| has_xml(name));
        let pictures = files::folder_named(folder, &PICTURES);
        let masks = MASKS
            .iter()
            .filter_map(|name| files::folder_named(folder, &[name]))
            .find(|folder| holds(folder, "png"));
        if annotations.is_none() && (masks.is_none() || pictures.is_none()) {
            return None;
        }
        let pictures = pictures.unwrap_or_else(|| folder.into());
        Some(Root { folder: folder.into(), annotations, pictures, masks, part })
    }
}

/// The folders at a path that hold a set or parts of it; none if the path is not a set of this format.
pub(super) fn roots(path: &Path) -> Vec<Root> {
    let kit = path.join("VOCdevkit");
    let path = if kit.is_dir() { kit.as_path() } else { path };
    if let Some(root) = Root::at(path, None) {
        return vec![root];
    }
    let below = files::folders(path);
    // Any other folder is a separate set, not a part of this one.
    let is_year = |name: &str| {
        name.strip_prefix("voc").is_some_and(|year| year.starts_with(|c: char| c.is_ascii_digit()))
    };
    let of_set = |folder: &&PathBuf| {
        files::part(&files::name(folder)).is_some() || is_year(&files::name(folder).to_lowercase())
    };
    let below_it = below.iter().filter(of_set);
    let found: Vec<Root> =
        below_it.filter_map(|folder| Root::at(folder, files::part(&files::name(folder)))).collect();
    if !found.is_empty() {
        return found;
    }
    let in_parts =
        || below.iter().any(|folder| files::part(&files::name(folder)).is_some() && holds_loose(folder));
    if holds_loose(path) || in_parts() {
        let (folder, annotations, pictures) = (path.into(), Some(path.into()), path.into());
        return vec![Root { folder, annotations, pictures, masks: None, part: None }];
    }
    Vec::new()
}

/// A picture and the files that belong to it.
pub(super) struct Entry {
    pub name: String,
    pub picture: PathBuf,
    pub part: Option<Split>,
    pub annotation: Option<Annotation>,
    pub mask: Option<PathBuf>,
    /// Rows and columns, and whether the XML file gives them.
    pub size: [usize; 2],
    pub sized: bool,
}

impl Root {
    /// The pictures that have an XML file or a mask and, if there are lists, are in a list.
    pub fn entries(&self, reading: &mut Reading) -> Result<Vec<Entry>, DataError> {
        let mut pictures = files::pictures(&self.pictures, reading)?;
        // Masks in the picture folder itself are not pictures.
        pictures.retain(|path| {
            let below = path.strip_prefix(&self.pictures).unwrap_or(path);
            let mut names = below.parent().into_iter().flat_map(Path::components);
            !names.any(|name| name.as_os_str().to_string_lossy().to_lowercase().starts_with("segmentation"))
        });
        reading.found += pictures.len();
        let mut by_name = ByName::default();
        pictures.iter().enumerate().for_each(|(place, path)| by_name.add(&self.pictures, path, place));
        let mut annotations = self.annotations(&pictures, &by_name, reading)?;
        let mut masks = match &self.masks {
            Some(folder) => Some(ByStem::new(folder, &["png"])?),
            None => None,
        };
        let parts = lists::parts(&self.folder, &by_name, reading)?;
        let mut entries = Vec::new();
        for (place, picture) in pictures.into_iter().enumerate() {
            let stem = files::stem(&self.pictures, &picture);
            let annotation = match annotations.remove(&place) {
                Some(Matched::Own(annotation)) => Some(annotation),
                Some(Matched::Other) => {
                    let what = "pictures with the name of another, which their XML file means";
                    reading.findings.add(LeftOut, what, picture.display());
                    continue;
                }
                None => None,
            };
            let mask = masks.as_mut().and_then(|masks| masks.take(&stem));
            let part = match &parts {
                Some(parts) => match parts.get(&place) {
                    Some(&part) => Some(part),
                    None => {
                        reading.findings.add(
                            LeftOut,
                            "pictures that no list of a part names",
                            picture.display(),
                        );
                        continue;
                    }
                },
                None => self.part.or_else(|| part_of(&stem)),
            };
            if annotation.is_none() && mask.is_none() {
                let what = "pictures without an XML file";
                reading.findings.add(LeftOut, what, picture.display());
                continue;
            }
            let Some(header) = reading.header(&picture) else { continue };
            let size = annotation.as_ref().and_then(|annotation| annotation.size);
            if let (Some(annotation), None) = (&annotation, size) {
                let what = "XML files without the picture's size: its own is taken";
                reading.findings.add(Changed, what, annotation.path.display());
            }
            let (size, sized) = (size.unwrap_or(header.upright), size.is_some());
            reading.check(&picture, size)?;
            if let Some(mask) = &mask {
                fits(mask, size, Header::read(mask)?.stored)?;
            }
            let name = stem.to_string_lossy().into_owned();
            entries.push(Entry { name, picture, part, annotation, mask, size, sized });
        }
        for mask in masks.iter().flat_map(ByStem::left) {
            reading.findings.add(LabelLeftOut, "masks that belong to no picture", mask.display());
        }
        Ok(entries)
    }

    /// The XML files of the pictures, by the pictures' indices.
    fn annotations(
        &self,
        pictures: &[PathBuf],
        by_name: &ByName,
        reading: &mut Reading,
    ) -> Result<HashMap<usize, Matched>, DataError> {
        let mut found: HashMap<usize, Matched> = HashMap::new();
        let Some(folder) = &self.annotations else { return Ok(found) };
        let mut files = ByStem::new(folder, &["xml"])?;
        let mut sharing: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
        for (place, picture) in pictures.iter().enumerate() {
            if let Some(xml) = files.take(&files::stem(&self.pictures, picture)) {
                sharing.entry(xml).or_default().push(place);
            }
        }
        for (xml, places) in sharing {
            let Some(annotation) = Annotation::read(&xml, reading)? else {
                return Err(wrong(
                    &xml,
                    "line 1",
                    "<annotation>, for a picture of this name",
                    "another element",
                ));
            };
            let own = self.meant(&annotation, &places, pictures, by_name, reading);
            places.iter().filter(|&&place| place != own).for_each(|&place| {
                found.insert(place, Matched::Other);
            });
            found.insert(own, Matched::Own(annotation));
        }
        for xml in files.left() {
            let Some(annotation) = Annotation::read(xml, reading)? else {
                reading.findings.add(LabelLeftOut, "XML files of another kind", xml.display());
                continue;
            };
            let named = annotation.filename.as_deref().and_then(|name| by_name.find(name));
            let place = named.or_else(|| by_name.find(&xml.file_stem()?.to_string_lossy()));
            match place.filter(|place| !found.contains_key(place)) {
                Some(place) => {
                    found.insert(place, Matched::Own(annotation));
                }
                None => {
                    reading.findings.add(LabelLeftOut, "XML files that belong to no picture", xml.display())
                }
            }
        }
        if found.is_empty() && files.len() > 0 {
            let expected =
                format!("pictures for its {} XML files, in {}", files.len(), self.pictures.display());
            let count = format!("none of {} named like one of them", pictures.len());
            return Err(wrong(folder, "the folder", &expected, &count));
        }
        Ok(found)
    }

    /// Decides which of the pictures with an XML file's name the file describes: the one of its `filename`, or else the
    /// first.
    fn meant(
        &self,
        annotation: &Annotation,
        places: &[usize],
        pictures: &[PathBuf],
        by_name: &ByName,
        reading: &mut Reading,
    ) -> usize {
        let Some(filename) = &annotation.filename else { return places[0] };
        let last = filename.rsplit(['/', '\\']).next().unwrap_or(filename);
        let same = |place: &&usize| pictures[**place].file_name() == Some(OsStr::new(last));
        if let Some(&place) = places.iter().find(same) {
            return place;
        }
        if by_name.find(filename).is_some_and(|other| !places.contains(&other)) {
            let what = "XML files whose filename is that of another picture: their own name counts";
            reading.findings.add(Suspicious, what, annotation.path.display());
        }
        places[0]
    }
}

/// The XML file of a picture.
enum Matched {
    Own(Annotation),
    /// There is a file with its name, but it describes another picture.
    Other,
}

/// The part named by the first folder of a picture's path.
fn part_of(stem: &OsStr) -> Option<Split> {
    let mut folders = Path::new(stem).parent()?.components();
    folders.next().and_then(|first| files::part(&first.as_os_str().to_string_lossy()))
}
