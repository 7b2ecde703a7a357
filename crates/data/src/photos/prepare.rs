//! Prepares photos for training: reads pixels and labels, and shrinks them once if the photo is much larger than its
//! samples.

use super::cache::Cache;
use super::fit::{Fit, Placement};
use super::{MaskSource, Photo, PhotoOptions, augment, map, pets, polygon};
use crate::{DataError, Image, Label, Mask, Sample};

/// Reads the pixels, and shrinks image and labels if they are much larger than samples.
pub(super) fn prepare(
    photo: &Photo,
    options: &PhotoOptions,
    cache: Option<&Cache>,
) -> Result<Sample, DataError> {
    let image = reduced_image(photo, options, cache)?;
    let mask = photo.mask.read(photo.size)?;
    let mut more = photo.more.clone();
    for (name, map) in &photo.maps {
        more.insert(name.clone(), Label::ValueMap(map.read(photo.size)?));
    }
    let is_whole = [image.height, image.width] == photo.size;
    let sample = Sample {
        image,
        class: photo.class,
        objects: photo.objects.clone(),
        mask,
        more,
        inputs: Default::default(),
    };
    Ok(if is_whole { sample } else { augment::resize_labels(&sample, photo.size) })
}

/// The prepared picture, from the cache or from its file.
fn reduced_image(photo: &Photo, options: &PhotoOptions, cache: Option<&Cache>) -> Result<Image, DataError> {
    let size = reduced(photo.size, options).unwrap_or(photo.size);
    let cache = cache.and_then(|cache| Some((cache, cache.entry(photo, size)?)));
    if let Some(image) = cache.as_ref().and_then(|(_, entry)| entry.read()) {
        return Ok(image);
    }
    let image = Image::read_as_annotated(&photo.path, photo.size, photo.turn)?;
    let image = if size == photo.size { image } else { image.resized(size[0], size[1]) };
    if let Some((cache, entry)) = cache {
        cache.keep(&entry, &image);
    }
    Ok(image)
}

/// The rows and columns to which a photo is shrunk once, if it is much larger than its samples: twice its size in a
/// sample, so that a view of half its sides is not enlarged.
pub(super) fn reduced([height, width]: [usize; 2], options: &PhotoOptions) -> Option<[usize; 2]> {
    let [rows, columns] = options.size.map(|side| 2 * side);
    let size = match options.fit {
        // One factor for both sides, the larger of the two, because crops of all aspect ratios are drawn from the
        // photo.
        Fit::Stretch if rows * width >= columns * height => [rows, (width * rows).div_ceil(height)],
        Fit::Stretch => [(height * columns).div_ceil(width), columns],
        // Twice the whole number of pixels that the photo covers, so that the whole photo covers the same number again.
        Fit::Letterbox => {
            Placement::new(options.fit, [height, width], options.size).covered.map(|side| 2 * side)
        }
    };
    (size[0] < height && size[1] < width).then_some(size)
}

impl MaskSource {
    /// The mask of a photo of `size` rows and columns.
    fn read(&self, size: [usize; 2]) -> Result<Option<Mask>, DataError> {
        Ok(match self {
            Self::Missing => None,
            Self::Trimap(path) => Some(pets::read_trimap(path, size)?),
            Self::Classes(path, values) => Some(values.read(path, size)?),
            Self::Outlines(outlines) => Some(polygon::fill(outlines, size)),
            Self::Painted(path, code) => Some(code.read(path, size)?),
            Self::Mapped(source, values) => {
                let mut mask = source.read(size)?;
                mask.iter_mut().for_each(|mask| map::map_mask(&mut mask.classes, values));
                mask
            }
        })
    }
}
