//! What labelled pictures show: an embedding and a class for each image, object, or a few pixels of each region.

use cerberus_data::{Batch, IGNORED};

use crate::base::{Kind, Looked, Slot};

/// Something that a picture shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// The picture's place in the batch.
    pub image: usize,
    /// Which object or pixel it is; 0 for the whole image.
    pub part: usize,
    /// Its class by the numbers of the data; for pixels by the numbers of masks, whose 0 is the background.
    pub class: usize,
    /// Its embedding.
    pub embedding: Vec<f32>,
}

/// Pixels that stand for a region.
const PIXELS: usize = 4;

/// What a batch shows, for one slot of the base that looked at it. Crowds and ignored pixels are left out.
pub fn labelled(slot: &Slot, looked: &Looked, batch: &Batch) -> Vec<Labelled> {
    let mut found = Vec::new();
    match slot.kind {
        Kind::Image => {
            for (image, class) in batch.classes_of(&slot.label).into_iter().enumerate() {
                let embedding = looked.embeddings[image].clone();
                found.extend(class.map(|class| Labelled { image, part: 0, class, embedding }));
            }
        }
        Kind::Boxes => {
            for (image, objects) in batch.objects_of(&slot.label).into_iter().enumerate() {
                let objects =
                    objects.unwrap_or_default().iter().enumerate().filter(|(_, object)| !object.crowd);
                found.extend(objects.map(|(part, object)| Labelled {
                    image,
                    part,
                    class: object.class,
                    embedding: looked.of_box(image, object.bbox),
                }));
            }
        }
        Kind::Pixels => {
            for (image, mask) in batch.masks_of(&slot.label).into_iter().enumerate() {
                let Some(mask) = mask else { continue };
                let mut ids: Vec<u16> = mask.classes.iter().copied().filter(|&id| id != IGNORED).collect();
                ids.sort_unstable();
                ids.dedup();
                for id in ids {
                    let places: Vec<usize> =
                        (0..mask.classes.len()).filter(|&place| mask.classes[place] == id).collect();
                    let count = PIXELS.min(places.len());
                    for number in 0..count {
                        // Evenly over the region, row by row.
                        let place = places[(2 * number + 1) * places.len() / (2 * count)];
                        let cell = looked.cell((place / mask.width) as f32, (place % mask.width) as f32);
                        let embedding = looked.of_pixel(image, cell);
                        found.push(Labelled { image, part: place, class: usize::from(id), embedding });
                    }
                }
            }
        }
    }
    found
}
