//! Muon: steps of matrices whose singular values are all about 1, and AdamW for everything else.

use std::collections::BTreeSet;

use cerberus_autograd::{Gradients, ParamId};
use cerberus_tensor::{Element, Tensor};
use serde::{Deserialize, Serialize};

use super::adam::{AdamOptions, Decay, Moments};
use super::pass::{Piece, flushed};
use super::state::{State, StateError};
use super::{Optimizer, Reach, assert_learning_rate};
use crate::module::Module;

/// How the learning rate of [`Muon`] depends on a matrix's shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MuonScale {
    /// Times `sqrt(max(1, fan_out / fan_in))` (Jordan, 2024).
    #[default]
    Original,
    /// Times `0.2 sqrt(max(fan_in, fan_out))`, which makes steps as long as AdamW's, so that AdamW's learning rate and
    /// weight decay fit (Liu et al., "Muon is scalable for LLM training", 2025, section 2.2).
    MatchRmsAdamw,
    /// Times `sqrt(fan_out / fan_in)` (Bernstein, "Deriving Muon", 2025).
    SpectralUnclamped,
}

/// The options of [`Muon`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MuonOptions {
    /// The learning rate of matrices before a schedule changes it; 1e-3 by default.
    pub learning_rate: f64,
    /// How much of the mean gradient is kept; 0.95 by default.
    pub momentum: f64,
    /// Whether to look ahead along the new mean; so by default.
    pub nesterov: bool,
    /// The strength of the decoupled weight decay of matrices; 0.1 by default.
    pub weight_decay: f64,
    /// The coefficients `a`, `b` and `c` of the iteration; 3.4445, -4.775 and 2.0315 by default.
    pub coefficients: [f64; 3],
    /// Steps of the iteration; 5 by default.
    pub iterations: usize,
    /// The least norm by which a direction is divided; 1e-7 by default.
    pub eps: f64,
    /// How the learning rate depends on a matrix's shape; as in the original by default.
    pub scale: MuonScale,
    /// The options of AdamW, which updates all other parameters. Its learning rate keeps its ratio to Muon's when a
    /// schedule changes that.
    pub adam: AdamOptions,
}

impl Default for MuonOptions {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            momentum: 0.95,
            nesterov: true,
            weight_decay: 0.1,
            coefficients: [3.4445, -4.7750, 2.0315],
            iterations: 5,
            eps: 1e-7,
            scale: MuonScale::Original,
            adam: AdamOptions::default(),
        }
    }
}

/// Muon (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024): for a matrix `W`,
/// `M += (1 - momentum) (G - M)`, `D = G + momentum (M - G)` with `nesterov` and `M` without,
/// `W *= 1 - learning_rate weight_decay`, `W -= learning_rate scale orthogonal(D)`. `orthogonal` moves all singular
/// values to about 1 by a Newton-Schulz iteration: `X = D / ‖D‖`, then `A = X Xᵀ`, `X = a X + (b A + c A²) X`, several
/// times.
///
/// Kernels of convolutions `[.., fan_in, cout]` are matrices `[.. fan_in, cout]`. Parameters of rank 0 and 1 are
/// updated by [`AdamW`](super::AdamW). The paper advises AdamW for the first and the last layer too, which
/// [`ParameterGroups`](super::ParameterGroups) can give them. Like `torch.optim.Muon`, which takes matrices alone,
/// without its rounding to `bfloat16`.
pub struct Muon<T: Element = f32> {
    options: MuonOptions,
    momentum: State<T, 1>,
    adam: Moments<T>,
    /// AdamW's learning rate over Muon's.
    adam_ratio: f64,
}

impl<T: Element> Muon<T> {
    /// An optimiser before its first step.
    ///
    /// # Panics
    /// Unless the learning rate is above 0, the momentum at least 0 and below 1, the decay at least 0, `eps` above 0,
    /// the coefficients are finite and the iterations fewer than 100, and as [`AdamW::new`](super::AdamW::new).
    #[track_caller]
    pub fn new(options: MuonOptions) -> Self {
        let MuonOptions { learning_rate, momentum, weight_decay, eps, .. } = options;
        assert_learning_rate("muon", learning_rate);
        assert!(
            learning_rate > 0.0
                && (0.0..1.0).contains(&momentum)
                && weight_decay >= 0.0
                && eps > 0.0
                && options.coefficients.iter().all(|x| x.is_finite())
                && options.iterations < 100,
            "muon: the learning rate and eps must be above 0, momentum at least 0 and below 1, the decay at least 0, \
             the coefficients finite, the iterations below 100, found {options:?}"
        );
        let adam = Moments::new("muon.adamw", options.adam);
        let adam_ratio = options.adam.learning_rate / learning_rate;
        Self { options, momentum: State::new("muon", ["momentum"]), adam, adam_ratio }
    }

    /// The step of a matrix, without the learning rate, in the parameter's shape.
    fn direction(&self, gradient: &Tensor<T>, momentum: &Tensor<T>) -> Tensor<T> {
        let MuonOptions { momentum: mu, nesterov, scale, .. } = self.options;
        let mu = T::from_f64(mu);
        let direction = if nesterov {
            gradient.clone().zip(momentum.clone(), |g, m| g + mu * (m - g))
        } else {
            momentum.clone()
        };
        let shape = gradient.shape();
        let fan_out = shape[shape.len() - 1];
        let fan_in: usize = shape[..shape.len() - 1].iter().product();
        if fan_in == 0 || fan_out == 0 {
            return direction;
        }
        let (rows, columns) = (fan_in as f64, fan_out as f64);
        let factor = match scale {
            MuonScale::Original => (columns / rows).max(1.0).sqrt(),
            MuonScale::MatchRmsAdamw => 0.2 * rows.max(columns).sqrt(),
            MuonScale::SpectralUnclamped => (columns / rows).sqrt(),
        };
        let matrix = orthogonal(&direction.reshape(&[fan_in, fan_out]), &self.options);
        matrix.contiguous().reshape(shape).scale(T::from_f64(factor))
    }
}

/// The matrix with its singular values moved to about 1: the Newton-Schulz iteration of [`Muon`].
fn orthogonal<T: Element>(x: &Tensor<T>, options: &MuonOptions) -> Tensor<T> {
    let [a, b, c] = options.coefficients.map(T::from_f64);
    // The smaller of the two Gram matrices: [min(M, N), min(M, N)].
    let tall = x.shape()[0] > x.shape()[1];
    let x = if tall { x.t().contiguous() } else { x.clone() };
    let norm = x.squared_norm().sqrt().max(options.eps);
    let mut x = x.scale(T::from_f64(norm.recip()));
    for _ in 0..options.iterations {
        let gram = x.matmul(&x.t());
        let polynomial = gram.matmul(&gram).zip(gram, |square, gram| b * gram + c * square);
        let correction = polynomial.matmul(&x);
        x = correction.zip(x, |correction, x| a * x + correction);
    }
    if tall { x.t() } else { x }
}

impl<T: Element> Optimizer<T> for Muon<T> {
    #[track_caller]
    fn step(&mut self, model: &mut dyn Module<T>, gradients: &Gradients<T>) {
        let MuonOptions { learning_rate, momentum, weight_decay, .. } = self.options;
        let parameters = model.parameters();
        let is_matrix = |rank: usize| rank >= 2;
        let ids: BTreeSet<ParamId> =
            parameters.iter().filter(|(_, p)| is_matrix(p.value.rank())).map(|(_, p)| p.id()).collect();
        drop(parameters);
        let others = gradients.select(|id| !ids.contains(&id));
        // The iteration needs the whole gradient: two factors are multiplied out, once.
        let matrices: Gradients<T> =
            ids.iter().filter_map(|&id| Some((id, gradients.parameter(id)?.contiguous()))).collect();

        let (new, smallest) = (T::from_f64(1.0 - momentum), T::from_f64(16.0) * T::min_positive_value());
        let mean = |(), piece: Piece<'_, T, 1>| {
            let [m] = piece.state;
            for (m, &g) in m.iter_mut().zip(piece.gradient) {
                *m = flushed(*m + new * (g - *m), smallest);
            }
        };
        self.momentum.step(model, &matrices, |_| (), mean);
        let directions: Gradients<T> = model
            .parameters()
            .iter()
            .zip(self.momentum.tensors())
            .filter_map(|((_, parameter), momentum)| {
                let gradient = matrices.parameter(parameter.id())?;
                Some((parameter.id(), self.direction(gradient, &momentum?[0])))
            })
            .collect();
        let (rate, kept) = (T::from_f64(learning_rate), T::from_f64(1.0 - learning_rate * weight_decay));
        let update = |(), piece: Piece<'_, T, 0>| {
            for (w, &direction) in piece.value.iter_mut().zip(piece.gradient) {
                *w = *w * kept - rate * direction;
            }
        };
        State::new("muon", []).step(model, &directions, |_| (), update);

        let rate = self.adam.options.learning_rate;
        self.adam.step(model, &others, |decay| Decay { gradient: 0.0, value: rate * decay });
    }

    fn learning_rate(&self) -> f64 {
        self.options.learning_rate
    }

    #[track_caller]
    fn set_learning_rate(&mut self, rate: f64) {
        assert_learning_rate("muon", rate);
        self.options.learning_rate = rate;
        self.adam.options.learning_rate = rate * self.adam_ratio;
    }

    fn steps(&self) -> u64 {
        self.momentum.steps().max(self.adam.state.steps())
    }

    fn state(&self) -> Vec<(String, Tensor<T>)> {
        let mut all = self.momentum.save();
        all.extend(self.adam.state.save());
        all
    }

    fn load_state(
        &mut self,
        model: &dyn Module<T>,
        tensors: Vec<(String, Tensor<T>)>,
    ) -> Result<(), StateError> {
        let (adam, matrices): (Vec<_>, Vec<_>) =
            tensors.into_iter().partition(|(name, _)| name.starts_with("muon.adamw."));
        let mut restored = (State::new("muon", ["momentum"]), State::new("muon.adamw", ["m", "v"]));
        restored.0.load(model, matrices)?;
        restored.1.load(model, adam)?;
        let held = restored.0.tensors().map(|held| held.is_some());
        let held = held.zip(restored.1.tensors().map(|held| held.is_some()));
        for ((path, parameter), (has_momentum, has_moments)) in model.parameters().into_iter().zip(held) {
            let refuse = |quantity: &str, problem: &str| {
                Err(StateError { name: format!("muon.{quantity}.{path}"), problem: problem.to_string() })
            };
            let is_matrix = parameter.value.rank() >= 2;
            if has_momentum && !is_matrix {
                return refuse("momentum", "belongs to a parameter that is no matrix");
            }
            if has_moments && is_matrix {
                return refuse("adamw.m", "belongs to a matrix, which AdamW does not update here");
            }
        }
        (self.momentum, self.adam.state) = restored;
        Ok(())
    }

    fn reach(&self) -> Reach {
        Reach::Tensor
    }

    fn parameter_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        self.momentum.parameter_of(name).or_else(|| self.adam.state.parameter_of(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_step_goes_up_the_slope_and_no_singular_value_is_above_the_polynomial_s_maximum(
            rows in 1usize..9, columns in 1usize..9, scale in -6i32..6, phase in 0.0f64..6.0,
        ) {
            let slope = |i: usize| 10f64.powi(scale) * ((i * i) as f64 * 1.3 + phase).sin();
            let x = Tensor::from_fn(&[rows, columns], slope);
            let y = orthogonal(&x, &MuonOptions::default());
            let along: f64 = x.to_vec().iter().zip(y.to_vec()).map(|(x, y)| x * y).sum();
            prop_assert!(along > 0.0);
            // On [0, 1.21] the polynomial is at most 1.203.
            prop_assert!(y.squared_norm() <= 1.21 * 1.21 * rows.min(columns) as f64);
        }
    }

    #[test]
    fn the_direction_of_a_rotation_is_a_multiple_of_it_whatever_its_length() {
        // The iteration acts on the singular values alone: a rotation stays a multiple of itself.
        let (sine, cosine) = 0.3f64.sin_cos();
        let rotation = Tensor::from_vec(vec![cosine, -sine, sine, cosine], &[2, 2]);
        let options = MuonOptions::default();
        let small = orthogonal(&rotation.clone().scale(1e-3), &options);
        let large = orthogonal(&rotation.clone().scale(1e3), &options);
        let factor = small.at(&[0, 0]) / cosine;
        assert!((0.7..1.3).contains(&factor), "{factor}");
        for (index, expected) in rotation.to_vec().into_iter().enumerate() {
            assert_abs_diff_eq!(small.data()[index], factor * expected, epsilon = 1e-12);
            assert_abs_diff_eq!(large.data()[index], small.data()[index], epsilon = 1e-12);
        }
    }

    #[test]
    fn a_tall_matrix_is_the_transpose_of_a_wide_one_and_its_columns_become_orthogonal() {
        let options = MuonOptions { iterations: 12, ..MuonOptions::default() };
        let wide = Tensor::<f64>::from_fn(&[3, 7], |i| (i as f64 * 1.7).sin() + 0.1);
        let tall = orthogonal(&wide.t().contiguous(), &options);
        let x = orthogonal(&wide, &options);
        assert_eq!(tall.t().to_vec(), x.to_vec());
        // All singular values are near 1 (0.68 to 1.13 for these coefficients), so those of the Gram matrix are too.
        let gram = x.matmul(&x.t());
        for row in 0..3 {
            assert!((0.4..1.5).contains(&gram.at(&[row, row])), "{gram:?}");
        }
    }

    #[test]
    fn the_state_of_a_matrix_under_adamw_is_refused() {
        let model = crate::Parameter::new(Tensor::<f64>::zeros(&[2, 2]));
        let state = ["step", "m", "v"].map(|quantity| {
            let shape: &[usize] = if quantity == "step" { &[] } else { &[2, 2] };
            (format!("muon.adamw.{quantity}."), Tensor::ones(shape))
        });
        let mut muon = Muon::new(MuonOptions::default());
        let message = muon.load_state(&model, state.to_vec()).unwrap_err().to_string();
        assert!(message.contains("belongs to a matrix, which AdamW does not update here"), "{message}");
    }

    #[test]
    fn the_direction_of_a_gradient_of_zeros_is_zero_and_not_nan() {
        let zero = Tensor::<f32>::zeros(&[4, 3]);
        assert!(orthogonal(&zero, &MuonOptions::default()).to_vec().iter().all(|&x| x == 0.0));
    }
}
