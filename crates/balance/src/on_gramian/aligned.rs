//! The gradients made orthogonal and equally long.

use crate::Gramian;
use crate::solvers::{Matrix, eigen};

/// The length that aligned gradients are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlignedScale {
    /// The smallest singular value of `J`, as in the paper.
    Min,
    /// The median of the singular values.
    Median,
    /// The root of the mean of their squares.
    Rmse,
}

/// Aligned-MTL: `w = σ V Λ^(-1/2) Vᵀ p` with `G = V Λ Vᵀ` (Senushkin et al., "Independent
/// Component Alignment for Multi-Task Learning", 2023, eq. 5); the condition
/// number of the combined gradients becomes one.
///
/// Eigenvalues that are zero up to rounding are left out, so zero, equal and
/// opposite gradients cause no trouble: opposite ones of equal length give `d = 0`;
/// if all are zero, the weights are 0.
pub fn aligned(gramian: &Gramian, preference: &[f64], scale: AlignedScale) -> Vec<f64> {
    let largest = gramian.norms().iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        return vec![0.0; preference.len()];
    }
    // Scaled to comparable size, so that nothing overflows; σ Λ^(-1/2) has no unit.
    let unit = gramian.scaled(&vec![1.0 / largest; preference.len()]);
    let parts = eigen(&Matrix::from_fn(preference.len(), |i, j| unit.product(i, j)));
    let mut kept: Vec<f64> = parts.kept().map(|(value, _)| value).collect();
    kept.sort_by(f64::total_cmp);
    let sigma = match scale {
        AlignedScale::Min => kept[0].sqrt(),
        // The lower of the two in the middle, as in torch.median.
        AlignedScale::Median => kept[(kept.len() - 1) / 2].sqrt(),
        AlignedScale::Rmse => (kept.iter().sum::<f64>() / kept.len() as f64).sqrt(),
    };
    parts.apply(preference, |value| sigma / value.sqrt())
}
