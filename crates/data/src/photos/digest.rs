//! Digests of pictures and labels, by which a run recognises its data: FNV-1a in 64 bits (Fowler, Noll and Vo, 1991).
//! They detect changes, but not deliberate manipulation.

use std::path::Path;

use super::{MaskSource, Photo, Shape};
use crate::account::Picture;
use crate::{Label, Object};

/// FNV-1a of bytes.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    let mut digest = Digest::new();
    digest.bytes(bytes);
    digest.0
}

/// A digest that is being computed.
struct Digest(u64);

impl Digest {
    fn new() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0 = bytes
            .iter()
            .fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    }

    /// Adds a number at a fixed length, so that it cannot be confused with the next one.
    fn number(&mut self, number: impl Into<u64>) {
        self.bytes(&number.into().to_le_bytes());
    }

    fn size(&mut self, number: usize) {
        self.number(number as u64);
    }

    fn text(&mut self, text: &str) {
        self.size(text.len());
        self.bytes(text.as_bytes());
    }

    fn floats(&mut self, values: &[f32]) {
        self.size(values.len());
        values.iter().for_each(|value| self.number(value.to_bits()));
    }

    fn file(&mut self, path: &Path) {
        self.number(std::fs::metadata(path).map_or(0, |data| data.len()));
    }

    fn objects(&mut self, objects: &[Object]) {
        self.size(objects.len());
        for object in objects {
            self.size(object.class);
            self.floats(&object.bbox);
            self.number(object.crowd);
        }
    }

    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Polygons(polygons) => {
                polygons.iter().for_each(|polygon| self.floats(polygon.as_flattened()))
            }
            Shape::Runs(runs) => runs.iter().for_each(|&run| self.size(run)),
        }
    }

    fn mask(&mut self, mask: &MaskSource) {
        match mask {
            MaskSource::Missing => self.text("no mask"),
            MaskSource::Trimap(path) | MaskSource::Classes(path, _) | MaskSource::Painted(path, _) => {
                self.file(path)
            }
            MaskSource::Outlines(outlines) => outlines.iter().for_each(|outline| {
                self.number(outline.value);
                self.shape(&outline.shape);
            }),
            MaskSource::Mapped(source, values) => {
                self.mask(source);
                values.iter().for_each(|&value| self.number(value));
            }
        }
    }

    fn label(&mut self, label: &Label) {
        match label {
            Label::Class(class) => self.size(*class),
            Label::Classes(classes) => classes.iter().for_each(|&there| self.number(there)),
            Label::Shares(shares) => self.floats(shares),
            Label::Values(values) => self.floats(values),
            Label::ValueMap(map) => self.floats(&map.values),
            Label::Objects(objects) => self.objects(objects),
            Label::Mask(mask) => mask.classes.iter().for_each(|&class| self.number(class)),
        }
    }
}

impl Shape {
    pub(super) fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        digest.shape(self);
        digest.0
    }
}

impl Photo {
    /// The digest of the name, the part given by the files, the size, the length in bytes, and the labels, as 16
    /// hexadecimal digits.
    pub(super) fn digest(&self) -> String {
        let mut digest = Digest::new();
        digest.text(&self.name);
        digest.text(self.part.map_or("", |part| part.name()));
        self.size.iter().for_each(|&side| digest.size(side));
        digest.file(&self.path);
        digest.size(self.class.map_or(0, |class| class + 1));
        match &self.objects {
            Some(objects) => digest.objects(objects),
            None => digest.text("no objects"),
        }
        digest.mask(&self.mask);
        for (name, label) in &self.more {
            digest.text(name);
            digest.label(label);
        }
        for (name, map) in &self.maps {
            digest.text(name);
            digest.file(&map.path);
        }
        format!("{:016x}", digest.0)
    }
}

/// The digest of all pictures, independent of the order in which they were found and of the share that is held back.
pub(crate) fn of_pictures(pictures: &[Picture]) -> String {
    let mut lines: Vec<String> = pictures.iter().map(|p| format!("{} {}", p.name, p.digest)).collect();
    lines.sort_unstable();
    let mut digest = Digest::new();
    lines.iter().for_each(|line| digest.text(line));
    format!("{:016x}", digest.0)
}
