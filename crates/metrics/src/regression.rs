//! Errors of predicted numbers: one value per image, or one depth per pixel.
//!
//! With truth `t` and prediction `p`: MAE = mean |p - t|, RMSE = sqrt(mean (p - t)^2),
//! R2 = 1 - sum (p - t)^2 / sum (t - mean t)^2. For values with a positive truth there are also the relative errors used
//! for depth (Eigen, Puhrsch and Fergus, "Depth Map Prediction from a Single Image using a Multi-Scale Deep Network",
//! 2014): AbsRel = mean |p - t| / t, SqRel = mean (p - t)^2 / t, and the share with `max(p/t, t/p) < 1.25^k`.
//!
//! A truth that is not finite is missing and not counted; for depth, neither is one that is not positive
//! ([`RegressionErrors::record_depth`]).

/// Streaming error sums; their memory use is constant.
///
/// ```
/// use cerberus_metrics::RegressionErrors;
/// let mut errors = RegressionErrors::default();
/// errors.record(2.0, 3.0);
/// errors.record(4.0, 2.0);
/// assert_eq!(errors.mean_absolute(), 1.5);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegressionErrors {
    count: u64,
    absolute: f64,
    squared: f64,
    // Mean and sum of squared deviations of the truth (Welford, 1962), which avoids cancellation.
    mean: f64,
    deviation: f64,
    positive: u64,
    relative: f64,
    squared_relative: f64,
    within: [u64; 3],
}

impl RegressionErrors {
    /// Counts one value, unless the truth is not finite.
    pub fn record(&mut self, truth: f64, predicted: f64) {
        if !truth.is_finite() {
            return;
        }
        let error = predicted - truth;
        self.count += 1;
        self.absolute += error.abs();
        self.squared += error * error;
        let step = truth - self.mean;
        self.mean += step / self.count as f64;
        self.deviation += step * (truth - self.mean);
        if truth > 0.0 {
            self.positive += 1;
            self.relative += error.abs() / truth;
            self.squared_relative += error * error / truth;
            let ratio =
                if predicted > 0.0 { (predicted / truth).max(truth / predicted) } else { f64::INFINITY };
            for (power, within) in self.within.iter_mut().enumerate() {
                *within += u64::from(ratio < 1.25_f64.powi(power as i32 + 1));
            }
        }
    }

    /// Counts one pixel's depth if the truth is finite and positive: sensors write 0 for "unknown".
    pub fn record_depth(&mut self, truth: f64, predicted: f64) {
        if truth > 0.0 {
            self.record(truth, predicted);
        }
    }

    /// The number of values counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The number of values with a positive truth.
    pub fn positive(&self) -> u64 {
        self.positive
    }

    /// MAE; 0 before the first value.
    pub fn mean_absolute(&self) -> f64 {
        self.absolute / self.count.max(1) as f64
    }

    /// RMSE; 0 before the first value.
    pub fn root_mean_square(&self) -> f64 {
        (self.squared / self.count.max(1) as f64).sqrt()
    }

    /// R2, at most 1; `None` if all truths are equal.
    pub fn r_squared(&self) -> Option<f64> {
        (self.deviation > 0.0).then(|| 1.0 - self.squared / self.deviation)
    }

    /// AbsRel, over positive truths; 0 if there are none.
    pub fn mean_relative(&self) -> f64 {
        self.relative / self.positive.max(1) as f64
    }

    /// SqRel, over positive truths; 0 if there are none.
    pub fn mean_squared_relative(&self) -> f64 {
        self.squared_relative / self.positive.max(1) as f64
    }

    /// Shares of positive truths within a factor of 1.25, 1.25^2 and 1.25^3; 0 if there are none.
    pub fn within(&self) -> [f64; 3] {
        self.within.map(|count| count as f64 / self.positive.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_equal_those_computed_by_hand() {
        let mut errors = RegressionErrors::default();
        for (truth, predicted) in [(1.0, 1.2), (2.0, 1.0), (4.0, 4.0), (f64::NAN, 9.0)] {
            errors.record(truth, predicted);
        }
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}");
        assert_eq!(errors.count(), 3);
        close(errors.mean_absolute(), 0.4);
        close(errors.root_mean_square(), (1.04_f64 / 3.0).sqrt());
        close(errors.mean_relative(), (0.2 + 0.5) / 3.0);
        close(errors.mean_squared_relative(), (0.04 + 0.5) / 3.0);
        // Deviations from 7/3: 16/9 + 1/9 + 25/9.
        close(errors.r_squared().unwrap(), 1.0 - 1.04 / (42.0 / 9.0));
        assert_eq!(errors.within(), [2.0 / 3.0; 3]);
    }

    #[test]
    fn depth_of_unknown_pixels_is_not_counted() {
        let mut errors = RegressionErrors::default();
        errors.record_depth(0.0, 5.0);
        errors.record_depth(-1.0, 5.0);
        errors.record_depth(f64::INFINITY, 5.0);
        assert_eq!((errors.count(), errors.mean_absolute(), errors.r_squared()), (0, 0.0, None));
        errors.record_depth(2.0, -1.0);
        assert_eq!(errors.within(), [0.0; 3]);
    }
}
