//! Strategies that decide entry by entry.

use cerberus_tensor::{Element, Tensor};

use crate::TaskGradients;
use crate::gradients::RUN;

/// GradDrop: at each entry only the gradients of one sign are kept, with probability
/// `½ (1 + Σg / Σ|g|)` the positive ones (Chen et al., "Just Pick a Sign", 2020, algorithm 1).
/// `uniform(k)` is uniform on 0 to 1 for entry `k`; the share `leaks[t]` of each dropped gradient
/// passes (none if empty). With activations as the only variables this is the paper's rule without
/// its multiplication by the activations' sign.
///
/// Returns the direction and each task's kept share of its absolute sum.
pub fn grad_drop<T: Element>(
    gradients: &TaskGradients<T>,
    uniform: impl Fn(usize) -> f64 + Sync,
    leaks: &[f64],
) -> (Vec<Tensor<T>>, Vec<f64>) {
    let tasks = gradients.tasks();
    // Of each task: the absolute sum of its kept entries, and of all.
    let (direction, sums) = gradients.entrywise(|sums: &mut Vec<[f64; 2]>, rows, out, place| {
        sums.resize(tasks, [0.0; 2]);
        // `½ (1 + Σg / Σ|g|) - uniform` times `2 Σ|g|`: the sign that is kept.
        let (mut side, mut size) = ([0.0; RUN], [0.0; RUN]);
        for row in rows {
            for ((side, size), g) in side.iter_mut().zip(&mut size).zip(*row) {
                *side += g.as_f64();
                *size += g.as_f64().abs();
            }
        }
        for ((side, size), place) in side.iter_mut().zip(size).zip(place..place + out.len()) {
            *side -= (2.0 * uniform(place) - 1.0) * size;
        }
        let mut sum = [0.0; RUN];
        for (t, row) in rows.iter().enumerate() {
            let leak = leaks.get(t).copied().unwrap_or(0.0);
            let mut kept = [0.0; RUN];
            for ((sum, kept), (g, side)) in sum.iter_mut().zip(&mut kept).zip(row.iter().zip(side)) {
                let g = g.as_f64();
                let keep = (side > 0.0 && g > 0.0) || (side < 0.0 && g < 0.0);
                *kept = if keep { g } else { leak * g };
                *sum += *kept;
            }
            sums[t][0] += absolute_sum(&kept[..out.len()]);
            sums[t][1] += absolute_sum(row);
        }
        out.iter_mut().zip(sum).for_each(|(out, sum)| *out = T::from_f64(sum));
    });
    let share = |task: usize| {
        let total = |of: usize| sums.iter().filter_map(|sums| Some(sums.get(task)?[of])).sum::<f64>();
        if total(1) > 0.0 { total(0) / total(1) } else { 1.0 }
    };
    (direction, (0..tasks).map(share).collect())
}

/// In eight interleaved sums, so that it vectorises.
fn absolute_sum<T: Element>(values: &[T]) -> f64 {
    let mut sums = [0.0f64; 8];
    let (lanes, rest) = values.as_chunks::<8>();
    for values in lanes {
        sums.iter_mut().zip(values).for_each(|(sum, x)| *sum += x.as_f64().abs());
    }
    sums.iter().sum::<f64>() + rest.iter().map(|x| x.as_f64().abs()).sum::<f64>()
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
    let (direction, _) = gradients.entrywise(|column: &mut Vec<f64>, rows, out, _| {
        for (index, out) in out.iter_mut().enumerate() {
            column.clear();
            column.extend(rows.iter().map(|row| row[index].as_f64()));
            column.sort_by(f64::total_cmp);
            let kept = &column[trim..tasks - trim];
            *out = T::from_f64(kept.iter().sum::<f64>() / kept.len() as f64);
        }
    });
    direction
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every task's value at each entry, of all parts one after the other.
    fn columns(gradients: &TaskGradients<f64>) -> Vec<Vec<f64>> {
        let flat: Vec<Vec<f64>> =
            gradients.rows().iter().map(|row| row.iter().flat_map(Tensor::to_vec).collect()).collect();
        (0..flat[0].len()).map(|entry| flat.iter().map(|row| row[entry]).collect()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Parts shorter and longer than a run, and longer than what one thread takes.
        #[test]
        fn runs_of_entries_decide_as_single_entries_do(
            tasks in 1usize..6, lengths in prop::collection::vec((0usize..3, 1usize..600), 1..4), seed in any::<u64>(),
        ) {
            let number = |place: usize| {
                let mixed = (seed ^ place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
                (mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11) as f64 / (1u64 << 53) as f64
            };
            // A fifth of the values are zero.
            let value = |place| { let x = number(place); if x < 0.2 { 0.0 } else { 2.0 * x - 1.2 } };
            let row = |task: usize| -> Vec<Tensor<f64>> {
                let lengths = lengths.iter().map(|(pieces, rest)| pieces * 10_000 + rest).enumerate();
                let part = |(part, len)| Tensor::from_vec((0..len).map(|i| value(i + (part + 7 * task) * 100_000)).collect(), &[len]);
                lengths.map(part).collect()
            };
            let names = (0..lengths.len()).map(|part| part.to_string()).collect();
            let gradients = TaskGradients::new((0..tasks).map(row).collect(), names);
            let columns = columns(&gradients);
            let flat = |direction: Vec<Tensor<f64>>| direction.iter().flat_map(Tensor::to_vec).collect::<Vec<f64>>();

            let uniform = |place: usize| number(place + 10_000_000);
            let leaks = [0.25, 0.0, 0.5];
            let (found, shares) = grad_drop(&gradients, uniform, &leaks);
            let mut sums = vec![[0.0; 2]; tasks];
            for ((column, found), place) in columns.iter().zip(flat(found)).zip(0..) {
                let (sum, size) = column.iter().fold((0.0, 0.0), |(sum, size), g| (sum + g, size + g.abs()));
                let positive = if size > 0.0 { 0.5 * (1.0 + sum / size) } else { 0.5 };
                // Where the two are equal up to rounding, either may be chosen.
                prop_assume!((positive - uniform(place)).abs() > 1e-12);
                let kept = column.iter().enumerate().map(|(task, g)| {
                    let share = if (*g > 0.0) == (positive > uniform(place)) { 1.0 } else { *leaks.get(task).unwrap_or(&0.0) };
                    sums[task][0] += share * g.abs();
                    sums[task][1] += g.abs();
                    share * g
                });
                let expected: f64 = kept.sum();
                prop_assert!((found - expected).abs() < 1e-12, "entry {place}: {found} for {expected}");
            }
            for (share, [kept, whole]) in shares.iter().zip(sums) {
                let expected = if whole > 0.0 { kept / whole } else { 1.0 };
                prop_assert!((share - expected).abs() < 1e-9);
            }

            let trim = (tasks - 1) / 2;
            for (mut column, found) in columns.into_iter().zip(flat(trimmed_mean(&gradients, trim))) {
                column.sort_by(f64::total_cmp);
                let kept = &column[trim..tasks - trim];
                prop_assert!((found - kept.iter().sum::<f64>() / kept.len() as f64).abs() < 1e-12);
            }
        }
    }
}
