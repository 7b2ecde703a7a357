//! Shrinks a square gray picture exactly as Pillow does: Keys' cubic (1981, a =
//! -1/2) stretched by the factor of reduction, rows first, then columns, each
//! pass rounded to 8 bits. The weights are integer multiples of 2^-22, so that
//! the result is bit for bit the same as Pillow's, with which published data
//! sets were made.

/// Fractional bits of a weight.
const PRECISION: u32 = 22;
/// Half the width of the cubic.
const SUPPORT: f64 = 2.0;

/// The weights that resize a side of pixels to a shorter one.
pub(super) struct Shrink {
    from: usize,
    /// For each output pixel: the first input pixel, and the weights from there on.
    taps: Vec<(usize, Vec<i32>)>,
}

impl Shrink {
    pub fn new(from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        let support = SUPPORT * scale;
        let taps = (0..to).map(|place| {
            let center = (place as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let weight = |pixel: usize| cubic((pixel as f64 - center + 0.5) / scale);
            let weights: Vec<f64> = (first..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            let whole = |w: f64| (w / sum * f64::from(1 << PRECISION)).round() as i32;
            (first, weights.into_iter().map(whole).collect())
        });
        Self { from, taps: taps.collect() }
    }

    /// Resizes `[from, from]` to `[to, to]`.
    pub fn apply(&self, picture: &[u8]) -> Vec<u8> {
        let across: Vec<u8> = picture.chunks_exact(self.from).flat_map(|row| self.line(row, 1)).collect();
        let to = self.taps.len();
        let columns: Vec<Vec<u8>> = (0..to).map(|x| self.line(&across[x..], to)).collect();
        (0..to * to).map(|place| columns[place % to][place / to]).collect()
    }

    /// One line of pixels that are `stride` apart.
    fn line(&self, pixels: &[u8], stride: usize) -> Vec<u8> {
        let pixel = |(first, weights): &(usize, Vec<i32>)| {
            let taps = pixels[first * stride..].iter().step_by(stride).zip(weights);
            let sum =
                taps.fold(1 << (PRECISION - 1), |sum, (&pixel, weight)| sum + i32::from(pixel) * weight);
            (sum >> PRECISION).clamp(0, 255) as u8
        };
        self.taps.iter().map(pixel).collect()
    }
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::Shrink;

    #[test]
    fn a_picture_shrinks_as_pillow_shrinks_it() {
        let from = |place: usize| {
            let (y, x) = (place / 36, place % 36);
            ((x * x * 7 + y * 13 + x * y * 3) % 256) as u8
        };
        let picture: Vec<u8> = (0..36 * 36).map(from).collect();
        let small = Shrink::new(36, 28).apply(&picture);
        // Pillow 13.0: Image.fromarray(picture).resize((28, 28)).
        let first = [
            2, 18, 54, 118, 195, 138, 172, 107, 154, 153, 181, 85, 17, 147, 181, 196, 80, 68, 156, 83, 125,
            185, 178, 155, 84, 65, 144, 149,
        ];
        let last = [
            159, 108, 105, 188, 87, 153, 222, 165, 147, 151, 187, 170, 54, 133, 56, 155, 139, 65, 131, 59,
            191, 184, 144, 143, 176, 162, 87, 130,
        ];
        assert_eq!((&small[..28], &small[27 * 28..]), (&first[..], &last[..]));
        let mut check = flate2::Crc::new();
        check.update(&small);
        assert_eq!(check.sum(), 2_188_759_120);
    }
}
