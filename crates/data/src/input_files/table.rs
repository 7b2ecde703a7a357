//! Tables of inputs: CSV with a header and one row per sample.
//!
//! | column | says |
//! |---|---|
//! | `clip`, `video`, `film`, `path`, `file` or `filename` | the file or folder of a clip, relative to the table: the input `video` |
//! | `image`, `picture` or `photo` | a picture's file: the input `image` |
//! | `audio`, `sound`, `recording` or `wav` | a WAV file: the input `audio` |
//! | `input:NAME`, or `input:NAME/A`, `input:NAME/B`, .. | a number, or several: the input `NAME` |
//! | `split`, `part`, `subset` or `set` | train, validation or test |
//! | `class`, `label` or `category`, or `class:NAME` | a class: any text |
//! | `number:NAME` | a number to learn |
//!
//! An empty cell means that the input or the label is missing; a row has at least one input. Other columns are left out,
//! and the account says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Found, Given, Reading, Said};
use crate::FindingKind::LabelLeftOut;
use crate::dataset::{CLASS, LabelKind};
use crate::photos::files::{ending, part};
use crate::photos::text;
use crate::{AUDIO, DataError, IMAGE, Split, VIDEO};

const CLIP: [&str; 6] = ["clip", "video", "film", "path", "file", "filename"];
const PICTURE: [&str; 3] = ["image", "picture", "photo"];
const SOUND: [&str; 4] = ["audio", "sound", "recording", "wav"];
const PART: [&str; 4] = ["split", "part", "subset", "set"];
const NAMED_CLASS: [&str; 3] = ["class", "label", "category"];
/// The tables in a folder.
const NAMES: [&str; 2] = ["clips.csv", "inputs.csv"];

const REMEDY: &str = "mend the table, or empty the cell if the input or label is missing";

/// The table at a path, if there is one: itself, or one of the usual name in a folder.
pub(super) fn at(path: &Path) -> Option<PathBuf> {
    if path.is_file() && ["csv", "tsv"].contains(&ending(path).as_str()) {
        return Some(path.into());
    }
    NAMES.iter().map(|name| path.join(name)).find(|table| table.is_file())
}

/// The meaning of a column.
#[derive(Clone, PartialEq)]
enum Column {
    /// The input of this name, from a file.
    File(&'static str),
    /// A number of the input of this name.
    Number(String),
    Part,
    Label(String, LabelKind),
    Other,
}

fn column(title: &str) -> Column {
    let lower = title.to_lowercase();
    let is = |names: &[&str]| names.contains(&lower.as_str());
    let named = |prefix: &str| title[prefix.len()..].trim().to_string();
    match lower.split_once(':') {
        _ if is(&CLIP) => Column::File(VIDEO),
        _ if is(&PICTURE) => Column::File(IMAGE),
        _ if is(&SOUND) => Column::File(AUDIO),
        _ if is(&PART) => Column::Part,
        _ if is(&NAMED_CLASS) => Column::Label(CLASS.into(), LabelKind::Class),
        Some(("class", rest)) if !rest.is_empty() => Column::Label(named("class:"), LabelKind::Class),
        Some(("number", rest)) if !rest.is_empty() => Column::Label(named("number:"), LabelKind::Values),
        Some(("input", rest)) if !rest.is_empty() => {
            let name = named("input:");
            Column::Number(name.split_once('/').map_or(name.clone(), |(name, _)| name.trim().into()))
        }
        _ => Column::Other,
    }
}

/// The columns of a header, after a check that they go together.
fn columns(path: &Path, header: &csv::StringRecord, reading: &mut Reading) -> Result<Vec<Column>, DataError> {
    let columns: Vec<Column> = header.iter().map(column).collect();
    let wrong = |expected: &str, found: &str| text::wrong(path, 1, expected, found, "name the columns");
    let titles: Vec<&str> = header.iter().collect();
    let is_input = |column: &Column| matches!(column, Column::File(_) | Column::Number(_));
    if !columns.iter().any(is_input) {
        let files = [&CLIP[..], &PICTURE, &SOUND].concat().join(", ");
        return Err(wrong(&format!("a column of an input ({files}, input:NAME)"), &titles.join(",")));
    }
    for (place, (column, title)) in columns.iter().zip(&titles).enumerate() {
        match column {
            Column::Other => {
                let what = "columns that are neither class:NAME nor number:NAME, nor an input";
                reading.findings.add(LabelLeftOut, what, title);
            }
            Column::Number(name) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                let taken = [IMAGE, AUDIO, VIDEO].contains(&name.as_str());
                if taken || name.is_empty() || !name.chars().all(plain) {
                    let expected =
                        "an input's name of letters, digits, - and _, which is not image, audio or video";
                    return Err(wrong(expected, title));
                }
            }
            _ if columns[..place].contains(column) => {
                return Err(wrong("each input, each label and the part in one column", title));
            }
            Column::Label(name, kind) => {
                let known = reading.labels.iter().any(|(known, _)| known == name);
                if known {
                    return Err(wrong("each label in one column", title));
                }
                reading.labels.push((name.clone(), *kind));
            }
            Column::File(_) | Column::Part => {}
        }
    }
    Ok(columns)
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
    let columns = columns(path, &header, reading)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut seen = BTreeSet::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, |place| place.line() as usize);
        let sample = found(path, folder, &columns, &record, line)?;
        let files: Vec<PathBuf> = sample.given.files().cloned().collect();
        if !files.is_empty() && !seen.insert(files) {
            let expected = "each clip, or each set of files, once";
            return Err(text::wrong(path, line, expected, &sample.name, "remove the row"));
        }
        reading.samples.push(sample);
    }
    reading.found = reading.samples.len();
    if reading.samples.is_empty() {
        return Err(text::wrong(path, 2, "at least one row", "", "add rows"));
    }
    Ok(())
}

/// The sample of a row.
fn found(
    path: &Path,
    folder: &Path,
    columns: &[Column],
    record: &csv::StringRecord,
    line: usize,
) -> Result<Found, DataError> {
    let wrong = |expected: &str, cell: &str| text::wrong(path, line, expected, cell, REMEDY);
    let number = |cell: &str| text::number(cell).ok_or_else(|| wrong("a finite number", cell));
    let (mut name, mut in_part, mut labels) = (None, None::<Split>, BTreeMap::new());
    let mut given = Given::default();
    // The inputs of numbers that this row lacks.
    let mut without = BTreeSet::new();
    for (column, cell) in columns.iter().zip(record) {
        match column {
            Column::Number(input) if cell.is_empty() => drop(without.insert(input)),
            Column::Number(input) => given.numbers.entry(input.clone()).or_default().push(number(cell)?),
            _ if cell.is_empty() => {}
            Column::File(input) => {
                let file = folder.join(cell);
                if !file.exists() {
                    return Err(wrong(
                        "the path of a clip, picture or recording, relative to the table",
                        cell,
                    ));
                }
                let place = match *input {
                    VIDEO => &mut given.video,
                    IMAGE => &mut given.image,
                    _ => &mut given.audio,
                };
                *place = Some(file);
                name.get_or_insert_with(|| cell.to_string());
            }
            Column::Part => {
                in_part = Some(part(cell).ok_or_else(|| wrong("train, validation or test", cell))?);
            }
            Column::Label(label, LabelKind::Class) => {
                labels.insert(label.clone(), Said::Class(cell.into()));
            }
            Column::Label(label, _) => drop(labels.insert(label.clone(), Said::Number(number(cell)?))),
            Column::Other => {}
        }
    }
    if let Some(input) = without.iter().find(|input| given.numbers.contains_key(**input)) {
        return Err(wrong(&format!("all numbers of the input {input}, or none"), "an empty cell"));
    }
    if given.files().next().is_none() && given.numbers.is_empty() {
        return Err(wrong("the path of a clip, or another input", ""));
    }
    let name = name.unwrap_or_else(|| format!("line {line}"));
    Ok(Found { name, given, part: in_part, labels })
}
