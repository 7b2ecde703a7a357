//! Δm and hypervolume.

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
