//! Which positions of an image a resized one reads along one axis, and with what weights.

use crate::Element;

/// How values between pixel centres are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// The pixel at `floor(o * in / out)`.
    Nearest,
    /// The weighted mean of the two nearest pixels along each axis. Pixel
    /// centres lie at half-integers: output `o` reads position
    /// `(o + 0.5) * in / out - 0.5`, clamped to the image.
    Bilinear,
    /// Cubic convolution of the four nearest pixels along each axis (Keys, 1981, with a = -0.75 as in PyTorch); beyond the edge, the edge's pixel. The values can lie outside the range of the image's.
    Bicubic {
        /// Whether the corner pixels lie on each other, as with `align_corners=True`: output `o` reads position
        /// `o * (in - 1) / (out - 1)`. Otherwise pixel centres lie at half-integers, as for `Bilinear`, but the
        /// position is not clamped.
        corners: bool,
    },
}

/// What one output position reads along one axis: `(1 - w) x[from] + w x[to]`.
#[derive(Clone, Copy)]
pub(super) struct Tap<T> {
    pub from: usize,
    pub to: usize,
    pub weight: T,
}

/// The positions that one output position reads along one axis, with their weights.
pub(super) type Reads<T> = Vec<(usize, T)>;

/// The centre of output `o` among the centres of the inputs.
fn half_pixel(o: usize, input: usize, output: usize) -> f64 {
    (o as f64 + 0.5) * input as f64 / output as f64 - 0.5
}

/// For every output position, the two positions that it reads.
///
/// # Panics
/// If `mode` reads more.
pub(super) fn taps<T: Element>(input: usize, output: usize, mode: Interpolation) -> Vec<Tap<T>> {
    let tap = |o: usize| match mode {
        Interpolation::Nearest => {
            let from = o * input / output;
            Tap { from, to: from, weight: T::ZERO }
        }
        Interpolation::Bilinear => {
            let place = half_pixel(o, input, output).max(0.0);
            let from = (place as usize).min(input - 1);
            let to = (from + 1).min(input - 1);
            Tap { from, to, weight: if to == from { T::ZERO } else { T::from_f64(place - from as f64) } }
        }
        Interpolation::Bicubic { .. } => unreachable!("bicubic interpolation reads four positions"),
    };
    (0..output).map(tap).collect()
}

/// For every output position, what it reads.
pub(super) fn reads<T: Element>(input: usize, output: usize, mode: Interpolation) -> Vec<Reads<T>> {
    if let Interpolation::Bicubic { corners } = mode {
        return (0..output).map(|o| cubic(o, input, output, corners)).collect();
    }
    let two = |tap: Tap<T>| {
        let both = [(tap.from, T::ONE - tap.weight), (tap.to, tap.weight)];
        both[..if tap.weight == T::ZERO { 1 } else { 2 }].to_vec()
    };
    taps(input, output, mode).into_iter().map(two).collect()
}

/// The four nearest positions to output `o`, fewer at the edges and where a weight is 0.
fn cubic<T: Element>(o: usize, input: usize, output: usize, corners: bool) -> Reads<T> {
    let place = match (corners, output) {
        (false, _) => half_pixel(o, input, output),
        (true, 1) => 0.0,
        (true, _) => o as f64 * (input - 1) as f64 / (output - 1) as f64,
    };
    let first = place.floor();
    let mut reads: Vec<(usize, f64)> = Vec::with_capacity(4);
    for step in [-1.0, 0.0, 1.0, 2.0] {
        let weight = keys(place - first - step);
        let position = (first + step).clamp(0.0, (input - 1) as f64) as usize;
        match reads.last_mut() {
            Some((last, sum)) if *last == position => *sum += weight,
            _ => reads.push((position, weight)),
        }
    }
    let weights = reads.into_iter().filter(|(_, weight)| *weight != 0.0);
    weights.map(|(position, weight)| (position, T::from_f64(weight))).collect()
}

/// Keys' interpolation kernel at this distance, at most 2.
fn keys(distance: f64) -> f64 {
    const A: f64 = -0.75;
    let x = distance.abs();
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    }
}

/// For every input position, the outputs that read it, with their weights.
pub(super) fn readers<T: Element>(reads: &[Reads<T>], input: usize) -> Vec<Reads<T>> {
    let mut readers = vec![Vec::new(); input];
    for (o, reads) in reads.iter().enumerate() {
        reads.iter().for_each(|&(position, weight)| readers[position].push((o, weight)));
    }
    readers
}
