//! Which of a detector's candidates a detection is.

use cerberus_metrics::boxes::{BBox, clip_to_image};
use cerberus_multitask::{Detection, HeadOutput, Task};
use cerberus_tensor::Element;

/// The place among the candidates of the first picture that is nearest to a detection, by box and by score. The
/// detection was made from one of them, so the nearest is that one, or one that says the same.
pub(super) fn place_of<T: Element>(
    task: &dyn Task<T>,
    output: &HeadOutput<T>,
    found: &Detection,
    [height, width]: [usize; 2],
) -> Option<usize> {
    let candidates = task.candidates(output)?;
    let (places, classes) = (candidates.scores.shape()[1], candidates.scores.shape()[2]);
    let (scores, bounds) = (candidates.scores.value().contiguous(), candidates.boxes.value().contiguous());
    let distance = |place: usize| {
        let bbox: BBox = std::array::from_fn(|side| bounds.data()[4 * place + side].as_f64() as f32);
        let bbox = clip_to_image(&bbox, width as f32, height as f32);
        let sides: f64 = bbox.iter().zip(found.bbox).map(|(a, b)| f64::from((a - b).abs())).sum();
        let score = scores.data()[place * classes + found.class].as_f64() - f64::from(found.score);
        // A score of a hundredth counts as much as a pixel.
        sides + 100.0 * score.abs()
    };
    (0..places).min_by(|&a, &b| distance(a).total_cmp(&distance(b)))
}
