//! Resizing against the definition, and its adjoint.

use super::*;
use crate::testing::{distance, dot, noise, same_bits_for_any_threads};
use proptest::prelude::*;

const MODES: [Interpolation; 4] = [
    Interpolation::Nearest,
    Interpolation::Bilinear,
    Interpolation::Bicubic { corners: false },
    Interpolation::Bicubic { corners: true },
];

/// What output `o` reads of every input position along one axis, from the definitions.
fn weights(o: usize, input: usize, output: usize, mode: Interpolation) -> Vec<f64> {
    let centre = (o as f64 + 0.5) * input as f64 / output as f64 - 0.5;
    let mut weights = vec![0.0; input];
    match mode {
        Interpolation::Nearest => weights[o * input / output] = 1.0,
        Interpolation::Bilinear => {
            let place = centre.clamp(0.0, (input - 1) as f64);
            for (i, weight) in weights.iter_mut().enumerate() {
                *weight = (1.0 - (place - i as f64).abs()).max(0.0);
            }
        }
        Interpolation::Bicubic { corners } => {
            let steps = (output.max(2) - 1) as f64;
            let place = if corners { o as f64 * (input - 1) as f64 / steps } else { centre };
            let a = -0.75;
            // The image is continued by its edges.
            for i in -3..=input as isize + 2 {
                let weight = match (place - i as f64).abs() {
                    d if d < 1.0 => (a + 2.0) * d.powi(3) - (a + 3.0) * d.powi(2) + 1.0,
                    d if d < 2.0 => a * (d.powi(3) - 5.0 * d.powi(2) + 8.0 * d - 4.0),
                    _ => 0.0,
                };
                weights[i.clamp(0, input as isize - 1) as usize] += weight;
            }
        }
    }
    weights
}

/// The definition, position by position.
fn naive(x: &Tensor<f64>, [oh, ow]: [usize; 2], mode: Interpolation) -> Tensor<f64> {
    let [n, h, w, c] = x.extents();
    Tensor::from_fn(&[n, oh, ow, c], |i| {
        let [image, oy, ox, channel] = [i / (oh * ow * c), i / (ow * c) % oh, i / c % ow, i % c];
        let (down, across) = (weights(oy, h, oh, mode), weights(ox, w, ow, mode));
        let mut sum = 0.0;
        for (iy, down) in down.iter().enumerate() {
            for (ix, across) in across.iter().enumerate() {
                sum += down * across * x.at(&[image, iy, ix, channel]);
            }
        }
        sum
    })
}

proptest! {
    #[test]
    fn resize_equals_the_definition_and_backward_is_its_adjoint(
        n in 0usize..3, size in [1usize..12, 1usize..12], out in [1usize..24, 1usize..24], c in 0usize..20,
    ) {
        let x = noise::<f64>(&[n, size[0], size[1], c], 0.3);
        let dy = noise::<f64>(&[n, out[0], out[1], c], 0.8);
        for mode in MODES {
            let y = resize(&x, out, mode);
            prop_assert!(distance(&y, &naive(&x, out, mode)) < 1e-12);
            prop_assert!((dot(&y, &dy) - dot(&x, &resize_backward(&dy, size, mode))).abs() < 1e-10);
            let y = resize(&x.cast::<f32>(), out, mode);
            prop_assert!(distance(&y.cast(), &naive(&x, out, mode)) < 1e-5);
        }
    }
}

#[test]
fn doubling_a_row_gives_the_known_quarters() {
    let x = Tensor::from_vec(vec![0.0, 4.0, 8.0], &[1, 1, 3, 1]);
    assert_eq!(resize(&x, [1, 6], Interpolation::Bilinear).to_vec(), [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]);
    assert_eq!(resize(&x, [1, 5], Interpolation::Nearest).to_vec(), [0.0, 0.0, 4.0, 4.0, 8.0]);
}

#[test]
fn bicubic_values_can_lie_outside_the_range_of_the_image() {
    let step = Tensor::from_vec(vec![0.0, 0.0, 1.0, 1.0], &[1, 1, 4, 1]);
    let y = resize(&step, [1, 8], Interpolation::Bicubic { corners: false }).to_vec();
    assert!(y.iter().any(|&y| y < -0.05) && y.iter().any(|&y| y > 1.05), "{y:?}");
}

#[test]
fn aligned_corners_keep_the_corner_pixels_and_the_size_keeps_all() {
    let x = noise::<f64>(&[1, 3, 4, 2], 0.4);
    let y = resize(&x, [5, 9], Interpolation::Bicubic { corners: true });
    for (to, from) in [([0, 0], [0, 0]), ([0, 8], [0, 3]), ([4, 0], [2, 0]), ([4, 8], [2, 3])] {
        assert_eq!(y.at(&[0, to[0], to[1], 1]), x.at(&[0, from[0], from[1], 1]));
    }
    for mode in MODES {
        assert_eq!(resize(&x, [3, 4], mode).to_vec(), x.to_vec(), "{mode:?}");
    }
}

#[test]
fn a_constant_image_stays_exactly_constant() {
    let x = Tensor::full(0.1f32, &[1, 7, 5, 3]);
    assert!(resize(&x, [23, 31], Interpolation::Bilinear).to_vec().iter().all(|&y| y == 0.1));
}

#[test]
fn both_passes_have_the_same_bits_for_any_number_of_threads() {
    let x = noise::<f32>(&[5, 33, 31, 17], 0.2);
    for mode in MODES {
        assert!(same_bits_for_any_threads(|| {
            let y = resize(&x, [50, 70], mode);
            vec![resize_backward(&y, [33, 31], mode), y]
        }));
    }
    assert!(x.len() > 2 * crate::parallel::PIECE);
}

#[test]
#[should_panic(
    expected = "resize: x [1, 0, 3, 1] to [2, 2]: x must be [N, H, W, C] and both sizes at least 1"
)]
fn an_image_without_pixels_is_refused_with_the_rule() {
    resize(&Tensor::<f32>::zeros(&[1, 0, 3, 1]), [2, 2], Interpolation::Nearest);
}
