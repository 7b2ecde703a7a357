//! Lesson 1: tensors.
//!
//! `cargo run --release --example 01_tensors`
//!
//! A tensor is a run of numbers plus a way of reading it: a shape, a stride per
//! dimension, and an offset. Almost everything below follows from that. What is
//! printed is also asserted, so this lesson cannot go out of date unnoticed.

use std::time::Instant;

use cerberus::prelude::*;
use cerberus::tensor::conv::{Epilogue, Geometry, im2col, implicit, plain};
use cerberus_cli::say;

fn main() {
    shapes_and_views();
    broadcasting_and_reductions();
    the_in_place_rule();
    images_are_nhwc();
    three_convolutions();
}

fn shapes_and_views() {
    say!("-- Shapes, strides, views");
    let x: Tensor = Tensor::from_fn(&[2, 3], |i| i as f32);
    say!("x = {x:?}, strides {:?}", x.strides());
    // prints: x = Tensor<f32>[2, 3] [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], strides [3, 1]
    // One step down skips a row of three numbers, one step across skips one.
    assert_eq!(x.strides(), [3, 1]);

    // The transpose moves no number: it swaps the strides.
    let t = x.permute(&[1, 0]);
    say!("its transpose has strides {:?} and reads {:?}", t.strides(), t.to_vec());
    // prints: its transpose has strides [1, 3] and reads [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    assert_eq!(t.strides(), [1, 3]);
    assert_eq!(t.to_vec(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert!(!t.is_contiguous());

    // Neither does a slice: it moves the offset.
    let right = x.narrow(1, 1, 2);
    say!("its last two columns read {:?}", right.to_vec());
    // prints: its last two columns read [1.0, 2.0, 4.0, 5.0]
    assert_eq!(right.to_vec(), [1.0, 2.0, 4.0, 5.0]);

    // Three handles on one buffer:
    assert!(!x.is_unique());
}

fn broadcasting_and_reductions() {
    say!("\n-- Broadcasting and reductions");
    // Shapes are aligned from the last dimension; an extent of 1 is stretched.
    let column: Tensor = Tensor::from_vec(vec![10.0, 20.0], &[2, 1]);
    let row: Tensor = Tensor::from_vec(vec![1.0, 2.0, 3.0], &[3]);
    let table = &column + &row;
    say!("{:?} + {:?} = {:?}: {:?}", column.shape(), row.shape(), table.shape(), table.to_vec());
    // prints: [2, 1] + [3] = [2, 3]: [11.0, 12.0, 13.0, 21.0, 22.0, 23.0]
    assert_eq!(table.to_vec(), [11.0, 12.0, 13.0, 21.0, 22.0, 23.0]);

    // Stretching costs no memory: the stride along a stretched dimension is 0.
    let stretched = row.broadcast_to(&[1000, 3]);
    say!("{:?} stretched to {:?} has strides {:?}", row.shape(), stretched.shape(), stretched.strides());
    // prints: [3] stretched to [1000, 3] has strides [0, 1]
    assert_eq!(stretched.strides(), [0, 1]);

    // A sum names the dimensions that disappear.
    say!("sum over rows {:?}, over columns {:?}", table.sum(&[0]).to_vec(), table.sum(&[1]).to_vec());
    // prints: sum over rows [32.0, 34.0, 36.0], over columns [36.0, 66.0]
    assert_eq!(table.sum(&[0]).to_vec(), [32.0, 34.0, 36.0]);
    assert_eq!(table.sum(&[1]).to_vec(), [36.0, 66.0]);
    // A sum is the reverse of stretching. Lesson 2 uses this: the gradient of a
    // stretched input is the sum over everything it was stretched to.
    assert_eq!(table.sum_to(&[2, 1]).to_vec(), [36.0, 66.0]);
}

fn the_in_place_rule() {
    say!("\n-- The in-place rule");
    // Operations take their tensor by value. A buffer with a single owner may
    // be overwritten; a shared one never is.
    let x: Tensor = Tensor::ones(&[4]);
    let place = x.data().as_ptr();
    let y = x.map(|v| v + 1.0); // x is given away: its buffer is used again
    assert_eq!(y.data().as_ptr(), place);
    let z = y.clone().map(|v| v * 10.0); // y is kept: z gets a buffer of its own
    assert_ne!(z.data().as_ptr(), place);
    say!("y = {:?} is untouched by z = {:?}", y.to_vec(), z.to_vec());
    // prints: y = [2.0, 2.0, 2.0, 2.0] is untouched by z = [20.0, 20.0, 20.0, 20.0]
    assert_eq!((y.to_vec(), z.to_vec()), (vec![2.0; 4], vec![20.0; 4]));
}

fn images_are_nhwc() {
    say!("\n-- Images");
    // A batch of images is [N, H, W, C]: the channels of a pixel lie side by
    // side, so work on all channels of a pixel is one run of memory.
    let images: Tensor = Tensor::from_fn(&[1, 2, 2, 3], |i| i as f32);
    let pixel = images.narrow(1, 1, 1).narrow(2, 0, 1); // row 1, column 0
    say!("shape {:?}, pixel (1, 0) is {:?}", images.shape(), pixel.to_vec());
    // prints: shape [1, 2, 2, 3], pixel (1, 0) is [6.0, 7.0, 8.0]
    assert_eq!(pixel.to_vec(), [6.0, 7.0, 8.0]);
    assert!(pixel.is_contiguous());
}

fn three_convolutions() {
    say!("\n-- One convolution, three ways");
    // A 3x3 kernel that sums its window, on a plane of ones: each output counts
    // how many pixels lie under the kernel. The border sees the padding.
    let plane: Tensor = Tensor::ones(&[1, 3, 3, 1]);
    let ones: Tensor = Tensor::ones(&[3, 3, 1, 1]);
    let spec = Conv2dSpec::same(3);
    let none = Epilogue::default();
    let counts = plain::conv2d(&plane, &ones, &spec, &none);
    say!("ones under a 3x3 kernel: {:?}", counts.to_vec());
    // prints: ones under a 3x3 kernel: [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]
    assert_eq!(counts.to_vec(), [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]);

    // Now a layer of realistic size, with timing.
    let noise = |shape: &[usize]| -> Tensor { Tensor::from_fn(shape, |i| (i as f32 * 0.7).sin()) };
    let (x, weight) = (noise(&[8, 32, 32, 32]), noise(&[3, 3, 32, 64]));
    let work = 2.0 * Geometry::new("lesson", x.shape(), weight.shape(), &spec).multiply_adds() as f64;
    say!("{:?} by {:?}: {:.2} billion operations", x.shape(), weight.shape(), work / 1e9);
    // prints: [8, 32, 32, 32] by [3, 3, 32, 64]: 0.30 billion operations

    let oracle = time("plain loops: the definition", work, 1, || plain::conv2d(&x, &weight, &spec, &none));
    let patches = time("im2col: windows copied into a matrix, one product", work, 5, || {
        im2col::conv2d(&x, &weight, &spec, &none)
    });
    let direct = time("implicit: the same product, windows read in place", work, 20, || {
        implicit::conv2d(&x, &weight, &spec, &none)
    });
    say!("the last runs on {} kernels; docs/tensor.md tells how it works", f32::kernel_name());

    // They add the same numbers in another order, so they agree up to rounding.
    for other in [&patches, &direct] {
        let worst = (&oracle - other).map(f32::abs).to_vec().into_iter().fold(0.0, f32::max);
        assert!(worst < 1e-3, "the results differ by {worst}");
    }
    say!("all three agree");
}

/// Runs `job` a few times, prints the best speed in GFLOP/s, returns the result.
fn time(name: &str, work: f64, times: usize, job: impl Fn() -> Tensor) -> Tensor {
    let mut best = f64::INFINITY;
    let mut result = None;
    for _ in 0..times {
        let start = Instant::now();
        result = Some(job());
        best = best.min(start.elapsed().as_secs_f64());
    }
    say!("{:>8.1} GFLOP/s  {name}", work / best / 1e9);
    result.expect("at least one run")
}
