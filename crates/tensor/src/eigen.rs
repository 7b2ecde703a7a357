//! Eigenvalues and eigenvectors of a small symmetric matrix.
//!
//! Cyclic Jacobi rotations (Golub and Van Loan, "Matrix Computations", 8.5):
//! slower than tridiagonalisation for large matrices, as fast for small ones,
//! and more accurate where the eigenvalues differ by many orders of magnitude.

/// The eigenvalues, in no particular order, and for each its eigenvector, of length one, of the symmetric matrix of
/// `size` rows whose finite entries are `entries`, row after row: `A = Σ values[k] · vectors[k] vectors[k]ᵀ`.
///
/// # Panics
/// Unless there are `size²` entries.
pub fn symmetric_eigen(entries: &[f64], size: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    assert!(entries.len() == size * size, "symmetric_eigen: {} entries for {size} rows", entries.len());
    let mut a = entries.to_vec();
    let mut vectors: Vec<Vec<f64>> =
        (0..size).map(|k| (0..size).map(|i| f64::from(u8::from(i == k))).collect()).collect();
    // Convergence is quadratic: a handful of sweeps suffices.
    for _ in 0..40 {
        let mut rotated = false;
        for p in 0..size {
            for q in p + 1..size {
                let apq = a[p * size + q];
                let [app, aqq] = [a[p * size + p], a[q * size + q]];
                // Below the rounding error of both diagonal entries together.
                if apq.abs() <= 0.1 * f64::EPSILON * (app * aqq).abs().sqrt() || apq == 0.0 {
                    continue;
                }
                rotated = true;
                let theta = (aqq - app) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                for k in 0..size {
                    let [akp, akq] = [a[k * size + p], a[k * size + q]];
                    a[k * size + p] = c * akp - s * akq;
                    a[k * size + q] = s * akp + c * akq;
                }
                for k in 0..size {
                    let [apk, aqk] = [a[p * size + k], a[q * size + k]];
                    a[p * size + k] = c * apk - s * aqk;
                    a[q * size + k] = s * apk + c * aqk;
                }
                let [left, right] = vectors.get_disjoint_mut([p, q]).expect("p < q");
                for (x, y) in left.iter_mut().zip(right) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    ((0..size).map(|k| a[k * size + k]).collect(), vectors)
}
