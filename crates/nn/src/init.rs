//! How weights start.
//!
//! A layer's weights are drawn from the stream of its own place in the order of
//! construction, so a model is a function of its seed.

use cerberus_tensor::random::{Stream, stream};
use cerberus_tensor::{Element, Tensor};
use rand::RngExt;

/// Hands out initial values; every request uses the next random stream of its seed.
#[derive(Clone, Debug)]
pub struct Init {
    seed: u64,
    count: u64,
}

impl Init {
    /// The initialiser of a model with this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, count: 0 }
    }

    fn next(&mut self) -> Stream {
        self.count += 1;
        stream(self.seed, "init", 0, self.count)
    }

    /// Normal with mean 0 and the given standard deviation.
    pub fn normal<T: Element>(&mut self, shape: &[usize], std: f64) -> Tensor<T> {
        let mut random = self.next();
        Tensor::from_fn(shape, |_| T::from_f64(std * standard_normal(&mut random)))
    }

    /// He initialisation for layers followed by a rectifier: normal with
    /// variance `2 / fan_in` (He et al., 2015, equation 10).
    pub fn he<T: Element>(&mut self, shape: &[usize], fan_in: usize) -> Tensor<T> {
        self.normal(shape, (2.0 / fan_in.max(1) as f64).sqrt())
    }

    /// Glorot initialisation for layers without a rectifier: uniform with
    /// variance `2 / (fan_in + fan_out)` (Glorot and Bengio, 2010, equation 16).
    pub fn glorot<T: Element>(&mut self, shape: &[usize], fan_in: usize, fan_out: usize) -> Tensor<T> {
        let bound = (6.0 / (fan_in + fan_out).max(1) as f64).sqrt();
        let mut random = self.next();
        Tensor::from_fn(shape, |_| T::from_f64(random.random_range(-bound..bound)))
    }
}

/// Box and Muller's transform of two uniform numbers.
fn standard_normal(random: &mut Stream) -> f64 {
    let (u, v): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_promised_spread() {
        let mut init = Init::new(3);
        let spread = |x: Tensor<f64>| (x.clone() * &x).mean(&[0], false).item();
        assert!((spread(init.he(&[40_000], 50)) - 0.04).abs() < 0.001);
        assert!((spread(init.glorot(&[40_000], 60, 40)) - 0.02).abs() < 0.0005);
    }

    #[test]
    fn a_seed_gives_the_same_weights_and_each_request_others() {
        let (mut a, mut b) = (Init::new(5), Init::new(5));
        let first: Tensor = a.normal(&[8], 1.0);
        assert_eq!(first.to_vec(), b.normal::<f32>(&[8], 1.0).to_vec());
        assert_ne!(first.to_vec(), a.normal::<f32>(&[8], 1.0).to_vec());
    }
}
