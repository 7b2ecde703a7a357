//! Joining tensors along a dimension.
//!
//! The output consists of `outer` rows, one for every index of the dimensions
//! before the joined one. A row is one run of elements from every part, so the
//! forward pass only copies. The backward pass needs no kernel: the gradient of
//! a part is [`Tensor::narrow`] of the output's gradient.

use crate::parallel::{PIECE, for_each_piece, for_each_rows};
use crate::shape::sum_of;
use crate::{Element, Tensor};

/// Joins the parts along `axis`.
///
/// Shapes: parts `[.., A_i, ..]`, equal except in dimension `axis`, to
/// `[.., sum A_i, ..]`. Its vector-Jacobian product is
/// `dpart_i = dy.narrow(axis, A_0 + .. + A_(i-1), A_i)`.
///
/// ```
/// use cerberus_tensor::{Tensor, concat::concat};
/// let (a, b) = (Tensor::from_vec(vec![1.0, 2.0], &[2, 1]), Tensor::from_vec(vec![3.0, 4.0, 5.0, 6.0], &[2, 2]));
/// assert_eq!(concat(&[a, b], 1).to_vec(), [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
/// ```
///
/// # Panics
/// If there are no parts, the axis does not exist, or another dimension differs.
#[track_caller]
pub fn concat<T: Element>(parts: &[Tensor<T>], axis: usize) -> Tensor<T> {
    let Some(first) = parts.first() else { panic!("concat: there must be at least one part") };
    assert!(axis < first.rank(), "concat: axis {axis} does not exist in shape {:?}", first.shape());
    for part in parts {
        assert!(
            part.rank() == first.rank() && part.dims().with(axis, first.shape()[axis]) == first.dims(),
            "concat: shapes {:?} and {:?} must be equal but for dimension {axis}",
            first.shape(),
            part.shape()
        );
    }
    let extent = sum_of("concat", &parts.iter().map(|part| part.shape()[axis]).collect::<Vec<_>>());
    let shape = first.dims().with(axis, extent);
    let inner: usize = first.shape()[axis + 1..].iter().product();
    let sources: Vec<Tensor<T>> = parts.iter().map(Tensor::contiguous).collect();
    // For each part: its elements, and how many of them one row holds.
    let runs: Vec<(&[T], usize)> =
        sources.iter().map(|part| (part.data(), part.shape()[axis] * inner)).collect();
    let row: usize = runs.iter().map(|(_, run)| run).sum();
    Tensor::filled_by(&shape, |y| {
        if row > PIECE {
            for (index, row) in y.chunks_exact_mut(row).enumerate() {
                for_each_run(index, row, &runs, |to, from| {
                    for_each_piece(to, |start, piece| piece.copy_from_slice(&from[start..][..piece.len()]));
                });
            }
        } else {
            for_each_rows(y, row, |first, rows| {
                for (index, row) in rows.chunks_exact_mut(row).enumerate() {
                    for_each_run(first + index, row, &runs, |to, from| to.copy_from_slice(from));
                }
            });
        }
    })
}

/// Calls `copy(to, from)` for every part's run of row number `index`.
fn for_each_run<T>(index: usize, mut row: &mut [T], runs: &[(&[T], usize)], copy: impl Fn(&mut [T], &[T])) {
    for &(source, run) in runs {
        let (to, rest) = row.split_at_mut(run);
        copy(to, &source[index * run..][..run]);
        row = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn narrowing_the_joined_tensor_gives_back_every_part(
            dims in prop::collection::vec(0usize..4, 1..5), extents in prop::collection::vec(0usize..4, 1..4), axis in 0usize..4,
        ) {
            let axis = axis % dims.len();
            let part = |(i, &extent): (usize, &usize)| {
                let mut dims = dims.clone();
                dims[axis] = extent;
                noise::<f64>(&dims, i as f64)
            };
            let parts: Vec<_> = extents.iter().enumerate().map(part).collect();
            let y = concat(&parts, axis);
            let mut start = 0;
            for part in &parts {
                let found = y.narrow(axis, start, part.shape()[axis]);
                prop_assert_eq!(found.shape(), part.shape());
                prop_assert!(part.is_empty() || found.to_vec() == part.to_vec());
                start += part.shape()[axis];
            }
            prop_assert_eq!(y.shape()[axis], start);
        }
    }

    #[test]
    fn long_rows_and_strided_parts_are_joined_in_pieces() {
        let (a, b) =
            (noise::<f32>(&[2, 3 * PIECE], 0.1), noise::<f32>(&[PIECE + 5, 2], 0.2).permute(&[1, 0]));
        let y = concat(&[a.clone(), b.clone()], 1);
        assert_eq!(y.narrow(1, 0, 3 * PIECE).to_vec(), a.to_vec());
        assert_eq!(y.narrow(1, 3 * PIECE, PIECE + 5).to_vec(), b.to_vec());
    }

    #[test]
    #[should_panic(expected = "concat: shapes [2, 3] and [2, 4] must be equal but for dimension 0")]
    fn parts_of_other_shapes_are_refused_with_the_rule() {
        concat(&[noise::<f32>(&[2, 3], 0.0), noise::<f32>(&[2, 4], 0.0)], 0);
    }
}
