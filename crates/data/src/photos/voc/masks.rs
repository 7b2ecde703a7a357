//! `SegmentationClass`: the meaning of the numbers, or colours, of a mask's pixels.
//!
//! A paletted or gray PNG holds the index of a class in a list; 0 is the background and 255 is ignored. The mask does
//! not say which list it uses: a file of class names gives it, otherwise it is VOC's own. A PNG in colours, as some
//! programs export it, has the colours that `labelmap.txt` gives, or those of VOC's own palette.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::{files, text};
use super::annotation::REMEDY;
use crate::MOST_CLASSES;
use crate::{ClassId, DataError, IGNORED, Image, Mask};

/// VOC's classes in the order of their ids, which begin at 1.
pub(super) const TWENTY: [&str; 20] = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];
/// The id of ignored pixels.
const VOID: u16 = 255;
/// The files that list class names, in the order of searching.
const LISTS: [&str; 4] = ["labelmap.txt", "classes.txt", "class_names.txt", "labels.txt"];

/// The names of classes with their ids, and colours if the file gives them.
pub(super) struct ClassList {
    /// The file, or the folder if the classes are VOC's own.
    pub path: PathBuf,
    /// Id, name and colour; the name is `None` for the background.
    entries: Vec<(u16, Option<String>, Option<[u8; 3]>)>,
}

impl ClassList {
    /// The list in one of these folders.
    ///
    /// # Errors
    /// [`DataError`] when the file cannot be read, or names the background twice, or has too many lines.
    pub fn find<'a>(mut folders: impl Iterator<Item = &'a Path>) -> Result<Option<ClassList>, DataError> {
        let in_folder = |folder: &Path| {
            let entries = files::entries(folder).unwrap_or_default();
            LISTS.iter().find_map(|name| {
                entries
                    .iter()
                    .find(|path| {
                        path.is_file() && path.file_name().is_some_and(|n| n.eq_ignore_ascii_case(name))
                    })
                    .cloned()
            })
        };
        let Some(path) = folders.find_map(in_folder) else { return Ok(None) };
        let mut entries: Vec<(u16, Option<String>, Option<[u8; 3]>)> = Vec::new();
        let text = text::read(&path)?;
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let (name, colour) = split_colour(line);
            if name == "__ignore__" {
                continue;
            }
            let is_background =
                ["background", "_background_", "__background__"].contains(&name.to_lowercase().as_str());
            if entries.len() > MOST_CLASSES
                || is_background && entries.iter().any(|(_, name, _)| name.is_none())
            {
                let expected = "the background once, and not too many classes";
                return Err(text::wrong(&path, number, expected, line, REMEDY));
            }
            entries.push((entries.len() as u16, (!is_background).then(|| name.to_string()), colour));
        }
        if entries.iter().all(|(_, name, _)| name.is_some()) {
            // A list of classes only: ids begin after the background.
            entries.iter_mut().for_each(|(id, _, _)| *id += 1);
            entries.insert(0, (0, None, Some([0; 3])));
        }
        Ok(Some(ClassList { path, entries }))
    }

    /// VOC's own list, for the data in a folder.
    pub fn twenty(folder: &Path) -> ClassList {
        let named = TWENTY.iter().zip(1..).map(|(name, id)| (id, Some(name.to_string()), None));
        ClassList { path: folder.into(), entries: [(0, None, None)].into_iter().chain(named).collect() }
    }

    /// The names of the classes in ascending order of ids.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.entries.iter().filter_map(|(_, name, _)| name.as_ref())
    }

    /// The meaning of the pixel values; `classes` maps names to classes.
    pub fn values(&self, classes: &BTreeMap<String, usize>) -> MaskValues {
        let mut values = MaskValues::default();
        for (id, name, colour) in &self.entries {
            let value = match name {
                None => Some(0),
                Some(name) => classes.get(name).map(|&class| class as ClassId + 1),
            };
            let Some(value) = value else { continue };
            values.ids.insert(*id, value);
            values.colours.insert(colour.unwrap_or(voc_colour(*id)), value);
        }
        values.ids.insert(VOID, IGNORED);
        // The colour of 255 in VOC's palette is the colour of its outlines.
        values.colours.entry(voc_colour(VOID)).or_insert(IGNORED);
        values
    }
}

/// A line of `labelmap.txt` is `name:red,green,blue:parts:actions`; in other files it is only the name.
fn split_colour(line: &str) -> (&str, Option<[u8; 3]>) {
    let cells: Vec<&str> = line.rsplitn(4, ':').collect();
    let [_, _, colour, name] = cells[..] else { return (line, None) };
    let bytes: Vec<u8> = colour.split(',').filter_map(|byte| byte.trim().parse().ok()).collect();
    (name.trim(), <[u8; 3]>::try_from(bytes).ok())
}

/// VOC's palette: three bits of an id at a time become the high bits of red, green and blue.
fn voc_colour(id: u16) -> [u8; 3] {
    let channel = |first: u32| {
        (0..8).fold(0, |value, step| value | ((u32::from(id) >> (3 * step + first)) & 1) << (7 - step))
    };
    [0, 1, 2].map(|first| channel(first) as u8)
}

/// The meaning of the numbers and colours of masks.
#[derive(Clone, Debug, Default)]
pub(crate) struct MaskValues {
    ids: BTreeMap<u16, ClassId>,
    colours: BTreeMap<[u8; 3], ClassId>,
}

impl MaskValues {
    /// The mask of a picture of `size` rows and columns.
    ///
    /// # Errors
    /// [`DataError`] naming the file, and the pixel that has an unknown number or colour.
    pub fn read(&self, path: &Path, [height, width]: [usize; 2]) -> Result<Mask, DataError> {
        let wrong = |place: String, expected: String, found: String| DataError::Malformed {
            path: path.into(),
            place,
            expected,
            found,
            remedy: "mend the mask, or remove the file: the picture is then used without one".into(),
        };
        let at = |place: usize| format!("row {}, column {}", place / width.max(1), place % width.max(1));
        let fits = |found: [usize; 2]| {
            let expected = format!("{width}x{height} pixels, as its picture has");
            (found == [height, width])
                .then_some(())
                .ok_or_else(|| wrong("header".into(), expected, format!("{}x{}", found[1], found[0])))
        };
        let classes: Vec<ClassId> = match Image::read_ids(path) {
            Ok((ids, found)) => {
                fits(found)?;
                let value = |(place, id): (usize, u16)| {
                    let most = self.ids.keys().rev().find(|&&id| id != VOID).copied().unwrap_or(0);
                    let expected = format!("0 to {most}, the ids of the classes, or {VOID}");
                    self.ids.get(&id).copied().ok_or_else(|| wrong(at(place), expected, id.to_string()))
                };
                ids.into_iter().enumerate().map(value).collect::<Result<_, _>>()?
            }
            // The mask has colours.
            Err(DataError::Malformed { .. }) => {
                let image = Image::read(path)?;
                fits([image.height, image.width])?;
                let value = |(place, pixel): (usize, &[u8])| {
                    let colour = [pixel[0], pixel[1], pixel[2]];
                    let expected = "a colour of the classes (labelmap.txt), or of VOC's palette".to_string();
                    self.colours
                        .get(&colour)
                        .copied()
                        .ok_or_else(|| wrong(at(place), expected, format!("{colour:?}")))
                };
                image.pixels.chunks_exact(3).enumerate().map(value).collect::<Result<_, _>>()?
            }
            Err(other) => return Err(other),
        };
        Ok(Mask { height, width, classes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palette_is_vocs() {
        let known = [
            (0, [0, 0, 0]),
            (1, [128, 0, 0]),
            (2, [0, 128, 0]),
            (15, [192, 128, 128]),
            (20, [0, 64, 128]),
            (255, [224, 224, 192]),
        ];
        known.iter().for_each(|&(id, colour)| assert_eq!(voc_colour(id), colour, "{id}"));
    }

    #[test]
    fn a_list_with_its_background_counts_from_it_and_one_without_counts_from_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            let list = ClassList::find([folder.path()].into_iter()).unwrap().unwrap();
            std::fs::remove_file(folder.path().join(name)).unwrap();
            let classes = list.names().cloned().zip(0..).collect();
            let values = list.values(&classes);
            (values.ids.into_iter().collect::<Vec<_>>(), values.colours)
        };
        let void = (255, IGNORED);
        assert_eq!(read("classes.txt", "cup\nbox\n").0, [(0, 0), (1, 1), (2, 2), void]);
        assert_eq!(read("class_names.txt", "__ignore__\n_background_\ncup\n").0, [(0, 0), (1, 1), void]);
        let (ids, colours) = read(
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nbox: large:9,8,7::\nbackground:0,0,0::\ncup:1,2,3::\n",
        );
        assert_eq!(ids, [(0, 1), (1, 0), (2, 2), void]);
        assert_eq!([[9, 8, 7], [0; 3], [1, 2, 3]].map(|colour| colours[&colour]), [1, 0, 2]);
        assert!(ClassList::find([folder.path()].into_iter()).unwrap().is_none());
        std::fs::write(folder.path().join("labels.txt"), "background\ncup\nBackground\n").unwrap();
        let message = ClassList::find([folder.path()].into_iter()).err().unwrap().to_string();
        assert!(message.contains("labels.txt, line 3"), "{message}");
    }
}
