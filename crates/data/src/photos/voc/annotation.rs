//! One XML file of Pascal VOC (a picture's name, size and objects), and how a set counts the pixels of boxes.

use std::path::{Path, PathBuf};

use super::super::reading::Reading;
use super::super::text;
use super::xml::Element;
use crate::DataError;
use crate::FindingKind::{Changed, LabelLeftOut, Suspicious};

pub(crate) const REMEDY: &str = "compare with the layout in docs/data.md, and mend the file";

/// An object as it is in the file.
pub(crate) struct Marked {
    pub name: String,
    /// xmin, ymin, xmax, ymax as they are written; see [`Corners`].
    pub corners: [f32; 4],
    pub difficult: bool,
    /// Its position: line and file.
    pub place: String,
}

/// The content of an XML file.
pub(crate) struct Annotation {
    pub path: PathBuf,
    /// The picture's name, with or without folders.
    pub filename: Option<String>,
    /// Rows and columns; `None` if they are missing or 0.
    pub size: Option<[usize; 2]>,
    pub objects: Vec<Marked>,
}

impl Annotation {
    /// Reads a file; `None` for XML of another kind.
    ///
    /// # Errors
    /// [`DataError::Malformed`] with the line of the damaged or missing element.
    pub fn read(path: &Path, reading: &mut Reading) -> Result<Option<Annotation>, DataError> {
        let root = Element::read(path)?;
        if root.name != "annotation" {
            return Ok(None);
        }
        let size = match root.child("size") {
            Some(size) => {
                let side = |name| match size.child(name) {
                    None => Ok(0),
                    Some(side) if side.text.trim().is_empty() => Ok(0),
                    Some(side) => text::id(&side.text).ok_or_else(|| {
                        let expected = format!("a whole number of pixels as <{name}>");
                        text::wrong(path, side.line, &expected, side.text.trim(), REMEDY)
                    }),
                };
                Some([side("height")?, side("width")?]).filter(|size| !size.contains(&0))
            }
            None => None,
        };
        let mut objects = Vec::new();
        for object in root.children.iter().filter(|child| child.name == "object") {
            objects.extend(marked(path, object, reading)?);
        }
        let filename = root.value("filename").map(String::from);
        Ok(Some(Annotation { path: path.into(), filename, size, objects }))
    }
}

/// An object; `None` if it has no axis-aligned box, which is noted. Its parts (head, hands, feet) are not read.
fn marked(path: &Path, object: &Element, reading: &mut Reading) -> Result<Option<Marked>, DataError> {
    let wrong = |line, expected: &str, found: &str| text::wrong(path, line, expected, found, REMEDY);
    let place = format!("line {} of {}", object.line, path.display());
    let name = object.value("name");
    let name = name.ok_or_else(|| wrong(object.line, "the name of the object's class", "no <name>"))?;
    let Some(bndbox) = object.child("bndbox") else {
        reading.findings.add(LabelLeftOut, "objects without an upright box (bndbox)", &place);
        return Ok(None);
    };
    let mut corners = [0.0; 4];
    for (corner, side) in corners.iter_mut().zip(["xmin", "ymin", "xmax", "ymax"]) {
        let expected = format!("a number as <{side}>");
        let Some(element) = bndbox.child(side) else {
            return Err(wrong(bndbox.line, &expected, &format!("no <{side}>")));
        };
        *corner =
            text::number(&element.text).ok_or_else(|| wrong(element.line, &expected, element.text.trim()))?;
    }
    if corners[2] < corners[0] || corners[3] < corners[1] {
        let found = format!("{} {} {} {}", corners[0], corners[1], corners[2], corners[3]);
        return Err(wrong(bndbox.line, "xmax and ymax that are not before xmin and ymin", &found));
    }
    if object.child("polygon").is_some() {
        let what = "outlines (polygon) of objects, of which the box is used";
        reading.findings.add(LabelLeftOut, what, &place);
    }
    let difficult = match object.child("difficult").map(|flag| (flag.line, flag.text.trim().to_lowercase())) {
        None => false,
        Some((line, flag)) => match flag.as_str() {
            "1" | "true" => true,
            "0" | "false" | "" | "unspecified" => false,
            other => return Err(wrong(line, "0 or 1 as <difficult>", other)),
        },
    };
    Ok(Some(Marked { name: name.into(), corners, difficult, place }))
}

/// How the boxes of a set count pixels. The files do not say it, so all boxes of a set together must show it:
///
/// - VOC itself counts from 1 and its last pixel belongs to the box. None of its boxes begins at 0.
/// - Most programs that export the format write edges, counted from 0: a box of the whole picture ends at its width.
/// - A few take first and last pixels from an array, counted from 0: a box ends one before the width at most.
///
/// A box that begins at 0 excludes the first, a box that ends at the picture's side the last. If most boxes have
/// fractions, they are edges; a few with fractions (VOC has a handful) prove nothing. In unclear cases the boxes are
/// read like VOC's own; a mistake costs one pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Corners {
    /// Pixels from 1, the last one included.
    FromOne,
    /// Edges from 0.
    Edges,
    /// Pixels from 0, the last one included.
    FromZero,
}

/// Counts of the boxes' positions.
#[derive(Default)]
struct Seen {
    boxes: usize,
    fractions: usize,
    /// Left and top sides at 0, and at 1.
    at_zero: usize,
    at_one: usize,
    /// Right and bottom sides at the picture's side or past it, and those one pixel before it.
    at_end: usize,
    before_end: usize,
}

impl Corners {
    /// Decides how the boxes of all these pictures count pixels, and reports boxes that are changed.
    pub fn judge<'a>(
        pictures: impl Iterator<Item = (&'a [Marked], [usize; 2])> + Clone,
        reading: &mut Reading,
    ) -> Corners {
        let mut seen = Seen::default();
        for (marked, [height, width]) in pictures.clone() {
            for [x1, y1, x2, y2] in marked.iter().map(|marked| marked.corners) {
                seen.boxes += 1;
                seen.fractions += usize::from([x1, y1, x2, y2].iter().any(|side| side.fract() != 0.0));
                for (first, last, side) in [(x1, x2, width as f32), (y1, y2, height as f32)] {
                    seen.at_zero += usize::from(first == 0.0);
                    seen.at_one += usize::from(first == 1.0);
                    seen.at_end += usize::from(last >= side);
                    seen.before_end += usize::from(last == side - 1.0);
                }
            }
        }
        let corners = seen.tell();
        let mixed = seen.at_zero > 0 && seen.at_one > 2 * seen.at_zero;
        for marked in pictures.flat_map(|(marked, _)| marked) {
            match corners {
                Corners::FromOne => {
                    let what =
                        "boxes that count pixels from 1, as VOC does: 1 is taken from their left and top";
                    reading.findings.add(Changed, what, &marked.place);
                }
                Corners::FromZero => {
                    let what = "boxes that count pixels from 0 and their last one in: 1 is added to their right and bottom";
                    reading.findings.add(Changed, what, &marked.place);
                }
                Corners::Edges if mixed && (marked.corners[0] == 0.0 || marked.corners[1] == 0.0) => {
                    let what =
                        "boxes that begin at 0 in a set where more begin at 1: all are taken to count from 0";
                    reading.findings.add(Suspicious, what, &marked.place);
                }
                Corners::Edges => {}
            }
        }
        corners
    }

    /// A box with its right and bottom edges exclusive. A box that was drawn as a point or a line has no area in any
    /// convention: nobody marks a single pixel.
    pub fn bbox(self, [x1, y1, x2, y2]: [f32; 4]) -> [f32; 4] {
        if x1 == x2 || y1 == y2 {
            return [x1, y1, x2, y2];
        }
        match self {
            Corners::FromOne => [x1 - 1.0, y1 - 1.0, x2, y2],
            Corners::Edges => [x1, y1, x2, y2],
            Corners::FromZero => [x1, y1, x2 + 1.0, y2 + 1.0],
        }
    }
}

impl Seen {
    fn tell(&self) -> Corners {
        if 2 * self.fractions > self.boxes {
            return Corners::Edges;
        }
        if self.at_zero == 0 {
            return Corners::FromOne;
        }
        // With edges, about as many boxes end at the last side as begin at 0. Several must be missing there to be sure.
        let ends_before = self.at_end == 0 && self.at_zero >= 3 && 2 * self.before_end >= self.at_zero;
        if ends_before { Corners::FromZero } else { Corners::Edges }
    }
}
