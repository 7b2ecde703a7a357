//! Means, intervals, Δm and hypervolume.

/// A mean and half the width of its 95 % interval, by Student's t.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    pub mean: f64,
    /// NaN for a single value.
    pub half: f64,
}

impl Estimate {
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

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.half.is_finite() {
            write!(f, "{:.4} ±{:.4}", self.mean, self.half)
        } else {
            write!(f, "{:.4}", self.mean)
        }
    }
}

/// The 97.5 % point of Student's distribution for this many values.
fn student(values: usize) -> f64 {
    const POINTS: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    match values {
        0 | 1 => f64::NAN,
        n if n - 2 < POINTS.len() => POINTS[n - 2],
        _ => 2.2,
    }
}

/// Δm of one run against single-task baselines: `(task, metric of the run, baseline)`,
/// all metrics better when larger. In percent.
pub struct DeltaM {
    /// Mean over tasks of the mean over their metrics; positive is better (LibMTL).
    pub by_task: f64,
    /// Mean over all metrics, with the opposite sign: negative is better (CAGrad,
    /// Nash-MTL, FAMO).
    pub flat: f64,
    /// Mean over one metric per task; positive is better (Vandenhende et al., 2021).
    pub main: f64,
}

impl DeltaM {
    /// The first metric of each task is its main one.
    pub fn of(tasks: &[Vec<(f64, f64)>]) -> Self {
        let gain = |(found, base): &(f64, f64)| 100.0 * (found - base) / base.abs().max(1e-12);
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        Self {
            by_task: mean(tasks.iter().map(|metrics| mean(metrics.iter().map(gain).collect())).collect()),
            flat: -mean(tasks.iter().flatten().map(gain).collect()),
            main: mean(tasks.iter().map(|metrics| gain(&metrics[0])).collect()),
        }
    }
}

/// The area that points in the unit square dominate, towards larger values, from (0, 0).
pub fn hypervolume(points: &[[f64; 2]]) -> f64 {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| b[0].total_cmp(&a[0]));
    let (mut area, mut height) = (0.0, 0.0);
    for [x, y] in sorted {
        if y > height {
            area += x * (y - height);
            height = y;
        }
    }
    area
}
