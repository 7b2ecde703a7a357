//! Strategies that decide entry by entry.

use cerberus_tensor::{Element, Tensor};

use crate::balance::TaskGradients;

/// GradDrop: at each entry only the gradients of one sign are kept, of the
/// positive one with probability `½ (1 + Σg / Σ|g|)` (Chen et al., "Just Pick a Sign", 2020,
/// algorithm 1). `chance(k)` is uniform on 0 to 1 for entry `k`; `leaks[t]` of each
/// dropped gradient passes (none if empty). With one list of activations as variables this is the
/// paper's rule without its multiplication by their sign.
///
/// Returns the direction and each task's kept share of its absolute sum.
pub fn grad_drop<T: Element>(
    gradients: &TaskGradients<T>,
    chance: impl Fn(usize) -> f64 + Sync,
    leaks: &[f64],
) -> (Vec<Tensor<T>>, Vec<f64>) {
    let tasks = gradients.tasks();
    // Of each task: its kept and its whole absolute sum.
    let (direction, sums) = gradients.entrywise(|sums: &mut Vec<[f64; 2]>, column, place| {
        sums.resize(tasks, [0.0; 2]);
        let sum: f64 = column.iter().map(|g| g.as_f64()).sum();
        let size: f64 = column.iter().map(|g| g.as_f64().abs()).sum();
        if size == 0.0 {
            return T::ZERO;
        }
        let positive = 0.5 * (1.0 + sum / size);
        let chance = chance(place);
        let mut result = 0.0;
        for (t, g) in column.iter().map(|g| g.as_f64()).enumerate() {
            let keep = (positive > chance && g > 0.0) || (positive < chance && g < 0.0);
            let share = if keep { 1.0 } else { leaks.get(t).copied().unwrap_or(0.0) };
            result += share * g;
            sums[t][0] += share * g.abs();
            sums[t][1] += g.abs();
        }
        T::from_f64(result)
    });
    let share = |task: usize| {
        let total = |of: usize| sums.iter().filter_map(|sums| Some(sums.get(task)?[of])).sum::<f64>();
        if total(1) > 0.0 { total(0) / total(1) } else { 1.0 }
    };
    (direction, (0..tasks).map(share).collect())
}

/// Trimmed mean: at each entry the `trim` lowest and highest values are left out
/// (Yin et al., "Byzantine-Robust Distributed Learning", 2018, definition 2).
///
/// # Panics
/// If nothing would be left.
#[track_caller]
pub fn trimmed_mean<T: Element>(gradients: &TaskGradients<T>, trim: usize) -> Vec<Tensor<T>> {
    let tasks = gradients.tasks();
    assert!(tasks > 2 * trim, "trimmed_mean: {tasks} tasks minus twice {trim} leave none");
    let (direction, _) = gradients.entrywise(|_: &mut (), column, _| {
        column.sort_by(|a, b| a.as_f64().total_cmp(&b.as_f64()));
        let kept = column[trim..tasks - trim].iter().map(|g| g.as_f64());
        T::from_f64(kept.sum::<f64>() / (tasks - 2 * trim) as f64)
    });
    direction
}
