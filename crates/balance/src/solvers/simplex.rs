//! The nearest point of the simplex.

/// The point nearest to `y` among those with no negative entry that sum to one
/// (Held, Wolfe and Crowder, 1974; the form by sorting is Duchi et al., 2008).
///
/// ```
/// use cerberus_balance::solvers::project_to_simplex;
/// let x = project_to_simplex(&[0.5, 0.7, 0.1]);
/// assert!(x.iter().zip([0.4, 0.6, 0.0]).all(|(x, y)| (x - y).abs() < 1e-15));
/// ```
pub fn project_to_simplex(y: &[f64]) -> Vec<f64> {
    let mut sorted = y.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let mut sum = 0.0;
    let mut shift = 0.0;
    for (index, value) in sorted.iter().enumerate() {
        sum += value;
        let candidate = (sum - 1.0) / (index + 1) as f64;
        if value - candidate > 0.0 {
            shift = candidate;
        }
    }
    y.iter().map(|y| (y - shift).max(0.0)).collect()
}
