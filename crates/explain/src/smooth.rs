//! Gradients at many noisy copies of a picture, averaged in three ways; and expected gradients.

use cerberus_tensor::random::stream;
use cerberus_tensor::{Element, Tensor};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use crate::error::ExplainError;
use crate::explainer::{Attribution, Explainer, Pictures, Sums};

/// What is made of the gradients at the noisy copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Averaging {
    /// Their mean: SmoothGrad.
    #[default]
    Mean,
    /// The mean of their squares (Hooker et al., "A Benchmark for Interpretability Methods", 2019).
    Square,
    /// Their variance, `mean(g²) - mean(g)²` (Adebayo et al., "Local Explanation Methods for Deep Neural Networks Lack
    /// Sensitivity to Parameter Values", 2018).
    Variance,
}

/// The options of [`Explainer::smooth_grad`].
#[derive(Clone, Debug)]
pub struct SmoothGrad {
    /// What is made of the gradients.
    pub averaging: Averaging,
    /// The number of noisy copies of each picture.
    pub samples: usize,
    /// The noise's standard deviation, as a share of the distance from the picture's smallest to its largest value.
    pub noise: f64,
    /// The seed of the noise, which is the same for each picture but for its size.
    pub seed: u64,
}

impl Default for SmoothGrad {
    /// The mean at 50 copies, with noise of 0.15: between the 0.1 and 0.2 that the paper recommends.
    fn default() -> Self {
        Self { averaging: Averaging::Mean, samples: 50, noise: 0.15, seed: 0 }
    }
}

/// The options of [`Explainer::expected_gradients`].
#[derive(Clone, Debug)]
pub struct ExpectedGradients<T: Element = f32> {
    /// Pictures to start from, `[M, H, W, C]`: a sample of those that the network was trained on.
    pub references: Tensor<T>,
    /// The number of gradients for each picture.
    pub samples: usize,
    /// The seed of the draws, which are the same for each picture.
    pub seed: u64,
}

/// # Errors
/// If there are no samples.
pub(crate) fn some(samples: usize) -> Result<(), ExplainError> {
    if samples > 0 {
        Ok(())
    } else {
        Err(ExplainError::Option("0 samples have no mean; take at least 1".into()))
    }
}

impl<T: Element> Explainer<'_, T> {
    /// The mean gradient at noisy copies of the picture, `1/n Σ df/dx(x + N(0, σ²))` (Smilkov et al.,
    /// "SmoothGrad", 2017), or their mean square or variance. The average forgets what the gradient does at
    /// scales far below the noise. As many forward and backward passes as samples.
    ///
    /// # Errors
    /// If there are no samples, or the noise is negative.
    pub fn smooth_grad(
        &self,
        x: &Tensor<T>,
        options: &SmoothGrad,
    ) -> Result<Vec<Attribution<T>>, ExplainError> {
        let SmoothGrad { averaging, samples, noise, seed } = *options;
        some(samples)?;
        if !(noise.is_finite() && noise >= 0.0) {
            return Err(ExplainError::Option(format!(
                "noise of {noise} is impossible; give a share from 0 up"
            )));
        }
        let pictures = Pictures::of(x);
        let range = |i: usize| {
            let values = || pictures.one(i).iter().map(|v| v.as_f64());
            values().fold(f64::NEG_INFINITY, f64::max) - values().fold(f64::INFINITY, f64::min)
        };
        let spread: Vec<f64> = (0..pictures.count).map(|i| noise * range(i)).collect();
        let size = x.len() / pictures.count.max(1);
        let (mut sums, mut squares) = (Sums::new(pictures.count, size), Sums::new(pictures.count, size));
        let share = T::from_f64(1.0 / samples as f64);
        self.gradients_at(
            &pictures.shape,
            pictures.count * samples,
            &mut |i, into| {
                let (picture, sample) = (i / samples, i % samples);
                let mut random = stream(seed, "smooth grad", 0, sample as u64);
                for (p, &x) in into.iter_mut().zip(pictures.one(picture)) {
                    let z: f64 = StandardNormal.sample(&mut random);
                    *p = x + T::from_f64(spread[picture] * z);
                }
            },
            &mut |i, answer, gradient| {
                sums.add(answer, i / samples, share, gradient);
                if averaging != Averaging::Mean {
                    let square: Vec<T> = gradient.iter().map(|&g| g * g).collect();
                    squares.add(answer, i / samples, share, &square);
                }
            },
        );
        let means = sums.into_tensors(&pictures.shape);
        let squares = squares.into_tensors(&pictures.shape);
        let values = match averaging {
            Averaging::Mean => means,
            Averaging::Square => squares,
            Averaging::Variance => {
                let variance = |(square, mean): (Tensor<T>, Tensor<T>)| {
                    square.zip(mean, |s, m| {
                        let v = s - m * m;
                        // Rounding may take it below zero.
                        if v > T::ZERO { v } else { T::ZERO }
                    })
                };
                squares.into_iter().zip(means).map(variance).collect()
            }
        };
        Ok(values.into_iter().map(Attribution::of).collect())
    }

    /// `E[(x - r) df/dx(r + a (x - r))]` over references `r` and places `a` from 0 to 1, by sampling (Erion et al.,
    /// "Improving Performance of Deep Learning Models with Axiomatic Attribution Priors and Expected Gradients", 2021):
    /// integrated gradients without a single baseline. The gap is to the mean answer for the
    /// references, and falls with the root of the number of samples, each of which is a forward and a backward pass.
    ///
    /// # Errors
    /// If there are no samples, or no references of the pictures' shape.
    pub fn expected_gradients(
        &self,
        x: &Tensor<T>,
        options: &ExpectedGradients<T>,
    ) -> Result<Vec<Attribution<T>>, ExplainError> {
        let (samples, references) = (options.samples, &options.references);
        some(samples)?;
        let pictures = Pictures::of(x);
        if references.rank() != 4 || references.shape()[0] == 0 || references.shape()[1..] != pictures.shape {
            return Err(ExplainError::Option(format!(
                "references of shape {:?} do not fit pictures {:?}; give at least one of the same size",
                references.shape(),
                x.shape()
            )));
        }
        let from = Pictures::of(references);
        let draws: Vec<(usize, T)> = (0..samples)
            .map(|sample| {
                let mut random = stream(options.seed, "expected gradients", 0, sample as u64);
                let reference = random.random_range(0..from.count);
                (reference, T::from_f64(random.random::<f64>()))
            })
            .collect();
        let mut sums = Sums::new(pictures.count, x.len() / pictures.count.max(1));
        let share = T::from_f64(1.0 / samples as f64);
        self.gradients_at(
            &pictures.shape,
            pictures.count * samples,
            &mut |i, into| {
                let (reference, place) = draws[i % samples];
                let ends = from.one(reference).iter().zip(pictures.one(i / samples));
                into.iter_mut().zip(ends).for_each(|(p, (&r, &x))| *p = r + place * (x - r));
            },
            &mut |i, answer, gradient| {
                let ends = pictures.one(i / samples).iter().zip(from.one(draws[i % samples].0));
                let values: Vec<T> = ends.zip(gradient).map(|((&x, &r), &g)| (x - r) * g).collect();
                sums.add(answer, i / samples, share, &values);
            },
        );
        let (end, start) = (self.answers(x), self.answers(references));
        let values = sums.into_tensors(&pictures.shape).into_iter().zip(end.into_iter().zip(start));
        let with_gap = |(values, (end, start)): (Tensor<T>, (Vec<f64>, Vec<f64>))| {
            let start = start.iter().sum::<f64>() / start.len() as f64;
            let totals = crate::integrated::totals(&values);
            let gap = totals.into_iter().zip(end).map(|(total, end)| total - (end - start)).collect();
            Attribution { values, gap: Some(gap) }
        };
        Ok(values.map(with_gap).collect())
    }
}
