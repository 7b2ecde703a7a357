//! What a picture is compared with: the picture in which nothing is to be seen.
//!
//! An explanation by differences always answers "why this, and not the answer for the baseline?". There is no
//! neutral choice: a black baseline cannot make black pixels matter, a blurred one keeps colours and large
//! shapes, a noisy one is as bright and as rich in contrast as a picture (Sturmfels, Lundberg and Lee,
//! "Visualizing the Impact of Feature Attribution Baselines", 2020).

use cerberus_tensor::random::stream;
use cerberus_tensor::{Element, Tensor};
use rand_distr::{Distribution, StandardNormal};

use crate::error::ExplainError;

/// A picture without what is to be explained.
#[derive(Clone, Debug, Default)]
pub enum Baseline<T: Element = f32> {
    /// All zeros: in the pictures of this project a middle grey.
    #[default]
    Zero,
    /// Each picture's mean colour.
    Mean,
    /// The picture behind a Gaussian filter, edges repeated.
    Blur {
        /// Its standard deviation, in pixels.
        sigma: f64,
    },
    /// Normally distributed numbers around 0, the same for each picture.
    Noise {
        /// Their standard deviation.
        std: f64,
        /// Their seed.
        seed: u64,
    },
    /// These, `[N, H, W, C]` or `[1, H, W, C]` for all.
    Given(Tensor<T>),
}

/// The names that [`Baseline::find`] knows.
pub const BASELINES: [&str; 4] = ["zero", "mean", "blur", "noise"];

impl<T: Element> Baseline<T> {
    /// The baseline of this name, one of [`BASELINES`]: a blur has 5 pixels, noise a standard deviation of 0.5.
    ///
    /// # Errors
    /// If there is no such baseline; the message lists them.
    pub fn find(name: &str, seed: u64) -> Result<Self, ExplainError> {
        Ok(match name {
            "zero" => Self::Zero,
            "mean" => Self::Mean,
            "blur" => Self::Blur { sigma: 5.0 },
            "noise" => Self::Noise { std: 0.5, seed },
            _ => {
                return Err(ExplainError::Option(format!(
                    "there is no baseline {name:?}; there are {}",
                    BASELINES.join(", ")
                )));
            }
        })
    }

    /// The baseline of pictures `x: [N, H, W, C]`, of the same shape.
    ///
    /// # Errors
    /// If a number is out of its range, or the given baseline does not fit.
    pub fn of(&self, x: &Tensor<T>) -> Result<Tensor<T>, ExplainError> {
        let positive = |name: &str, value: f64| {
            (value.is_finite() && value > 0.0).then_some(value).ok_or_else(|| {
                ExplainError::Option(format!("the baseline's {name} is {value}; it must be above 0"))
            })
        };
        Ok(match self {
            Self::Zero => Tensor::zeros(x.shape()),
            Self::Mean => x.mean_keepdim(&[1, 2]).broadcast_to(x.shape()).contiguous(),
            Self::Blur { sigma } => blurred(x, positive("sigma", *sigma)?),
            Self::Noise { std, seed } => {
                let std = positive("std", *std)?;
                let mut random = stream(*seed, "baseline", 0, 0);
                let one = Tensor::from_fn(&[&[1], &x.shape()[1..]].concat(), |_| {
                    let z: f64 = StandardNormal.sample(&mut random);
                    T::from_f64(std * z)
                });
                one.broadcast_to(x.shape()).contiguous()
            }
            Self::Given(baseline) => {
                let (own, shape) = (baseline.shape(), x.shape());
                if own.len() != shape.len() || own[1..] != shape[1..] || ![1, shape[0]].contains(&own[0]) {
                    return Err(ExplainError::Option(format!(
                        "a baseline of shape {own:?} does not fit pictures {shape:?}; give one for each or one for all"
                    )));
                }
                baseline.broadcast_to(shape).contiguous()
            }
        })
    }
}

/// Pictures behind a Gaussian filter, cut at three standard deviations; edges are repeated.
fn blurred<T: Element>(x: &Tensor<T>, sigma: f64) -> Tensor<T> {
    let reach = (3.0 * sigma).ceil().min(1e4) as isize;
    let weight = |d: isize| (-0.5 * (d as f64 / sigma).powi(2)).exp();
    let total: f64 = (-reach..=reach).map(weight).sum();
    let along = |x: &Tensor<T>, axis: usize| {
        let extent = x.shape()[axis] as isize;
        let mut sum = Tensor::zeros(x.shape());
        for d in -reach..=reach {
            let places: Vec<usize> = (0..extent).map(|p| (p + d).clamp(0, extent - 1) as usize).collect();
            let parts: Vec<Tensor<T>> = places.iter().map(|&p| x.narrow(axis, p, 1)).collect();
            sum.add_scaled(T::from_f64(weight(d) / total), &cerberus_tensor::concat::concat(&parts, axis));
        }
        sum
    };
    if x.is_empty() { x.clone() } else { along(&along(x, 1), 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Tensor<f64> {
        Tensor::from_fn(&[2, 4, 5, 3], |i| (i as f64 * 0.37).sin())
    }

    #[test]
    fn every_baseline_has_the_shape_of_the_pictures_and_noise_is_the_same_for_each() {
        let x = picture();
        for baseline in [
            Baseline::Zero,
            Baseline::Mean,
            Baseline::Blur { sigma: 1.5 },
            Baseline::Noise { std: 0.3, seed: 4 },
            Baseline::Given(x.narrow(0, 1, 1)),
        ] {
            assert_eq!(baseline.of(&x).unwrap().shape(), x.shape(), "{baseline:?}");
        }
        let noise = Baseline::Noise { std: 0.3, seed: 4 }.of(&x).unwrap();
        assert_eq!(noise.narrow(0, 0, 1).to_vec(), noise.narrow(0, 1, 1).to_vec());
    }

    #[test]
    fn a_blur_keeps_a_flat_picture_and_takes_contrast_from_others() {
        let flat = Tensor::full(0.7, &[1, 6, 5, 1]);
        let blurred = Baseline::Blur { sigma: 2.0 }.of(&flat).unwrap();
        assert!(blurred.to_vec().iter().all(|v: &f64| (v - 0.7).abs() < 1e-12));
        let x = picture();
        let blurred = Baseline::Blur { sigma: 1.0 }.of(&x).unwrap();
        assert!(blurred.squared_norm() < 0.7 * x.squared_norm());
    }

    #[test]
    fn a_baseline_that_does_not_fit_is_refused() {
        let error = Baseline::Given(Tensor::<f64>::zeros(&[1, 4, 4, 3])).of(&picture()).unwrap_err();
        assert!(error.to_string().contains("[1, 4, 4, 3] does not fit pictures [2, 4, 5, 3]"));
        for name in BASELINES {
            assert!(Baseline::<f64>::find(name, 1).is_ok());
        }
        assert!(
            Baseline::<f64>::find("black", 1).unwrap_err().to_string().contains("zero, mean, blur, noise")
        );
        assert!(Baseline::Blur { sigma: 0.0 }.of(&picture()).unwrap_err().to_string().contains("above 0"));
    }
}
