//! Maps a picture of any size to the network's image of fixed size, and maps results back.
//!
//! A [`Placement`] is one such mapping. With [`Fit::Stretch`] the picture covers the image and its aspect ratio
//! changes. With [`Fit::Letterbox`] it is scaled by one factor until it just fits, and centred; the margin is gray (114
//! of 255, as in YOLOv5), and labels treat the margin as unknown.
//!
//! Boxes are mapped in both directions: `network = scale * picture + offset`, horizontally and vertically.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{IGNORED, Image, Label, Mask, Object, Sample, ValueMap};

/// The gray of the margin, in each channel.
pub const MARGIN: u8 = 114;

/// How a picture fills an image with another aspect ratio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Both sides become those of the image, each scaled by its own factor.
    #[default]
    Stretch,
    /// Both sides scaled by one factor, centred, with a margin.
    Letterbox,
}

impl std::str::FromStr for Fit {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "stretch" => Ok(Self::Stretch),
            "letterbox" => Ok(Self::Letterbox),
            _ => Err(format!("photographs cannot be fitted by {name:?}; choose stretch or letterbox")),
        }
    }
}

/// Reads rows and columns as on the command line: `N` for a square, or `HxW`, rows first.
///
/// # Errors
/// A sentence that explains how to write a size.
pub fn parse_size(text: &str) -> Result<[usize; 2], String> {
    let (rows, columns) = text.split_once('x').unwrap_or((text, text));
    match (rows.parse(), columns.parse()) {
        (Ok(rows), Ok(columns)) => Ok([rows, columns]),
        _ => Err(format!(
            "{text:?} is no size; give one number of pixels, or rows and columns, such as 96x160"
        )),
    }
}

/// Writes a size in the form that [`parse_size`] reads.
pub(super) fn write_size([rows, columns]: [usize; 2]) -> String {
    if rows == columns { rows.to_string() } else { format!("{rows}x{columns}") }
}

/// Rows and columns in a file: both, or one number for a square, as older files have it.
pub(super) fn read_size<'de, D: Deserializer<'de>>(source: D) -> Result<[usize; 2], D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a number of pixels, or [rows, columns]")]
    enum Size {
        Square(usize),
        Sides([usize; 2]),
    }
    Ok(match Size::deserialize(source)? {
        Size::Square(side) => [side; 2],
        Size::Sides(sides) => sides,
    })
}

/// Position of a picture, or of its visible part, in the network's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Rows and columns of the picture.
    pub picture: [usize; 2],
    /// Rows and columns of the network's image.
    pub network: [usize; 2],
    /// The rows and columns of the network's image that the picture covers.
    pub covered: [usize; 2],
    /// Rows above the covered area and columns to its left.
    pub offset: [usize; 2],
}

impl Placement {
    /// Places a picture of `picture` rows and columns in an image of `network` rows and columns.
    ///
    /// A letterboxed picture covers a whole number of pixels, at least one, so its two factors may differ by rounding.
    /// If the margin is odd, the larger part is below or on the right.
    pub fn new(fit: Fit, picture: [usize; 2], network: [usize; 2]) -> Self {
        let [rows, columns] = picture.map(|side| side.max(1));
        let rounded = |side: usize, by: usize, of: usize| (2 * side * by + of) / (2 * of);
        let covered = match fit {
            Fit::Stretch => network,
            Fit::Letterbox if network[0] * columns <= network[1] * rows => {
                [network[0], rounded(columns, network[0], rows).clamp(1, network[1].max(1))]
            }
            Fit::Letterbox => [rounded(rows, network[1], columns).clamp(1, network[0].max(1)), network[1]],
        };
        let offset = [0, 1].map(|axis| (network[axis] - covered[axis]) / 2);
        Self { picture, network, covered, offset }
    }

    /// Pixels of the network's image per pixel of the picture, across and down.
    pub fn scale(&self) -> [f32; 2] {
        [1, 0].map(|axis| self.covered[axis] as f32 / self.picture[axis] as f32)
    }

    /// Maps a box `x1, y1, x2, y2` in pixels of the picture to pixels of the network's image.
    pub fn to_network(&self, bbox: [f32; 4]) -> [f32; 4] {
        let scale = self.scale();
        self.moved([0, 1, 2, 3].map(|side| bbox[side] * scale[side % 2]))
    }

    /// Maps a box in pixels of the network's image to pixels of the picture, and clips it to the picture; `None` for a
    /// box that lies only in the margin.
    pub fn to_picture(&self, bbox: [f32; 4]) -> Option<[f32; 4]> {
        let area = |[x1, y1, x2, y2]: [f32; 4]| (x2 - x1) * (y2 - y1);
        let inside: [f32; 4] = std::array::from_fn(|side| {
            let axis = 1 - side % 2;
            let first = self.offset[axis] as f32;
            bbox[side].clamp(first, first + self.covered[axis] as f32) - first
        });
        if area(bbox) > 0.0 && area(inside) <= 0.0 {
            return None;
        }
        let scale = [1, 0].map(|axis| self.picture[axis] as f32 / self.covered[axis] as f32);
        Some([0, 1, 2, 3].map(|side| inside[side] * scale[side % 2]))
    }

    /// The network's image of a picture.
    ///
    /// # Panics
    /// As [`Image::resized`].
    #[track_caller]
    pub fn place(&self, picture: &Image) -> Image {
        self.framed_image(picture.resized(self.covered[0], self.covered[1]))
    }

    /// The part of a map with one value per pixel, `[rows, columns]` of the network's image, that belongs to the
    /// picture: the map without its margin, [`covered`](Self::covered) rows and columns.
    ///
    /// # Panics
    /// If the map does not have one value per pixel of the network's image.
    #[track_caller]
    pub fn without_margin<V: Copy>(&self, values: &[V]) -> Vec<V> {
        let [rows, columns] = self.network;
        assert!(
            values.len() == rows * columns,
            "without_margin: {} values for {rows}x{columns} pixels",
            values.len()
        );
        let ([above, left], [height, width]) = (self.offset, self.covered);
        let row = |row: usize| &values[(above + row) * columns + left..][..width];
        (0..height).flat_map(row).copied().collect()
    }

    /// Puts a sample of the covered size into the network's image: in the margin, the picture is gray, the mask is
    /// [`IGNORED`] and the values are unknown.
    pub(super) fn framed(&self, sample: Sample) -> Sample {
        if self.covered == self.network {
            return sample;
        }
        let more = sample.more.into_iter().map(|(name, label)| {
            let label = match label {
                Label::Objects(objects) => Label::Objects(self.framed_objects(objects)),
                Label::Mask(mask) => Label::Mask(self.framed_mask(&mask)),
                Label::ValueMap(map) => Label::ValueMap(ValueMap {
                    height: self.network[0],
                    width: self.network[1],
                    values: self.with_margin(&map.values, 1, f32::NAN),
                }),
                other => other,
            };
            (name, label)
        });
        Sample {
            image: self.framed_image(sample.image),
            class: sample.class,
            objects: sample.objects.map(|objects| self.framed_objects(objects)),
            mask: sample.mask.map(|mask| self.framed_mask(&mask)),
            more: more.collect(),
            inputs: sample.inputs,
        }
    }

    fn framed_image(&self, image: Image) -> Image {
        if self.covered == self.network {
            return image;
        }
        let pixels = self.with_margin(&image.pixels, image.channels, MARGIN).into();
        Image { height: self.network[0], width: self.network[1], channels: image.channels, pixels }
    }

    fn framed_mask(&self, mask: &Mask) -> Mask {
        let classes = self.with_margin(&mask.classes, 1, IGNORED);
        Mask { height: self.network[0], width: self.network[1], classes }
    }

    fn framed_objects(&self, objects: Vec<Object>) -> Vec<Object> {
        objects.into_iter().map(|object| Object { bbox: self.moved(object.bbox), ..object }).collect()
    }

    /// Moves a box by the offset, to the right and down.
    fn moved(&self, bbox: [f32; 4]) -> [f32; 4] {
        [0, 1, 2, 3].map(|side| bbox[side] + self.offset[1 - side % 2] as f32)
    }

    /// Puts values of the covered area, `[rows, columns, per_pixel]`, into the network's image.
    fn with_margin<V: Copy>(&self, values: &[V], per_pixel: usize, margin: V) -> Vec<V> {
        let ([rows, columns], [above, left]) = (self.network, self.offset);
        let width = self.covered[1] * per_pixel;
        let mut all = vec![margin; rows * columns * per_pixel];
        for (row, values) in values.chunks_exact(width).enumerate() {
            all[((above + row) * columns + left) * per_pixel..][..width].copy_from_slice(values);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letterbox_keeps_proportions_centres_and_touches_two_sides() {
        let wide = Placement::new(Fit::Letterbox, [100, 300], [96, 160]);
        assert_eq!((wide.covered, wide.offset), ([53, 160], [21, 0]));
        let tall = Placement::new(Fit::Letterbox, [300, 100], [96, 160]);
        assert_eq!((tall.covered, tall.offset), ([96, 32], [0, 64]));
        let alike = Placement::new(Fit::Letterbox, [48, 80], [96, 160]);
        assert_eq!(alike, Placement { covered: [96, 160], offset: [0, 0], ..alike });
        let thread = Placement::new(Fit::Letterbox, [1, 5000], [64, 64]);
        assert_eq!((thread.covered, thread.offset), ([1, 64], [31, 0]));
        let stretched = Placement::new(Fit::Stretch, [100, 300], [96, 160]);
        assert_eq!((stretched.covered, stretched.offset), ([96, 160], [0, 0]));
    }

    #[test]
    fn boxes_come_back_from_the_network_as_they_went() {
        for fit in [Fit::Stretch, Fit::Letterbox] {
            for picture in [[37, 411], [411, 37], [64, 64], [500, 333]] {
                let placement = Placement::new(fit, picture, [96, 160]);
                let [height, width] = picture.map(|side| side as f32);
                let bbox = [0.25 * width, 0.5 * height, 0.75 * width, height];
                let there = placement.to_network(bbox);
                let back = placement.to_picture(there).expect("a box in the picture");
                assert!(back.iter().zip(bbox).all(|(b, a)| (b - a).abs() < 1e-3), "{placement:?}: {back:?}");
                let proportion = |[x1, y1, x2, y2]: [f32; 4]| (x2 - x1) / (y2 - y1);
                let changed = (proportion(there) / proportion(bbox)).ln().abs();
                // A side of 9 pixels is rounded by up to half a pixel.
                assert!(
                    fit == Fit::Stretch || changed < 0.06,
                    "{placement:?}: proportions by exp({changed})"
                );
            }
        }
    }

    #[test]
    fn what_reaches_into_the_margin_is_clipped_and_what_lies_in_it_is_gone() {
        let placement = Placement::new(Fit::Letterbox, [20, 40], [64, 64]);
        assert_eq!((placement.covered, placement.offset), ([32, 64], [16, 0]));
        assert_eq!(placement.to_picture([0.0, 0.0, 64.0, 32.0]), Some([0.0, 0.0, 40.0, 10.0]));
        assert_eq!(placement.to_picture([0.0, 0.0, 64.0, 15.0]), None);
        assert_eq!(placement.to_picture([8.0, 50.0, 16.0, 64.0]), None);
    }

    #[test]
    fn a_map_without_its_margin_is_what_was_framed() {
        let placement = Placement::new(Fit::Letterbox, [6, 2], [9, 8]);
        let [rows, columns] = placement.covered;
        let values: Vec<usize> = (1..=rows * columns).collect();
        let framed = placement.with_margin(&values, 1, 0);
        assert_eq!(framed.iter().filter(|&&value| value == 0).count(), 72 - values.len());
        assert_eq!(placement.without_margin(&framed), values);
    }

    #[test]
    fn a_placed_picture_is_gray_in_the_margin_and_itself_elsewhere() {
        let picture = Image { height: 4, width: 8, channels: 3, pixels: vec![200; 96].into() };
        let placed = Placement::new(Fit::Letterbox, [4, 8], [8, 8]).place(&picture);
        assert_eq!((placed.height, placed.width), (8, 8));
        let rows: Vec<u8> = placed.pixels.chunks(24).map(|row| row[0]).collect();
        assert_eq!(rows, [MARGIN, MARGIN, 200, 200, 200, 200, MARGIN, MARGIN]);
        assert!(placed.pixels.chunks(24).all(|row| row.iter().all(|value| *value == row[0])));
    }

    #[test]
    fn sizes_are_read_as_one_number_or_as_rows_and_columns() {
        assert_eq!(parse_size("128"), Ok([128, 128]));
        assert_eq!(parse_size("96x160"), Ok([96, 160]));
        for text in ["", "x", "96x", "96x160x3", "-1", "96,160", "wide"] {
            assert!(parse_size(text).unwrap_err().contains("96x160"), "{text}");
        }
        for size in [[128, 128], [96, 160]] {
            assert_eq!(parse_size(&write_size(size)), Ok(size));
        }
    }
}
