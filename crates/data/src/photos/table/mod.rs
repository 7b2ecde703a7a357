//! Tables of labels: CSV with a header and one row per picture or per object.
//!
//! `--data` is a `.csv` or `.tsv` file, or a folder with such files: itself, or in folders of the parts. Cells are
//! separated by commas, semicolons or tabs, depending on the header. A word in the name of the file or its folder gives
//! the part of rows that do not name one. Columns, in upper or lower case:
//!
//! | column | says |
//! |---|---|
//! | `image`, `file`, `filename`, `path`, .. | the picture, relative to the table, to `images/` beside it or to the part's folder; the extension may be missing |
//! | `split`, `part`, `subset`, `set` | train, validation or test |
//! | `class`, `label`, `category`, or `class:NAME` | a class: any text |
//! | `labels`, `tags`, or `labels:NAME` | several, separated by `;` or `|`; `-` for none |
//! | `number:NAME`, `number:NAME/A` and `number:NAME/B` | a number, or several that are one label |
//! | `xmin`, `ymin`, `xmax`, `ymax` (or `x1`, .., `left`, ..) | a box in pixels, right and bottom exclusive; `class` is then its class, and a picture may have several rows; `-` in all four for no object |
//! | `x`, `y`, `width`, `height` (or `w`, `h`) | the same by left, top, width and height |
//! | `width`, `height` beside corners or without boxes | the picture's size |
//! | `mask` | a mask's file: ids or colours as [`masks`](super::masks) reads them |
//! | `depth`, `depth:NAME`, `depth@5000` | a depth map's file: 16-bit gray PNG in millimetres, or with so many steps per metre; 0 is unknown |
//!
//! Columns with other names are [classified by their content](columns). An empty cell means that the label is missing.

mod columns;
mod reader;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::coco::part_of;
use super::reading::Reading;
use super::{Format, files, text};
use crate::{DataError, Split};
use columns::Columns;

const REMEDY: &str = "mend the table, or empty the cell if the label is missing";

pub(super) const FORMAT: Format =
    Format { name: "table", what: "a .csv or .tsv file with a column of pictures", is_at, read };

/// A row of a table, and its position.
struct Row {
    path: PathBuf,
    line: usize,
    cells: Vec<String>,
    /// The part that the file's name gives.
    part: Option<Split>,
}

/// The rows of all files, which share one header.
struct Table {
    path: PathBuf,
    header: Vec<String>,
    rows: Vec<Row>,
}

/// A picture's name in the table, and its rows.
type Grouped<'a> = (&'a str, Vec<&'a Row>);

fn is_table(path: &Path) -> bool {
    path.is_file() && ["csv", "tsv"].contains(&files::ending(path).as_str()) && !files::is_hidden(path)
}

/// The names of a table's columns, if one of them is for pictures.
fn header(path: &Path) -> Option<Vec<String>> {
    let text = is_table(path).then(|| text::read(path).ok())??;
    let mut reader = csv::ReaderBuilder::new().delimiter(text::delimiter(&text)).from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers().ok()?.iter().map(|name| name.trim().to_string()).collect();
    columns::picture_column(&header).is_some().then_some(header)
}

/// Whether a file's header has a column of pictures.
pub(super) fn names_pictures(path: &Path) -> bool {
    header(path).is_some()
}

/// Whether a table in a folder has a column of masks.
pub(super) fn names_masks(folder: &Path) -> bool {
    tables_in(folder)
        .iter()
        .filter_map(|path| header(path))
        .any(|header| columns::mask_column(&header).is_some())
}

fn is_at(path: &Path) -> bool {
    if path.is_file() { is_table(path) } else { !tables_in(path).is_empty() }
}

/// The tables of a folder, and those in its part folders.
fn tables_in(folder: &Path) -> Vec<PathBuf> {
    let tables = |folder: &Path| -> Vec<PathBuf> {
        let entries = files::entries(folder).unwrap_or_default();
        entries.into_iter().filter(|path| names_pictures(path)).collect()
    };
    let own = tables(folder);
    if !own.is_empty() {
        return own;
    }
    let is_part = |path: &PathBuf| {
        path.is_dir() && path.file_name().is_some_and(|name| files::part(&name.to_string_lossy()).is_some())
    };
    let parts = files::entries(folder).unwrap_or_default().into_iter().filter(is_part);
    parts.flat_map(|part| tables(&part)).collect()
}

impl Row {
    fn wrong(&self, table: &Table, place: usize, expected: &str) -> DataError {
        let column = table.header.get(place).map_or("", String::as_str);
        DataError::Malformed {
            path: self.path.clone(),
            place: format!("line {}, column \"{column}\"", self.line),
            expected: expected.into(),
            found: format!("\"{}\"", text::short(self.cell(place))),
            remedy: REMEDY.into(),
        }
    }

    fn at(&self) -> String {
        format!("line {} of {}", self.line, self.path.display())
    }
}

impl Table {
    fn read(paths: &[PathBuf], alone: bool) -> Result<Table, DataError> {
        let mut table = Table { path: paths[0].clone(), header: Vec::new(), rows: Vec::new() };
        for path in paths {
            // A file given alone is training data, whatever its name says.
            let part = if alone { None } else { part_of(path)? };
            table.add(path, part)?;
        }
        if table.rows.is_empty() {
            return Err(text::wrong(&table.path, 2, "a row for each picture", "the end of the file", REMEDY));
        }
        Ok(table)
    }

    fn add(&mut self, path: &Path, part: Option<Split>) -> Result<(), DataError> {
        let content = text::read(path)?;
        let mut reader =
            csv::ReaderBuilder::new().delimiter(text::delimiter(&content)).from_reader(content.as_bytes());
        let failed = |error: csv::Error| {
            let line = error.position().map_or(1, |place| place.line() as usize);
            text::wrong(path, line, "as many cells as the header has", &error.to_string(), REMEDY)
        };
        let header: Vec<String> =
            reader.headers().map_err(failed)?.iter().map(|name| name.trim().to_string()).collect();
        if self.header.is_empty() {
            self.header = header;
        } else if self.header != header {
            let expected = format!("the header of {}: {}", self.path.display(), self.header.join(","));
            return Err(text::wrong(path, 1, &expected, &header.join(","), "give all tables one header"));
        }
        for record in reader.records() {
            let record = record.map_err(failed)?;
            let line = record.position().map_or(0, |place| place.line() as usize);
            let cells: Vec<String> = record.iter().map(String::from).collect();
            self.rows.push(Row { path: path.into(), line, cells, part });
        }
        Ok(())
    }

    /// The rows of each picture, in the order in which the pictures first occur.
    fn by_picture(&self, columns: &Columns) -> Result<Vec<Grouped<'_>>, DataError> {
        let mut places: BTreeMap<(&Path, &str), usize> = BTreeMap::new();
        let mut grouped: Vec<Grouped> = Vec::new();
        for row in &self.rows {
            let name = row.cell(columns.picture);
            if name.is_empty() {
                return Err(row.wrong(self, columns.picture, "a picture's file"));
            }
            let place = *places.entry((&row.path, name)).or_insert_with(|| {
                grouped.push((name, Vec::new()));
                grouped.len() - 1
            });
            let rows = &mut grouped[place].1;
            if let Some(first) = rows.first().filter(|_| columns.boxes.is_none()) {
                let expected = format!("each picture once; line {} has this one too", first.line);
                return Err(row.wrong(self, columns.picture, &expected));
            }
            rows.push(row);
        }
        Ok(grouped)
    }
}

fn read(path: &Path, reading: &mut Reading) -> Result<(), DataError> {
    let alone = path.is_file();
    let paths = if alone { vec![path.to_path_buf()] } else { tables_in(path) };
    if paths.is_empty() {
        let expected = "a .csv or .tsv file with a column of pictures";
        return Err(text::wrong(
            path,
            1,
            expected,
            "no such file",
            "see the columns of tables in docs/data.md",
        ));
    }
    let table = Table::read(&paths, alone)?;
    let columns = Columns::new(&table, &mut reading.findings)?;
    let grouped = table.by_picture(&columns)?;
    reading.found += grouped.len();
    reader::read(&table, &columns, &grouped, reading)?;
    if reading.labels.is_empty() {
        let expected = "a column of labels, or several";
        let remedy = "declare it as class:NAME, labels:NAME or number:NAME; see docs/data.md";
        return Err(text::wrong(&table.path, 1, expected, &table.header.join(","), remedy));
    }
    Ok(())
}
