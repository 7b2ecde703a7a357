//! Sensor noise, as in the dark.

use rand::RngExt;
use rand_distr::StandardNormal;

use crate::Pixels;

use super::operation::{Kind, Operation};

/// Gaussian noise on every value. Its standard deviation is drawn from 0 to 0.08 of the range: the mildest of the five
/// severities of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
/// Perturbations", 2019. For floats, the range is four of their own standard deviations, as for a picture when it
/// enters a batch.
pub(super) const GAUSSIAN: Operation = Operation {
    name: "gaussian_noise",
    what: "normal noise with a standard deviation of 0 to 0.08 of the range of values",
    kind: Kind::Pixels,
    partners: 0,
    probability: 1.0,
    floats: true,
    apply: |canvas, draw| {
        let share = (draw.within(0.0..=0.08) * draw.strength) as f32;
        let mut normal = || draw.random.sample::<f32, _>(StandardNormal);
        match &mut canvas.rendered().image.pixels {
            Pixels::Bytes(values) => values.iter_mut().for_each(|value| {
                let noisy = f32::from(*value) + 255.0 * share * normal();
                *value = (noisy + 0.5).clamp(0.0, 255.0) as u8;
            }),
            Pixels::Floats(values) => {
                let range = 4.0 * spread(values);
                values.iter_mut().for_each(|value| *value += range * share * normal());
            }
        }
    },
};

/// The standard deviation of the finite values.
fn spread(values: &[f32]) -> f32 {
    let finite = || values.iter().copied().filter(|value| value.is_finite()).map(f64::from);
    let count = finite().count().max(1) as f64;
    let mean = finite().sum::<f64>() / count;
    (finite().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt() as f32
}
