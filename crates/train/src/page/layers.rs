//! The cost of each layer in a step, if it was measured.

use std::time::Duration;

use cerberus_report::{Page, Table, chart};

use super::RunView;

/// Layers drawn as bars.
const BARS: usize = 15;

/// The most expensive layers as bars, all of them in a table.
pub(super) fn costs(page: &mut Page, run: &RunView) {
    let Some(profile) = run.profile else { return };
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let both = |layer: &crate::profile::LayerCost| milliseconds(layer.forward + layer.backward);
    let all: f64 = profile.layers.iter().map(both).sum();
    page.section("Time and memory per layer");
    page.text(&format!(
        "A step with {} images, the median of five: {all:.1} ms in the layers, forward and backward, without the optimiser. \
         Operations without parameters count with the layer after them forward, and before them backward.",
        profile.images
    ));
    let mut dearest: Vec<(String, f64)> =
        profile.layers.iter().map(|layer| (layer.path.clone(), both(layer))).collect();
    dearest.sort_by(|a, b| b.1.total_cmp(&a.1));
    dearest.truncate(BARS);
    page.charts(&[chart::bars("Dearest layers, in ms", &dearest)]);
    let mut table = Table::new(&["layer", "output", "MiB", "forward, ms", "backward, ms", "share"]);
    for layer in &profile.layers {
        table.push([
            layer.path.clone(),
            layer.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x "),
            format!("{:.2}", layer.bytes() as f64 / (1 << 20) as f64),
            format!("{:.2}", milliseconds(layer.forward)),
            format!("{:.2}", milliseconds(layer.backward)),
            format!("{:.1} %", 100.0 * both(layer) / all.max(f64::MIN_POSITIVE)),
        ]);
    }
    page.table(&table);
}
