//! Maximal sensitivity: how much an explanation changes when the picture hardly does.

use cerberus_tensor::random::stream;
use cerberus_tensor::{Element, Tensor};
use rand::RngExt;

use crate::error::ExplainError;
use crate::explainer::{Attribution, Explainer, Pictures};
use crate::smooth::some;

/// The options of [`Explainer::sensitivity_max`].
#[derive(Clone, Copy, Debug)]
pub struct SensitivityMax {
    /// The largest change of a number of the picture.
    pub radius: f64,
    /// How many changed pictures are tried.
    pub samples: usize,
    /// Their seed.
    pub seed: u64,
}

impl Default for SensitivityMax {
    /// Ten pictures, changed by up to 0.02 (captum's choice).
    fn default() -> Self {
        Self { radius: 0.02, samples: 10, seed: 0 }
    }
}

impl<T: Element> Explainer<'_, T> {
    /// For each answer and picture the largest `|Φ(x + d) - Φ(x)| / |Φ(x)|` (Euclidean norms) of an explanation `Φ` over
    /// changes `d` drawn evenly from `[-radius, radius]` for each number (Yeh et al., "On the (In)fidelity and
    /// Sensitivity of Explanations", 2019, estimated by drawing as the paper does). `explain` is the
    /// explanation of pictures `[N, H, W, C]`, one for each answer; it runs once more than there are samples. 0 if the
    /// explanation is zero for all of them, infinity if only for the picture itself.
    ///
    /// # Errors
    /// If there are no samples, the radius is not above 0, and whatever `explain` refuses.
    pub fn sensitivity_max(
        &self,
        x: &Tensor<T>,
        options: SensitivityMax,
        explain: impl Fn(&Self, &Tensor<T>) -> Result<Vec<Attribution<T>>, ExplainError>,
    ) -> Result<Vec<Vec<f64>>, ExplainError> {
        some(options.samples)?;
        if !(options.radius.is_finite() && options.radius > 0.0) {
            return Err(ExplainError::Option(format!(
                "a radius of {} changes nothing; take one above 0",
                options.radius
            )));
        }
        let plain = explain(self, x)?;
        let count = Pictures::of(x).count;
        let mut most = vec![vec![0.0f64; count]; plain.len()];
        for sample in 0..options.samples as u64 {
            let mut random = stream(options.seed, "sensitivity", 0, sample);
            let mut changed = x.contiguous();
            for value in changed.data_mut() {
                *value += T::from_f64(options.radius * random.random_range(-1.0..=1.0));
            }
            for (most, (plain, other)) in most.iter_mut().zip(plain.iter().zip(explain(self, &changed)?)) {
                let (plain, other) = (Pictures::of(&plain.values), Pictures::of(&other.values));
                for (i, most) in most.iter_mut().enumerate() {
                    *most = most.max(relative(plain.one(i), other.one(i)));
                }
            }
        }
        Ok(most)
    }
}

fn relative<T: Element>(plain: &[T], other: &[T]) -> f64 {
    let square = |value: f64| value * value;
    let size: f64 = plain.iter().map(|v| square(v.as_f64())).sum();
    let change: f64 = plain.iter().zip(other).map(|(a, b)| square(b.as_f64() - a.as_f64())).sum();
    if change == 0.0 { 0.0 } else { (change / size).sqrt() }
}
