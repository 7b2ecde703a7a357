//! Precision against recall, of every class and on average.

use cerberus_multitask::config::HeadConfig;
use cerberus_multitask::tasks::{Metric, PrecisionCurve};
use cerberus_report::Page;
use cerberus_report::chart::{self, Series};

/// Classes in one chart, beside the mean.
const TOGETHER: usize = 7;
/// The most charts of classes.
const CHARTS: usize = 4;

/// The curves of a task whose predictions have scores; for boxes, those at an IoU of 0.5. The classes with the lowest
/// average precision come first.
pub(super) fn charts(page: &mut Page, head: &HeadConfig, metric: &dyn Metric) {
    let curves = metric.curves();
    // The lowest IoU threshold that is scored is 0.5; tasks without boxes have none.
    let least = curves.iter().filter_map(|curve| curve.iou).reduce(f64::min);
    let mut curves: Vec<&PrecisionCurve> = curves.iter().filter(|curve| curve.iou == least).collect();
    if curves.is_empty() {
        return;
    }
    let average = |curve: &PrecisionCurve| {
        curve.points.iter().map(|[_, precision]| precision).sum::<f64>() / curve.points.len().max(1) as f64
    };
    curves.sort_by(|a, b| average(a).total_cmp(&average(b)).then(a.class.cmp(&b.class)));
    let mean = mean(&curves).map(|points| Series::new("mean of all classes", points));
    let overlap = least.map_or(String::new(), |iou| format!(" at IoU {iou}"));
    let count = curves.len().div_ceil(TOGETHER).min(CHARTS);
    let chart = |(place, curves): (usize, &[&PrecisionCurve])| {
        let class = |curve: &&PrecisionCurve| {
            let name = head.classes.get(curve.class).cloned();
            Series::new(&name.unwrap_or_else(|| format!("class {}", curve.class)), curve.points.clone())
        };
        let series: Vec<Series> = mean.iter().cloned().chain(curves.iter().map(class)).collect();
        let part = if count > 1 { format!(" ({} of {count})", place + 1) } else { String::new() };
        chart::lines(&format!("Precision against recall{overlap}{part}"), ["recall", "precision"], &series)
    };
    let charts: Vec<String> = curves.chunks(TOGETHER).take(CHARTS).enumerate().map(chart).collect();
    page.charts(&charts);
    if curves.len() > TOGETHER * CHARTS {
        page.text(&format!(
            "Shown are the {} of {} classes with the lowest average precision.",
            TOGETHER * CHARTS,
            curves.len()
        ));
    }
}

/// The mean precision at every recall, where all curves are read at the same recalls.
fn mean(curves: &[&PrecisionCurve]) -> Option<Vec<[f64; 2]>> {
    let first = &curves.first()?.points;
    let alike = |curve: &&PrecisionCurve| {
        curve.points.len() == first.len() && curve.points.iter().zip(first).all(|(a, b)| a[0] == b[0])
    };
    if curves.len() < 2 || !curves.iter().all(alike) {
        return None;
    }
    let at =
        |place: usize| curves.iter().map(|curve| curve.points[place][1]).sum::<f64>() / curves.len() as f64;
    Some(first.iter().enumerate().map(|(place, [recall, _])| [*recall, at(place)]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_needs_curves_at_the_same_recalls() {
        let curve = |points: &[[f64; 2]]| PrecisionCurve { class: 0, iou: None, points: points.into() };
        let (a, b) = (curve(&[[0.0, 1.0], [1.0, 0.5]]), curve(&[[0.0, 0.0], [1.0, 0.5]]));
        assert_eq!(mean(&[&a, &b]), Some(vec![[0.0, 0.5], [1.0, 0.5]]));
        assert_eq!(mean(&[&a, &curve(&[[0.5, 1.0], [1.0, 0.5]])]), None);
        assert_eq!(mean(&[&a]), None);
    }
}
