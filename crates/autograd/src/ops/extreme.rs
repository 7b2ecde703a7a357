//! Shared by `max`, `min` and `argmax`: finding the place of an extreme value
//! along a dimension, and taking the value there.

use cerberus_tensor::linear_map::LinearMap;
use cerberus_tensor::{Element, Tensor};

use super::linear_map::{Mapped, Origin};
use crate::tape::Var;

/// For every line of `x` along `axis`, the position of the value that beats all
/// others: `[outer, inner]`, row-major. The first if several are equal; NaN beats
/// numbers.
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

/// The value over `axes` that beats all others, from the place where [`places`] finds it.
///
/// # Panics
/// If the axes are not distinct dimensions or there is nothing along them.
#[track_caller]
pub(super) fn over<T: Element>(
    operation: &'static str,
    x: Var<T>,
    axes: &[usize],
    keep: bool,
    beats: impl Fn(T, T) -> bool,
) -> Var<T> {
    super::assert_axes(operation, axes, x.shape());
    assert!(
        axes.iter().all(|&axis| x.shape()[axis] > 0),
        "{operation}: axes {axes:?} of shape {:?} are empty",
        x.shape()
    );
    let (lines, shape) = x.reduced_last(axes, keep);
    let (count, len) = (lines.value().len(), lines.shape()[1]);
    let places = places(operation, lines.value(), 1, beats);
    let source = |(line, place)| Some(line * len + place);
    let map = LinearMap::select(count, places.into_iter().enumerate().map(source));
    let mapped = Mapped::new(operation, map, lines.shape(), 0..2, &shape).with_origin(Origin::Extreme);
    Var::record(mapped, vec![lines])
}
