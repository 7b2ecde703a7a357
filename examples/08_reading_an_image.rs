//! Lesson 8: reading an image between its pixels.
//!
//! `cargo run --release --example 08_reading_an_image`
//!
//! Resizing, cutting out a region and moving an image all read it at positions
//! between the pixels, as weighted means of the neighbours. The weights change
//! smoothly with the position, so a position can be learned like anything else
//! (Jaderberg et al., "Spatial Transformer Networks", 2015).

use cerberus::autograd::ops::Region;
use cerberus::prelude::*;
use cerberus_cli::say;

fn main() {
    say!("-- A ramp stays a ramp");
    let ramp: Tensor<f64> = Tensor::from_fn(&[1, 1, 4, 1], |i| i as f64);
    let corners = Var::constant(ramp.clone()).resize_corners([1, 7]).into_value();
    say!("4 pixels to 7, corners kept: {:?}", corners.to_vec());
    // prints: 4 pixels to 7, corners kept: [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert_eq!(corners.to_vec(), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]);

    say!("\n-- The mean of a region");
    // On a plane, the mean over a box is the value at its centre.
    let plane: Tensor<f64> = Tensor::from_fn(&[1, 8, 8, 1], |i| (i % 8) as f64 + 10.0 * (i / 8) as f64);
    let region = Region { image: 0, corners: [1.5, 2.0, 4.5, 6.0] };
    let cut = Var::constant(plane).roi_align(&[region], [1, 1], 2).into_value().item();
    // Pixel 0's centre lies at 0.5, so the box's centre (3, 4) is at 2.5 and 3.5.
    say!("{cut} (2.5 + 10 * 3.5 = 37.5)");
    // prints: 37.5 (2.5 + 10 * 3.5 = 37.5)
    assert!((cut - 37.5).abs() < 1e-12);

    say!("\n-- Finding how far an image was moved");
    let (bump, moved) = (blob(0.0, 0.0), blob(0.35, -0.2));
    let mut shift = Tensor::zeros(&[2]);
    for step in 0..=100 {
        let tape = Tape::new();
        let leaf = tape.leaf(shift.clone());
        let grid = Var::constant(grid()) + leaf.clone();
        let error =
            Var::constant(moved.clone()).grid_sample_align_corners(grid) - Var::constant(bump.clone());
        let loss = error.square().mean_all();
        if step % 25 == 0 {
            say!("step {step:>3}: error {:.6}, shift {:.3?}", loss.value().item(), shift.to_vec());
            // prints: step 0: error 0.048091, shift [0.000, 0.000]
            // prints: step 25: error 0.000155, shift [0.345, -0.200]
            // prints: step 100: error 0.000155, shift [0.345, -0.200]
        }
        shift.add_scaled(-0.5, &grad(&[&loss], &[&leaf])[0]);
    }
    let found = shift.to_vec();
    assert!((found[0] - 0.35).abs() < 0.01 && (found[1] + 0.2).abs() < 0.01, "{found:?}");
}

const SIZE: usize = 17;

/// The position of every pixel, from -1 to 1: `[1, SIZE, SIZE, 2]`.
fn grid() -> Tensor<f64> {
    let unit = |i: usize| 2.0 * i as f64 / (SIZE - 1) as f64 - 1.0;
    Tensor::from_fn(&[1, SIZE, SIZE, 2], |i| {
        let pixel = i / 2;
        unit(if i % 2 == 0 { pixel % SIZE } else { pixel / SIZE })
    })
}

/// A bright spot at a place.
fn blob(x: f64, y: f64) -> Tensor<f64> {
    let grid = grid();
    let at = |i: usize| {
        let (dx, dy) = (grid.data()[2 * i] - x, grid.data()[2 * i + 1] - y);
        (-4.0 * (dx * dx + dy * dy)).exp()
    };
    Tensor::from_fn(&[1, SIZE, SIZE, 1], at)
}
