//! The layout of Oxford-IIIT Pet (Parkhi et al., "Cats and Dogs", 2012) as one
//! table: `labels.csv`, `images/NAME.jpg`, `trimaps/NAME.png`.
//!
//! | label | from | says |
//! |---|---|---|
//! | `class` | `class` and the name before the last `_` | the breed |
//! | `objects` | `body_*` | the animal's box; one class, "pet" |
//! | `mask` | trimap | 1 animal, 2 background, 3 border: ignored |
//! | `species` | `species` | cat or dog |
//! | `head` | `head_*` | the head's box; one class; missing in some rows |
//!
//! Boxes are `xmin, ymin, xmax, ymax` with the last pixel exclusive. A row may have no boxes, and no trimap if its file
//! does not exist: those labels are then missing. `split` may name a part, or be empty.

use std::collections::BTreeMap;
use std::path::Path;

use super::painted::Code;
use super::reading::{Reading, Thing, classes};
use super::{Format, MaskSource, Photo, files, table, text};
use crate::dataset::{CLASS, LabelInfo, LabelKind, MASK, OBJECTS};
use crate::{DataError, IGNORED, Label, Mask, Object};

const TABLE: &str = "labels.csv";
const REMEDY: &str = "compare with the layout in docs/data.md, and mend the table";

pub(super) const FORMAT: Format =
    Format { name: "pets", what: "labels.csv, images/ and trimaps/", is_at, read };

fn is_at(path: &Path) -> bool {
    // A table with a column of pictures is another format: here pictures are found by the column "name".
    path.join(TABLE).is_file() && path.join("images").is_dir() && !table::names_pictures(&path.join(TABLE))
}

/// The columns of a table by name.
struct Columns {
    places: BTreeMap<String, usize>,
}

/// One line of the table.
struct Row<'a> {
    path: &'a Path,
    line: usize,
    columns: &'a Columns,
    cells: csv::StringRecord,
}

impl Row<'_> {
    fn cell(&self, column: &str) -> &str {
        self.columns.places.get(column).and_then(|&place| self.cells.get(place)).unwrap_or("")
    }

    fn wrong(&self, column: &str, expected: &str) -> DataError {
        let found = format!("{column} = {}", self.cell(column));
        text::wrong(self.path, self.line, expected, &found, REMEDY)
    }

    fn count(&self, column: &str) -> Result<usize, DataError> {
        text::id(self.cell(column))
            .ok_or_else(|| self.wrong(column, &format!("a whole number under \"{column}\"")))
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

fn read(folder: &Path, reading: &mut Reading) -> Result<(), DataError> {
    let path = folder.join(TABLE);
    let table = text::read(&path)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(table.as_bytes());
    let failed = |error: csv::Error| {
        let line = error.position().map_or(1, |place| place.line() as usize);
        text::wrong(
            &path,
            line,
            "as many cells separated by commas as the header has",
            &error.to_string(),
            REMEDY,
        )
    };
    let columns = columns(&path, reader.headers().map_err(failed)?)?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let cells = record.map_err(failed)?;
        let line = cells.position().map_or(0, |place| place.line() as usize);
        rows.push(Row { path: &path, line, columns: &columns, cells });
    }
    if rows.is_empty() {
        return Err(text::wrong(&path, 2, "a row for each photo", "the end of the file", REMEDY));
    }
    reading.found += rows.len();
    let breeds = Classes::read(&rows, "class", |row, _| breed_of(row.cell("name")), reading, CLASS)?;
    let species =
        |_: &Row, id: usize| ["cat", "dog"].get(id).map_or(format!("species {id}"), |s| s.to_string());
    let species = Classes::read(&rows, "species", species, reading, "species")?;

    let mut names = BTreeMap::new();
    for row in &rows {
        let name = row.cell("name");
        if let Some(line) = names.insert(name.to_string(), row.line) {
            return Err(row.wrong("name", &format!("each name once; line {line} has this one too")));
        }
        if let Some(photo) = photo(folder, row, &breeds, &species, reading)? {
            reading.photos.push(photo);
        }
    }
    let pet = ["pet".to_string()];
    let head = ["head".to_string()];
    reading.labels = vec![
        LabelInfo::new(CLASS, LabelKind::Class, &breeds.names),
        LabelInfo::new(OBJECTS, LabelKind::Objects, &pet),
        LabelInfo::new(MASK, LabelKind::Mask, &pet),
        LabelInfo::new("species", LabelKind::Class, &species.names),
        LabelInfo::new("head", LabelKind::Objects, &head),
    ];
    Ok(())
}

fn columns(path: &Path, header: &csv::StringRecord) -> Result<Columns, DataError> {
    let mut places = BTreeMap::new();
    for (place, name) in header.iter().enumerate() {
        if places.insert(name.to_string(), place).is_some() && !name.is_empty() {
            return Err(text::wrong(path, 1, "each column once", name, REMEDY));
        }
    }
    for needed in ["name", "class", "width", "height", "body_xmin", "body_ymin", "body_xmax", "body_ymax"] {
        if !places.contains_key(needed) {
            let expected = format!("a header with the column \"{needed}\"");
            let found = header.iter().collect::<Vec<_>>().join(",");
            return Err(text::wrong(path, 1, &expected, &found, REMEDY));
        }
    }
    Ok(Columns { places })
}

/// The text before the last underscore.
fn breed_of(name: &str) -> String {
    name.rsplit_once('_').map_or(name, |(breed, _)| breed).to_string()
}

/// Ids of a column as classes in ascending order, with names.
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
        reading: &mut Reading,
        label: &str,
    ) -> Result<Classes, DataError> {
        let mut named: BTreeMap<usize, (String, bool)> = BTreeMap::new();
        for row in rows.iter().filter(|row| !row.cell(column).is_empty()) {
            let id = row.count(column)?;
            let own = name(row, id);
            named.entry(id).and_modify(|(known, same)| *same &= *known == own).or_insert((own, true));
        }
        if named.is_empty() {
            return Ok(Classes { names: Vec::new(), of: BTreeMap::new() });
        }
        let ids: Vec<usize> = named.keys().copied().collect();
        // If the photos of one class have different names, the class is named by its number.
        let names: Vec<String> = named
            .into_iter()
            .map(|(id, (name, same))| if same { name } else { format!("{label} {id}") })
            .collect();
        if let Some(known) = reading.options.classes.get(label)
            && !names.iter().all(|name| known.contains(name))
            && ids.iter().all(|&id| id < known.len())
        {
            // The photos were renamed: their numbers still identify the classes.
            let annotated = (0..known.len()).map(|id| ids.contains(&id)).collect();
            reading.annotated.insert(label.to_string(), (known.clone(), annotated));
            return Ok(Classes { names: known.clone(), of: ids.into_iter().map(|id| (id, id)).collect() });
        }
        let named = ids.into_iter().zip(names).collect();
        let (names, mut of) = classes(label, vec![(rows[0].path, named)], reading)?;
        Ok(Classes { names, of: of.pop().unwrap_or_default() })
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
    reading: &mut Reading,
) -> Result<Option<Photo>, DataError> {
    let name = row.cell("name");
    if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(row.wrong("name", "a file name without folder and ending"));
    }
    let path = folder.join("images").join(format!("{name}.jpg"));
    let size = [row.count("height")?, row.count("width")?];
    if !reading.check(&path, size)? {
        return Ok(None);
    }
    let place = |kind: &str| format!("{kind} of line {} of {}", row.line, row.path.display());
    let mut boxes = |kind: &str| -> Result<Option<Vec<Object>>, DataError> {
        let Some(bbox) = row.bbox(kind)? else { return Ok(None) };
        let (objects, _) = reading.things(vec![Thing::new(0, bbox, place(kind))], size);
        // A box without area means that somebody looked and marked nothing: the label is missing.
        Ok((!objects.is_empty()).then_some(objects))
    };
    let objects = boxes("body")?;
    let head = boxes("head")?;
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
        "" => None,
        word => Some(files::part(word).ok_or_else(|| row.wrong("split", "train, validation or test"))?),
    };
    let class = breeds.of(row, "class")?;
    Ok(Some(Photo { part, sized: true, class, objects, mask, more, ..Photo::new(name.into(), path, size) }))
}

/// A trimap as a mask: 1 is the animal, 2 background, 3 border.
pub(super) fn read_trimap(path: &Path, size: [usize; 2]) -> Result<Mask, DataError> {
    let trimap = Code {
        colours: false,
        classes: [(1, 1), (2, 0), (3, IGNORED)].into(),
        expected: "1, 2 or 3".into(),
        remedy: "fetch the trimap again, or remove the file: the photo is then used without a mask",
    };
    trimap.read(path, size)
}
