//! Makes photos with their labels from rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::class_list::ClassList;
use super::super::depth_map::DepthMap;
use super::super::painted::same_size;
use super::super::reading::{Reading, Thing, classes, object_labels, present};
use super::super::{MaskSource, Photo, files, masks, text};
use super::columns::{BoxColumns, Columns, Kind, LabelColumn, items, number};
use super::{Grouped, Row, Table};
use crate::FindingKind::{LabelLeftOut, LeftOut};
use crate::dataset::{CLASS, LabelInfo, LabelKind, MASK, OBJECTS};
use crate::image_file::Header;
use crate::{DataError, Label, Object};

/// Extensions to try if the table leaves them out.
const ENDINGS: [&str; 7] = ["", ".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG"];

struct Reader<'a> {
    table: &'a Table,
    columns: &'a Columns,
    /// The number of classes of each label and the class of each text; the classes of boxes are under [`OBJECTS`].
    classes: BTreeMap<String, (usize, BTreeMap<String, usize>)>,
    /// Pictures that the table names.
    named: BTreeSet<PathBuf>,
    /// Indices of photos, and their masks.
    masks: Vec<(usize, PathBuf)>,
    /// The number of boxes, and of those with no side above 1.
    boxes: [usize; 2],
}

/// Adds the photos and labels of a table to what has been read.
pub fn read(
    table: &Table,
    columns: &Columns,
    grouped: &[Grouped],
    reading: &mut Reading,
) -> Result<(), DataError> {
    let mut reader = Reader {
        table,
        columns,
        classes: BTreeMap::new(),
        named: BTreeSet::new(),
        masks: Vec::new(),
        boxes: [0; 2],
    };
    let labels = reader.labels(reading)?;
    for (name, rows) in grouped {
        if let Some(photo) = reader.photo(name, rows, reading)? {
            reading.photos.push(photo);
        }
    }
    reader.check_boxes(reading)?;
    reading.labels = labels;
    reader.read_masks(reading)?;
    reader.tell_unnamed(reading)
}

impl Reader<'_> {
    /// The labels of the columns; this also fills in their classes.
    fn labels(&mut self, reading: &mut Reading) -> Result<Vec<LabelInfo>, DataError> {
        let mut labels = Vec::new();
        if let Some(boxes) = &self.columns.boxes {
            let names = match boxes.class {
                Some(place) => self.class_names(OBJECTS, place, false, reading)?,
                None => vec!["object".to_string()],
            };
            labels.extend(object_labels(&names, false));
        }
        let columns = self.columns;
        for LabelColumn { name, kind, places, .. } in &columns.labels {
            let place = places[0].0;
            labels.push(match kind {
                Kind::Class => {
                    LabelInfo::new(name, LabelKind::Class, &self.class_names(name, place, false, reading)?)
                }
                Kind::Labels => {
                    LabelInfo::new(name, LabelKind::Classes, &self.class_names(name, place, true, reading)?)
                }
                Kind::Number => {
                    let names: Vec<String> = places.iter().map(|(_, value)| value.clone()).collect();
                    LabelInfo::new(name, LabelKind::Values, &names)
                }
                Kind::Depth => LabelInfo::new(name, LabelKind::ValueMap, &["metres".to_string()]),
            });
        }
        Ok(labels)
    }

    /// The classes of a column in ascending order; numbers are sorted as numbers.
    fn class_names(
        &mut self,
        label: &str,
        place: usize,
        several: bool,
        reading: &mut Reading,
    ) -> Result<Vec<String>, DataError> {
        let cells = self.table.rows.iter().map(|row| row.cell(place)).filter(|cell| !cell.is_empty());
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for cell in cells {
            if several { names.extend(items(cell)) } else { names.extend((cell != "-").then_some(cell)) }
        }
        let mut names: Vec<&str> = names.into_iter().collect();
        if names.iter().all(|name| name.parse::<u64>().is_ok()) {
            names.sort_by_key(|name| name.parse::<u64>().unwrap_or(0));
        }
        let named = names.into_iter().map(|name| (name.to_string(), name.to_string())).collect();
        let (names, mut of) = classes(label, vec![(&self.table.path, named)], reading)?;
        self.classes.insert(label.to_string(), (names.len(), of.pop().unwrap_or_default()));
        Ok(names)
    }

    fn class(&self, label: &str, name: &str) -> Option<usize> {
        self.classes.get(label)?.1.get(name).copied()
    }

    /// The value of a column for the whole picture: the non-empty cell among its rows.
    fn one<'r>(&self, rows: &[&'r Row], place: usize) -> Result<(&'r Row, &'r str), DataError> {
        let filled = |row: &&&Row| !row.cell(place).is_empty();
        let row = rows.iter().find(filled).unwrap_or(&rows[0]);
        let cell = row.cell(place);
        if let Some(other) = rows.iter().filter(filled).find(|other| other.cell(place) != cell) {
            let expected = format!("the same in all rows of a picture: \"{cell}\", as line {} has", row.line);
            return Err(other.wrong(self.table, place, &expected));
        }
        Ok((row, cell))
    }

    fn photo(
        &mut self,
        name: &str,
        rows: &[&Row],
        reading: &mut Reading,
    ) -> Result<Option<Photo>, DataError> {
        let (columns, table) = (self.columns, self.table);
        let (mut part, mut word) = (rows[0].part, "");
        if let Some(place) = columns.part {
            let (row, cell) = self.one(rows, place)?;
            if !cell.is_empty() {
                let known = files::part(cell);
                part = Some(known.ok_or_else(|| row.wrong(table, place, "train, validation or test"))?);
                word = cell;
            }
        }
        let path = find_picture(rows[0], name, word)
            .ok_or_else(|| rows[0].wrong(table, columns.picture, "a picture that is there"))?;
        self.named.insert(path.clone());
        let mut maps = BTreeMap::new();
        for column in columns.labels.iter().filter(|column| column.kind == Kind::Depth) {
            if let Some(path) = self.file(rows, column.places[0].0, &["depth"])? {
                maps.insert(column.name.clone(), DepthMap { path, steps: column.steps });
            }
        }
        let mask = match columns.mask {
            Some(place) => self.file(rows, place, &["masks", "mask"])?,
            None => None,
        };
        let Some((size, sized)) =
            self.size(rows, &path, mask.iter().chain(maps.values().map(|map| &map.path)), reading)?
        else {
            return Ok(None);
        };
        let mut photo = Photo { part, sized, maps, ..Photo::new(name.into(), path, size) };
        if let Some(mask) = mask {
            self.masks.push((reading.photos.len(), mask));
        }
        if let Some(boxes) = &columns.boxes {
            photo.objects = self.objects(rows, boxes, size, reading)?;
            let count = self.classes.get(OBJECTS).map_or(1, |(count, _)| *count);
            if let Some(objects) = &photo.objects {
                let shown = present(objects.iter().map(|object| object.class), count);
                photo.more.insert("present".into(), shown);
            }
        }
        for column in columns.labels.iter().filter(|column| column.kind != Kind::Depth) {
            match self.label(rows, column)? {
                Some(Label::Class(class)) if column.name == CLASS => photo.class = Some(class),
                Some(label) => drop(photo.more.insert(column.name.clone(), label)),
                None => {}
            }
        }
        Ok(Some(photo))
    }

    /// The picture's rows and columns, and whether they come from the table or from a mask or depth map; `None` if the
    /// picture cannot be read.
    fn size<'p>(
        &self,
        rows: &[&Row],
        path: &Path,
        maps: impl Iterator<Item = &'p PathBuf>,
        reading: &mut Reading,
    ) -> Result<Option<([usize; 2], bool)>, DataError> {
        let mut size = None;
        if let Some([width, height]) = self.columns.size {
            let mut sides = [None; 2];
            for (side, place) in sides.iter_mut().zip([height, width]) {
                let (row, cell) = self.one(rows, place)?;
                if !cell.is_empty() {
                    *side = text::id(cell).filter(|&side| side > 0);
                    side.ok_or_else(|| row.wrong(self.table, place, "a whole number of pixels"))?;
                }
            }
            if let [Some(height), Some(width)] = sides {
                size = Some([height, width]);
            }
        }
        for map in maps {
            let found = Header::read(map)?.stored;
            same_size(map, *size.get_or_insert(found), found)?;
        }
        match size {
            Some(size) => Ok(reading.check(path, size)?.then_some((size, true))),
            None => Ok(reading.header(path).map(|header| (header.upright, false))),
        }
    }

    /// The file in a column, relative to the table, to the folder above it, or to a folder with one of these names.
    fn file(&self, rows: &[&Row], place: usize, folders: &[&str]) -> Result<Option<PathBuf>, DataError> {
        let (row, cell) = self.one(rows, place)?;
        if cell.is_empty() {
            return Ok(None);
        }
        let bases = bases(row).into_iter();
        let bases = bases.flat_map(|base| {
            let below: Vec<PathBuf> = folders.iter().map(|folder| base.join(folder)).collect();
            std::iter::once(base).chain(below)
        });
        let bases: Vec<PathBuf> = bases.collect();
        let names = files::as_written(cell);
        let found = names.iter().flat_map(|name| bases.iter().map(move |base| base.join(name)));
        let found = found.into_iter().find(|path| path.is_file());
        found.map(Some).ok_or_else(|| row.wrong(self.table, place, "a file that is there"))
    }

    /// The objects of a picture's rows; `None` if no row has a box.
    fn objects(
        &mut self,
        rows: &[&Row],
        boxes: &BoxColumns,
        size: [usize; 2],
        reading: &mut Reading,
    ) -> Result<Option<Vec<Object>>, DataError> {
        let (mut things, mut looked) = (Vec::new(), false);
        for row in rows {
            let cells = boxes.places.map(|place| row.cell(place));
            if cells.iter().all(|cell| cell.is_empty()) {
                if boxes.class.is_some_and(|place| !["", "-"].contains(&row.cell(place))) {
                    reading.findings.add(LabelLeftOut, "classes of objects without a box", row.at());
                }
                continue;
            }
            looked = true;
            if cells.iter().all(|&cell| cell == "-") {
                continue;
            }
            let mut sides = [0.0; 4];
            for (side, place) in sides.iter_mut().zip(boxes.places) {
                *side = text::number(row.cell(place))
                    .ok_or_else(|| row.wrong(self.table, place, "a number, or all four cells empty"))?;
            }
            let [x, y, a, b] = sides;
            let ordered = if boxes.sides { [a, b] } else { [a - x, b - y] };
            if let Some(place) = ordered.iter().position(|&side| side < 0.0) {
                let expected = if boxes.sides {
                    "a width and a height that are not negative"
                } else {
                    "a right and a bottom that are not before left and top"
                };
                return Err(row.wrong(self.table, boxes.places[2 + place], expected));
            }
            self.boxes[0] += 1;
            self.boxes[1] += usize::from(sides.iter().all(|&side| (0.0..=1.0).contains(&side)));
            let class = match boxes.class {
                None => 0,
                Some(place) => self
                    .class(OBJECTS, row.cell(place))
                    .ok_or_else(|| row.wrong(self.table, place, "the class of the box"))?,
            };
            let bbox = if boxes.sides {
                reading.saw_sides(sides, size);
                [x, y, x + a, y + b]
            } else {
                sides
            };
            things.push(Thing::new(class, bbox, row.at()));
        }
        Ok(looked.then(|| reading.things(things, size).0))
    }

    /// The label of a column for a picture; `None` if it is missing.
    fn label(&self, rows: &[&Row], column: &LabelColumn) -> Result<Option<Label>, DataError> {
        if column.kind == Kind::Number {
            let mut values = Vec::with_capacity(column.places.len());
            for (place, _) in &column.places {
                let (row, cell) = self.one(rows, *place)?;
                let value = if cell.is_empty() { Some(f32::NAN) } else { number(cell) };
                values.push(value.ok_or_else(|| row.wrong(self.table, *place, "a number"))?);
            }
            return Ok(values.iter().any(|value| value.is_finite()).then_some(Label::Values(values)));
        }
        let (_, cell) = self.one(rows, column.places[0].0)?;
        if cell.is_empty() {
            return Ok(None);
        }
        if column.kind == Kind::Class {
            return Ok(self.class(&column.name, cell).map(Label::Class));
        }
        let (count, of) = &self.classes[&column.name];
        Ok(Some(present(items(cell).filter_map(|item| of.get(item).copied()), *count)))
    }

    /// Refuses boxes that are fractions of the picture's sides, and widths and heights that are really corners.
    fn check_boxes(&self, reading: &Reading) -> Result<(), DataError> {
        let [all, shares] = self.boxes;
        if all > 0 && shares == all {
            let found = format!("{all} of which no side is above 1");
            return Err(DataError::Malformed {
                path: self.table.path.clone(),
                place: "the boxes".into(),
                expected: "boxes in pixels".into(),
                found,
                remedy: "multiply them by the picture's width and height".into(),
            });
        }
        reading.check_sides(&self.table.path)
    }

    /// Assigns masks to photos, once all masks are known.
    fn read_masks(&self, reading: &mut Reading) -> Result<(), DataError> {
        let Some((_, first)) = self.masks.first() else { return Ok(()) };
        let folders = [self.table.path.parent(), first.parent()];
        let folders: BTreeSet<&Path> = folders.into_iter().flatten().collect();
        let list = ClassList::find(&folders.into_iter().collect::<Vec<_>>())?;
        let paths: Vec<&Path> = self.masks.iter().map(|(_, path)| path.as_path()).collect();
        let (names, code) = masks::code(&paths, list, reading)?;
        for (place, path) in &self.masks {
            reading.photos[*place].mask = MaskSource::Painted(path.clone(), Arc::clone(&code));
        }
        reading.labels.push(LabelInfo::new(MASK, LabelKind::Mask, &names));
        Ok(())
    }

    /// Reports the pictures in `images/` that no row names.
    fn tell_unnamed(&self, reading: &mut Reading) -> Result<(), DataError> {
        let bases: BTreeSet<&Path> = self.table.rows.iter().filter_map(|row| row.path.parent()).collect();
        for folder in bases.into_iter().map(|base| base.join("images")).filter(|folder| folder.is_dir()) {
            for picture in files::pictures(&folder, reading)? {
                if !self.named.contains(&picture) {
                    reading.found += 1;
                    reading.findings.add(
                        LeftOut,
                        "pictures that no row of the table names",
                        picture.display(),
                    );
                }
            }
        }
        Ok(())
    }
}

/// The folders to which paths in a row may be relative.
fn bases(row: &Row) -> [PathBuf; 2] {
    let beside = row.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    [beside.to_path_buf(), beside.join("..")]
}

/// The picture that a row names, in the folder of a part. If the path does not exist, as with paths of another
/// computer, the file name alone is searched.
fn find_picture(row: &Row, name: &str, part: &str) -> Option<PathBuf> {
    let stem = row.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let mut folders = Vec::new();
    for base in bases(row) {
        for base in [base.clone(), base.join("images")] {
            folders.extend([base.clone(), base.join(part), base.join(&stem)]);
        }
    }
    let mut names: Vec<PathBuf> = files::as_written(name).into_iter().map(PathBuf::from).collect();
    let last = names.last().and_then(|path| path.file_name()).map(PathBuf::from);
    names.extend(last.filter(|last| !names.contains(last)));
    for name in &names {
        for ending in ENDINGS {
            let mut whole = name.clone().into_os_string();
            whole.push(ending);
            let mut tried = folders.iter().map(|folder| folder.join(&whole));
            if let Some(found) = tried.find(|path| path.is_file()) {
                return Some(found);
            }
        }
    }
    None
}
