//! Average pooling over whole images.

use crate::memory::rows::column_sums;
use crate::parallel::{PIECE, for_each_rows, map_ranges};
use crate::shape::product_of;
use crate::{Element, Tensor};

/// `y[n,c]`: the mean of `x [N, H, W, C]` over its pixels, `[N, C]`.
///
/// # Panics
/// If `x` is not of rank 4.
#[track_caller]
pub fn global_avg_pool<T: Element>(x: &Tensor<T>) -> Tensor<T> {
    assert_eq!(x.rank(), 4, "global_avg_pool: x {:?} must be [N, H, W, C]", x.shape());
    let [n, h, w, c] = x.extents();
    let source = x.contiguous();
    let (data, image) = (source.data(), h * w * c);
    // Large images are summed in parts; several small ones share a task.
    let parts = image.div_ceil(PIECE).max(1);
    let rows = (h * w).div_ceil(parts);
    let tasks = (PIECE / image.max(1)).max(1);
    let sums = map_ranges(n * parts, tasks, |range| -> Vec<Vec<T>> {
        let part = |task: usize| {
            let (start, end) = (task % parts * rows, ((task % parts + 1) * rows).min(h * w));
            &data[task / parts * image..][start.min(end) * c..end * c]
        };
        range.map(|task| column_sums(part(task), c)).collect()
    });
    let sums: Vec<Vec<T>> = sums.into_iter().flatten().collect();
    let count = T::from_f64((h * w) as f64);
    Tensor::from_fn(&[n, c], |i| {
        let image = &sums[i / c * parts..][..parts];
        image.iter().map(|sums| sums[i % c]).sum::<T>() / count
    })
}

/// The vector-Jacobian product of [`global_avg_pool`]: `dx[n,h,w,c] = dy[n,c] / (H W)`,
/// from `dy [N, C]` to `[N, H, W, C] = x_shape`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn global_avg_pool_backward<T: Element>(dy: &Tensor<T>, x_shape: &[usize]) -> Tensor<T> {
    let fits = matches!((x_shape, dy.shape()), (&[n, _, _, c], shape) if shape == [n, c]);
    assert!(
        fits,
        "global_avg_pool_backward: dy {:?} must be [N, C] of x {x_shape:?} (N, H, W, C)",
        dy.shape()
    );
    let (pixels, c) = (product_of("global_avg_pool_backward", &x_shape[1..3]), x_shape[3]);
    let share = dy.clone().scale(T::ONE / T::from_f64(pixels as f64)).contiguous();
    let share = share.data();
    Tensor::filled_by(x_shape, |dx| {
        for_each_rows(dx, c, |first, rows| {
            for (index, row) in rows.chunks_exact_mut(c).enumerate() {
                row.copy_from_slice(&share[(first + index) / pixels * c..][..c]);
            }
        });
    })
}
