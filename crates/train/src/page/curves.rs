//! Curves over epochs and steps: losses, validation figures, learning rate, task weights, conflicts.
//!
//! Weights and conflicts of single steps are read from the log files beside the page. A long run's are averaged over
//! equal stretches, so that a chart has a few hundred points at most.

use std::collections::BTreeMap;
use std::path::Path;

use cerberus_report::Page;
use cerberus_report::chart::{self, Series};

use super::RunView;

/// The most points of a curve over steps.
const POINTS: usize = 240;

/// Per task its training loss and its validation figures over the epochs.
pub(super) fn tasks(page: &mut Page, run: &RunView) {
    let history = &run.state.history;
    if history.is_empty() {
        return;
    }
    page.section("Curves");
    let score = over_epochs(run, |place| history[place].score);
    if any(&score) && run.model.tasks().len() > 1 {
        let title = "Score: the mean of the tasks' main metrics";
        page.charts(&[chart::lines(title, ["epoch", ""], &[Series::new(title, score)])]);
    }
    for (task, name) in run.model.task_names().iter().enumerate() {
        page.heading(name);
        let loss = over_epochs(run, |place| history[place].losses.get(task).copied());
        let title = format!("{name}: training loss");
        let mut charts = vec![chart::lines(&title, ["epoch", ""], &[Series::new(&title, loss)])];
        charts.extend(figures(run, name));
        page.charts(&charts);
    }
}

/// A task's validation figures: in one chart if all are shares, else each in its own.
fn figures(run: &RunView, task: &str) -> Vec<String> {
    let history = &run.state.history;
    let of = |place: usize| history[place].validation.iter().find(|figures| figures.task == task);
    let names: Vec<String> =
        of(0).map_or(Vec::new(), |figures| figures.metrics.iter().map(|(name, _)| name.clone()).collect());
    let curve = |name: &String| {
        let value = |place| of(place)?.metrics.iter().find(|(found, _)| found == name)?.1;
        Series::new(name, over_epochs(run, value))
    };
    let curves: Vec<Series> = names.iter().map(curve).filter(|curve| any(&curve.points)).collect();
    let shares =
        curves.iter().flat_map(|curve| &curve.points).all(|[_, y]| y.is_nan() || (0.0..=1.0).contains(y));
    if shares && !curves.is_empty() {
        return vec![chart::lines(&format!("{task}: validation"), ["epoch", ""], &curves)];
    }
    let alone = |curve: Series| {
        let title = format!("{task}: validation {}", curve.name);
        chart::lines(&title, ["epoch", ""], &[Series::new(&title, curve.points)])
    };
    curves.into_iter().map(alone).collect()
}

/// A point for each epoch; unknown values are gaps.
fn over_epochs(run: &RunView, value: impl Fn(usize) -> Option<f64>) -> Vec<[f64; 2]> {
    let rows = run.state.history.iter().enumerate();
    rows.map(|(place, row)| [row.epoch as f64, value(place).unwrap_or(f64::NAN)]).collect()
}

fn any(points: &[[f64; 2]]) -> bool {
    points.iter().any(|[_, y]| y.is_finite())
}

/// Learning rate, task weights and conflicts over the steps.
pub(super) fn steps(page: &mut Page, run: &RunView) {
    let mut charts = Vec::new();
    let steps = run.state.step as usize;
    if steps > 1 {
        let stride = steps.div_ceil(POINTS);
        let rate = |step: usize| [step as f64, run.schedule.rate(step / run.config.accumulate)];
        let points = (0..steps).step_by(stride).chain([steps - 1]).map(rate).collect();
        charts.push(chart::lines("Learning rate", ["step", ""], &[Series::new("Learning rate", points)]));
    }
    let weights = weights(&run.folder.balance(), &run.model.task_names());
    if weights.iter().any(|curve| curve.points.iter().any(|[_, y]| *y != curve.points[0][1])) {
        charts.push(chart::lines("Weights of the tasks", ["step", ""], &weights));
    }
    for (scope, curves) in conflicts(&run.folder.conflicts()) {
        let title = format!("Conflicts ({scope}): cosine of the tasks' gradients");
        charts.push(chart::lines(&title, ["step", ""], &curves));
    }
    if !charts.is_empty() {
        page.section("Steps");
        page.charts(&charts);
    }
}

/// The columns of `balance.csv`: step, a weight for each task, order.
fn weights(path: &Path, tasks: &[String]) -> Vec<Series> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut columns = vec![Vec::new(); tasks.len()];
    for line in text.lines().skip(1) {
        let mut cells = line.split(',').map_while(|cell| cell.parse::<f64>().ok());
        let Some(step) = cells.next() else { continue };
        columns.iter_mut().zip(cells).for_each(|(column, weight)| column.push([step, weight]));
    }
    let curves = tasks.iter().zip(columns).filter(|(_, points)| !points.is_empty());
    curves.map(|(task, points)| Series::new(task, thinned(&points))).collect()
}

/// By scope, a curve for each pair of tasks of `conflicts.csv`: step, scope, two tasks, cosine, and three more figures.
fn conflicts(path: &Path) -> BTreeMap<String, Vec<Series>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut found: BTreeMap<String, BTreeMap<String, Vec<[f64; 2]>>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [step, scope, a, b, cosine, ..] = cells[..] else { continue };
        if let (Ok(step), Ok(cosine)) = (step.parse(), cosine.parse()) {
            let pairs = found.entry(scope.to_string()).or_default();
            pairs.entry(format!("{a} and {b}")).or_default().push([step, cosine]);
        }
    }
    let curves = |pairs: BTreeMap<String, Vec<[f64; 2]>>| {
        pairs.into_iter().map(|(pair, points)| Series::new(&pair, thinned(&points))).collect()
    };
    found.into_iter().map(|(scope, pairs)| (scope, curves(pairs))).collect()
}

/// The means of equal stretches of points, [`POINTS`] of them at most.
fn thinned(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let stretch = points.len().div_ceil(POINTS).max(1);
    let mean = |points: &[[f64; 2]]| {
        [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / points.len() as f64)
    };
    points.chunks(stretch).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_thinned_and_short_ones_stay_as_they_are() {
        let points: Vec<[f64; 2]> = (0..1000).map(|step| [step as f64, 2.0 * step as f64]).collect();
        let found = thinned(&points);
        assert!(found.len() <= POINTS && found.len() > POINTS / 2);
        assert_eq!(found[0], [2.0, 4.0], "the mean of the first five");
        assert_eq!(thinned(&points[..7]), points[..7]);
        assert!(thinned(&[]).is_empty());
    }

    #[test]
    fn log_files_that_are_missing_or_damaged_give_the_curves_they_can() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        assert!(weights(&path, &["a".into()]).is_empty() && conflicts(&path).is_empty());
        std::fs::write(&path, "step,weight_a,weight_b,order\n0,1,2,\nx,1\n1,3\n").unwrap();
        let found = weights(&path, &["a".into(), "b".into()]);
        assert_eq!(found[0].points, [[0.0, 1.0], [1.0, 3.0]]);
        assert_eq!(found[1].points, [[0.0, 2.0]]);
        std::fs::write(&path, "step,scope,task_a,task_b,cosine\n0,trunk,a,b,0.5,1,1,1\n4,trunk,a\n").unwrap();
        assert_eq!(conflicts(&path)["trunk"], [Series::new("a and b", vec![[0.0, 0.5]])]);
    }
}
