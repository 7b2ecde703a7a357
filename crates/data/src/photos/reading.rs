//! The common work of all readers: checking pictures, correcting boxes, and counting the rest.
//!
//! A reader of a format finds pictures and labels and passes them to a [`Reading`] unchanged. The reading checks each
//! picture's header, clips boxes, leaves out what cannot be used, merges duplicates, and records all of it.
//! [`Reading::finish`] then decides what only all pictures together can show: which orientation the annotations use for
//! rotated pictures, whether boxes are written as corners, and which labels exist.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::digest::fnv;
use super::{MaskSource, Outline, Photo, PhotoOptions, Shape};
use crate::FindingKind::{Changed, LabelLeftOut, LeftOut, Suspicious};
use crate::account::Findings;
use crate::dataset::{CLASS, LabelInfo, LabelKind, MASK, OBJECTS};
use crate::image_file::{Header, Turn, fits};
use crate::{ClassId, DataError, IGNORED, Label, MOST_CLASSES, Object, Split};

/// How far a box may reach past a picture's edge, as a share of its side, before it is reported: smaller excess is
/// rounding.
const ROUNDING: f32 = 0.01;

/// An object as an annotation describes it, in pixels of the file.
pub(super) struct Thing {
    pub class: usize,
    /// x1, y1, x2, y2.
    pub bbox: [f32; 4],
    pub crowd: bool,
    /// Its area, if it differs from the box's.
    pub area: Option<f32>,
    /// Its shape, if known.
    pub shape: Option<Shape>,
    /// Whether the pixels of the shape belong to its class; if not, they are ignored.
    pub judged: bool,
    /// Its position: file and line.
    pub place: String,
}

impl Thing {
    pub fn new(class: usize, bbox: [f32; 4], place: String) -> Thing {
        Thing { class, bbox, crowd: false, area: None, shape: None, judged: true, place }
    }
}

/// Everything read so far.
pub(super) struct Reading<'a> {
    pub options: &'a PhotoOptions,
    /// The name of the format in the account.
    pub format: String,
    /// Pictures that were found, used or not.
    pub found: usize,
    pub photos: Vec<Photo>,
    /// The labels of the format.
    pub labels: Vec<LabelInfo>,
    pub findings: Findings,
    /// For each label that was read with an expected list: that list, and which of its classes the files have.
    pub annotated: BTreeMap<String, (Vec<String>, Vec<bool>)>,
    /// Pictures that cannot be read, with the reason.
    broken: Vec<(PathBuf, DataError)>,
    /// Headers of pictures, since several entries may refer to one picture.
    headers: HashMap<PathBuf, Header>,
    /// Counts of boxes given as a corner and sides: all, those that reach far past the edge, and those that would be
    /// valid as two corners.
    sided: [usize; 3],
}

impl<'a> Reading<'a> {
    pub fn new(options: &'a PhotoOptions, format: &str) -> Self {
        Reading {
            options,
            format: format.into(),
            found: 0,
            photos: Vec::new(),
            labels: Vec::new(),
            findings: Findings::default(),
            annotated: BTreeMap::new(),
            broken: Vec::new(),
            headers: HashMap::new(),
            sided: [0; 3],
        }
    }

    /// A picture's header; `None` if it cannot be read, which is noted.
    pub fn header(&mut self, path: &Path) -> Option<Header> {
        self.findings.picture = Some(path.into());
        if let Some(&known) = self.headers.get(path) {
            return Some(known);
        }
        match Header::read(path) {
            Ok(header) => {
                self.headers.insert(path.into(), header);
                Some(header)
            }
            Err(error) => {
                self.broken.push((path.into(), error));
                None
            }
        }
    }

    /// Checks the header of a picture whose annotations give it `size` rows and columns.
    ///
    /// # Errors
    /// [`DataError::Malformed`] when the picture has another size, both upright and as stored.
    pub fn check(&mut self, path: &Path, size: [usize; 2]) -> Result<bool, DataError> {
        let Some(header) = self.header(path) else { return Ok(false) };
        if header.stored != size {
            fits(path, size, header.upright)?;
        }
        Ok(true)
    }

    /// Converts things to objects: clips them to the picture, and drops duplicates and those without area. Their shapes
    /// become outlines, larger ones first.
    pub fn things(&mut self, things: Vec<Thing>, size: [usize; 2]) -> (Vec<Object>, Vec<Outline>) {
        let mut objects: Vec<Object> = Vec::with_capacity(things.len());
        let mut outlines: Vec<(f32, Outline)> = Vec::new();
        let mut seen = BTreeSet::new();
        for thing in things {
            let Some(bbox) = usable_box(thing.bbox, size) else {
                self.findings.add(LabelLeftOut, "boxes without area", &thing.place);
                continue;
            };
            // Two objects may have the same box, but not the same outline as well.
            let outline = thing.shape.as_ref().map(Shape::digest);
            if !seen.insert((thing.class, bbox.map(f32::to_bits), outline, thing.crowd)) {
                self.findings.add(Changed, "objects that are written twice, counted once", &thing.place);
                continue;
            }
            let [height, width] = size.map(|side| side as f32);
            let past = |[x1, y1, x2, y2]: [f32; 4]| {
                (-x1).max(x2 - width) / width > ROUNDING || (-y1).max(y2 - height) / height > ROUNDING
            };
            if past(thing.bbox) {
                self.findings.add(Changed, "boxes that reach past the picture, clipped", &thing.place);
            }
            let class = thing.class;
            let object = Object {
                crowd: thing.crowd,
                area: thing.area.unwrap_or(Object::new(class, bbox).area),
                ..Object::new(class, bbox)
            };
            if let Some(shape) = thing.shape {
                // Ignored areas are drawn below everything else.
                let (rank, value) =
                    if thing.judged { (object.area, class as ClassId + 1) } else { (f32::INFINITY, IGNORED) };
                outlines.push((rank, Outline { value, shape }));
            }
            objects.push(object);
        }
        outlines.sort_by(|a, b| b.0.total_cmp(&a.0));
        (objects, outlines.into_iter().map(|(_, outline)| outline).collect())
    }

    /// Counts a box that is given as left, top, width and height, to detect boxes that are really two corners.
    pub fn saw_sides(&mut self, [x, y, w, h]: [f32; 4], [height, width]: [usize; 2]) {
        let [height, width] = [height as f32, width as f32];
        let far = |start: f32, side: f32, limit: f32| start + side > limit * (1.0 + ROUNDING) + 1.0;
        self.sided[0] += 1;
        self.sided[1] += usize::from(far(x, w, width) || far(y, h, height));
        self.sided[2] += usize::from(w > x && h > y && w <= width + 1.0 && h <= height + 1.0);
    }

    /// Refuses boxes that were written as two corners where a corner and sides are expected: all of them are valid as
    /// corners, and most reach past their pictures as sides.
    pub fn check_sides(&self, path: &Path) -> Result<(), DataError> {
        let [all, far, corners] = self.sided;
        if all < 3 || corners < all || 2 * far <= all {
            return Ok(());
        }
        Err(DataError::Malformed {
            path: path.into(),
            place: "the boxes".into(),
            expected: "left, top, width and height".into(),
            found: format!(
                "{far} of {all} that reach past their picture, and all of them boxes if read as two corners"
            ),
            remedy: "subtract left and top from the last two numbers of every bbox".into(),
        })
    }

    /// The photos, after the checks that need all of them; an error if a picture is broken or there is no picture.
    pub fn finish(mut self, path: &Path) -> Result<Reading<'a>, DataError> {
        self.findings.picture = None;
        self.judge_turns();
        self.leave_out_broken()?;
        if self.photos.is_empty() {
            return Err(DataError::Malformed {
                path: path.into(),
                place: format!("read as {}", self.format),
                expected: "pictures".into(),
                found: format!("none of {} that could be used", self.found),
                remedy: "compare the folder with the layouts in docs/data.md".into(),
            });
        }
        self.photos_of_one_name();
        self.same_picture_in_two_parts();
        Ok(self)
    }

    /// Decides the orientation in which pictures with a noted rotation are read. If the sides differ, the annotated
    /// size decides. The other pictures are treated the same way; they are doubtful if there is no such case or if the
    /// cases disagree.
    fn judge_turns(&mut self) {
        let mut seen = [0, 0];
        let mut open = Vec::new();
        for (place, photo) in self.photos.iter_mut().enumerate() {
            let Some(header) = self.headers.get(&photo.path).filter(|header| header.turned) else { continue };
            if header.stored == header.upright || !photo.sized {
                open.push(place);
            } else if photo.size == header.stored {
                photo.turn = Turn::Stored;
                seen[1] += 1;
            } else {
                seen[0] += 1;
            }
        }
        for place in open {
            let photo = &mut self.photos[place];
            let Some(header) = self.headers.get(&photo.path) else { continue };
            match (seen[0] > 0, seen[1] > 0) {
                (false, true) => {
                    photo.turn = Turn::Stored;
                    photo.size = header.stored;
                }
                (true, true) => self.findings.add(
                    Suspicious,
                    "pictures with a turn noted (EXIF) of which their annotations do not tell whether they count it; read upright",
                    photo.path.display(),
                ),
                _ => {}
            }
        }
    }

    fn leave_out_broken(&mut self) -> Result<(), DataError> {
        let mut broken = std::mem::take(&mut self.broken);
        if broken.is_empty() {
            return Ok(());
        }
        if self.options.skip_broken {
            let paths: BTreeSet<PathBuf> = broken.iter().map(|(path, _)| path.clone()).collect();
            self.photos.retain(|photo| !paths.contains(&photo.path));
            paths
                .iter()
                .for_each(|path| self.findings.add(LeftOut, "pictures that cannot be read", path.display()));
            return Ok(());
        }
        let others = broken.len() - 1;
        let (path, error) = broken.swap_remove(0);
        if others == 0 {
            return Err(error);
        }
        let names: Vec<String> = broken.iter().take(4).map(|(path, _)| path.display().to_string()).collect();
        Err(DataError::Malformed {
            path,
            place: "the picture".into(),
            expected: "one that can be read".into(),
            found: format!("{error}; and {others} more like it: {}", names.join(", ")),
            remedy: "fetch or convert them, or leave them out (--skip-broken)".into(),
        })
    }

    /// Splits depend on names: two pictures with one name would always be held back together.
    fn photos_of_one_name(&mut self) {
        let mut seen: BTreeMap<(&str, usize), &Path> = BTreeMap::new();
        for photo in &self.photos {
            let key = (photo.name.as_str(), photo.part.unwrap_or(Split::Train) as usize);
            if let Some(first) = seen.insert(key, &photo.path) {
                let both = format!("{} and {}", first.display(), photo.path.display());
                self.findings.add(Suspicious, "pairs of pictures with one name in one part", both);
            }
        }
    }

    fn same_picture_in_two_parts(&mut self) {
        // Only files of the same length can be equal, and only those are read.
        let mut by_length: BTreeMap<(u64, [usize; 2]), Vec<usize>> = BTreeMap::new();
        let has_parts = self.photos.iter().any(|photo| photo.part != self.photos[0].part);
        for (place, photo) in self.photos.iter().enumerate().filter(|_| has_parts) {
            let length = std::fs::metadata(&photo.path).map_or(0, |data| data.len());
            by_length.entry((length, photo.size)).or_default().push(place);
        }
        for places in by_length.into_values().filter(|places| places.len() > 1) {
            // By digest: in a set of uncompressed files, all pictures may have the same length.
            let mut by_content: BTreeMap<u64, usize> = BTreeMap::new();
            for place in places {
                let photo = &self.photos[place];
                let Ok(bytes) = std::fs::read(&photo.path) else { continue };
                let first = *by_content.entry(fnv(&bytes)).or_insert(place);
                let other = &self.photos[first];
                if other.part != photo.part {
                    let both = format!("{} and {}", other.path.display(), photo.path.display());
                    self.findings.add(Suspicious, "pictures that are in two parts", both);
                }
            }
        }
    }
}

/// A box of the files, clipped to the image. `None` if it is then empty; real data sets have such boxes, and no
/// detector can find them.
fn usable_box(bbox: [f32; 4], [height, width]: [usize; 2]) -> Option<[f32; 4]> {
    let within = |v: f32, limit: usize| v.clamp(0.0, limit as f32);
    let [x1, y1, x2, y2] = bbox;
    let bbox = [within(x1, width), within(y1, height), within(x2, width), within(y2, height)];
    (bbox[2] - bbox[0] > 0.0 && bbox[3] - bbox[1] > 0.0).then_some(bbox)
}

/// Class names, and for each file a map from key to class.
type ClassList<K> = (Vec<String>, Vec<BTreeMap<K, usize>>);

/// The classes of a label and, for each file, the class of each key that the file uses. Files are merged by class name;
/// if a file has the same name twice, the keys are added to the names. If the label has expected classes, their order
/// is used.
///
/// # Errors
/// [`DataError::Malformed`] when a file has no classes, too many, or a key twice, or when a class is not among the
/// expected ones.
pub(super) fn classes<K: Ord + Clone + std::fmt::Display>(
    label: &str,
    files: Vec<(&Path, Vec<(K, String)>)>,
    reading: &mut Reading,
) -> Result<ClassList<K>, DataError> {
    let expected = reading.options.classes.get(label);
    let mut names: Vec<String> = expected.cloned().unwrap_or_default();
    let mut of_files = Vec::with_capacity(files.len());
    let several = files.len() > 1;
    for (place, (path, named)) in files.into_iter().enumerate() {
        let wrong = |expected: String, found: String, remedy: &str| DataError::Malformed {
            path: path.into(),
            place: format!("the classes of the label \"{label}\""),
            expected,
            found,
            remedy: remedy.into(),
        };
        if named.is_empty() || named.len() > MOST_CLASSES {
            let expected = format!("1 to {MOST_CLASSES} of them");
            return Err(wrong(expected, named.len().to_string(), "mend the list of classes"));
        }
        let mut often: BTreeMap<String, usize> = BTreeMap::new();
        named.iter().for_each(|(_, name)| *often.entry(name.clone()).or_default() += 1);
        let mut of = BTreeMap::new();
        let mut unknown = Vec::new();
        for (key, name) in named {
            let own = if often[&name] > 1 {
                let own = format!("{name} ({key})");
                let what = "classes that share their name with another, told apart by their ids";
                reading.findings.add(Suspicious, what, &own);
                own
            } else {
                name
            };
            let known = names.iter().position(|known| *known == own);
            if known.is_none() && expected.is_some() {
                let remedy = "choose data with the classes the model was trained on, or rename classes";
                return Err(wrong(
                    format!("the model's: {}", names.join(", ")),
                    format!("\"{own}\""),
                    remedy,
                ));
            }
            let class = known.unwrap_or_else(|| {
                unknown.push(own.clone());
                names.push(own);
                names.len() - 1
            });
            if of.insert(key.clone(), class).is_some() {
                return Err(wrong("each id once".into(), format!("{key} again"), "mend the list of classes"));
            }
        }
        if several && place > 0 && expected.is_none() {
            let what = format!("classes that only {} lists", path.display());
            unknown.iter().for_each(|class| reading.findings.add(Suspicious, &what, class));
        }
        of_files.push(of);
    }
    if expected.is_some() {
        let mut annotated = vec![false; names.len()];
        of_files.iter().flat_map(BTreeMap::values).for_each(|&class| annotated[class] = true);
        reading.annotated.insert(label.to_string(), (names.clone(), annotated));
    }
    Ok((names, of_files))
}

/// The labels `objects`, `mask` (if anything has an outline), and `present`.
pub(super) fn object_labels(classes: &[String], masks: bool) -> Vec<LabelInfo> {
    let mut labels = vec![LabelInfo::new(OBJECTS, LabelKind::Objects, classes)];
    if masks {
        labels.push(LabelInfo::new(MASK, LabelKind::Mask, classes));
    }
    labels.push(LabelInfo::new("present", LabelKind::Classes, classes));
    labels
}

/// For each of `count` classes, whether an object of it is there.
pub(super) fn present(classes: impl Iterator<Item = usize>, count: usize) -> Label {
    let mut present = vec![false; count];
    classes.for_each(|class| present[class] = true);
    Label::Classes(present)
}

impl Photo {
    /// Whether the photo has a label.
    pub(super) fn has(&self, label: &str) -> bool {
        match label {
            CLASS => self.class.is_some(),
            OBJECTS => self.objects.is_some(),
            MASK => !matches!(self.mask, MaskSource::Missing),
            _ => self.more.contains_key(label) || self.maps.contains_key(label),
        }
    }

    /// The classes that it shows under a label, once per occurrence; for masks only if outlines are known.
    pub(super) fn classes_of(&self, label: &str) -> Vec<usize> {
        let of_objects = |objects: &[Object]| objects.iter().map(|object| object.class).collect();
        match label {
            CLASS => self.class.into_iter().collect(),
            OBJECTS => of_objects(self.objects.as_deref().unwrap_or(&[])),
            MASK => match &self.mask {
                MaskSource::Outlines(outlines) => {
                    // Ignored and dropped outlines have no class.
                    let judged = outlines.iter().filter(|outline| ![0, IGNORED].contains(&outline.value));
                    judged.map(|outline| usize::from(outline.value) - 1).collect()
                }
                _ => Vec::new(),
            },
            _ => match self.more.get(label) {
                Some(Label::Class(class)) => vec![*class],
                Some(Label::Classes(set)) => (0..set.len()).filter(|&class| set[class]).collect(),
                Some(Label::Objects(objects)) => of_objects(objects),
                _ => Vec::new(),
            },
        }
    }
}
