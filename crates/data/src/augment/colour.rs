//! Colour operations: brightness, contrast, saturation, hue, gray.

use crate::Image;

use super::canvas::Canvas;
use super::operation::{Draw, Kind, Operation};

/// A change of colours: each pixel and channel becomes `gain_c * (contrast * (s - mean) + mean)` times the brightness,
/// where `s` is the value mixed with the pixel's gray according to the saturation.
#[derive(Clone, Debug, PartialEq)]
pub struct Colour {
    /// Factor of all values.
    pub brightness: f32,
    /// Factor of the distance from the photo's mean gray.
    pub contrast: f32,
    /// Factor of the distance from the pixel's gray; 0 removes all colour.
    pub saturation: f32,
    /// Factors of red, green and blue.
    pub gain: [f32; 3],
}

impl Colour {
    /// No change.
    pub const NONE: Colour = Colour { brightness: 1.0, contrast: 1.0, saturation: 1.0, gain: [1.0; 3] };
}

/// The gray of a pixel: luma with the weights of ITU-R BT.601; the mean of the channels if there are not three.
pub(super) fn gray(pixel: &[u8]) -> f32 {
    match *pixel {
        [red, green, blue] => 0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue),
        _ => pixel.iter().copied().map(f32::from).sum::<f32>() / pixel.len() as f32,
    }
}

/// Changes the colours of a picture of bytes. Without exactly three channels, the saturation and the gains have no
/// effect.
pub(crate) fn recolour(image: &mut Image, colour: &Colour) {
    let channels = image.channels.max(1);
    let pixels = (image.height * image.width).max(1) as f32;
    let mean = image.pixels.chunks_exact(channels).map(gray).sum::<f32>() / pixels;
    let (saturation, gain) = if channels == 3 { (colour.saturation, colour.gain) } else { (1.0, [1.0; 3]) };
    for pixel in image.pixels.chunks_exact_mut(channels) {
        let own = gray(pixel);
        for (value, gain) in pixel.iter_mut().zip(gain.iter().cycle()) {
            let saturated = own + saturation * (f32::from(*value) - own);
            let contrasted = mean + colour.contrast * (saturated - mean);
            *value = (gain * colour.brightness * contrasted + 0.5).clamp(0.0, 255.0) as u8;
        }
    }
}

/// Brightness and contrast by a factor of 0.6 to 1.4, saturation by 0.8 to 1.2, hue by up to a tenth of the circle
/// (Grill et al., "Bootstrap Your Own Latent", 2020, table 6), with probability 0.8.
pub(super) const JITTER: Operation = Operation {
    name: "colour_jitter",
    what: "brightness and contrast by 0.6 to 1.4, saturation by 0.8 to 1.2, hue by up to a tenth of the circle",
    kind: Kind::Colour,
    partners: 0,
    probability: 0.8,
    floats: false,
    apply: jitter,
};

fn jitter(canvas: &mut Canvas, draw: &mut Draw) {
    let mut factor = |reach: f64| draw.factor(reach) as f32;
    let (brightness, contrast, saturation) = (factor(0.4), factor(0.4), factor(0.2));
    let turn = draw.either_way(0.1) as f32;
    let Some(image) = canvas.bytes() else { return };
    recolour(image, &Colour { brightness, contrast, saturation, ..Colour::NONE });
    if image.channels == 3 {
        turn_hue(image, turn);
    }
}

/// Rotates colours about the gray axis by a share of the circle (Rodrigues' rotation); the sum of the channels stays
/// the same.
fn turn_hue(image: &mut Image, share: f32) {
    let (sine, cosine) = (share * std::f32::consts::TAU).sin_cos();
    // In Rodrigues' formula the sine multiplies the difference of the other two channels, divided by the length of the
    // axis.
    let sine = sine / 3f32.sqrt();
    for pixel in image.pixels.chunks_exact_mut(3) {
        let v = [pixel[0], pixel[1], pixel[2]].map(f32::from);
        let mean = (v[0] + v[1] + v[2]) / 3.0;
        for (k, value) in pixel.iter_mut().enumerate() {
            let across = v[(k + 2) % 3] - v[(k + 1) % 3];
            *value = (mean + cosine * (v[k] - mean) + sine * across + 0.5).clamp(0.0, 255.0) as u8;
        }
    }
}

/// Gray, with probability 0.2 (Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
/// 2020, appendix A). A strength below 1 keeps some colour.
pub(super) const GRAY: Operation = Operation {
    name: "gray",
    what: "colour taken away",
    kind: Kind::Colour,
    partners: 0,
    probability: 0.2,
    floats: false,
    apply: |canvas, draw| {
        let saturation = (1.0 - draw.strength).max(0.0) as f32;
        if let Some(image) = canvas.bytes() {
            recolour(image, &Colour { saturation, ..Colour::NONE });
        }
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_circle_exchanges_the_channels_and_grays_stay() {
        let pixels = vec![200u8, 10, 60, 90, 90, 90];
        let mut image = Image { height: 1, width: 2, channels: 3, pixels: pixels.into() };
        turn_hue(&mut image, 1.0 / 3.0);
        assert_eq!(image.pixels[..], [60, 200, 10, 90, 90, 90]);
    }
}
