//! Batch normalisation with the statistics of the batch itself, which may be cut into parts with a pass each.

use std::sync::Arc;

use cerberus_tensor::norm::{self, BatchStatistics, Rectifier};
use cerberus_tensor::{Element, Tensor};

use crate::operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves};
#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::{ParamId, Var};

/// The passes over all parts of a batch, as one of them sees them at its batch norms.
pub trait Peers: Send + Sync {
    /// Joins what this part has at a norm with what the others have there, and returns it when all have come; parts
    /// without values there do not come. Parts are joined two at a time, in an order that is always the same.
    fn joined(&self, norm: ParamId, own: Vec<f64>, pair: fn(Vec<f64>, Vec<f64>) -> Vec<f64>) -> Vec<f64>;
}

/// A batch norm of one part of a batch: those of the other parts, and a parameter of its own, by which they find it.
pub type Among = (Arc<dyn Peers>, ParamId);

/// `y = gamma (x - mean) / sqrt(variance + eps) + beta`, then `max(y, 0)` or
/// `min(max(y, 0), 6)` if asked for; mean and (biased) variance per channel over all other dimensions
/// (Ioffe and Szegedy, 2015, algorithm 1).
///
/// `x [.., C]`, `gamma [C]`, `beta [C]`. With `x̂` the normalised input, `m` the
/// values per channel and `dz = dy` where the activation did not cut `y` off: `dbeta = sum dz`,
/// `dgamma = sum dz x̂`, `dx = gamma / std (dz - dbeta/m - x̂ dgamma/m)`.
///
/// Where the batch is cut into parts with a pass each, mean, variance and `m` are those of the whole batch, and so are
/// `dbeta` and `dgamma` in `dx`; a part's own gradients of `gamma` and `beta` are its own sums.
pub struct BatchNorm<T: Element = f64> {
    statistics: BatchStatistics<T>,
    activation: Rectifier,
    eps: f64,
    among: Option<Among>,
}

impl<T: Element> Operation<T> for BatchNorm<T> {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1, 2])
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x, gamma, beta] = inputs.take();
        norm::normalise(x, &self.statistics.mean, &self.statistics.inv_std, &gamma, &beta, self.activation)
    }

    fn backward(&self, mut saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let (x, gamma, beta) = (saved.input(0), saved.input(1), saved.input(2));
        let joined = |own: &[Vec<f64>; 2]| {
            let (peers, norm) = self.among.as_ref()?;
            Some(peers.joined(*norm, own.concat(), |a, b| a.iter().zip(b).map(|(a, b)| a + b).collect()))
        };
        let (dx, dgamma, dbeta) = norm::batch_norm_backward_joined(
            &x,
            dy,
            [&gamma, &beta],
            &self.statistics,
            self.activation,
            joined,
        );
        vec![Some(dx.into()), Some(dgamma.into()), Some(dbeta.into())]
    }

    fn backward_graph(
        &self,
        mut saved: SavedVars<T>,
        mut dy: Var<T>,
        _wants: &[bool],
    ) -> Option<Vec<Option<Var<T>>>> {
        if self.among.is_some() {
            return None;
        }
        let (x, gamma, beta) = (saved.input(0), saved.input(1), saved.input(2));
        let axes: Vec<usize> = (0..x.shape().len() - 1).collect();
        // The statistics again, as functions of x.
        let centred = x.clone() - x.mean(&axes);
        let inv_std = centred.clone().square().mean(&axes).affine(1.0, self.eps).rsqrt();
        let normalised = centred * inv_std.clone();
        let y = || normalised.clone() * gamma.clone() + beta;
        match self.activation {
            Rectifier::None => {}
            Rectifier::Relu => dy = dy * super::relu::passes(y()),
            Rectifier::Relu6 => {
                let inside = |y: T| y > T::ZERO && y <= T::from_f64(6.0);
                let y = y().into_value();
                dy = dy * Var::constant(y.map(|y| if inside(y) { T::ONE } else { T::ZERO }));
            }
        }
        let dbeta = dy.clone().sum(&axes);
        let dgamma = (dy.clone() * normalised.clone()).sum(&axes);
        let mean_product = (dy.clone() * normalised.clone()).mean(&axes);
        let dx = (dy.clone() - dy.mean(&axes) - normalised * mean_product) * (gamma * inv_std);
        Some(vec![Some(dx), Some(dgamma), Some(dbeta)])
    }
}

#[cfg(feature = "proofs")]
impl<T: Element> Proof for BatchNorm<T> {
    fn facts() -> Facts {
        Facts::new(
            "batch_norm",
            Group::Normalisation,
            "y = gamma (x - mean) / √(variance + eps) + beta over all axes but the last; max(y, 0) or relu6 after it",
            "dx = gamma / std (dz - mean dz - x̂ mean(dz x̂)), dgamma = Σ dz x̂, dbeta = Σ dz",
        )
        .shapes("x [.., C], gamma [C], beta [C]")
        .torch("F.batch_norm(a, None, None, b, c, training=True)")
        .kinks("with relu, 0 at 0; with relu6, also dz at 6")
        .linear(&[1, 2])
        .never_empty("the mean of nothing is not a number")
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, shape: &[usize], activation: Rectifier| {
            let channels = &shape[shape.len() - 1..];
            let after = match activation {
                Rectifier::None => "",
                Rectifier::Relu => "F.relu",
                Rectifier::Relu6 => "F.relu6",
            };
            let torch = format!("{after}(batch_norm(a, b, c))");
            let case = case!(
                format!("batch_norm: {name}"),
                torch,
                [sample(11, shape), sample(12, channels), sample(13, channels)],
                |x, gamma, beta| x.batch_normalised(gamma, beta, 1e-5, activation).0
            );
            if activation == Rectifier::None { case } else { case.composed() }
        };
        vec![
            case("images", &[2, 3, 4, 3], Rectifier::None),
            case("images, rectified", &[2, 3, 4, 3], Rectifier::Relu),
            case("images, rectified up to 6", &[2, 3, 4, 2], Rectifier::Relu6),
            case("rows", &[6, 2], Rectifier::None),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![ErrorCase::new("batch_norm: gamma [4] and beta [4] must be the last extent of x [2, 3]", || {
            let (x, c) = (super::zeros::<f64>(&[2, 3]), super::zeros(&[4]));
            let _ = x.batch_norm(c.clone(), c, 1e-5);
        })]
    }

    fn large_cases() -> Vec<Case> {
        vec![case!(
            "batch_norm",
            "batch_norm(a, b, c)",
            [sample(1, &[3, 40, 41, 8]), sample(2, &[8]), sample(3, &[8])],
            |x, gamma, beta| x.batch_norm_relu(gamma, beta, 1e-5).0
        )]
    }
}

impl<T: Element> Var<T> {
    /// Batch normalisation over all dimensions but the last; see [`BatchNorm`].
    /// Also returns the statistics of the batch, which a layer may average for
    /// evaluation; no gradient flows through them.
    ///
    /// # Panics
    /// If `gamma` or `beta` is not `[C]`.
    #[track_caller]
    pub fn batch_norm(self, gamma: Var<T>, beta: Var<T>, eps: f64) -> (Var<T>, BatchStatistics<T>) {
        self.batch_normalised(gamma, beta, eps, Rectifier::None)
    }

    /// The activations that a batch norm can compute in its own pass, by themselves.
    pub fn rectified(self, activation: Rectifier) -> Var<T> {
        match activation {
            Rectifier::None => self,
            Rectifier::Relu => self.relu(),
            Rectifier::Relu6 => self.clamp(0.0, 6.0),
        }
    }

    /// [`batch_norm`](Self::batch_norm) followed by ReLU, in one pass over memory.
    ///
    /// # Panics
    /// If `gamma` or `beta` is not `[C]`.
    #[track_caller]
    pub fn batch_norm_relu(self, gamma: Var<T>, beta: Var<T>, eps: f64) -> (Var<T>, BatchStatistics<T>) {
        self.batch_normalised(gamma, beta, eps, Rectifier::Relu)
    }

    /// [`batch_norm`](Self::batch_norm) followed by an activation, in one pass over memory.
    ///
    /// # Panics
    /// If `gamma` or `beta` is not `[C]`.
    #[track_caller]
    pub fn batch_normalised(
        self,
        gamma: Var<T>,
        beta: Var<T>,
        eps: f64,
        activation: Rectifier,
    ) -> (Var<T>, BatchStatistics<T>) {
        self.batch_normalised_among([gamma, beta], eps, activation, None)
    }

    /// [`batch_normalised`](Self::batch_normalised) of a part of a batch, by the statistics of the whole one.
    ///
    /// # Panics
    /// If `gamma` or `beta` is not `[C]`.
    #[track_caller]
    pub fn batch_normalised_among(
        self,
        [gamma, beta]: [Var<T>; 2],
        eps: f64,
        activation: Rectifier,
        among: Option<Among>,
    ) -> (Var<T>, BatchStatistics<T>) {
        super::layer_norm::assert_channels("batch_norm", self.shape(), &gamma, &beta);
        if activation != Rectifier::None && self.is_taken_apart() {
            let (y, statistics) = self.batch_normalised_among([gamma, beta], eps, Rectifier::None, among);
            return (y.rectified(activation), statistics);
        }
        let mut moments = norm::batch_moments(self.value());
        if let Some((peers, norm)) = &among {
            moments = peers.joined(*norm, moments, norm::joined_moments);
        }
        let statistics = norm::statistics_of(&moments, eps);
        let operation = BatchNorm { statistics: statistics.clone(), activation, eps, among };
        (Var::apply(operation, vec![self, gamma, beta]), statistics)
    }
}
