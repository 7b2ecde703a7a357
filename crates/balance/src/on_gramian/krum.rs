//! Multi-Krum: the mean of the gradients that are nearest to the others.

use crate::Gramian;

/// Multi-Krum: the mean of the `selected` gradients with the smallest sums of distances
/// to their `T − f − 2` nearest others (Blanchard et al., "Machine Learning with
/// Adversaries", 2017, with squared distances), for up to `f` arbitrarily wrong ones.
/// Of equal sums the first is taken.
///
/// # Panics
/// If there are fewer than `f + 3` tasks or fewer than `selected`, or `selected` is 0.
#[track_caller]
pub fn krum(gramian: &Gramian, wrong: usize, selected: usize) -> Vec<f64> {
    let tasks = gramian.tasks();
    assert!(
        tasks >= wrong + 3 && (1..=tasks).contains(&selected),
        "krum: {tasks} tasks cannot bear {wrong} wrong ones with {selected} selected; at least f + 3 are needed"
    );
    let score = |i: usize| -> f64 {
        let square = |j: usize| gramian.product(j, j);
        let mut distances: Vec<f64> = (0..tasks)
            .filter(|&j| j != i)
            .map(|j| (square(i) + square(j) - 2.0 * gramian.product(i, j)).max(0.0))
            .collect();
        distances.sort_by(f64::total_cmp);
        // Distances and not their squares, as in the library this is tested against.
        distances[..tasks - wrong - 2].iter().map(|distance| distance.sqrt()).sum()
    };
    let scores: Vec<f64> = (0..tasks).map(score).collect();
    let mut order: Vec<usize> = (0..tasks).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut weights = vec![0.0; tasks];
    order[..selected].iter().for_each(|&t| weights[t] = 1.0 / selected as f64);
    weights
}
