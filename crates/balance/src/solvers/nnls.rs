//! Non-negative least squares from the normal equations: the one quadratic
//! program behind the min-norm point, both projections onto the dual cone and the
//! conflict-averse step.
//!
//! The active-set method of Lawson and Hanson ("Solving Least Squares
//! Problems", 1974, chapter 23), which needs only `AᵀA` and `Aᵀy` (Bro and
//! de Jong, 1997). It moves from face to face and solves on each exactly, so
//! what it returns satisfies the optimality conditions to rounding.

use super::{Matrix, dot, solve_on};

/// The minimiser of `½ zᵀHz − bᵀz` over `z >= 0`, for `H` symmetric and positive
/// semidefinite. Where `H` is singular, one minimiser; the problem must then be
/// bounded below, as it is whenever it comes from least squares.
pub fn nnls(h: &Matrix, b: &[f64]) -> Vec<f64> {
    let size = h.size();
    let mut z = vec![0.0; size];
    let mut free: Vec<usize> = Vec::with_capacity(size);
    // Places that failed to enter since the last step that made progress.
    let mut barred = vec![false; size];
    // Without rounding the loop ends by itself; the limit is far above what is ever
    // needed.
    for _ in 0..20 * (size + 1) {
        let Some(entering) = steepest(h, b, &z, &free, &barred) else { break };
        free.push(entering);
        let solution = solve_on(h, &free, b);
        let Some(mut solution) = solution.filter(|s| s.last().is_some_and(|&s| s > 0.0)) else {
            free.pop();
            barred[entering] = true;
            continue;
        };
        let before = (z.clone(), free[..free.len() - 1].to_vec());
        // Walk towards the solution on this face until a place becomes negative.
        while solution.iter().any(|&s| s <= 0.0) {
            let falling = free.iter().zip(&solution).filter(|(_, s)| **s <= 0.0);
            let reached = falling.map(|(&place, s)| {
                // A place at zero that would fall stops the walk at once.
                let share = if z[place] > 0.0 { z[place] / (z[place] - s) } else { 0.0 };
                (place, share)
            });
            let (first, reach) = reached.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 1.0));
            for (&place, s) in free.iter().zip(&solution) {
                z[place] += reach * (s - z[place]);
            }
            // What reaches zero must be exactly zero, or the loop would not end.
            z[first] = 0.0;
            free.retain(|&place| z[place] > 0.0);
            match solve_on(h, &free, b) {
                Some(next) => solution = next,
                None => break,
            }
        }
        z.fill(0.0);
        free.iter().zip(&solution).for_each(|(&place, &s)| z[place] = s);
        // With rows that are dependent up to rounding, a step may not lower the
        // objective; it is then undone.
        let value = |z: &[f64]| 0.5 * h.quadratic(z) - dot(b, z);
        if z.iter().all(|z| *z >= 0.0) && value(&z) < value(&before.0) {
            barred.fill(false);
        } else {
            (z, free) = before;
            barred[entering] = true;
        }
    }
    z
}

/// The place outside `free` where the objective falls fastest; `None` if it
/// falls nowhere by more than the rounding error of its slope.
fn steepest(h: &Matrix, b: &[f64], z: &[f64], free: &[usize], barred: &[bool]) -> Option<usize> {
    let mut best = None;
    let mut most = 0.0;
    for place in (0..h.size()).filter(|&place| !barred[place] && !free.contains(&place)) {
        let row = h.row(place);
        let slope = b[place] - dot(row, z);
        let size: f64 = b[place].abs() + row.iter().zip(z).map(|(h, z)| (h * z).abs()).sum::<f64>();
        let noise = 4.0 * f64::EPSILON * h.size() as f64 * size;
        if slope > noise && slope > most {
            most = slope;
            best = Some(place);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_optimality_conditions_hold(
            size in 1usize..9, columns in 1usize..12, values in prop::collection::vec(-1.0f64..1.0, 8 * 12 + 12),
        ) {
            let row = |i: usize| &values[i * 12..i * 12 + columns];
            let h = Matrix::from_fn(size, |i, j| dot(row(i), row(j)));
            let y = &values[96..96 + columns];
            let b: Vec<f64> = (0..size).map(|i| dot(row(i), y)).collect();
            let z = nnls(&h, &b);
            let slopes: Vec<f64> = h.times(&z).iter().zip(&b).map(|(hz, b)| b - hz).collect();
            let unit = 1e-9 * z.iter().copied().fold(1.0, f64::max);
            for (z, slope) in z.iter().zip(slopes) {
                prop_assert!(*z >= 0.0 && slope < unit && (z * slope).abs() < unit, "z {z}, slope {slope}");
            }
        }
    }
}
