//! Oxford-IIIT Pet (Parkhi et al., "Cats and Dogs", 2012) as Oxford distributes it: `images/NAME.jpg` and, in
//! `annotations/`, `list.txt`, `trainval.txt`, `test.txt`, `xmls/NAME.xml` and `trimaps/NAME.png`.
//!
//! A line of a list is `NAME CLASS-ID SPECIES BREED-ID`: the breed from 1 to 37, 1 for a cat or 2 for a dog, and the
//! breed within its species, which is not used here. `trainval.txt` and `test.txt` give the part; without both of them,
//! all pictures of `list.txt` are for training.
//!
//! | label | from | says |
//! |---|---|---|
//! | `class` | list | the breed: the name before the last `_`, in ascending order of ids |
//! | `objects` | trimap | the animal's box; one class, "pet" |
//! | `mask` | trimap | 1 animal, 2 background, 3 border: ignored |
//! | `species` | list | cat or dog |
//! | `head` | XML | the head's box; one class; about half of the pictures, those of the test part, have none |
//!
//! These are the labels of [`super::pets`]. Oxford drew only the boxes of heads: the box of the body bounds all pixels
//! of the trimap that are animal or border, since half of the border lies on the animal. A picture without trimap has
//! neither mask nor body. XML files count pixels like VOC's; see [`Corners`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::files::{self, ByStem};
use super::pets::read_trimap;
use super::reading::{Reading, Thing, classes};
use super::voc::annotation::{Annotation, Corners};
use super::{Format, MaskSource, Photo, text};
use crate::FindingKind::{Changed, LabelLeftOut, LeftOut, Suspicious};
use crate::dataset::{CLASS, LabelInfo, LabelKind, MASK, OBJECTS};
use crate::{DataError, Label, Object, Split};

const REMEDY: &str = "compare with the layout in docs/data.md, and mend the list";

pub(super) const FORMAT: Format =
    Format { name: "oxford", what: "annotations/list.txt or trainval.txt, and images/", is_at, read };

const LISTS: [(&str, Option<Split>); 3] =
    [("trainval.txt", Some(Split::Train)), ("test.txt", Some(Split::Test)), ("list.txt", None)];

fn is_at(path: &Path) -> bool {
    path.join("images").is_dir()
        && LISTS.iter().any(|(list, _)| path.join("annotations").join(list).is_file())
}

/// A line of a list.
struct Row {
    name: String,
    breed: usize,
    /// Counted from 0.
    species: usize,
    part: Option<Split>,
    path: PathBuf,
    line: usize,
}

impl Row {
    fn read(path: &Path, line: usize, text: &str, part: Option<Split>) -> Result<Row, DataError> {
        let wrong = |expected: &str| text::wrong(path, line, expected, text, REMEDY);
        let cells: Vec<&str> = text.split_whitespace().collect();
        let [name, breed, species, _] = cells[..] else {
            return Err(wrong("a name, a class id, a species and a breed id, with spaces between them"));
        };
        if name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(wrong("a file name without folder and ending"));
        }
        let breed = text::id(breed).filter(|&id| id > 0).ok_or_else(|| wrong("a class id from 1"))?;
        let species = text::id(species).filter(|id| (1..=2).contains(id));
        let species = species.ok_or_else(|| wrong("1 for a cat or 2 for a dog as the species"))? - 1;
        Ok(Row { name: name.into(), breed, species, part, path: path.into(), line })
    }

    fn place(&self) -> String {
        format!("line {} of {}", self.line, self.path.display())
    }
}

/// The pictures of all lists by name. If two lists contain a picture, it gets the part that is furthest from training.
fn rows(folder: &Path, reading: &mut Reading) -> Result<BTreeMap<String, Row>, DataError> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    // Name, species and first occurrence of every class id, and the id of every name.
    let mut breeds: BTreeMap<usize, (String, usize, String)> = BTreeMap::new();
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    for (list, part) in LISTS {
        let path = folder.join("annotations").join(list);
        if !path.is_file() {
            continue;
        }
        let text = text::read(&path)?;
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let row = Row::read(&path, number, line, part)?;
            let breed = breed_of(&row.name);
            let known = breeds.entry(row.breed).or_insert_with(|| (breed.clone(), row.species, row.place()));
            if (&known.0, known.1) != (&breed, row.species) {
                let kind = ["cat", "dog"][known.1];
                let expected =
                    format!("class {} to be {}, a {kind}, as {} says", row.breed, known.0, known.2);
                return Err(text::wrong(&path, number, &expected, line, REMEDY));
            }
            let id = *ids.entry(breed).or_insert(row.breed);
            if id != row.breed {
                let expected = format!("class {id}, as {} says of this breed", breeds[&id].2);
                return Err(text::wrong(&path, number, &expected, line, REMEDY));
            }
            match rows.get_mut(&row.name) {
                None => {
                    rows.insert(row.name.clone(), row);
                }
                // The list of all pictures repeats the pictures of the parts.
                Some(known) if known.path != row.path && row.part.is_none() => {}
                Some(known) if known.path != row.path => {
                    let what = "pictures that the lists of two parts name: they are kept from training";
                    reading.findings.add(Suspicious, what, row.place());
                    known.part = row.part;
                }
                Some(_) => {
                    let what = "pictures that one list names twice, counted once";
                    reading.findings.add(Changed, what, row.place());
                }
            }
        }
    }
    Ok(rows)
}

/// The text before the last underscore.
fn breed_of(name: &str) -> String {
    name.rsplit_once('_').map_or(name, |(breed, _)| breed).to_string()
}

fn read(folder: &Path, reading: &mut Reading) -> Result<(), DataError> {
    let mut rows = rows(folder, reading)?;
    let annotations = folder.join("annotations");
    if rows.is_empty() {
        return Err(DataError::Malformed {
            path: annotations,
            place: "the lists".into(),
            expected: "a line for each picture in list.txt, or in trainval.txt and test.txt".into(),
            found: "none".into(),
            remedy: REMEDY.into(),
        });
    }
    reading.found += rows.len();
    if rows.values().any(|row| row.part.is_some()) {
        rows.retain(|_, row| {
            if row.part.is_none() {
                let what = "pictures that list.txt names, but neither trainval.txt nor test.txt";
                reading.findings.add(LeftOut, what, row.place());
            }
            row.part.is_some()
        });
    }
    let breeds: BTreeMap<usize, String> = rows.values().map(|row| (row.breed, breed_of(&row.name))).collect();
    let species: BTreeMap<usize, String> =
        rows.values().map(|row| (row.species, ["cat", "dog"][row.species].to_string())).collect();
    let (breeds, breed_classes) =
        classes(CLASS, vec![(&annotations, breeds.into_iter().collect())], reading)?;
    let (species, species_classes) =
        classes("species", vec![(&annotations, species.into_iter().collect())], reading)?;
    let mut finder = Finder::new(folder, reading)?;
    let mut photos = Vec::with_capacity(rows.len());
    for row in rows.into_values() {
        let Some((photo, head)) = finder.photo(&row, reading)? else { continue };
        let species = Label::Class(species_classes[0][&row.species]);
        let more = BTreeMap::from([("species".to_string(), species)]);
        photos.push((Photo { class: Some(breed_classes[0][&row.breed]), more, ..photo }, head));
    }
    finder.tell_left(reading);
    let corners = Corners::judge(
        photos.iter().map(|(photo, head)| (head.as_ref().map_or(&[][..], |head| &head.objects), photo.size)),
        reading,
    );
    for (mut photo, head) in photos {
        let heads = head.into_iter().flat_map(|head| head.objects);
        let things = heads.map(|head| Thing::new(0, corners.bbox(head.corners), head.place)).collect();
        let (heads, _) = reading.things(things, photo.size);
        if !heads.is_empty() {
            photo.more.insert("head".to_string(), Label::Objects(heads));
        }
        reading.photos.push(photo);
    }
    let pet = ["pet".to_string()];
    let head = ["head".to_string()];
    reading.labels = vec![
        LabelInfo::new(CLASS, LabelKind::Class, &breeds),
        LabelInfo::new(OBJECTS, LabelKind::Objects, &pet),
        LabelInfo::new(MASK, LabelKind::Mask, &pet),
        LabelInfo::new("species", LabelKind::Class, &species),
        LabelInfo::new("head", LabelKind::Objects, &head),
    ];
    Ok(())
}

/// The files of the pictures, by name.
struct Finder {
    folder: PathBuf,
    pictures: ByStem,
    xmls: Option<ByStem>,
    trimaps: Option<ByStem>,
}

impl Finder {
    fn new(folder: &Path, reading: &mut Reading) -> Result<Finder, DataError> {
        let of = |name: &str, ending: &str| {
            let folder = folder.join("annotations").join(name);
            if folder.is_dir() { ByStem::new(&folder, &[ending]).map(Some) } else { Ok(None) }
        };
        // Reports pictures in formats that cannot be read.
        files::pictures(&folder.join("images"), reading)?;
        Ok(Finder {
            folder: folder.into(),
            pictures: ByStem::new(&folder.join("images"), &["jpg", "jpeg", "png"])?,
            xmls: of("xmls", "xml")?,
            trimaps: of("trimaps", "png")?,
        })
    }

    /// The picture of a row and the content of its XML file; `None` if the picture cannot be read, which is noted.
    fn photo(
        &mut self,
        row: &Row,
        reading: &mut Reading,
    ) -> Result<Option<(Photo, Option<Annotation>)>, DataError> {
        let name = std::ffi::OsStr::new(&row.name);
        let missing = || self.folder.join("images").join(format!("{}.jpg", row.name));
        let path = self.pictures.take(name).unwrap_or_else(missing);
        let xml = self.xmls.as_mut().and_then(|files| files.take(name));
        let trimap = self.trimaps.as_mut().and_then(|files| files.take(name));
        let Some(header) = reading.header(&path) else { return Ok(None) };
        let annotation = match &xml {
            Some(xml) => {
                let annotation = Annotation::read(xml, reading)?;
                Some(annotation.ok_or_else(|| {
                    text::wrong(xml, 1, "<annotation>", "another element", "fetch the file again")
                })?)
            }
            None => None,
        };
        let size = annotation.as_ref().and_then(|annotation| annotation.size);
        let mut photo = Photo::new(row.name.clone(), path, size.unwrap_or(header.upright));
        photo.sized = size.is_some();
        reading.check(&photo.path, photo.size)?;
        if let Some(trimap) = trimap {
            photo.objects = body(&trimap, photo.size)?;
            photo.mask = MaskSource::Trimap(trimap);
        }
        Ok(Some((Photo { part: row.part, ..photo }, annotation)))
    }

    /// Reports the files that belong to no line of a list.
    fn tell_left(&self, reading: &mut Reading) {
        for path in self.pictures.left() {
            reading.found += 1;
            reading.findings.add(LeftOut, "pictures that no list names", path.display());
        }
        for path in [&self.xmls, &self.trimaps].into_iter().flatten().flat_map(ByStem::left) {
            reading.findings.add(
                LabelLeftOut,
                "XML files and trimaps of pictures that no list names",
                path.display(),
            );
        }
    }
}

/// The box around the animal and its border; `None` if the trimap shows neither.
fn body(trimap: &Path, size: [usize; 2]) -> Result<Option<Vec<Object>>, DataError> {
    let mask = read_trimap(trimap, size)?;
    let mut bbox: Option<[usize; 4]> = None;
    for (y, row) in mask.classes.chunks_exact(mask.width.max(1)).enumerate() {
        let Some(first) = row.iter().position(|&class| class != 0) else { continue };
        let last = row.iter().rposition(|&class| class != 0).unwrap_or(first);
        let [x1, y1, x2, _] = bbox.unwrap_or([first, y, last + 1, y]);
        bbox = Some([x1.min(first), y1, x2.max(last + 1), y + 1]);
    }
    Ok(bbox.map(|bbox| vec![Object::new(0, bbox.map(|side| side as f32))]))
}
