//! Batch normalisation with the statistics of the batch itself.

use cerberus_tensor::norm::{self, BatchStatistics};
use cerberus_tensor::{Element, Tensor};

use crate::gradcheck::{Case, arguments, sample};
use crate::operation::{Gradient, Inputs, Operation, Saved, Saves};
use crate::tape::Var;

/// `y = gamma (x - mean) / sqrt(variance + eps) + beta`, then `max(y, 0)` if
/// `relu`; mean and (biased) variance per channel over all other dimensions
/// (Ioffe and Szegedy, 2015, algorithm 1).
///
/// `x [.., C]`, `gamma [C]`, `beta [C]`. With `x̂` the normalised input, `m` the
/// values per channel and `dz = dy` where `y > 0`: `dbeta = sum dz`,
/// `dgamma = sum dz x̂`, `dx = gamma / std (dz - dbeta/m - x̂ dgamma/m)`.
pub struct BatchNorm<T: Element = f64> {
    statistics: BatchStatistics<T>,
    relu: bool,
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
        norm::normalise(x, &self.statistics.mean, &self.statistics.inv_std, &gamma, &beta, self.relu)
    }

    fn backward(&self, mut saved: Saved<T>, dy: Tensor<T>, _wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let (x, gamma, beta) = (saved.input(0), saved.input(1), saved.input(2));
        let (dx, dgamma, dbeta) =
            norm::batch_norm_backward(&x, dy, &gamma, &beta, &self.statistics, self.relu);
        vec![
            Some(dx.into()),
            Some(dgamma.into()),
            Some(dbeta.into()),
        ]
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, shape: &[usize], relu: bool| {
            let channels = &shape[shape.len() - 1..];
            let inputs = vec![sample(11, shape), sample(12, channels), sample(13, channels)];
            Case::new(format!("batch_norm: {name}"), inputs, move |inputs| {
                let [x, gamma, beta] = arguments(inputs);
                x.batch_norm(gamma, beta, 1e-5, relu).0
            })
        };
        vec![
            case("images", &[2, 3, 4, 3], false),
            case("images, rectified", &[2, 3, 4, 3], true),
            case("rows", &[6, 2], false),
        ]
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
    pub fn batch_norm(self, gamma: Var<T>, beta: Var<T>, eps: f64, relu: bool) -> (Var<T>, BatchStatistics<T>) {
        let statistics = norm::batch_statistics(self.value(), eps);
        let operation = BatchNorm { statistics: statistics.clone(), relu };
        (Var::apply(operation, vec![self, gamma, beta]), statistics)
    }
}
