//! What a linear map is for, found in its entries: a selection, means of windows,
//! or one matrix for each dimension.

use std::collections::BTreeMap;

use cerberus_tensor::linear_map::LinearMap;

/// Windows of one size at regular steps: ONNX's description of a pool, for each dimension.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Regular {
    pub kernel: Vec<usize>,
    pub stride: Vec<usize>,
    pub before: Vec<usize>,
    pub after: Vec<usize>,
}

/// The windows `taps[axis][output]` over an image of these extents as regular ones, if they are.
pub(crate) fn regular(taps: &[Vec<Vec<usize>>], image: &[usize]) -> Option<Regular> {
    let mut all = Regular { kernel: vec![], stride: vec![], before: vec![], after: vec![] };
    for (taps, &extent) in taps.iter().zip(image) {
        let kernel = taps.iter().map(Vec::len).max()?;
        let ends: Vec<usize> =
            taps.iter().map(|window| window.last().map(|last| last + 1)).collect::<Option<_>>()?;
        let before = kernel - ends[0].min(kernel);
        let stride = if ends.len() > 1 { ends[1] - ends[0] } else { kernel };
        let window = |output: usize| {
            let start = output * stride;
            (start.max(before)..(start + kernel).min(before + extent)).map(move |i| i - before)
        };
        if stride == 0 || !taps.iter().enumerate().all(|(output, own)| own.iter().copied().eq(window(output)))
        {
            return None;
        }
        let needed = (taps.len() - 1) * stride + kernel;
        let after = needed.saturating_sub(before + extent);
        // ONNX asks for less padding than the kernel.
        if before >= kernel || after >= kernel {
            return None;
        }
        all.kernel.push(kernel);
        all.stride.push(stride);
        all.before.push(before);
        all.after.push(after);
    }
    Some(all)
}

/// The source of each output, if the map only moves values.
pub(crate) fn as_selection(map: &LinearMap) -> Option<Vec<Option<usize>>> {
    let source = |output: usize| match map.row(output) {
        [] => Some(None),
        &[(input, 1.0)] => Some(Some(input)),
        _ => None,
    };
    (0..map.outputs()).map(source).collect()
}

/// Windows `taps[axis][output]`, and whether their means count the padding, if the map consists of means.
pub(crate) fn as_means(
    map: &LinearMap,
    from: &[usize],
    to: &[usize],
) -> Option<(Vec<Vec<Vec<usize>>>, bool)> {
    let taps: Vec<Vec<Vec<usize>>> = (0..from.len())
        .map(|axis| {
            let windows = (0..to[axis]).map(|output| {
                let row = map.row(output * to[axis + 1..].iter().product::<usize>());
                let mut places: Vec<usize> =
                    row.iter().map(|(input, _)| digits(*input, from)[axis]).collect();
                places.sort_unstable();
                places.dedup();
                places
            });
            windows.collect()
        })
        .collect();
    let largest: usize = taps.iter().map(|taps| taps.iter().map(Vec::len).max().unwrap_or(0)).product();
    let (mut counts, mut leaves_out) = (true, true);
    for output in 0..map.outputs() {
        let (row, place) = (map.row(output), digits(output, to));
        let size: usize = place.iter().zip(&taps).map(|(&place, taps)| taps[place].len()).product();
        let inside = |input: usize| {
            digits(input, from).iter().enumerate().all(|(axis, i)| taps[axis][place[axis]].contains(i))
        };
        if row.len() != size || !row.iter().all(|(input, _)| inside(*input)) {
            return None;
        }
        counts &= row.iter().all(|(_, weight)| *weight == 1.0 / largest as f64);
        leaves_out &= row.iter().all(|(_, weight)| *weight == 1.0 / size as f64);
    }
    (counts || leaves_out).then_some((taps, !leaves_out))
}

/// One matrix `[to, from]` for each dimension whose products the map's entries are, if there are such.
pub(crate) fn as_matrices(map: &LinearMap, from: &[usize], to: &[usize]) -> Option<Vec<Vec<f32>>> {
    if from.len() != to.len() {
        return None;
    }
    let place =
        |places: &[usize]| places.iter().zip(to).fold(0, |flat, (place, extent)| flat * extent + place);
    // An output whose weights do not cancel out: beside it, the sum over the other dimensions is a factor.
    let total = |output: usize| map.row(output).iter().map(|(_, weight)| weight).sum::<f64>();
    let reference = (0..map.outputs()).find(|&output| total(output).abs() > 1e-6)?;
    let scale = total(reference);
    let matrices: Vec<Vec<f64>> = (0..from.len())
        .map(|axis| {
            let mut matrix = vec![0.0; to[axis] * from[axis]];
            for output in 0..to[axis] {
                let mut places = digits(reference, to);
                places[axis] = output;
                for &(input, weight) in map.row(place(&places)) {
                    let divisor = if axis == 0 { 1.0 } else { scale };
                    matrix[output * from[axis] + digits(input, from)[axis]] += weight / divisor;
                }
            }
            matrix
        })
        .collect();
    for output in 0..map.outputs() {
        let places = digits(output, to);
        let mut row: BTreeMap<usize, f64> = BTreeMap::new();
        map.row(output).iter().for_each(|&(input, weight)| *row.entry(input).or_default() += weight);
        for input in 0..map.inputs() {
            let product: f64 = digits(input, from)
                .iter()
                .enumerate()
                .map(|(axis, &i)| matrices[axis][places[axis] * from[axis] + i])
                .product();
            if (product - row.get(&input).copied().unwrap_or(0.0)).abs() > 1e-9 {
                return None;
            }
        }
    }
    Some(matrices.into_iter().map(|matrix| matrix.into_iter().map(|value| value as f32).collect()).collect())
}

/// The place along each dimension of a flat place.
fn digits(mut flat: usize, extents: &[usize]) -> Vec<usize> {
    let mut digits = vec![0; extents.len()];
    for (digit, extent) in digits.iter_mut().zip(extents).rev() {
        *digit = flat % extent;
        flat /= extent;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use cerberus_tensor::windows::{Sliding, Windows};

    #[test]
    fn sliding_windows_are_found_again_from_their_entries() {
        let spec = Sliding { kernel: [3, 2], stride: [2, 2], padding: [1, 0], ceil_mode: false };
        let windows = Windows::sliding("test", &[7, 6], &spec);
        let expected =
            Regular { kernel: vec![3, 2], stride: vec![2, 2], before: vec![1, 0], after: vec![1, 0] };
        assert_eq!(regular(windows.taps(), &[7, 6]), Some(expected));
        for counts in [true, false] {
            let (taps, found) = as_means(&windows.mean(counts), &[7, 6], &[4, 3]).expect("means");
            assert_eq!((taps == windows.taps(), found), (true, counts));
        }
    }

    /// ONNX counts what lies beyond the padding, so such means need a matrix for each dimension.
    #[test]
    fn windows_in_ceil_mode_are_regular_but_their_means_only_without_the_padding() {
        let spec = Sliding { kernel: [3, 2], stride: [2, 2], padding: [0, 0], ceil_mode: true };
        let windows = Windows::sliding("test", &[6, 5], &spec);
        let found = regular(windows.taps(), &[6, 5]).expect("regular windows");
        assert_eq!((found.before, found.after), (vec![0, 0], vec![1, 1]));
        let padded = Windows::sliding("test", &[6, 5], &Sliding { padding: [1, 1], ..spec });
        assert_eq!(as_means(&padded.mean(true), &[6, 5], &[4, 3]), None);
        assert!(as_matrices(&padded.mean(true), &[6, 5], &[4, 3]).is_some());
        assert!(as_means(&padded.mean(false), &[6, 5], &[4, 3]).is_some_and(|(_, counts)| !counts));
    }

    #[test]
    fn adaptive_windows_that_do_not_divide_are_not_regular_but_have_a_matrix_per_dimension() {
        let windows = Windows::adaptive("test", &[10, 4], &[4, 2]);
        assert_eq!(regular(windows.taps(), &[10, 4]), None);
        let matrices = as_matrices(&windows.mean(false), &[10, 4], &[4, 2]).expect("matrices");
        let third = 1.0 / 3.0;
        assert_eq!(matrices[0][20..30], [0.0, 0.0, 0.0, 0.0, 0.0, third, third, third, 0.0, 0.0]);
        assert_eq!(matrices[1], [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5]);
    }

    #[test]
    fn a_map_that_mixes_dimensions_has_no_matrices() {
        let turned = LinearMap::select(4, [0, 2, 3, 1].map(Some));
        assert!(as_matrices(&turned, &[2, 2], &[2, 2]).is_none());
        assert_eq!(as_selection(&turned), Some(vec![Some(0), Some(2), Some(3), Some(1)]));
    }
}
