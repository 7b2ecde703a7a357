//! The layout of Oxford-IIIT Pet (Parkhi et al., "Cats and Dogs", 2012) as one
//! table: `labels.csv`, `images/NAME.jpg`, `trimaps/NAME.png`.
//!
//! | label | from | says |
//! |---|---|---|
//! | `class` | `class` and the name before the last `_` | the breed |
//! | `objects` | `body_*` | the animal's box; one class, "pet" |
//! | `mask` | trimap | 1 animal, 2 background, 3 border: not judged |
//! | `species` | `species` | cat or dog |
//! | `head` | `head_*` | the head's box; one class; missing in some rows |
//!
//! Boxes are `xmin, ymin, xmax, ymax` with the last pixel exclusive. A row may
//! leave out its boxes and, by not having a file, its trimap: those labels are
//! then missing. `split` may say `test` or `val`; any other word is training.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Found, MaskSource, Photo, PhotoOptions, expected, remark, text, usable_box};
use crate::dataset::{CLASS, LabelInfo, LabelKind, MASK, OBJECTS};
use crate::{DataError, DatasetInfo, IGNORED, Image, Label, Mask, Object, Split};

const TABLE: &str = "labels.csv";
const REMEDY: &str = "compare with the layout in docs/data.md, and mend the table";

pub(super) fn is_at(path: &Path) -> bool {
    path.join(TABLE).is_file()
}

/// The columns of a table by name.
struct Columns {
    places: BTreeMap<String, usize>,
    count: usize,
}

/// One line of the table.
struct Row<'a> {
    path: &'a Path,
    line: usize,
    columns: &'a Columns,
    cells: Vec<&'a str>,
}

impl Row<'_> {
    fn cell(&self, column: &str) -> &str {
        self.columns.places.get(column).map_or("", |&place| self.cells[place])
    }

    fn wrong(&self, column: &str, expected: &str) -> DataError {
        let found = format!("{column} = {}", self.cell(column));
        text::wrong(self.path, self.line, expected, &found, REMEDY)
    }

    fn count(&self, column: &str) -> Result<usize, DataError> {
        let value = self.cell(column).parse::<usize>();
        value.map_err(|_| self.wrong(column, &format!("a whole number under \"{column}\"")))
    }

    /// A box from its four columns; `None` where they are empty.
    fn bbox(&self, kind: &str) -> Result<Option<[f32; 4]>, DataError> {
        let columns = ["xmin", "ymin", "xmax", "ymax"].map(|side| format!("{kind}_{side}"));
        if columns.iter().all(|column| self.cell(column).is_empty()) {
            return Ok(None);
        }
        let mut bbox = [0.0; 4];
        for (side, column) in bbox.iter_mut().zip(&columns) {
            *side = text::number(self.cell(column)).ok_or_else(|| {
                self.wrong(column, &format!("a number under \"{column}\", or all four empty"))
            })?;
        }
        if bbox[2] < bbox[0] || bbox[3] < bbox[1] {
            return Err(
                self.wrong(&columns[2], "a box whose right and bottom are not before its left and top")
            );
        }
        Ok(Some(bbox))
    }
}

pub(super) fn read(folder: &Path, options: &PhotoOptions) -> Result<Found, DataError> {
    let path = folder.join(TABLE);
    let table = text::read(&path)?;
    let mut lines = table.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header = lines.next().map_or("", |(_, line)| line);
    let columns = columns(&path, header)?;
    let mut rows = Vec::new();
    for (index, line) in lines {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        if cells.len() != columns.count || line.contains('"') {
            let expected = format!("{} cells separated by commas, without quotes", columns.count);
            return Err(text::wrong(&path, index + 1, &expected, line, REMEDY));
        }
        rows.push(Row { path: &path, line: index + 1, columns: &columns, cells });
    }
    if rows.is_empty() {
        return Err(text::wrong(&path, 2, "a row for each photo", "the end of the file", REMEDY));
    }
    let breeds = Classes::read(&rows, "class", |row, _| breed_of(row.cell("name")), options, CLASS)?;
    let species =
        |_: &Row, id: usize| ["cat", "dog"].get(id).map_or(format!("species {id}"), |s| s.to_string());
    let species = Classes::read(&rows, "species", species, options, "species")?;

    let mut names = BTreeMap::new();
    let mut empty = (0, String::new());
    let mut photos = Vec::with_capacity(rows.len());
    for row in &rows {
        let name = row.cell("name");
        if let Some(line) = names.insert(name.to_string(), row.line) {
            return Err(row.wrong("name", &format!("each name once; line {line} has this one too")));
        }
        let photo = photo(folder, row, &breeds, &species, &mut empty)?;
        photos.push(photo);
    }
    let pet = ["pet".to_string()];
    let head = ["head".to_string()];
    let info = DatasetInfo {
        name: "pets".into(),
        height: options.size,
        width: options.size,
        channels: 3,
        labels: vec![
            LabelInfo::new(CLASS, LabelKind::Class, &breeds.names),
            LabelInfo::new(OBJECTS, LabelKind::Objects, &pet),
            LabelInfo::new(MASK, LabelKind::Mask, &pet),
            LabelInfo::new("species", LabelKind::Class, &species.names),
            LabelInfo::new("head", LabelKind::Objects, &head),
        ],
        remarks: remark(empty.0, "boxes without area were", &empty.1).into_iter().collect(),
    };
    Ok(Found { info, photos })
}

fn columns(path: &Path, header: &str) -> Result<Columns, DataError> {
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let places: BTreeMap<String, usize> = names.iter().enumerate().map(|(i, n)| (n.to_string(), i)).collect();
    for needed in ["name", "class", "width", "height", "body_xmin", "body_ymin", "body_xmax", "body_ymax"] {
        if !places.contains_key(needed) {
            let expected = format!("a header with the column \"{needed}\"");
            return Err(text::wrong(path, 1, &expected, header, REMEDY));
        }
    }
    Ok(Columns { places, count: names.len() })
}

/// What comes before the last underscore.
fn breed_of(name: &str) -> String {
    name.rsplit_once('_').map_or(name, |(breed, _)| breed).to_string()
}

/// Ids of a column as classes in rising order, with names.
struct Classes {
    names: Vec<String>,
    /// From the id in the file to the class.
    of: BTreeMap<usize, usize>,
}

impl Classes {
    fn read(
        rows: &[Row],
        column: &str,
        name: impl Fn(&Row, usize) -> String,
        options: &PhotoOptions,
        label: &str,
    ) -> Result<Classes, DataError> {
        let mut named: BTreeMap<usize, (String, bool)> = BTreeMap::new();
        for row in rows.iter().filter(|row| !row.cell(column).is_empty()) {
            let id = row.count(column)?;
            let own = name(row, id);
            named.entry(id).and_modify(|(known, same)| *same &= *known == own).or_insert((own, true));
        }
        if named.len() > 254 {
            return Err(rows[0].wrong(column, "at most 254 different classes"));
        }
        let ids: Vec<usize> = named.keys().copied().collect();
        // Photos of one class that go by different names are named by number.
        let names: Vec<String> = named
            .into_iter()
            .map(|(id, (name, same))| if same { name } else { format!("{label} {id}") })
            .collect();
        if let Some(known) = options.classes.get(label)
            && !names.iter().all(|name| known.contains(name))
            && ids.iter().all(|&id| id < known.len())
        {
            // Renamed photos: their numbers still identify them.
            return Ok(Classes { names: known.clone(), of: ids.into_iter().map(|id| (id, id)).collect() });
        }
        let (places, names) = expected(options, label, &names, rows[0].path)?;
        Ok(Classes { names, of: ids.into_iter().zip(places).collect() })
    }

    fn of(&self, row: &Row, column: &str) -> Result<Option<usize>, DataError> {
        if row.cell(column).is_empty() {
            return Ok(None);
        }
        Ok(self.of.get(&row.count(column)?).copied())
    }
}

fn photo(
    folder: &Path,
    row: &Row,
    breeds: &Classes,
    species: &Classes,
    empty: &mut (usize, String),
) -> Result<Photo, DataError> {
    let name = row.cell("name");
    if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(row.wrong("name", "a file name without folder and ending"));
    }
    let path = folder.join("images").join(format!("{name}.jpg"));
    let size = [row.count("height")?, row.count("width")?];
    Image::check(&path, size)?;
    let mut boxes = |kind: &str, bbox: Option<[f32; 4]>| -> Option<Vec<Object>> {
        let bbox = bbox?;
        let usable = usable_box(bbox, size);
        if usable.is_none() {
            empty.0 += 1;
            if empty.1.is_empty() {
                empty.1 = format!("{kind} of line {} of {}", row.line, row.path.display());
            }
        }
        // A box of no area says that somebody looked and marked nothing: no label.
        usable.map(|bbox| vec![Object::new(0, bbox)])
    };
    let objects = boxes("body", row.bbox("body")?);
    let head = boxes("head", row.bbox("head")?);
    let trimap = folder.join("trimaps").join(format!("{name}.png"));
    let mask = if trimap.is_file() { MaskSource::Trimap(trimap) } else { MaskSource::Missing };
    let mut more = BTreeMap::new();
    if let Some(species) = species.of(row, "species")? {
        more.insert("species".to_string(), Label::Class(species));
    }
    if let Some(head) = head {
        more.insert("head".to_string(), Label::Objects(head));
    }
    let part = match row.cell("split") {
        "test" => Split::Test,
        "val" | "validation" => Split::Validation,
        _ => Split::Train,
    };
    let class = breeds.of(row, "class")?;
    Ok(Photo { name: name.into(), path, size, part, class, objects, mask, more })
}

/// A trimap as a mask: 1 is the animal, 2 background, 3 border.
pub(super) fn read_trimap(path: &Path, [height, width]: [usize; 2]) -> Result<Mask, DataError> {
    let (ids, found) = Image::read_ids(path)?;
    let wrong = |place: String, expected: String, found: String| DataError::Malformed {
        path: PathBuf::from(path),
        place,
        expected,
        found,
        remedy: "fetch the trimap again, or remove the file: the photo is then used without a mask".into(),
    };
    if found != [height, width] {
        let expected = format!("{width}x{height} pixels, as its photo has");
        return Err(wrong("header".into(), expected, format!("{}x{}", found[1], found[0])));
    }
    let mut classes = Vec::with_capacity(ids.len());
    for (place, id) in ids.into_iter().enumerate() {
        classes.push(match id {
            1 => 1,
            2 => 0,
            3 => IGNORED,
            other => {
                let at = format!("row {}, column {}", place / width, place % width);
                return Err(wrong(at, "1, 2 or 3".into(), other.to_string()));
            }
        });
    }
    Ok(Mask { height, width, classes })
}
