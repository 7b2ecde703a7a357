//! Random views of a photo: a crop, a flip and a change of colour, applied to image, boxes and masks alike.
//!
//! A [`View`] describes what is shown: a rectangle of the photo, whether it is mirrored, and how colours change.
//! [`View::draw`] draws one from a random stream, and [`show`] renders it with all labels.
//!
//! - **Crop and scale**: a rectangle with 45 to 100 % of the photo's area and
//!   3/4 to 4/3 of its aspect ratio, anywhere in it (Szegedy et al., "Going
//!   Deeper with Convolutions", 2015, section 6, with a larger minimum area),
//!   stretched or letterboxed to the sample's size. It must keep half of the
//!   largest object; otherwise another one is drawn, and after ten attempts the
//!   whole photo is shown.
//! - **Flip**: with probability 0.5.
//! - **Colour**: brightness, contrast and saturation by a factor of up to 1.4,
//!   each channel by one of up to 1.1, and one photo in ten gray.
//!
//! The margin of a letterbox stays gray: flips and colour changes apply only to the picture inside it.
//!
//! All changes shrink with the strength of the augmentation. Boxes are clipped to the view; an object with less than a
//! quarter left is no longer a target and becomes a crowd: neither right nor wrong.

use cerberus_tensor::random::Stream;
use rand::RngExt;

use super::fit::{Fit, Placement};
pub use crate::augment::Colour;
use crate::augment::{LEFT, Mover, box_area, recolour};
use crate::{Image, Mask, Object, Sample};

/// The smallest share of the photo's area in a view.
const LEAST_AREA: f64 = 0.45;
/// The largest change of the aspect ratio.
const STRETCH: f64 = 4.0 / 3.0;
/// The largest factor of brightness, contrast and saturation.
const TINT: f64 = 1.4;
/// The largest factor of a single channel.
const CAST: f64 = 1.1;
/// The share of photos that lose their colour.
const GRAY: f64 = 0.1;

/// The visible part of a photo, and how it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Left, top, width and height of the visible rectangle, in pixels.
    pub window: [usize; 4],
    /// Whether left and right are swapped.
    pub flip: bool,
    /// The change of colours.
    pub colour: Colour,
}

impl View {
    /// The whole photo, unchanged.
    pub fn whole(image: &Image) -> View {
        View { window: [0, 0, image.width, image.height], flip: false, colour: Colour::NONE }
    }

    /// A view drawn from `random`; `strength` 1 is the full range described above, 0 the whole photo unchanged.
    pub fn draw(photo: &Sample, strength: f64, random: &mut Stream) -> View {
        if strength <= 0.0 {
            return View::whole(&photo.image);
        }
        let flip = random.random();
        let window = draw_window(photo, strength, random);
        let mut factor = |most: f64| {
            let reach = most.ln() * strength;
            random.random_range(-reach..=reach).exp() as f32
        };
        let (brightness, contrast, saturation) = (factor(TINT), factor(TINT), factor(TINT));
        let gain = [factor(CAST), factor(CAST), factor(CAST)];
        let gray = random.random::<f64>() < GRAY * strength;
        let colour = Colour { brightness, contrast, saturation: if gray { 0.0 } else { saturation }, gain };
        View { window, flip, colour }
    }
}

fn draw_window(photo: &Sample, strength: f64, random: &mut Stream) -> [usize; 4] {
    let (height, width) = (photo.image.height as f64, photo.image.width as f64);
    let largest = photo.objects.iter().flatten().filter(|object| !object.crowd).map(|object| object.bbox);
    let largest = largest.max_by(|a, b| box_area(a).total_cmp(&box_area(b)));
    let least = 1.0 - (1.0 - LEAST_AREA) * strength.min(1.5);
    let stretch = STRETCH.ln() * strength;
    for _ in 0..10 {
        let area: f64 = random.random_range(least..=1.0);
        let proportion: f64 = random.random_range(-stretch..=stretch).exp();
        let side = |whole: f64, share: f64| ((whole * share).round() as usize).clamp(1, whole as usize);
        let (w, h) = (side(width, (area * proportion).sqrt()), side(height, (area / proportion).sqrt()));
        let x = random.random_range(0..=photo.image.width - w);
        let y = random.random_range(0..=photo.image.height - h);
        let window = [x, y, w, h];
        if largest.is_none_or(|bbox| share_inside(&bbox, window) >= 0.5) {
            return window;
        }
    }
    [0, 0, photo.image.width, photo.image.height]
}

/// The share of a box that lies in a window.
fn share_inside(bbox: &[f32; 4], [x, y, w, h]: [usize; 4]) -> f32 {
    let (x, y, w, h) = (x as f32, y as f32, w as f32, h as f32);
    let across = (bbox[2].min(x + w) - bbox[0].max(x)).max(0.0);
    let down = (bbox[3].min(y + h) - bbox[1].max(y)).max(0.0);
    across * down / box_area(bbox).max(f32::MIN_POSITIVE)
}

/// The view of a photo and its labels, resized to `size` rows and columns according to `fit`.
///
/// # Panics
/// When the window does not lie in the photo, or the photo is not of 3 channels.
#[track_caller]
pub fn show(photo: &Sample, view: &View, size: [usize; 2], fit: Fit) -> Sample {
    let [_, _, width, height] = view.window;
    let placement = Placement::new(fit, [height, width], size);
    placement.framed(render(photo, view, placement.covered))
}

/// A sample whose picture already has its size, but whose labels are still in pixels of a picture of `from` rows and
/// columns.
pub(super) fn resize_labels(photo: &Sample, from: [usize; 2]) -> Sample {
    let view = View { window: [0, 0, from[1], from[0]], flip: false, colour: Colour::NONE };
    LabelsOnly(Shown { view: &view, size: [photo.image.height, photo.image.width] }).sample(photo)
}

/// Moves labels to the size of their picture.
struct LabelsOnly<'a>(Shown<'a>);

impl Mover for LabelsOnly<'_> {
    fn size(&self) -> [usize; 2] {
        self.0.size
    }

    fn image(&self, image: &Image) -> Image {
        image.clone()
    }

    fn objects(&self, objects: &[Object], mask: Option<&Mask>) -> Vec<Object> {
        self.0.objects(objects, mask)
    }

    fn nearest<V: Copy>(&self, values: &[V], size: [usize; 2], outside: V) -> Vec<V> {
        self.0.nearest(values, size, outside)
    }
}

fn render(photo: &Sample, view: &View, size: [usize; 2]) -> Sample {
    Shown { view, size }.sample(photo)
}

/// A view at its output size.
struct Shown<'a> {
    view: &'a View,
    size: [usize; 2],
}

impl Mover for Shown<'_> {
    fn size(&self) -> [usize; 2] {
        self.size
    }

    fn image(&self, image: &Image) -> Image {
        move_image(image, self.view, self.size)
    }

    fn objects(&self, objects: &[Object], _: Option<&Mask>) -> Vec<Object> {
        move_objects(objects, self.view, self.size)
    }

    fn nearest<V: Copy>(&self, values: &[V], [_, width]: [usize; 2], _: V) -> Vec<V> {
        nearest(values, width, self.view, self.size)
    }
}

fn move_image(image: &Image, view: &View, [height, width]: [usize; 2]) -> Image {
    let [x, y, w, h] = view.window;
    let whole = (w, h) == (image.width, image.height);
    let cut = if whole { image.clone() } else { image.cut(x, y, w, h) };
    let mut shown = if (h, w) == (height, width) { cut } else { cut.resized(height, width) };
    if view.flip {
        for row in shown.pixels.chunks_exact_mut(3 * width) {
            for column in 0..width / 2 {
                for channel in 0..3 {
                    row.swap(3 * column + channel, 3 * (width - 1 - column) + channel);
                }
            }
        }
    }
    if view.colour != Colour::NONE {
        recolour(&mut shown, &view.colour);
    }
    shown
}

fn move_objects(objects: &[Object], view: &View, [height, width]: [usize; 2]) -> Vec<Object> {
    let [x, y, w, h] = view.window.map(|v| v as f32);
    let (across, down) = (width as f32 / w, height as f32 / h);
    let moved = objects.iter().filter_map(|object| {
        let [x1, y1, x2, y2] = object.bbox;
        let mut bbox = [
            ((x1 - x) * across).clamp(0.0, width as f32),
            ((y1 - y) * down).clamp(0.0, height as f32),
            ((x2 - x) * across).clamp(0.0, width as f32),
            ((y2 - y) * down).clamp(0.0, height as f32),
        ];
        if view.flip {
            bbox = [width as f32 - bbox[2], bbox[1], width as f32 - bbox[0], bbox[3]];
        }
        let left = share_inside(&object.bbox, view.window);
        let crowd = object.crowd || left < LEFT;
        let area = object.area * left * across * down;
        (box_area(&bbox) > 0.0).then_some(Object { bbox, crowd, area, ..*object })
    });
    moved.collect()
}

/// Each pixel takes the value nearest to its centre: ids cannot be interpolated, and a depth between two surfaces
/// belongs to neither.
fn nearest<V: Copy>(values: &[V], stride: usize, view: &View, [height, width]: [usize; 2]) -> Vec<V> {
    let [x, y, w, h] = view.window;
    let columns: Vec<usize> = (0..width)
        .map(|column| {
            let column = if view.flip { width - 1 - column } else { column };
            x + (2 * column + 1) * w / (2 * width)
        })
        .collect();
    let row = |row: usize| (y + (2 * row + 1) * h / (2 * height)) * stride;
    (0..height).flat_map(|r| columns.iter().map(move |&column| values[row(r) + column])).collect()
}
