//! Speed of the convolutions, in GFLOP/s (a multiply-add counts as two; the count
//! is that of the definition, for every algorithm) and in percent of the machine's
//! multiply-add peak, measured just before. The first columns are the steps of the
//! book's chapter: the forward pass by the definition; by a patch matrix and three
//! loops; by a patch matrix and the product of the `matrixmultiply` crate; by a
//! patch matrix and this crate's tile; and by the tile without a patch matrix. Then
//! the three passes as they are used, each with its algorithm: `i`mplicit,
//! `w`inograd, `d`epthwise or im2`c`ol. Winograd's does fewer multiplications than
//! are counted and can pass 100 %.
//!
//! `cargo bench -p cerberus-tensor --bench convolution`. Each figure is the
//! median of several runs; set `RAYON_NUM_THREADS` to choose the threads. Words
//! after `--` choose the layers whose names contain them; `--json` prints lines
//! for programs (`benches/peers/convolutions.py` is one). `--errors` prints how far
//! 3x3 convolutions in `f32` are from the exact sums instead of how fast they are.

use std::time::Instant;

use cerberus_tensor::conv::{
    self, Algorithm, Conv2dSpec, Epilogue, Geometry, Padding, im2col, implicit, plain,
};
use cerberus_tensor::machine::{Traffic, bandwidth, multiply_add_peak};
use cerberus_tensor::parallel::for_each_rows;
use cerberus_tensor::{Element, Isa, Tensor};

/// A layer: `[batch, height and width, input channels, output channels, kernel size]`.
struct Layer {
    sizes: [usize; 5],
    padding: usize,
    stride: usize,
    groups: usize,
}

const fn layer(sizes: [usize; 5], padding: usize) -> Layer {
    Layer { sizes, padding, stride: 1, groups: 1 }
}

const LAYERS: [Layer; 11] = [
    layer([32, 32, 64, 64, 3], 1),
    layer([32, 16, 128, 128, 3], 1),
    layer([32, 8, 256, 256, 3], 1),
    layer([8, 56, 64, 64, 3], 1),
    layer([32, 14, 256, 256, 1], 0),
    layer([32, 15, 32, 64, 3], 0),
    Layer { stride: 2, ..layer([32, 32, 64, 128, 3], 1) },
    layer([32, 32, 3, 32, 3], 0),
    layer([32, 64, 3, 32, 3], 1),
    layer([32, 64, 32, 32, 3], 1),
    Layer { groups: 96, ..layer([32, 28, 96, 96, 3], 1) },
];

impl Layer {
    fn spec(&self) -> Conv2dSpec {
        Conv2dSpec {
            stride: [self.stride; 2],
            padding: Padding::all(self.padding),
            groups: self.groups,
            ..Conv2dSpec::default()
        }
    }

    fn geometry(&self) -> Geometry {
        let [n, size, cin, cout, kernel] = self.sizes;
        let weight = [kernel, kernel, cin / self.groups, cout];
        Geometry::new("benchmark", &[n, size, size, cin], &weight, &self.spec())
    }

    fn name(&self) -> String {
        let [n, size, cin, cout, kernel] = self.sizes;
        let mut name = format!("N{n} C{cin} {size}x{size}-{cout} {kernel}x{kernel} p{}", self.padding);
        if self.stride > 1 {
            name += &format!(" s{}", self.stride);
        }
        if self.groups > 1 {
            name += " depthwise";
        }
        name
    }
}

fn main() {
    // Cargo passes `--bench` of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let json = words.iter().any(|word| word == "--json");
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with("--")).collect();
    if words.iter().any(|word| word == "--errors") {
        return errors();
    }
    let threads = rayon::current_num_threads();
    let isa = Isa::from_environment().unwrap_or_else(|error| {
        eprintln!("error: {error}");
        std::process::exit(2)
    });
    let peak = multiply_add_peak(isa, threads);
    if !json {
        println!("{threads} threads, {} kernels, multiply-add peak {peak:.0} GFLOP/s", isa.name());
        println!(
            "{:>36} {:>8} {:>8} {:>8} {:>8} {:>8} {:>14} {:>14} {:>14}",
            "layer", "plain", "loops", "library", "im2col", "implicit", "forward", "input", "weight"
        );
    }
    for layer in LAYERS {
        let name = layer.name();
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let figures = measure(&layer, !json);
        let [plain, loops, library, im2col, implicit, forward, input, weight] = figures;
        if json {
            println!(
                r#"{{"layer":"{name}","peak":{peak:.1},"forward":{forward:.1},"input":{input:.1},"weight":{weight:.1}}}"#
            );
            continue;
        }
        let g = layer.geometry();
        let [ahead, back, weights] =
            [Algorithm::of_forward, Algorithm::of_input_gradient, Algorithm::of_weight_gradient]
                .map(|of| initial(of(&g)));
        let of_peak = |speed: f64, by: char| format!("{speed:.1} {:>4.0}% {by}", 100.0 * speed / peak);
        print!("{name:>36} {plain:>8.1} {loops:>8.1} {library:>8.1} {im2col:>8.1} {implicit:>8.1}");
        println!(
            " {:>14} {:>14} {:>14}",
            of_peak(forward, ahead),
            of_peak(input, back),
            of_peak(weight, weights)
        );
        if layer.groups > 1 {
            copy_rate(&layer, threads, [forward, input]);
        }
    }
}

/// The error of 3x3 convolutions in `f32`, forward: root mean square and largest
/// difference from `f64`, in units of the root mean square of the outputs. Inputs
/// are random, uniform from -1 to 1: in patterns, rounding errors do not cancel.
fn errors() {
    use cerberus_tensor::conv::winograd;
    use cerberus_tensor::random::stream;
    use rand::RngExt;
    println!("{:>9} {:>24} {:>24} {:>24}", "channels", "im2col rms, largest", "implicit", "winograd");
    for channels in [64, 128, 256, 512] {
        let noise = |shape: &[usize], seed: u64| {
            let mut rng = stream(seed, "errors", 0, channels as u64);
            Tensor::<f32>::from_fn(shape, |_| rng.random::<f32>() * 2.0 - 1.0)
        };
        let spec = Conv2dSpec::same(3);
        let (x, weight) = (noise(&[1, 14, 14, channels], 1), noise(&[3, 3, channels, channels], 2));
        let none = Epilogue::default();
        let exact = implicit::conv2d(&x.cast::<f64>(), &weight.cast(), &spec, &Epilogue::default());
        let rms = (exact.squared_norm() / exact.len() as f64).sqrt();
        let error = |y: Tensor<f32>| {
            let off = &y.cast::<f64>() - &exact;
            let largest = off.data().iter().fold(0.0f64, |most, e| most.max(e.abs()));
            format!("{:.2e} {:.2e}", (off.squared_norm() / off.len() as f64).sqrt() / rms, largest / rms)
        };
        println!(
            "{channels:>9} {:>24} {:>24} {:>24}",
            error(im2col::conv2d(&x, &weight, &spec, &none)),
            error(implicit::conv2d(&x, &weight, &spec, &none)),
            error(winograd::conv2d(&x, &weight, &spec, &none)),
        );
    }
}

/// The letter that stands for an algorithm.
fn initial(algorithm: Algorithm) -> char {
    match algorithm {
        Algorithm::Implicit => 'i',
        Algorithm::Winograd => 'w',
        Algorithm::Depthwise => 'd',
        Algorithm::Im2col => 'c',
        Algorithm::Product => 'p',
    }
}

/// GFLOP/s of the forward pass for every step of the ladder, and of the three passes as
/// they are used.
fn measure(layer: &Layer, ladder: bool) -> [f64; 8] {
    let [n, size, cin, cout, kernel] = layer.sizes;
    let spec = layer.spec();
    let noise = |shape: &[usize]| Tensor::<f32>::from_fn(shape, |i| (i as f32 * 0.7).sin());
    let x = noise(&[n, size, size, cin]);
    let weight = noise(&[kernel, kernel, cin / layer.groups, cout]);
    let g = layer.geometry();
    let dy = noise(&g.y_shape());
    let none = Epilogue::default();
    let [mut definition, mut loops, mut library, mut patches, mut direct] = [0.0; 5];
    if ladder {
        // The definition is slow: one image is enough.
        let one = x.narrow(0, 0, 1).contiguous();
        definition = speed(&Geometry { n: 1, ..g }, 1, || drop(plain::conv2d(&one, &weight, &spec, &none)));
        if layer.groups == 1 {
            loops = speed(&Geometry { n: 1, ..g }, 1, || patch_product(&g, &one, &weight, three_loops));
            library = speed(&g, 3, || {
                patch_product(&g, &x, &weight, |size, a, b, c| {
                    let [_, k, n] = size;
                    f32::gemm(size, (a, [k, 1]), (b, [n, 1]), c);
                })
            });
        }
        patches = speed(&g, 3, || drop(im2col::conv2d(&x, &weight, &spec, &none)));
        direct = speed(&g, 15, || drop(implicit::conv2d(&x, &weight, &spec, &none)));
    }
    [
        definition,
        loops,
        library,
        patches,
        direct,
        speed(&g, 15, || drop(conv::conv2d(&x, &weight, &spec, &none))),
        speed(&g, 15, || drop(conv::input_gradient(&dy, &weight, x.shape(), &spec))),
        speed(&g, 15, || drop(conv::weight_gradient(&x, &dy, weight.shape(), &spec))),
    ]
}

/// A patch matrix for each image, and `product([M, K, N], a, b, c)` of it and the weights.
fn patch_product(
    g: &Geometry,
    x: &Tensor,
    weight: &Tensor,
    product: impl Fn([usize; 3], &[f32], &[f32], &mut [f32]) + Sync,
) {
    let pixels = g.output[0] * g.output[1];
    let y = Tensor::filled_by(&[x.shape()[0], pixels, g.cout], |y| {
        for_each_rows(y, pixels * g.cout, |first, images| {
            for (index, y) in images.chunks_exact_mut(pixels * g.cout).enumerate() {
                let image = x.narrow(0, first + index, 1);
                let patches = im2col::patches(g, image.data(), 0);
                product([pixels, patches.shape()[1], g.cout], patches.data(), weight.data(), y);
            }
        });
    });
    drop(y);
}

/// The product in its simplest form: for every row and step, a row of `b` is added.
fn three_loops([_, k, n]: [usize; 3], a: &[f32], b: &[f32], c: &mut [f32]) {
    for (a, c) in a.chunks_exact(k).zip(c.chunks_exact_mut(n)) {
        c.fill(0.0);
        for (a, b) in a.iter().zip(b.chunks_exact(n)) {
            c.iter_mut().zip(b).for_each(|(c, b)| *c += a * b);
        }
    }
}

/// A depthwise convolution does so little with each number that memory limits it:
/// its speed beside that of copying its input to its output.
fn copy_rate(layer: &Layer, threads: usize, [forward, input]: [f64; 2]) {
    let [n, size, channels, _, kernel] = layer.sizes;
    let bytes = 4 * n * size * size * channels;
    let copy = bandwidth(Traffic::Copy, bytes / threads, threads);
    // Each number read and number written, 8 bytes together, takes kernel² multiply-adds.
    let moved = |speed: f64| speed * 8.0 / (2 * kernel * kernel) as f64;
    println!(
        "{:>36} forward {:.1} GB/s and input {:.1} GB/s, {:.0}% and {:.0}% of the copy rate at this size, {copy:.1} GB/s",
        "",
        moved(forward),
        moved(input),
        100.0 * moved(forward) / copy,
        100.0 * moved(input) / copy
    );
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
