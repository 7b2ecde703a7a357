//! The colours of classes: 24 colours that can be told apart from each other on a photograph.
//!
//! The first twelve, which are enough for most data sets, are spread over the hues at a lightness that is readable on
//! light and dark backgrounds; the others fill the gaps and are lighter, darker or less saturated.

use image::Rgb;

const COLORS: [[u8; 3]; 24] = [
    [66, 135, 245],  // blue
    [255, 150, 30],  // orange
    [60, 190, 90],   // green
    [235, 70, 75],   // red
    [165, 105, 230], // purple
    [40, 200, 215],  // cyan
    [255, 120, 190], // pink
    [250, 215, 60],  // yellow
    [175, 120, 75],  // brown
    [165, 220, 70],  // lime
    [0, 150, 140],   // teal
    [210, 50, 170],  // magenta
    [140, 190, 255], // sky
    [255, 170, 145], // salmon
    [140, 140, 45],  // olive
    [205, 175, 250], // lavender
    [175, 40, 80],   // crimson
    [145, 230, 185], // mint
    [95, 85, 215],   // indigo
    [205, 165, 45],  // gold
    [250, 195, 210], // rose
    [45, 125, 60],   // forest
    [110, 140, 165], // slate
    [195, 85, 35],   // rust
];

/// The colour of a class, counted from 0; after 24 classes they repeat.
pub fn class_color(class: usize) -> Rgb<u8> {
    Rgb(COLORS[class % COLORS.len()])
}

/// Perceived brightness, 0 to 255 (ITU-R BT.601).
pub(super) fn luma(color: Rgb<u8>) -> f32 {
    let [r, g, b] = color.0.map(f32::from);
    0.299 * r + 0.587 * g + 0.114 * b
}

/// Black or white, whichever is easier to read on `ground`.
pub(super) fn readable_on(ground: Rgb<u8>) -> Rgb<u8> {
    if luma(ground) > 140.0 { Rgb([20, 20, 24]) } else { Rgb([255, 255, 255]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_colours_of_the_palette_are_close() {
        for (a, first) in COLORS.iter().enumerate() {
            for (b, second) in COLORS.iter().enumerate().take(a) {
                let differences = first.iter().zip(second).map(|(x, y)| f32::from(*x) - f32::from(*y));
                let distance = differences.map(|d| d * d).sum::<f32>().sqrt();
                assert!(distance > 45.0, "classes {b} and {a} are {distance} apart");
            }
        }
    }
}
