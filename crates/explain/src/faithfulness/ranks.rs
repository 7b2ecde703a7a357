//! Correlations, of values and of their ranks.

/// Pearson's correlation of pairs; `None` if one side is the same everywhere.
///
/// # Panics
/// If there are not as many of one as of the other.
#[track_caller]
pub fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    assert_eq!(a.len(), b.len(), "pearson: not pairs");
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        (ab, aa, bb) = (ab + a * b, aa + a * a, bb + b * b);
    }
    // Rounding leaves a little of the square of a constant.
    let least = |mean: f64| 1e-24 * mean * mean * a.len() as f64;
    (aa > least(mean_a) && bb > least(mean_b)).then(|| (ab / (aa * bb).sqrt()).clamp(-1.0, 1.0))
}

/// Spearman's rank correlation: Pearson's of the ranks, where equal values share their mean rank. `None` if one side is
/// the same everywhere.
///
/// # Panics
/// If there are not as many of one as of the other.
#[track_caller]
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    pearson(&ranks(a), &ranks(b))
}

/// The rank of every value, from 0.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|&place| ranks[place] = rank);
        first += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_forget_the_distances_and_values_do_not() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(spearman(&a, &b), Some(1.0));
        assert!(pearson(&a, &b).unwrap() < 0.9);
        assert_eq!(spearman(&a, &b.map(|v| -v)), Some(-1.0));
        assert_eq!(pearson(&a, &a.map(|v| 5.0 - 2.0 * v)), Some(-1.0));
    }

    #[test]
    fn equal_values_share_a_rank_and_a_constant_has_no_correlation() {
        assert_eq!(ranks(&[2.0, 1.0, 2.0, 5.0]), [1.5, 0.0, 1.5, 3.0]);
        // By hand: ranks 1.5 0 1.5 3 and 0 1 2 3.
        let by_hand = 3.0 / (4.5f64 * 5.0).sqrt();
        assert!((spearman(&[2.0, 1.0, 2.0, 5.0], &[0.0, 1.0, 2.0, 3.0]).unwrap() - by_hand).abs() < 1e-12);
        assert_eq!(pearson(&[0.1; 7], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), None);
        assert_eq!(spearman(&[1.0, 2.0], &[3.0, 3.0]), None);
    }
}
