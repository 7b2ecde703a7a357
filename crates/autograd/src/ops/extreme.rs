//! What `max`, `min` and `argmax` share: finding the place of an extreme value
//! along a dimension, and taking the values there.

use cerberus_tensor::linear_map::LinearMap;
use cerberus_tensor::{Element, Tensor};

use crate::tape::Var;

/// For every line of `x` along `axis`, the position of the value that beats all
/// before it: `[outer, inner]`, row-major. The first of equals; NaN beats numbers.
///
/// # Panics
/// If there is no such axis or it is empty.
#[track_caller]
pub(super) fn places<T: Element>(
    operation: &str,
    x: &Tensor<T>,
    axis: usize,
    beats: impl Fn(T, T) -> bool,
) -> Vec<usize> {
    super::assert_axes(operation, &[axis], x.shape());
    let (len, inner) = (x.shape()[axis], x.shape()[axis + 1..].iter().product::<usize>());
    assert!(len > 0, "{operation}: axis {axis} of shape {:?} is empty", x.shape());
    let source = x.contiguous();
    let x = source.data();
    let line = |start: usize| {
        let at = |i: usize| x[start + i * inner];
        let better = |best: usize, i: usize| {
            if beats(at(i), at(best)) || (at(i).is_nan() && !at(best).is_nan()) { i } else { best }
        };
        (1..len).fold(0, better)
    };
    let outer = x.len().checked_div(len * inner).unwrap_or(0);
    (0..outer).flat_map(|o| (0..inner).map(move |i| o * len * inner + i)).map(line).collect()
}

/// The values at `places`, as [`places`] finds them.
#[track_caller]
pub(super) fn take<T: Element>(
    x: Var<T>,
    operation: &'static str,
    axis: usize,
    places: Vec<usize>,
    keep: bool,
) -> Var<T> {
    let mut shape = x.shape().to_vec();
    let (len, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let source = |(line, place): (usize, usize)| Some((line / inner * len + place) * inner + line % inner);
    let map = LinearMap::select(x.value().len(), places.into_iter().enumerate().map(source));
    if keep {
        shape[axis] = 1;
    } else {
        shape.remove(axis);
    }
    let rank = x.shape().len();
    x.linear_map(operation, map, 0..rank, &shape)
}
