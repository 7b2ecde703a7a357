//! Helpers of the kernels' tests: noise, inner products, finite differences,
//! and the comparison of runs with different numbers of threads.

use crate::{Element, Tensor};

/// Repeatable values between -1 and 1 without a short period.
pub(crate) fn noise<T: Element>(shape: &[usize], phase: f64) -> Tensor<T> {
    Tensor::from_fn(shape, |i| T::from_f64((i as f64 * 1.7 + phase).sin()))
}

/// The inner product of two tensors of one shape.
pub(crate) fn dot(a: &Tensor<f64>, b: &Tensor<f64>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.to_vec().iter().zip(b.to_vec()).map(|(a, b)| a * b).sum()
}

/// Largest difference between two tensors of one shape.
pub(crate) fn distance<T: Element>(a: &Tensor<T>, b: &Tensor<T>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.to_vec().iter().zip(b.to_vec()).fold(0.0, |m: f64, (a, b)| m.max((a.as_f64() - b.as_f64()).abs()))
}

/// Largest difference between `dx` and the central difference of
/// `<f(x), dy>` in each element of `x`.
pub(crate) fn gradient_error(
    f: impl Fn(&Tensor<f64>) -> Tensor<f64>,
    x: &Tensor<f64>,
    dy: &Tensor<f64>,
    dx: &Tensor<f64>,
) -> f64 {
    assert_eq!(dx.shape(), x.shape());
    let step = 1e-5;
    let value = |i: usize, by: f64| {
        let mut moved = x.clone();
        moved.data_mut()[i] += by;
        dot(&f(&moved), dy)
    };
    let slope = |i| (value(i, step) - value(i, -step)) / (2.0 * step);
    dx.to_vec().iter().enumerate().fold(0.0, |m: f64, (i, d)| m.max((d - slope(i)).abs()))
}

/// Whether `run` gives the same bits with 1, 2, 3 and 8 threads.
pub(crate) fn same_bits_for_any_threads(run: impl Fn() -> Vec<Tensor<f32>> + Sync) -> bool {
    let bits = |threads| -> Vec<Vec<u32>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        let outputs = pool.install(&run);
        outputs.iter().map(|y| y.to_vec().into_iter().map(f32::to_bits).collect()).collect()
    };
    let one = bits(1);
    [2, 3, 8].into_iter().all(|threads| bits(threads) == one)
}
