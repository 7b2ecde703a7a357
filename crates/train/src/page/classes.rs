//! The confusion matrix, the reliability diagram, and the figures of every class.

use cerberus_metrics::{CALIBRATION_BINS, ConfusionMatrix};
use cerberus_multitask::config::HeadConfig;
use cerberus_multitask::tasks::Metric;
use cerberus_report::chart::{self, Series, short};
use cerberus_report::{Page, Table};

use super::overview::number;
use super::pass::TaskPass;

/// The most classes of a confusion matrix.
const SHOWN: usize = 30;

/// The confusion matrix and the reliability diagram, where the task has them.
pub(super) fn charts(page: &mut Page, head: &HeadConfig, metric: &dyn Metric) {
    let mut charts = Vec::new();
    if let Some(matrix) = metric.confusion().filter(|matrix| matrix.total() > 0) {
        charts.push(confusion(&names(head, matrix), matrix));
    }
    if let Some(samples) = metric.class_samples().filter(|samples| !samples.is_empty()) {
        let calibration = samples.calibration(CALIBRATION_BINS, |_| 1.0);
        let bins = calibration.reliability();
        let points = bins.iter().map(|bin| [bin.confidence, bin.accuracy]).collect();
        let curves = [
            Series::new("this model", points),
            Series::new("perfectly calibrated", vec![[0.0, 0.0], [1.0, 1.0]]),
        ];
        let title = format!("Reliability: ECE {}", short(calibration.expected_error()));
        charts.push(chart::lines(&title, ["probability of the class", "fraction correct"], &curves));
    }
    page.charts(&charts);
}

/// The classes of a matrix by name; for masks the background comes first.
fn names(head: &HeadConfig, matrix: &ConfusionMatrix) -> Vec<String> {
    let background = (matrix.classes() > head.classes.len()).then(|| "background".to_string());
    let mut names: Vec<String> = background.into_iter().chain(head.classes.iter().cloned()).collect();
    names.extend((names.len()..matrix.classes()).map(|class| format!("class {class}")));
    names
}

/// A row for each true class, a column for each predicted one. Of more classes than fit, those that are confused most,
/// with one column for all others.
fn confusion(names: &[String], matrix: &ConfusionMatrix) -> String {
    let all = 0..matrix.classes();
    let seen =
        |&class: &usize| all.clone().any(|other| matrix.count(class, other) + matrix.count(other, class) > 0);
    let mut classes: Vec<usize> = all.clone().filter(seen).collect();
    let cut = classes.len() > SHOWN;
    if cut {
        let wrong = |&class: &usize| -> u64 {
            let others = all.clone().filter(|&other| other != class);
            others.map(|other| matrix.count(class, other) + matrix.count(other, class)).sum()
        };
        classes.sort_by_cached_key(|class| std::cmp::Reverse(wrong(class)));
        classes.truncate(SHOWN);
        classes.sort_unstable();
    }
    let row = |&truth: &usize| {
        let mut row: Vec<f64> = classes.iter().map(|&found| matrix.count(truth, found) as f64).collect();
        if cut {
            let sum: u64 = all.clone().map(|found| matrix.count(truth, found)).sum();
            row.push(sum as f64 - row.iter().sum::<f64>());
        }
        row
    };
    let values: Vec<Vec<f64>> = classes.iter().map(row).collect();
    let rows: Vec<String> = classes.iter().map(|&class| names[class].clone()).collect();
    let columns: Vec<String> = rows.iter().cloned().chain(cut.then(|| "any other".to_string())).collect();
    let title = match cut {
        false => "Confusion: rows are the truth, columns the prediction".to_string(),
        true => format!("Confusion of the {SHOWN} most confused classes: rows are the truth"),
    };
    chart::heat_map(&title, [&rows, &columns], &values)
}

/// A row for each class: its figures, and how often it occurs.
pub(super) fn table(page: &mut Page, head: &HeadConfig, metric: &dyn Metric, seen: Option<&TaskPass>) {
    let figures = metric.per_class();
    let figures: Vec<_> = figures.iter().filter(|(_, values)| values.iter().any(Option::is_some)).collect();
    if figures.is_empty() {
        return;
    }
    // The accuracy on the samples of one class is its recall.
    let title = |name: &'static str| if name == "accuracy" { "recall" } else { name };
    let titles = figures.iter().map(|(name, _)| title(name));
    let header: Vec<&str> = ["class"].into_iter().chain(titles).chain([counted(metric)]).collect();
    let mut table = Table::new(&header);
    for (class, name) in head.classes.iter().enumerate() {
        let values = figures.iter().map(|(_, values)| number(values.get(class).copied().flatten()));
        let row = [name.clone()].into_iter().chain(values).chain([support(class, head, metric, seen)]);
        table.push(row);
    }
    page.table(&table);
}

/// What the last column counts.
fn counted(metric: &dyn Metric) -> &'static str {
    match metric.confusion() {
        Some(_) if metric.class_samples().is_none() => "support (pixels)",
        None if metric.curves().iter().any(|curve| curve.iou.is_some()) => "support (objects)",
        _ => "support (pictures)",
    }
}

/// Pictures, objects or pixels of a class in the truth.
fn support(class: usize, head: &HeadConfig, metric: &dyn Metric, seen: Option<&TaskPass>) -> String {
    if let Some(matrix) = metric.confusion() {
        let row = class + matrix.classes().saturating_sub(head.classes.len()).min(1);
        return (0..matrix.classes()).map(|found| matrix.count(row, found)).sum::<u64>().to_string();
    }
    let counted = seen.and_then(|seen| seen.support.get(class));
    counted.map_or(String::new(), u64::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_classes_the_most_confused_are_shown_and_the_rest_is_one_column() {
        let mut matrix = ConfusionMatrix::new(100);
        (0..100).for_each(|class| matrix.record(class, class));
        for class in 60..90 {
            (0..5).for_each(|_| matrix.record(class, class + 1));
        }
        matrix.record(70, 3);
        let names: Vec<String> = (0..100).map(|class| format!("<{class}>")).collect();
        let svg = confusion(&names, &matrix);
        assert!(
            svg.contains("&lt;70&gt; as any other: 1 ") && svg.contains("&lt;88&gt; as &lt;89&gt;: 5 "),
            "{svg}"
        );
        assert!(!svg.contains("&lt;3&gt;") && !svg.contains("<70>"));
        let few = ConfusionMatrix::new(2);
        assert!(confusion(&["a".into(), "b".into()], &few).contains("nothing to show"));
    }
}
