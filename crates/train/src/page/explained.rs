//! What the answers rest on: class activation maps of every head for a dozen test pictures.

use cerberus_data::{Split, normalise};
use cerberus_draw::{HeatScale, RgbImage, comfortable_scale, encode_jpeg, heat_overlay, overlay, to_rgb};
use cerberus_explain::{Cam, Explainer, HeadTargets};
use cerberus_report::{Cell, Page};
use cerberus_tensor::Tensor;

use super::RunView;
use crate::report::{SHOWN, annotate, drawn_names};

/// Pictures in the section.
const PICTURES: usize = 12;

/// The section; none if no picture has anything to explain.
pub(super) fn pictures(page: &mut Page, run: &RunView, split: Split) {
    // Explanations are of the model's answer to one image.
    if run.model.trunk().info([0, 0]).whole.is_some() {
        return;
    }
    let count = run.dataset.len(split).min(PICTURES);
    let rows: Vec<Vec<Cell>> = (0..count).filter_map(|index| row(run, split, index)).collect();
    if rows.is_empty() {
        return;
    }
    page.section("What the answers rest on");
    page.text(
        "LayerCAM of what each head predicts, over the picture: yellow is where the deepest map of the trunk that the head \
         uses speaks for the answer. The maps are as coarse as that. The program explain shows other methods, and how far \
         to trust them.",
    );
    let tasks = run.model.task_names();
    let header: Vec<&str> = std::iter::once("predictions").chain(tasks.iter().map(String::as_str)).collect();
    page.picture_table(&header, &rows);
}

/// A picture with its predictions, and a map for every head.
fn row(run: &RunView, split: Split, index: usize) -> Option<Vec<Cell>> {
    let sample = run.dataset.sample(split, 0, index).ok()?;
    let (x, rgb) = (normalise(&[&sample.image]), to_rgb(&sample.image));
    // Several in a row: half as large as a picture alone.
    let scale = comfortable_scale(rgb.width(), rgb.height()).div_ceil(2);
    let cell = |drawn: &RgbImage, alt: &str, line: String| Cell {
        pictures: encode_jpeg(drawn).into_iter().map(|file| (file, alt.to_string())).collect(),
        lines: vec![line],
        charts: Vec::new(),
    };
    let predictions = run.model.predict(x.clone());
    let heads: Vec<_> = run.model.tasks().iter().map(|task| task.config()).collect();
    let pairs: Vec<_> =
        heads.iter().zip(&predictions).filter_map(|(&head, all)| Some((head, all.first()?))).collect();
    let size = [sample.image.height, sample.image.width];
    let annotated = annotate(&pairs, size, sample.class, SHOWN);
    let mut cells =
        vec![cell(&overlay(&rgb, &annotated, &drawn_names(&heads), scale), "predictions", String::new())];
    let mut found = false;
    for task in run.model.task_names() {
        let explained = map(run, &x, &task);
        found |= explained.is_some();
        cells.push(match explained {
            Some((map, target)) => {
                let drawn = heat_overlay(&rgb, &map, &HeatScale::of(&map), scale);
                cell(&drawn, &format!("what {task} rests on"), target)
            }
            None => Cell { lines: vec!["nothing found".into()], ..Cell::default() },
        });
    }
    found.then_some(cells)
}

/// The map of a head's prediction, a number for each pixel, and the target in words.
fn map(run: &RunView, x: &Tensor, task: &str) -> Option<(Vec<f32>, String)> {
    let targets = HeadTargets::of(run.model, x, &[(task, "")]).ok()?;
    let layer = targets.deepest_maps(x).pop()?;
    let found = Explainer::new(&targets).cam(x, &layer, Cam::Layer, true).ok()?;
    let map = found.first()?.resized([x.shape()[1], x.shape()[2]]);
    let (_, target) = targets.descriptions().pop()?;
    map.all_finite().then(|| (map.to_vec(), target))
}
