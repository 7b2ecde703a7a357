//! The strategies against known answers, against what they promise on random
//! gradients, and through their interface.

mod interface;
mod libmtl;
mod properties;
mod toy;
mod vectors;

use serde_json::Value;

use super::solvers::dot;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().expect("a list of rows").iter().map(numbers).collect()
}

fn combine(rows: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    (0..rows[0].len()).map(|k| rows.iter().zip(weights).map(|(row, w)| w * row[k]).sum()).collect()
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

/// Asserts that `found` is `expected` within `tolerance`, relative to its length,
/// or to the longest row's if the expected direction is zero.
#[track_caller]
fn assert_direction(found: &[f64], expected: &[f64], rows: &[Vec<f64>], tolerance: f64, what: &str) {
    let longest = rows.iter().map(|row| norm(row)).fold(0.0, f64::max);
    // Zero up to the rounding of the program that wrote the answers.
    let scale = if norm(expected) > 1e-3 * longest || tolerance < 1e-3 && norm(expected) > 1e-9 * longest {
        norm(expected)
    } else {
        longest
    };
    let off = norm(&found.iter().zip(expected).map(|(f, e)| f - e).collect::<Vec<_>>());
    assert!(
        off <= tolerance * scale,
        "{what}: {found:?} but {expected:?}, off by {:e} of the length",
        off / scale
    );
}
