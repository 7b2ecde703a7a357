//! Tables of clips: CSV with a header and one row per clip.
//!
//! | column | says |
//! |---|---|
//! | `clip`, `video`, `film`, `path`, `file` or `filename` | the file or folder of the clip, relative to the table |
//! | `split`, `part`, `subset` or `set` | train, validation or test |
//! | `class`, `label` or `category`, or `class:NAME` | a class: any text |
//! | `number:NAME` | a number |
//!
//! An empty cell means that the label is missing. Other columns are left out, and the account says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Found, Reading, Said};
use crate::FindingKind::LabelLeftOut;
use crate::dataset::{CLASS, LabelKind};
use crate::photos::files::{ending, part};
use crate::photos::text;
use crate::{DataError, Split};

const CLIP: [&str; 6] = ["clip", "video", "film", "path", "file", "filename"];
const PART: [&str; 4] = ["split", "part", "subset", "set"];
const NAMED_CLASS: [&str; 3] = ["class", "label", "category"];
/// The table in a folder.
const NAME: &str = "clips.csv";

const REMEDY: &str = "mend the table, or empty the cell if the label is missing";

/// The table at a path, if there is one: itself, or `clips.csv` in a folder.
pub(super) fn at(path: &Path) -> Option<PathBuf> {
    if path.is_file() && ["csv", "tsv"].contains(&ending(path).as_str()) {
        return Some(path.into());
    }
    Some(path.join(NAME)).filter(|table| table.is_file())
}

/// The meaning of a column.
enum Column {
    Clip,
    Part,
    Label(String, LabelKind),
    Other,
}

fn column(name: &str) -> Column {
    let lower = name.to_lowercase();
    let is = |names: &[&str]| names.contains(&lower.as_str());
    match lower.split_once(':') {
        _ if is(&CLIP) => Column::Clip,
        _ if is(&PART) => Column::Part,
        _ if is(&NAMED_CLASS) => Column::Label(CLASS.into(), LabelKind::Class),
        Some(("class", rest)) if !rest.is_empty() => Column::Label(name[6..].trim().into(), LabelKind::Class),
        Some(("number", rest)) if !rest.is_empty() => {
            Column::Label(name[7..].trim().into(), LabelKind::Values)
        }
        _ => Column::Other,
    }
}

pub(super) fn read(path: &Path, reading: &mut Reading) -> Result<(), DataError> {
    let content = text::read(path)?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(text::delimiter(&content))
        .trim(csv::Trim::All)
        .from_reader(content.as_bytes());
    let broken = |error: csv::Error| {
        let line = error.position().map_or(1, |place| place.line() as usize);
        text::wrong(path, line, "as many cells as the header has columns", &error.to_string(), REMEDY)
    };
    let header = reader.headers().map_err(broken)?.clone();
    let columns: Vec<Column> = header.iter().map(column).collect();
    let of = |wanted: fn(&Column) -> bool| columns.iter().filter(|column| wanted(column)).count();
    if of(|column| matches!(column, Column::Clip)) != 1 || of(|column| matches!(column, Column::Part)) > 1 {
        let expected = format!(
            "one column of clips ({}), and at most one of parts ({})",
            CLIP.join(", "),
            PART.join(", ")
        );
        let names: Vec<&str> = header.iter().collect();
        return Err(text::wrong(path, 1, &expected, &names.join(","), "name the columns"));
    }
    let mut names = BTreeSet::new();
    for (column, title) in columns.iter().zip(&header) {
        match column {
            Column::Label(name, kind) => {
                if !names.insert(name) {
                    return Err(text::wrong(
                        path,
                        1,
                        "each label in one column",
                        title,
                        "rename one of them",
                    ));
                }
                reading.labels.push((name.clone(), *kind));
            }
            Column::Other => {
                let what = "columns that are neither class:NAME nor number:NAME";
                reading.findings.add(LabelLeftOut, what, title);
            }
            Column::Clip | Column::Part => {}
        }
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut seen = BTreeSet::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, |place| place.line() as usize);
        let clip = found(path, folder, &columns, &record, line)?;
        if !seen.insert(clip.name.clone()) {
            return Err(text::wrong(path, line, "each clip once", &clip.name, "remove the row"));
        }
        reading.clips.push(clip);
    }
    reading.found = reading.clips.len();
    if reading.clips.is_empty() {
        return Err(text::wrong(path, 2, "at least one clip", "", "add rows"));
    }
    Ok(())
}

/// The clip of a row.
fn found(
    path: &Path,
    folder: &Path,
    columns: &[Column],
    record: &csv::StringRecord,
    line: usize,
) -> Result<Found, DataError> {
    let wrong = |expected: &str, cell: &str| text::wrong(path, line, expected, cell, REMEDY);
    let (mut name, mut in_part, mut labels) = (String::new(), None::<Split>, BTreeMap::new());
    for (column, cell) in columns.iter().zip(record) {
        match column {
            Column::Clip if cell.is_empty() => return Err(wrong("the path of a clip", cell)),
            Column::Clip => name = cell.into(),
            Column::Part if !cell.is_empty() => {
                in_part = Some(part(cell).ok_or_else(|| wrong("train, validation or test", cell))?);
            }
            Column::Label(label, LabelKind::Class) if !cell.is_empty() => {
                labels.insert(label.clone(), Said::Class(cell.into()));
            }
            Column::Label(label, _) if !cell.is_empty() => {
                let number = text::number(cell).ok_or_else(|| wrong("a finite number", cell))?;
                labels.insert(label.clone(), Said::Number(number));
            }
            _ => {}
        }
    }
    let clip = folder.join(&name);
    if !clip.exists() {
        return Err(wrong("the path of a clip, relative to the table", &name));
    }
    Ok(Found { name, path: clip, part: in_part, labels })
}
