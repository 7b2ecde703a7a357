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
    mut chance: impl FnMut(usize) -> f64,
    leaks: &[f64],
) -> (Vec<Tensor<T>>, Vec<f64>) {
    let tasks = gradients.tasks();
    let (mut kept, mut all) = (vec![0.0; tasks], vec![0.0; tasks]);
    let direction = gradients.entrywise(|column, place| {
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
            kept[t] += share * g.abs();
            all[t] += g.abs();
        }
        T::from_f64(result)
    });
    let shares = kept.iter().zip(all).map(|(kept, all)| if all > 0.0 { kept / all } else { 1.0 }).collect();
    (direction, shares)
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
    let mut sorted = vec![0.0; tasks];
    gradients.entrywise(|column, _| {
        sorted.iter_mut().zip(column).for_each(|(value, g)| *value = g.as_f64());
        sorted.sort_by(f64::total_cmp);
        T::from_f64(sorted[trim..tasks - trim].iter().sum::<f64>() / (tasks - 2 * trim) as f64)
    })
}
