//! Speed of the three convolutions, in GFLOP/s (a multiply-add counts as two).
//!
//! `cargo bench -p cerberus-tensor --bench convolution`. Each figure is the
//! median of several runs; set `RAYON_NUM_THREADS` to choose the threads.

use std::time::Instant;

use cerberus_tensor::conv::{self, Conv2dSpec, Epilogue, Geometry, im2col, implicit, plain};
use cerberus_tensor::{Element, Tensor};

/// Batch, height and width, input channels, output channels, kernel size, "same" padding or none.
const LAYERS: [([usize; 5], bool); 7] = [
    ([32, 64, 3, 32, 3], true),
    ([32, 64, 32, 32, 3], true),
    ([32, 32, 64, 64, 3], true),
    ([32, 16, 128, 128, 3], true),
    ([32, 8, 256, 256, 3], true),
    ([32, 14, 256, 256, 1], true),
    ([32, 15, 32, 64, 3], false),
];

fn main() {
    println!("{} threads, {} kernels", rayon::current_num_threads(), f32::kernel_name());
    println!(
        "{:>32} {:>8} {:>8} {:>8} {:>9} {:>9}",
        "layer", "plain", "im2col", "forward", "input", "weight"
    );
    for ([n, size, cin, cout, kernel], same) in LAYERS {
        let spec = if same { Conv2dSpec::same(kernel) } else { Conv2dSpec::default() };
        let noise = |shape: &[usize]| Tensor::<f32>::from_fn(shape, |i| (i as f32 * 0.7).sin());
        let (x, weight) = (noise(&[n, size, size, cin]), noise(&[kernel, kernel, cin, cout]));
        let g = Geometry::new("benchmark", x.shape(), weight.shape(), &spec);
        let dy = noise(&g.y_shape());
        let none = Epilogue::default();
        // The definition is slow: one image tells enough.
        let one = x.narrow(0, 0, 1).contiguous();
        let slow = Geometry { n: 1, ..g };
        let figures = [
            speed(&slow, 1, || drop(plain::conv2d(&one, &weight, &spec, &none))),
            speed(&g, 3, || drop(im2col::conv2d(&x, &weight, &spec, &none))),
            speed(&g, 9, || drop(implicit::conv2d(&x, &weight, &spec, &none))),
            speed(&g, 9, || drop(conv::input_gradient(&dy, &weight, x.shape(), &spec))),
            speed(&g, 9, || drop(conv::weight_gradient(&x, &dy, weight.shape(), &spec))),
        ];
        print!("{:>32}", format!("N{n} C{cin} {size}x{size}-{cout} {kernel}x{kernel}"));
        println!(
            " {:>8.1} {:>8.1} {:>8.1} {:>9.1} {:>9.1}",
            figures[0], figures[1], figures[2], figures[3], figures[4]
        );
    }
}

/// Median GFLOP/s of `run` over `times` runs after one to warm up.
fn speed(g: &Geometry, times: usize, run: impl Fn()) -> f64 {
    if times > 1 {
        run();
    }
    let mut seconds: Vec<f64> = (0..times)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    2.0 * g.multiply_adds() as f64 / seconds[times / 2] / 1e9
}
