//! Gaussian blur.

use crate::{Image, Pixels};

use super::operation::{Kind, Operation};

/// Gaussian blur with a standard deviation of 0.1 to 2 pixels for a picture of 224 pixels, in proportion for other
/// sizes, with probability 0.5 (Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
/// 2020, appendix A).
pub(super) const GAUSSIAN: Operation = Operation {
    name: "gaussian_blur",
    what: "blurred by a Gaussian whose standard deviation is 0.1 to 2 pixels where the shorter side has 224",
    kind: Kind::Pixels,
    partners: 0,
    probability: 0.5,
    floats: true,
    apply: |canvas, draw| {
        let [width, height] = canvas.frame();
        let sigma = draw.within(0.1..=2.0) * draw.strength * width.min(height) / 224.0;
        blur(&mut canvas.rendered().image, sigma);
    },
};

/// The kernel reaches three standard deviations to each side; past the edge, the last pixel is repeated.
fn blur(image: &mut Image, sigma: f64) {
    let reach = (3.0 * sigma).ceil() as usize;
    let weight = |step: usize| (-0.5 * (step as f64 / sigma).powi(2)).exp() as f32;
    let mut weights: Vec<f32> = (0..=2 * reach).map(|step| weight(step.abs_diff(reach))).collect();
    let total: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= total);
    let values: Vec<f32> = match &image.pixels {
        Pixels::Bytes(values) => values.iter().copied().map(f32::from).collect(),
        Pixels::Floats(values) => values.clone(),
    };
    // One pass over rows and one over columns.
    let Image { height, width, channels, .. } = *image;
    let values = pass(&values, &weights, [height, width, channels]);
    let values = pass(&values, &weights, [1, height, width * channels]);
    image.pixels = match image.pixels {
        Pixels::Bytes(_) => values.into_iter().map(|value| (value + 0.5) as u8).collect::<Vec<u8>>().into(),
        Pixels::Floats(_) => values.into(),
    };
}

/// Weighted sums along the middle one of three axes.
// values: [outer, len, inner]
fn pass(values: &[f32], weights: &[f32], [outer, len, inner]: [usize; 3]) -> Vec<f32> {
    let reach = weights.len() / 2;
    let mut out = vec![0.0; values.len()];
    for plane in 0..outer {
        for place in 0..len {
            let row = &mut out[(plane * len + place) * inner..][..inner];
            for (step, weight) in weights.iter().enumerate() {
                let from = (place + step).saturating_sub(reach).min(len - 1);
                let source = &values[(plane * len + from) * inner..][..inner];
                row.iter_mut().zip(source).for_each(|(out, value)| *out += weight * value);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_becomes_a_gaussian_of_the_same_sum_and_a_plain_picture_stays() {
        let mut values = vec![0.0f32; 21 * 21];
        values[10 * 21 + 10] = 1.0;
        let mut image = Image { height: 21, width: 21, channels: 1, pixels: values.into() };
        blur(&mut image, 1.5);
        let Pixels::Floats(values) = &image.pixels else { panic!("bytes") };
        assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let at = |row: usize, column: usize| values[row * 21 + column];
        let ratio = (-0.5f32 * (4.0 + 1.0) / 2.25).exp();
        assert!((at(12, 11) / at(10, 10) - ratio).abs() < 1e-4);
        let mut plain = Image { height: 3, width: 2, channels: 3, pixels: [9u8, 200, 31].repeat(6).into() };
        let before = plain.clone();
        blur(&mut plain, 2.0);
        assert_eq!(plain, before);
    }
}
