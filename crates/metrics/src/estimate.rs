//! Means with intervals, over runs, people or pictures.

use std::fmt::{Display, Formatter, Result};

/// A mean and half the width of its 95 % interval, by Student's t.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// The mean; NaN for no value.
    pub mean: f64,
    /// Half of the interval; NaN for fewer than two values.
    pub half: f64,
}

impl Estimate {
    /// That of values which are drawn independently.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self { mean, half: student(values.len()) * (variance / n).sqrt() }
    }

    /// In percent, for a table of a document.
    pub fn percent(&self) -> String {
        let (mean, half) = (100.0 * self.mean, 100.0 * self.half);
        if half.is_finite() { format!("{mean:.1} ±{half:.1}") } else { format!("{mean:.1}") }
    }
}

impl Display for Estimate {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.half.is_finite() {
            write!(f, "{:.4} ±{:.4}", self.mean, self.half)
        } else {
            write!(f, "{:.4}", self.mean)
        }
    }
}

/// The 97.5 % point of Student's distribution for the mean of this many values.
fn student(values: usize) -> f64 {
    const POINTS: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    /// The same point of the normal distribution.
    const NORMAL: f64 = 1.959_963_984_540_054;
    match values {
        0 | 1 => f64::NAN,
        n if n - 2 < POINTS.len() => POINTS[n - 2],
        n => {
            // Cornish and Fisher's expansion in the inverse number of degrees of freedom (Abramowitz and Stegun, 26.7.5).
            let (z, degrees) = (NORMAL, (n - 1) as f64);
            let terms = [
                (z.powi(3) + z) / 4.0,
                (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
                (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
                (79.0 * z.powi(9) + 776.0 * z.powi(7) + 1482.0 * z.powi(5) - 1920.0 * z.powi(3) - 945.0 * z)
                    / 92_160.0,
            ];
            terms.iter().rev().fold(0.0, |sum, term| (sum + term) / degrees) + z
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_as_wide_as_students_table_says() {
        for (degrees, point) in [
            (1, 12.706),
            (5, 2.571),
            (10, 2.228),
            (11, 2.2010),
            (19, 2.0930),
            (29, 2.0452),
            (99, 1.9842),
            (1000, 1.9623),
        ] {
            let found = student(degrees + 1);
            assert!((found - point).abs() < 1e-4, "{found} for {degrees} degrees of freedom, not {point}");
        }
    }

    #[test]
    fn mean_and_interval_of_a_few_values() {
        let found = Estimate::of(&[0.5, 0.7, 0.6, 0.6]);
        assert!((found.mean - 0.6).abs() < 1e-12);
        // The deviation is sqrt(0.02 / 3), and t for three degrees of freedom 3.182.
        assert!((found.half - 3.182 * (0.02_f64 / 12.0).sqrt()).abs() < 1e-12);
        assert_eq!(found.percent(), "60.0 ±13.0");
        assert_eq!(Estimate::of(&[0.25]).to_string(), "0.2500");
    }
}
