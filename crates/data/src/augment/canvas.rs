//! A sample while a chain of operations works on it. Maps are collected until an operation needs the moved pixels, so
//! that geometric operations in a row, and colour changes between them, render the picture only once.

use std::collections::BTreeMap;

use crate::{Image, Input, Mask, Object, Pixels, Sample};

use super::map::Map;
use super::mover::Mover;
use super::{outline, render};

/// A sample and the map that is not yet applied to it.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    sample: Sample,
    map: Map,
}

impl Canvas {
    pub fn new(sample: Sample) -> Canvas {
        Canvas { sample, map: Map::IDENTITY }
    }

    /// Width and height in pixels.
    pub fn frame(&self) -> [f64; 2] {
        [self.sample.image.width as f64, self.sample.image.height as f64]
    }

    /// The centre.
    pub fn centre(&self) -> [f64; 2] {
        self.frame().map(|side| side / 2.0)
    }

    /// The map since the sample was last rendered.
    #[cfg(test)]
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// Adds a map after all maps so far.
    pub fn warp(&mut self, map: &Map) {
        self.map = self.map.then(map);
    }

    /// The pixels before the pending map, for operations that do not depend on pixel positions; `None` for floats,
    /// whose range is unknown.
    pub fn bytes(&mut self) -> Option<&mut Image> {
        match self.sample.image.pixels {
            Pixels::Bytes(_) => Some(&mut self.sample.image),
            Pixels::Floats(_) => None,
        }
    }

    /// The inputs beside the image.
    pub fn inputs(&mut self) -> &mut BTreeMap<String, Input> {
        &mut self.sample.inputs
    }

    /// The sample with all maps applied.
    pub fn rendered(&mut self) -> &mut Sample {
        if self.map != Map::IDENTITY {
            let size = [self.sample.image.height, self.sample.image.width];
            self.sample = Warp { map: &self.map, size }.sample(&self.sample);
            self.map = Map::IDENTITY;
        }
        &mut self.sample
    }

    /// The sample with all maps applied.
    pub fn finish(mut self) -> Sample {
        self.rendered();
        self.sample
    }
}

/// A map between pictures of the same size.
struct Warp<'a> {
    map: &'a Map,
    size: [usize; 2],
}

impl Mover for Warp<'_> {
    fn size(&self) -> [usize; 2] {
        self.size
    }

    fn image(&self, image: &Image) -> Image {
        render::picture(image, self.map)
    }

    fn objects(&self, objects: &[Object], mask: Option<&Mask>) -> Vec<Object> {
        outline::move_objects(objects, mask, self.map, self.size)
    }

    fn nearest<V: Copy>(&self, values: &[V], size: [usize; 2], outside: V) -> Vec<V> {
        render::nearest(values, size, self.map, outside)
    }
}
