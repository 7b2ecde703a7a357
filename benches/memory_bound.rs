//! Speed of the kernels that memory limits, in GB/s of what each must read and
//! write at least once, in percent of the machine's own rate of copying arrays of
//! that size, measured just before, and in nanoseconds per input element.
//!
//! `cargo bench -p cerberus-tensor --bench memory_bound`. Each figure is the
//! median of several runs; set `RAYON_NUM_THREADS` to choose the threads.

use std::cell::RefCell;
use std::time::Instant;

use cerberus_tensor::Tensor;
use cerberus_tensor::concat::concat;
use cerberus_tensor::conv::Padding;
use cerberus_tensor::machine::{Traffic, bandwidth};
use cerberus_tensor::norm::{Rectifier, batch_norm_backward, batch_statistics, normalise};
use cerberus_tensor::pooling::{
    Pool2dSpec, global_avg_pool, global_avg_pool_backward, max_pool2d, max_pool2d_backward,
};
use cerberus_tensor::resize::{Interpolation, resize, resize_backward};
use cerberus_tensor::softmax::{log_softmax, log_softmax_backward, logsumexp, softmax, softmax_backward};

fn main() {
    let threads = rayon::current_num_threads();
    let x = noise(&[64, 64, 64, 32]);
    let len = x.len() as f64;
    let copy = bandwidth(Traffic::Copy, 4 * x.len() / threads, threads);
    println!("{threads} threads; f32 [64, 64, 64, 32]; copy rate at this size {copy:.1} GB/s");
    let report = |name: &str, values: f64, elements: f64, run: &dyn Fn()| {
        report(name, copy, [values, elements], run);
    };
    // The gradient that backward passes overwrite, as they do in training.
    let dy = RefCell::new(noise(x.shape()));
    let in_place = |work: &dyn Fn(Tensor) -> Tensor| {
        let owned = dy.replace(Tensor::scalar(0.0));
        dy.replace(work(owned));
    };

    report("copy (map of a shared tensor)", 2.0 * len, len, &|| drop(x.clone().map(|x| x + 1.0)));
    report("map in place", 2.0 * len, len, &|| in_place(&|dy| dy.map(|x| x * 0.5)));

    let halving = Pool2dSpec::square(2);
    let (y, winners) = max_pool2d(&x, &halving);
    report("max_pool2d 2x2", 1.25 * len, len, &|| drop(max_pool2d(&x, &halving)));
    report("max_pool2d_backward 2x2", 1.25 * len, len, &|| {
        drop(max_pool2d_backward(&y, &winners, x.shape(), &halving));
    });
    let overlapping = Pool2dSpec { kernel: [3, 3], stride: [2, 2], padding: Padding::all(1) };
    let (y, winners) = max_pool2d(&x, &overlapping);
    report("max_pool2d 3x3 stride 2", 1.25 * len, len, &|| drop(max_pool2d(&x, &overlapping)));
    report("max_pool2d_backward 3x3", 1.25 * len, len, &|| {
        drop(max_pool2d_backward(&y, &winners, x.shape(), &overlapping));
    });
    let mean = global_avg_pool(&x);
    report("global_avg_pool", len, len, &|| drop(global_avg_pool(&x)));
    report("global_avg_pool_backward", len, len, &|| drop(global_avg_pool_backward(&mean, x.shape())));

    let small = resize(&x, [32, 32], Interpolation::Nearest);
    for (name, mode) in [("nearest", Interpolation::Nearest), ("bilinear", Interpolation::Bilinear)] {
        report(&format!("resize x2 {name}"), 1.25 * len, len, &|| drop(resize(&small, [64, 64], mode)));
        report(&format!("resize_backward x2 {name}"), 1.25 * len, len, &|| {
            drop(resize_backward(&x, [32, 32], mode));
        });
    }
    let halves = [x.narrow(3, 0, 16).contiguous(), x.narrow(3, 16, 16).contiguous()];
    report("concat of channels", 2.0 * len, len, &|| drop(concat(&halves, 3)));

    let (gamma, beta) = (noise(&[32]), noise(&[32]));
    let s = batch_statistics(&x, 1e-5);
    report("batch_statistics", len, len, &|| drop(batch_statistics(&x, 1e-5)));
    report("normalise", 2.0 * len, len, &|| {
        drop(normalise(x.clone(), &s.mean, &s.inv_std, &gamma, &beta, Rectifier::Relu));
    });
    report("normalise in place", 2.0 * len, len, &|| {
        in_place(&|x| normalise(x, &s.mean, &s.inv_std, &gamma, &beta, Rectifier::Relu));
    });
    report("batch_norm_backward in place", 5.0 * len, len, &|| {
        in_place(&|dy| batch_norm_backward(&x, dy, &gamma, &beta, &s, Rectifier::Relu).0);
    });

    for classes in [11, 1000] {
        println!("softmax over {classes} classes");
        let x = noise(&[64 * 64 * 64 * 11 / classes, classes]);
        let len = x.len() as f64;
        let (p, log_p) = (softmax(&x), log_softmax(&x));
        report("softmax", 2.0 * len, len, &|| drop(softmax(&x)));
        report("log_softmax", 2.0 * len, len, &|| drop(log_softmax(&x)));
        report("logsumexp", len, len, &|| drop(logsumexp(&x)));
        // Not in place: the gradient would vanish when it is multiplied by probabilities
        // in every run.
        report("softmax_backward", 3.0 * len, len, &|| drop(softmax_backward(&p, x.clone())));
        report("log_softmax_backward", 3.0 * len, len, &|| drop(log_softmax_backward(&log_p, x.clone())));
    }
}

fn noise(shape: &[usize]) -> Tensor {
    Tensor::from_fn(shape, |i| (i as f32 * 0.7).sin())
}

/// Prints the median speed of `run`, which moves `values` numbers for `elements` inputs,
/// beside the rate of a copy.
fn report(name: &str, copy: f64, [values, elements]: [f64; 2], run: &dyn Fn()) {
    run();
    let mut seconds: Vec<f64> = (0..15)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let (speed, each) = (4.0 * values / median / 1e9, median / elements * 1e9);
    let share = 100.0 * speed / copy;
    println!("{name:>32} {speed:>7.1} GB/s {share:>4.0}% {each:>7.2} ns per element");
}
