//! Shows the effect of an operation: several of its results for one sample.

use cerberus_tensor::random::stream;

use crate::Sample;

use super::canvas::Canvas;
use super::flip;
use super::operation::{Draw, Operation};

/// `count` results of an operation at strength 1, drawn from the streams (seed, "sheet NAME", 0, number). Mixing
/// operations use the sample itself, flipped in both directions, as partner.
///
/// # Panics
/// When the image or a label of the sample does not hold as many values as its size says.
#[track_caller]
pub fn sheet(operation: &Operation, sample: &Sample, count: usize, seed: u64) -> Vec<Sample> {
    let random = |number: usize| stream(seed, &format!("sheet {}", operation.name), 0, number as u64);
    let mut canvas = Canvas::new(sample.clone());
    for flip in [flip::HORIZONTAL, flip::VERTICAL] {
        flip.act(&mut canvas, Draw { strength: 1.0, random: random(0), partners: Vec::new() });
    }
    let partners = vec![canvas.finish(); operation.partners];
    (0..count).map(|number| operation.run(sample.clone(), 1.0, random(number), partners.clone())).collect()
}
