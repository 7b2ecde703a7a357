//! Augmentation: training samples changed at random, picture and labels together.
//!
//! [`OPERATIONS`] lists all operations by name. An [`AugmentConfig`] says which of them to apply, how often and how
//! strongly, and [`Augmented`] applies them to the training samples of any data set. The table with ranges and sources
//! is in `docs/augmentation.md`.
//!
//! **Moves.** Geometric operations are homographies; a chain of them is one homography and is rendered once: bilinear
//! for the picture, the nearest pixel for masks and value maps, the bounds of the moved outline for boxes. Areas from
//! outside the picture become middle gray (0 in floats), [`IGNORED`](crate::IGNORED) in masks and not finite in value
//! maps. A box is clipped to the picture; an object with less than a quarter left becomes a crowd.
//!
//! **Adding one.** An operation is a constant of type [`Operation`] in its own file, and a line in the list. The tests
//! cover every operation of the list.

mod augmented;
mod blur;
mod canvas;
mod colour;
mod config;
mod copy_paste;
mod crop;
mod cutmix;
mod erase;
mod flip;
mod jpeg;
mod map;
mod mixup;
mod mosaic;
mod mover;
mod noise;
mod operation;
mod outline;
mod paste;
mod rand_augment;
mod render;
mod sheet;
mod sound;
mod warp;
mod whole;

pub use augmented::Augmented;
pub use colour::Colour;
pub(crate) use colour::recolour;
pub use config::{AugmentConfig, OperationConfig};
pub(crate) use mover::Mover;
pub use operation::{Kind, MOST_STRENGTH, Operation};
pub(crate) use outline::{LEFT, box_area};
pub use sheet::sheet;

use crate::DataError;

/// All operations.
pub static OPERATIONS: &[Operation] = &[
    crop::RANDOM_RESIZED,
    crop::PAD_AND,
    crop::SCALE_JITTER,
    flip::HORIZONTAL,
    flip::VERTICAL,
    warp::ROTATION,
    warp::AFFINE,
    warp::PERSPECTIVE,
    colour::JITTER,
    colour::GRAY,
    blur::GAUSSIAN,
    noise::GAUSSIAN,
    jpeg::ARTEFACTS,
    erase::CUTOUT,
    erase::RANDOM_ERASING,
    rand_augment::RAND_AUGMENT,
    mixup::MIXUP,
    cutmix::CUTMIX,
    mosaic::MOSAIC,
    copy_paste::COPY_PASTE,
    sound::SHIFTED,
    sound::SPED,
    sound::GAINED,
    sound::NOISY,
];

/// The operation with this name.
///
/// # Errors
/// [`DataError::Option`] with the list of names if there is none.
pub fn operation(name: &str) -> Result<&'static Operation, DataError> {
    OPERATIONS.iter().find(|operation| operation.name == name).ok_or_else(|| DataError::Option {
        option: "augmentation",
        value: format!("\"{name}\""),
        remedy: names(),
    })
}

/// The remedy for an unknown name: the list of names.
fn names() -> String {
    let names: Vec<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
    format!("give one of {}", names.join(", "))
}

#[cfg(test)]
mod tests;
