//! Runs compared: a chart for every figure, a line for every run.

use cerberus_report::chart::{self, Series};
use cerberus_report::{Page, Table};

use super::found::{Run, figure_of};
use super::table::Listing;

/// The number of lines that their colours can tell apart.
const COLOURS: usize = 8;

/// Whether a column belongs to a group.
type Belongs = fn(&str) -> bool;

/// `runs.html`.
pub(super) fn page(listing: &Listing, runs: &[Run]) -> String {
    let mut page = Page::new("Runs");
    page.section("List");
    let mut table = Table::new(&listing.header());
    runs.iter().for_each(|run| table.push(listing.row(run)));
    page.table(&table);
    let drawn: Vec<&Run> = runs.iter().filter(|run| !run.metrics.is_empty()).collect();
    if drawn.len() > COLOURS {
        page.text(&format!(
            "{} runs are drawn with {COLOURS} colours; --only NAME,.. draws some of them.",
            drawn.len()
        ));
    }
    let groups: [(&str, Belongs); 3] = [
        ("Validation", |name| name == "score" || name.starts_with("validation_")),
        ("Training losses", |name| name.starts_with("train_loss_")),
        ("Rate, weights and speed", |name| {
            ["learning_rate", "images_per_second"].contains(&name) || name.starts_with("weight_")
        }),
    ];
    for (title, belongs) in groups {
        let charts: Vec<String> =
            columns(&drawn, belongs).iter().filter_map(|column| overlaid(&drawn, column)).collect();
        if !charts.is_empty() {
            page.section(title);
            page.charts(&charts);
        }
    }
    page.finish()
}

/// The columns of a group that any of the runs has, in the order of their files.
fn columns(runs: &[&Run], belongs: Belongs) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for column in runs.iter().flat_map(|run| &run.metrics).filter(|column| belongs(&column.name)) {
        if !found.contains(&column.name) {
            found.push(column.name.clone());
        }
    }
    found
}

/// A line for every run that has the column; `None` if no value is known.
fn overlaid(runs: &[&Run], column: &str) -> Option<String> {
    let line = |run: &&Run| {
        let values = &run.metrics.iter().find(|found| found.name == column)?.values;
        let points = values.iter().enumerate().map(|(place, &value)| [place as f64 + 1.0, value]);
        Some(Series::new(&run.name, points.collect()))
    };
    // A run without the column keeps its place, so that its colour is the same in every chart.
    let lines = runs.iter().map(|run| line(run).unwrap_or_else(|| Series::new(&run.name, Vec::new())));
    let lines: Vec<Series> = lines.collect();
    let known = lines.iter().flat_map(|line| &line.points).any(|[_, value]| value.is_finite());
    known.then(|| chart::lines(&title(runs, column), ["epoch", ""], &lines))
}

/// The title of a column on the page.
fn title(runs: &[&Run], column: &str) -> String {
    let told = runs.iter().find_map(|run| figure_of(column, &run.tasks));
    if let Some((task, figure)) = told {
        return format!("{task}: {figure}");
    }
    let of_task = |start: &str, what: &str| column.strip_prefix(start).map(|task| format!("{task}: {what}"));
    of_task("train_loss_", "training loss")
        .or_else(|| of_task("weight_", "weight"))
        .unwrap_or_else(|| column.replace('_', " "))
}
