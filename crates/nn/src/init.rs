//! Weight initialisation.
//!
//! Every layer draws its weights from its own random stream, numbered in the
//! order of construction, so the seed determines all weights of a model. The schemes
//! that go by the name of their authors are in `schemes.rs`.

mod schemes;

pub use schemes::{Fan, fans, whitening};

use cerberus_tensor::parallel::for_each_piece;
use cerberus_tensor::random::{Stream, stream};
use cerberus_tensor::{Element, Tensor};
use rand::RngExt;

/// Hands out initial values; every request uses the next random stream of its seed.
#[derive(Clone, Debug)]
pub struct Init {
    seed: u64,
    count: u64,
    /// Zeros instead of random numbers.
    blank: bool,
}

impl Init {
    /// The initialiser of a model with this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, count: 0, blank: false }
    }

    /// Zeros instead of the random values of [`normal`](Self::normal), [`uniform`](Self::uniform) and the schemes made
    /// of them: for a model whose weights are read from a file, or that only has to name them.
    pub fn blank() -> Self {
        Self { blank: true, ..Self::new(0) }
    }

    fn next(&mut self) -> Stream {
        self.count += 1;
        stream(self.seed, "init", 0, self.count)
    }

    /// Values drawn by `fill`, one 64-bit word each, in parallel: the generator
    /// is counter-based, so every piece starts at its own position in the stream,
    /// and the values equal those of one sequential loop.
    fn draw<T: Element>(
        &mut self,
        shape: &[usize],
        fill: impl Fn(&mut Stream, &mut [T]) + Sync,
    ) -> Tensor<T> {
        let start = self.next();
        if self.blank {
            return Tensor::zeros(shape);
        }
        Tensor::filled_by(shape, |values| {
            for_each_piece(values, |first, piece| {
                let mut random = start.clone();
                // The generator counts words of 32 bits.
                random.set_word_pos(2 * first as u128);
                fill(&mut random, piece);
            });
        })
    }

    /// Normal with mean 0 and the given standard deviation.
    pub fn normal<T: Element>(&mut self, shape: &[usize], std: f64) -> Tensor<T> {
        self.draw(shape, |random, values| {
            for pair in values.chunks_mut(2) {
                let normal = standard_normals(random);
                pair.iter_mut().zip(normal).for_each(|(value, normal)| *value = T::from_f64(std * normal));
            }
        })
    }

    /// Uniform from `-bound` to `bound`, whose variance is `bound² / 3`.
    ///
    /// # Panics
    /// Unless the bound is above 0.
    #[track_caller]
    pub fn uniform<T: Element>(&mut self, shape: &[usize], bound: f64) -> Tensor<T> {
        assert!(bound > 0.0, "Init::uniform: the bound {bound} must be above 0");
        self.draw(shape, |random, values| {
            values.iter_mut().for_each(|value| *value = T::from_f64(random.random_range(-bound..bound)));
        })
    }

    /// He initialisation for layers followed by a ReLU: normal with variance
    /// `2 / fan_in` (He et al., 2015, equation 10).
    pub fn he<T: Element>(&mut self, shape: &[usize], fan_in: usize) -> Tensor<T> {
        self.normal(shape, (2.0 / fan_in.max(1) as f64).sqrt())
    }

    /// Glorot initialisation for layers without a ReLU: uniform with variance
    /// `2 / (fan_in + fan_out)` (Glorot and Bengio, 2010, equation 16).
    pub fn glorot<T: Element>(&mut self, shape: &[usize], fan_in: usize, fan_out: usize) -> Tensor<T> {
        self.uniform(shape, (6.0 / (fan_in + fan_out).max(1) as f64).sqrt())
    }
}

/// Box and Muller's transform of two uniform numbers to two normal ones (1958).
fn standard_normals(random: &mut Stream) -> [f64; 2] {
    let (u, v): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
    let (sin, cos) = (std::f64::consts::TAU * v).sin_cos();
    let radius = (-2.0 * u.ln()).sqrt();
    [radius * cos, radius * sin]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_promised_spread() {
        let mut init = Init::new(3);
        let spread = |x: Tensor<f64>| (x.clone() * &x).mean(&[0]).item();
        assert!((spread(init.he(&[40_000], 50)) - 0.04).abs() < 0.001);
        assert!((spread(init.glorot(&[40_000], 60, 40)) - 0.02).abs() < 0.0005);
    }

    #[test]
    fn large_tensors_are_the_values_of_one_loop_over_the_stream() {
        let len: usize = 50_001;
        let mut random = stream(3, "init", 0, 1);
        let pairs = (0..len.div_ceil(2)).flat_map(|_| standard_normals(&mut random));
        let expected: Vec<f64> = pairs.map(|normal| 0.5 * normal).take(len).collect();
        assert_eq!(Init::new(3).normal::<f64>(&[len], 0.5).to_vec(), expected);
        let mut random = stream(3, "init", 0, 1);
        let expected: Vec<f64> = (0..len).map(|_| random.random_range(-0.5..0.5)).collect();
        assert_eq!(Init::new(3).glorot::<f64>(&[len], 12, 12).to_vec(), expected);
    }

    #[test]
    fn a_seed_gives_the_same_weights_and_each_request_others() {
        let (mut a, mut b) = (Init::new(5), Init::new(5));
        let first: Tensor = a.normal(&[8], 1.0);
        assert_eq!(first.to_vec(), b.normal::<f32>(&[8], 1.0).to_vec());
        assert_ne!(first.to_vec(), a.normal::<f32>(&[8], 1.0).to_vec());
    }
}
