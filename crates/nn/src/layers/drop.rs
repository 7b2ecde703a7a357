//! Layers that drop parts of their input at random in training and change nothing in
//! evaluation. What is dropped depends on the context's seed, its step and the order of the calls
//! alone.

use cerberus_autograd::Var;
use cerberus_tensor::{Element, Tensor};
use rand::RngExt;
use std::marker::PhantomData;

use super::Layer;
use super::macros::plain;
use crate::context::Context;

/// Declares a layer with a rate at which it drops.
macro_rules! dropping {
    ($(#[$doc:meta])* $name:ident) => {
        plain! { $(#[$doc])* $name { rate: f64 } }

        impl<T: Element> $name<T> {
            /// Drops with probability `rate`.
            ///
            /// # Panics
            /// Unless `0 <= rate < 1`.
            #[track_caller]
            pub fn new(rate: f64) -> Self {
                assert!(
                    (0.0..1.0).contains(&rate),
                    "{}: the rate {rate} must be at least 0 and below 1",
                    stringify!($name)
                );
                Self { rate, element: PhantomData }
            }
        }
    };
}

dropping! {
    /// In training, zeroes each value with probability `rate` and scales the
    /// others by `1 / (1 - rate)`; otherwise changes nothing (Srivastava et al., 2014).
    Dropout
}

impl<T: Element> Layer<T> for Dropout<T> {
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let shape = x.shape().to_vec();
        masked(x, &shape, self.rate, context)
    }
}

dropping! {
    /// In training, zeroes each channel of each sample of `[N, image.., C]` with probability `rate` and scales the
    /// others by `1 / (1 - rate)`; otherwise changes nothing (Tompson et al., 2015). PyTorch calls it `Dropout2d`.
    SpatialDropout
}

impl<T: Element> Layer<T> for SpatialDropout<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let mut shape = x.shape().to_vec();
        let rank = shape.len();
        assert!(rank > 1, "SpatialDropout: x {shape:?} must be [N, image.., C]");
        shape[1..rank - 1].fill(1);
        masked(x, &shape, self.rate, context)
    }
}

dropping! {
    /// Stochastic depth: in training, zeroes each sample of `[N, ..]` with probability `rate` and scales the others
    /// by `1 / (1 - rate)`; otherwise changes nothing (Huang et al., 2016). At the end of a residual branch, where a
    /// zero skips the branch.
    DropPath
}

impl<T: Element> Layer<T> for DropPath<T> {
    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        let mut shape = x.shape().to_vec();
        assert!(!shape.is_empty(), "DropPath: x {shape:?} must be [N, ..]");
        shape[1..].fill(1);
        masked(x, &shape, self.rate, context)
    }
}

dropping! {
    /// Dropout that keeps mean 0 and variance 1, for networks of [`Selu`](super::Selu): in training, sets each value
    /// to `-lambda alpha` with probability `rate`, then scales and shifts all; otherwise changes nothing
    /// (Klambauer et al., 2017, section 2).
    AlphaDropout
}

/// `-lambda alpha` of SELU: what it tends to far below 0.
const SATURATED: f64 = -1.050_700_987_355_480_5 * 1.673_263_242_354_377_2;

impl<T: Element> Layer<T> for AlphaDropout<T> {
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
        if !context.is_training() || self.rate == 0.0 {
            return x;
        }
        let kept = 1.0 - self.rate;
        let scale = (kept + SATURATED * SATURATED * kept * self.rate).sqrt().recip();
        let shift = -scale * self.rate * SATURATED;
        let mask = mask(x.shape(), self.rate, T::ONE, context);
        let low = mask.clone().map(|kept| T::from_f64(SATURATED) * (T::ONE - kept));
        (x * Var::constant(mask) + Var::constant(low)).affine(scale, shift)
    }
}

/// `kept` with probability `1 - rate`, 0 elsewhere.
fn mask<T: Element>(shape: &[usize], rate: f64, kept: T, context: &mut Context<T>) -> Tensor<T> {
    let mut random = context.random();
    Tensor::from_fn(shape, |_| if random.random::<f64>() < rate { T::ZERO } else { kept })
}

/// `x` times a mask of this shape that keeps the expected value.
fn masked<T: Element>(x: Var<T>, shape: &[usize], rate: f64, context: &mut Context<T>) -> Var<T> {
    if !context.is_training() || rate == 0.0 {
        return x;
    }
    x * Var::constant(mask(shape, rate, T::from_f64(1.0 / (1.0 - rate)), context))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(layer: &dyn Layer<f64>, x: &Tensor<f64>) -> Tensor<f64> {
        layer.forward(x.into(), &mut Context::training(7, 3)).into_value()
    }

    /// The ratio of output to input, in groups of values that must share one.
    fn check_groups(layer: &dyn Layer<f64>, rate: f64, group: impl Fn(usize) -> usize) {
        let x = Tensor::<f64>::ones(&[60, 4, 5, 30]);
        let y = dropped(layer, &x).to_vec();
        let mut groups = std::collections::BTreeMap::new();
        for (place, &y) in y.iter().enumerate() {
            assert_eq!(y, *groups.entry(group(place)).or_insert(y), "a group was split at {place}");
        }
        let values: Vec<f64> = groups.into_values().collect();
        let zeros = values.iter().filter(|&&y| y == 0.0).count() as f64 / values.len() as f64;
        let spread = 4.0 * (rate * (1.0 - rate) / values.len() as f64).sqrt();
        assert!((zeros - rate).abs() < spread, "{zeros} of {rate} are dropped");
        assert!(values.iter().all(|&y| y == 0.0 || (y - 1.0 / (1.0 - rate)).abs() < 1e-12));
    }

    #[test]
    fn values_channels_or_samples_are_dropped_whole_and_at_the_rate() {
        check_groups(&Dropout::new(0.3), 0.3, |place| place);
        check_groups(&SpatialDropout::new(0.4), 0.4, |place| place / 600 * 30 + place % 30);
        check_groups(&DropPath::new(0.5), 0.5, |place| place / 600);
    }

    #[test]
    fn alpha_dropout_keeps_mean_and_variance() {
        let x = crate::Init::new(4).normal::<f64>(&[200_000], 1.0);
        let y = dropped(&AlphaDropout::new(0.25), &x);
        let mean = y.mean(&[0]).item();
        let variance = (y.clone() * &y).mean(&[0]).item() - mean * mean;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "mean {mean}, variance {variance}");
        assert!(y.to_vec().iter().zip(x.to_vec()).any(|(y, x)| (y - x).abs() > 0.1));
    }

    #[test]
    fn evaluation_changes_nothing() {
        let x = Tensor::<f64>::from_fn(&[2, 3, 4], |i| i as f64);
        let layers: [Box<dyn Layer<f64>>; 4] = [
            Box::new(Dropout::new(0.9)),
            Box::new(SpatialDropout::new(0.9)),
            Box::new(DropPath::new(0.9)),
            Box::new(AlphaDropout::new(0.9)),
        ];
        for layer in layers {
            assert_eq!(crate::predict(&layer, x.clone()).to_vec(), x.to_vec());
        }
    }
}
