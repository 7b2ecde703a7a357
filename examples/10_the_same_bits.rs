//! Lesson 10: the same bits.
//!
//! `cargo run --release --example 10_the_same_bits`
//!
//! Sums of floating-point numbers depend on their order. A sum that is split by
//! the number of threads gives another result on another machine; one that is
//! split by its length does not. Everything here is split by length, and a random
//! number depends on its name (seed, purpose, epoch, index) and not on the order
//! of drawing, so a training run can be repeated to the last bit on any number of
//! threads.

use cerberus::prelude::*;
use cerberus_cli::say;
use rayon::ThreadPoolBuilder;

fn main() {
    say!("-- Order matters");
    // In f32 the numbers around 1e8 are 8 apart.
    let [a, b, c] = [1.0f32, 1e8, -1e8];
    say!("(1 + 1e8) - 1e8 = {}, 1 + (1e8 - 1e8) = {}", (a + b) + c, a + (b + c));
    // prints: (1 + 1e8) - 1e8 = 0, 1 + (1e8 - 1e8) = 1
    assert_eq!(((a + b) + c, a + (b + c)), (0.0, 1.0));

    say!("\n-- One sum, three ways to split it");
    let values: Vec<f32> = (0..100_000).map(|i| ((i * 7919 % 1000) as f32 - 499.5) * 1e-3).collect();
    let split = |parts: usize| -> f32 {
        values.chunks(values.len().div_ceil(parts)).map(|part| part.iter().sum::<f32>()).sum()
    };
    let by_threads: Vec<f32> = [1, 2, 3].map(split).to_vec();
    say!("split in 1, 2 and 3: {by_threads:?}");
    // prints: split in 1, 2 and 3: [4.7832727e-5, 4.798174e-5, 0.00011122227]
    assert!(by_threads.iter().any(|sum| *sum != by_threads[0]), "a naive split depends on the number");

    say!("\n-- Our sum, on 1, 2 and 3 threads");
    let tensor = Tensor::from_vec(values.clone(), &[values.len()]);
    let ours: Vec<u32> = [1, 2, 3].map(|n| on(n, || tensor.sum_all().item().to_bits())).to_vec();
    let same = ours.iter().all(|bits| *bits == ours[0]);
    say!("all the same: {same}, bits {ours:x?}");
    // prints: all the same: true, bits ..
    assert!(same);

    say!("\n-- A network's gradients, on 1, 2 and 3 threads");
    let gradients = || {
        let image = Tensor::from_fn(&[4, 32, 32, 8], |i| (i as f32 * 0.37).sin());
        let kernel = Tensor::from_fn(&[3, 3, 8, 16], |i| (i as f32 * 0.11).cos());
        let tape = Tape::new();
        let weight = tape.leaf(kernel);
        let y = Var::constant(image).conv2d_relu(weight.clone(), None, Conv2dSpec::same(3));
        let gradient = grad(&[&y.square().mean_all()], &[&weight]).remove(0);
        // One number that changes with any bit.
        gradient.to_vec().iter().fold(0u64, |hash, g| hash.rotate_left(5) ^ u64::from(g.to_bits()))
    };
    let hashes = [1, 2, 3].map(|n| on(n, gradients));
    let same = hashes.iter().all(|hash| *hash == hashes[0]);
    say!("all the same: {same}, hashes {hashes:x?}");
    // prints: all the same: true, hashes ..
    assert!(same);

    say!("\n-- Random numbers by name");
    // The order of an epoch is a function of seed and epoch. What was drawn before
    // does not matter, so a run can be continued anywhere.
    let order = |epoch| EpochPlan { shuffle: true, epoch, seed: 1, ..EpochPlan::new(Split::Train) }.order(6);
    let third_at_once = order(3);
    let in_turn: Vec<Vec<usize>> = (0..4).map(order).collect();
    let third_in_turn = in_turn[3].clone();
    say!("epoch 3 at once {third_at_once:?}, after epochs 0 to 2 {third_in_turn:?}");
    // prints: epoch 3 at once [5, 1, 3, 0, 2, 4], after epochs 0 to 2 [5, 1, 3, 0, 2, 4]
    assert_eq!(third_at_once, third_in_turn);
    assert_ne!(order(2), third_at_once);
}

fn on<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool").install(work)
}
