//! The output of `train --find-rate`.

use std::path::Path;

use cerberus::nn::files::write_atomically;
use cerberus::train::{RatePoint, RateTest, TrainConfig, TrainError, make_next};
use cerberus_report::{Page, chart};

use crate::say;
use crate::shell::make_folder;

/// Losses above this many times the first are not drawn.
const MOST_DRAWN: f64 = 1.5;

/// Writes `find-rate.csv` and `find-rate.html` into `out`, or a new folder in `runs`, and prints the suggested rate.
pub(crate) fn report(test: &RateTest, config: &TrainConfig, out: Option<&Path>) -> Result<(), TrainError> {
    let folder = match out {
        Some(out) => out.to_path_buf(),
        None => make_next(Path::new("runs"), "find-rate")?,
    };
    make_folder(&folder)?;
    let (csv, html) = (folder.join("find-rate.csv"), folder.join("find-rate.html"));
    if csv.exists() || html.exists() {
        let problem = "already holds a find-rate.csv or .html; choose another --out".into();
        return Err(TrainError::Folder { path: folder, problem });
    }
    let mut text = String::from("rate,loss,smoothed\n");
    for point in &test.points {
        text += &format!("{:e},{:.6},{:.6}\n", point.rate, point.loss, point.smoothed);
    }
    write_atomically(&csv, text.as_bytes())?;
    write_atomically(&html, page(test, config).as_bytes())?;
    say!("suggested: --learning-rate {:.1e}", test.suggested);
    say!(
        "  where the loss falls most steeply; it is lowest at {:.1e}, which is too high to train with",
        test.lowest_loss
    );
    say!("  {} steps of up to {:.1e}; drawn in {}", test.points.len(), highest(test), html.display());
    Ok(())
}

fn highest(test: &RateTest) -> f64 {
    test.points.last().map_or(0.0, |point| point.rate)
}

fn page(test: &RateTest, config: &TrainConfig) -> String {
    let mut page = Page::new("Learning-rate range test");
    page.text(&format!(
        "{}: {} steps of {} images with a learning rate that rises from 1e-6. The loss falls most steeply at {:.1e}, which \
         is the rate to train with, and is lowest at {:.1e}.",
        config.data,
        test.points.len(),
        config.batch,
        test.suggested,
        test.lowest_loss
    ));
    // Losses that blow up are left out: beside them the fall could not be seen.
    let first = test.points.first().map_or(0.0, |point| point.loss);
    let most = MOST_DRAWN * first;
    let of = |value: fn(&RatePoint) -> f64| -> Vec<[f64; 2]> {
        let drawn = |loss: f64| if loss <= most { loss } else { f64::NAN };
        test.points.iter().map(|point| [point.rate.log10(), drawn(value(point))]).collect()
    };
    let (smoothed, each) = (of(|point| point.smoothed), of(|point| point.loss));
    let losses = || smoothed.iter().chain(&each).map(|point| point[1]);
    let ends = [losses().fold(f64::NAN, f64::min), losses().fold(f64::NAN, f64::max)];
    let curves = [
        chart::Series::new("smoothed", smoothed.clone()),
        chart::Series::new("each step", each.clone()),
        chart::Series::new("suggested rate", ends.map(|end| [test.suggested.log10(), end]).to_vec()),
    ];
    page.charts(&[chart::lines("Loss", ["learning rate, as a power of ten", "loss"], &curves)]);
    page.finish()
}
