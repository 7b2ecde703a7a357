//! The state of the run, its origin, its cost, and its sample pictures.

use cerberus_data::{Account, Image};
use cerberus_draw::{encode_jpeg, to_rgb};
use cerberus_nn::Module;
use cerberus_report::chart::{self, Series, short};
use cerberus_report::{Page, Table};
use serde_json::Value;

use super::{RunView, Tested};
use crate::report::peak_rss_mb;

/// Sample pictures on the page, of those in the run's folder.
const SAMPLES: usize = 12;

/// How far the run is, and its best epoch.
pub(super) fn state(page: &mut Page, run: &RunView, tested: Option<&Tested>) {
    let (state, epochs) = (run.state, run.config.epochs);
    let mut text = match tested {
        Some(_) => format!("Finished: {} of {epochs} epochs.", state.epoch),
        None => format!("Under way: {} of {epochs} epochs.", state.epoch),
    };
    if let Some(best) = state.best() {
        let score = best.score.map_or(String::new(), |score| format!(", with a score of {}", short(score)));
        text += &format!(" The best so far is epoch {}{score}.", best.epoch);
    }
    page.text(&if tested.is_some() { text.replace(" so far", "") } else { text });
}

/// The figures of the best model.
pub(super) fn figures(page: &mut Page, tested: Option<&Tested>) {
    let Some(tested) = tested.filter(|tested| !tested.summary.tasks.is_empty()) else { return };
    page.section(&format!("Figures on the {} part", tested.split));
    if tested.split == cerberus_data::Split::Validation {
        page.text("There is no test part: the same pictures chose the best epoch.");
    }
    let mut table = Table::new(&["task", "metric", "value"]);
    for (task, figures) in &tested.summary.tasks {
        for (name, value) in figures {
            table.push([task.clone(), name.clone(), number(*value)]);
        }
    }
    page.table(&table);
}

/// The command, the configuration, and the account of the data.
pub(super) fn origin(page: &mut Page, run: &RunView) {
    let command = std::fs::read_to_string(run.folder.command()).unwrap_or_default();
    if !command.trim().is_empty() {
        page.section("Command");
        page.lines(command.trim_end());
    }
    page.section("Configuration");
    let mut heads = Table::new(&["task", "kind", "label", "classes", "weight"]);
    for head in &run.config.model.heads {
        let classes = head.classes.len().to_string();
        heads.push([
            head.name.clone(),
            head.kind.clone(),
            head.label.clone(),
            classes,
            head.weight.to_string(),
        ]);
    }
    page.table(&heads);
    let mut table = Table::new(&["option", "value"]);
    if let Ok(config) = serde_json::to_value(run.config) {
        rows("", &config, &mut table);
    }
    page.table(&table);
    let lines: Vec<String> = run.dataset.info().accounts.iter().flat_map(Account::lines).collect();
    if !lines.is_empty() {
        page.section("Data");
        page.lines(&lines.join("\n"));
    }
}

/// A row for each value; heads have their own table, and places and fingerprints are only for the program.
fn rows(path: &str, value: &Value, table: &mut Table) {
    if ["model.heads", "places", "fingerprints"].contains(&path) {
        return;
    }
    match value {
        Value::Null => {}
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                rows(&path, value, table);
            }
        }
        Value::String(text) => table.push([path.to_string(), text.clone()]),
        Value::Array(list) if list.is_empty() => {}
        other => table.push([path.to_string(), other.to_string()]),
    }
}

/// Time and memory.
pub(super) fn cost(page: &mut Page, run: &RunView) {
    let state = run.state;
    page.section("Time and memory");
    let mut table = Table::new(&["", ""])
        .row(["seconds, with evaluation".into(), format!("{:.0}", state.seconds)])
        .row(["seconds of training".into(), format!("{:.0}", state.training_seconds)])
        .row(["training images per second".into(), format!("{:.1}", state.images_per_second())])
        .row(["threads".into(), cerberus_tensor::parallel::threads().to_string()])
        .row(["values trained".into(), run.model.parameter_count().to_string()]);
    if let Some(peak) = peak_rss_mb() {
        table.push(["most memory held so far, MiB".into(), format!("{peak:.0}")]);
    }
    page.table(&table);
    let points = state.history.iter().map(|row| [row.epoch as f64, row.images_per_second]).collect();
    if state.history.len() > 1 {
        let title = "Training images per second";
        page.charts(&[chart::lines(title, ["epoch", "images/s"], &[Series::new(title, points)])]);
    }
}

/// The first pictures of `samples/`.
pub(super) fn samples(page: &mut Page, run: &RunView) {
    let picture = |place: usize| {
        let picture = Image::read(&run.folder.sample(&format!("test_{place:03}.png"))).ok()?;
        Some((encode_jpeg(&to_rgb(&picture)).ok()?, format!("sample {place}")))
    };
    let pictures: Vec<(Vec<u8>, String)> = (0..SAMPLES).map_while(picture).collect();
    if !pictures.is_empty() {
        page.section("Samples");
        page.wide_pictures(&pictures);
    }
}

/// A figure with four decimals, a dash if it is unknown.
pub(super) fn number(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.4}"))
}
