//! The meaning of the columns of a table: by name, by a declared kind, or by content.
//!
//! The table of names is in the description of [`super`]. A column with another name is classified by its cells, but
//! only in clear cases: several words separated by `;` or `|` that repeat are labels, words that repeat are classes,
//! and numbers of which some have decimals are numbers. Whole numbers may be ids, counts or years, and words that do
//! not repeat may be anything: such a column is left out, and the account asks the user to declare it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::text;
use super::{Row, Table};
use crate::dataset::{CLASS, MASK, OBJECTS};
use crate::{DataError, FindingKind};

/// Names of the column of pictures; the first one that exists is used.
const PICTURE: [&str; 8] =
    ["path", "image_path", "image", "file", "filename", "file_name", "image_name", "img"];
const PART: [&str; 4] = ["split", "part", "subset", "set"];
const NAMED_CLASS: [&str; 4] = ["class", "label", "category", "class_name"];
const NAMED_LABELS: [&str; 2] = ["labels", "tags"];
const CORNERS: [[&str; 4]; 4] = [
    ["xmin", "ymin", "xmax", "ymax"],
    ["x_min", "y_min", "x_max", "y_max"],
    ["x1", "y1", "x2", "y2"],
    ["left", "top", "right", "bottom"],
];
const SIDES: [[&str; 4]; 4] = [
    ["x", "y", "width", "height"],
    ["x", "y", "w", "h"],
    ["left", "top", "width", "height"],
    ["bbox_x", "bbox_y", "bbox_width", "bbox_height"],
];
/// Kinds that a column may declare.
const KINDS: &str = "class:NAME, labels:NAME, number:NAME, depth:NAME";

/// The content of a label's column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Class,
    Labels,
    Number,
    Depth,
}

/// A label and its column, or its columns: several number columns may form one label.
#[derive(Clone, Debug)]
pub struct LabelColumn {
    pub name: String,
    pub kind: Kind,
    /// Column indices, with the names of numbers.
    pub places: Vec<(usize, String)>,
    /// Steps per metre of a depth map, if declared.
    pub steps: Option<f32>,
}

/// The four columns of a box, and the column of its class.
#[derive(Clone, Debug)]
pub struct BoxColumns {
    pub places: [usize; 4],
    /// Whether the last two columns are width and height.
    pub sides: bool,
    pub class: Option<usize>,
}

/// The columns of a table.
#[derive(Clone, Debug)]
pub struct Columns {
    pub picture: usize,
    pub part: Option<usize>,
    /// Columns of the picture's width and height.
    pub size: Option<[usize; 2]>,
    pub boxes: Option<BoxColumns>,
    pub mask: Option<usize>,
    pub labels: Vec<LabelColumn>,
}

/// The index of the column of pictures.
pub fn picture_column(header: &[String]) -> Option<usize> {
    PICTURE.iter().find_map(|name| place(header, name))
}

/// The index of the column of masks.
pub fn mask_column(header: &[String]) -> Option<usize> {
    any(header, &["mask", "mask_path"])
}

fn place(header: &[String], name: &str) -> Option<usize> {
    header.iter().position(|column| column.eq_ignore_ascii_case(name))
}

fn any(header: &[String], names: &[&str]) -> Option<usize> {
    names.iter().find_map(|name| place(header, name))
}

fn four(header: &[String], names: &[[&str; 4]]) -> Option<[usize; 4]> {
    names.iter().find_map(|names| {
        let places = names.map(|name| place(header, name));
        places.iter().all(Option::is_some).then(|| places.map(Option::unwrap_or_default))
    })
}

impl Columns {
    /// The meaning of a table's columns; a column without clear meaning becomes a finding.
    ///
    /// # Errors
    /// [`DataError::Malformed`] naming the column when its declared kind does not exist, or when a label occurs twice.
    pub fn new(table: &Table, findings: &mut crate::account::Findings) -> Result<Columns, DataError> {
        let header = &table.header;
        let wrong = |expected: &str, found: &str| {
            text::wrong(&table.path, 1, expected, found, "see the columns of tables in docs/data.md")
        };
        let mut names = BTreeSet::new();
        if let Some(again) =
            header.iter().filter(|name| !name.is_empty()).find(|name| !names.insert(name.to_lowercase()))
        {
            return Err(wrong("each column once", again));
        }
        let Some(picture) = picture_column(header) else {
            let expected = format!("a column of pictures: {}", PICTURE.join(", "));
            return Err(wrong(&expected, &header.join(",")));
        };
        let corners = four(header, &CORNERS);
        let bbox = corners.map(|places| (places, false));
        let bbox = bbox.or_else(|| four(header, &SIDES).map(|places| (places, true)));
        let boxes =
            bbox.map(|(places, sides)| BoxColumns { places, sides, class: any(header, &NAMED_CLASS) });
        let mut columns = Columns {
            picture,
            part: any(header, &PART),
            size: four(header, &[["width", "height", "width", "height"]]).map(|[w, h, _, _]| [w, h]),
            boxes,
            mask: mask_column(header),
            labels: Vec::new(),
        };
        let mut used: BTreeSet<usize> =
            [Some(picture), columns.part, columns.mask].into_iter().flatten().collect();
        if let Some(boxes) = &columns.boxes {
            used.extend(boxes.places.into_iter().chain(boxes.class));
        }
        match columns.size {
            // Width and height of a box are not those of the picture.
            Some(size) if size.iter().all(|place| !used.contains(place)) => used.extend(size),
            _ => columns.size = None,
        }
        for (place, name) in header.iter().enumerate().filter(|(place, _)| !used.contains(place)) {
            let cells =
                || table.rows.iter().filter_map(move |row| Some(row.cell(place)).filter(|c| !c.is_empty()));
            let declared = columns.declared(name).map_err(|found| wrong(KINDS, &found))?;
            let Some((kind, label, steps)) = declared.or_else(|| judged(name, cells())) else {
                if cells().next().is_some() {
                    let what = format!(
                        "columns that are not used, for it is not clear what they say ({KINDS} declare it)"
                    );
                    findings.add(FindingKind::LabelLeftOut, &what, name);
                }
                continue;
            };
            if cells().next().is_none() {
                findings.add(FindingKind::LabelLeftOut, "columns without any value", name);
                continue;
            }
            // For numbers, a slash separates the label from the name of one of its numbers.
            let (label, value) = match label.split_once('/') {
                Some((label, value)) if kind == Kind::Number => (label.to_string(), value.to_string()),
                _ => (label.clone(), label),
            };
            let known = columns.labels.iter_mut().find(|known| known.name == label);
            match known {
                Some(known) if kind == Kind::Number && known.kind == kind && value != label => {
                    known.places.push((place, value));
                }
                Some(_) => return Err(wrong("each label once", name)),
                None => {
                    let places = vec![(place, value)];
                    columns.labels.push(LabelColumn { name: label, kind, places, steps });
                }
            }
        }
        columns
            .check_names()
            .map_err(|name| wrong("a label of another name than objects, present and mask", &name))?;
        Ok(columns)
    }

    /// The kind, label and scale of a column that declares them or has a known name; the column's name as an error if
    /// the declaration is not valid.
    fn declared(&self, column: &str) -> Result<Option<(Kind, String, Option<f32>)>, String> {
        let lower = column.to_lowercase();
        let (word, rest) =
            lower.split_once(':').map_or((lower.as_str(), ""), |(word, rest)| (word.trim(), rest));
        let label =
            if rest.is_empty() { String::new() } else { column[column.len() - rest.len()..].trim().into() };
        let (scaled, steps) = match lower.split_once('@') {
            None => (lower.as_str(), None),
            Some((before, steps)) => (before, Some(text::number(steps).filter(|&s| s > 0.0).ok_or(column)?)),
        };
        if scaled == "depth" || scaled == "depth_path" {
            return Ok(Some((Kind::Depth, "depth".into(), steps)));
        }
        if scaled.starts_with("depth:") {
            let label = label.split('@').next().unwrap_or("").trim().to_string();
            return if label.is_empty() { Err(column.into()) } else { Ok(Some((Kind::Depth, label, steps))) };
        }
        if lower.contains(':') {
            let kind = match word {
                "class" => Kind::Class,
                "labels" => Kind::Labels,
                "number" => Kind::Number,
                _ => return Err(column.into()),
            };
            return if label.is_empty() { Err(column.into()) } else { Ok(Some((kind, label, None))) };
        }
        let is = |names: &[&str]| names.contains(&lower.as_str());
        Ok(if is(&NAMED_CLASS) {
            Some((Kind::Class, CLASS.into(), None))
        } else if is(&NAMED_LABELS) {
            Some((Kind::Labels, lower.clone(), None))
        } else {
            None
        })
    }

    /// Checks that no label has the name of another label; the error is the first such name.
    fn check_names(&self) -> Result<(), String> {
        let reserved = |column: &&LabelColumn| {
            [OBJECTS, MASK, "present"].contains(&column.name.as_str())
                || column.name == CLASS && column.kind != Kind::Class
        };
        self.labels.iter().find(reserved).map_or(Ok(()), |column| Err(column.name.clone()))
    }
}

/// The kind of a column from its content, in clear cases.
fn judged<'a>(name: &str, cells: impl Iterator<Item = &'a str>) -> Option<(Kind, String, Option<f32>)> {
    let cells: Vec<&str> = cells.collect();
    // On average, each item occurs at least twice.
    let again = |items: &[&str]| {
        let mut often: BTreeMap<&str, usize> = BTreeMap::new();
        items.iter().for_each(|item| *often.entry(item).or_default() += 1);
        !items.is_empty() && 2 * often.len() <= items.len()
    };
    let kind = if cells.iter().all(|cell| number(cell).is_some()) {
        cells
            .iter()
            .any(|cell| text::id(cell).is_none() && number(cell).is_some_and(|n| n.fract() != 0.0))
            .then_some(Kind::Number)
    } else if cells.iter().any(|cell| cell.contains([';', '|'])) {
        let items: Vec<&str> = cells.iter().flat_map(|cell| items(cell)).collect();
        again(&items).then_some(Kind::Labels)
    } else {
        let words = cells.iter().all(|cell| number(cell).is_none() && !cell.contains(['/', '\\']));
        (words && again(&cells)).then_some(Kind::Class)
    };
    kind.filter(|_| !name.is_empty()).map(|kind| (kind, name.to_string(), None))
}

/// A number, or NaN for the usual markers of a missing number.
pub fn number(cell: &str) -> Option<f32> {
    let missing = ["nan", "na", "n/a", "null"].contains(&cell.to_lowercase().as_str());
    if missing { Some(f32::NAN) } else { text::number(cell) }
}

/// The labels in a cell; `-` means none.
pub fn items(cell: &str) -> impl Iterator<Item = &str> {
    cell.split([';', '|']).map(str::trim).filter(|item| !item.is_empty() && *item != "-")
}

impl Row {
    /// The cell of a column, trimmed.
    pub fn cell(&self, place: usize) -> &str {
        self.cells.get(place).map_or("", |cell| cell.trim())
    }
}
