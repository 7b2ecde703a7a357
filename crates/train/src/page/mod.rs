//! `report.html`: a run on one page, written again after every epoch and completed at the end.
//!
//! While the run trains, the page shows its command, configuration and data, and the curves so far. At the end come the
//! figures of every class and the worst mistakes, from the one evaluation of the best model on the test part:
//! [`TestPass`] sees each batch as it is scored and keeps a handful of predictions, whatever the size of the part. A
//! section without content is left out.
//!
//! The program reads nothing back from here, so a page that cannot be made is a warning and never ends a run.

mod classes;
mod curves;
mod detections;
mod explained;
mod judge;
mod layers;
mod mistakes;
mod overview;
mod pass;

use std::sync::Arc;

use cerberus_data::{Dataset, Split};
use cerberus_multitask::model::MultiTaskModel;
use cerberus_multitask::tasks::Metric;
use cerberus_nn::files::write_atomically;
use cerberus_nn::schedule::Schedule;
use cerberus_report::Page;

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::folder::RunFolder;
use crate::profile::Profile;
use crate::report::Summary;
use crate::state::State;

pub(crate) use pass::TestPass;

/// What the page of a run is made from.
#[derive(Clone, Copy)]
pub(crate) struct RunView<'a> {
    pub config: &'a TrainConfig,
    pub folder: &'a RunFolder,
    pub model: &'a MultiTaskModel,
    pub dataset: &'a Arc<dyn Dataset>,
    pub schedule: &'a Schedule,
    pub state: &'a State,
    /// The costs of the layers, if they were measured.
    pub profile: Option<&'a Profile>,
}

/// The results of the best model on `split`.
pub(crate) struct Tested<'a> {
    pub split: Split,
    pub summary: &'a Summary,
    /// In the order of the model's tasks; empty if the part could not be read.
    pub metrics: &'a [Box<dyn Metric>],
    pub pass: &'a TestPass,
}

/// Writes `report.html`; at the end of the run with the test results.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write(run: &RunView, tested: Option<&Tested>) -> Result<(), TrainError> {
    Ok(write_atomically(&run.folder.page(), page(run, tested).as_bytes())?)
}

fn page(run: &RunView, tested: Option<&Tested>) -> String {
    let mut page = Page::new(&format!("Run: {}", name(run)));
    overview::state(&mut page, run, tested);
    overview::figures(&mut page, tested);
    curves::tasks(&mut page, run);
    curves::steps(&mut page, run);
    if let Some(tested) = tested {
        for (task, metric) in run.model.tasks().iter().zip(tested.metrics) {
            let (head, seen) = (task.config(), tested.pass.of(task.name()));
            page.section(&format!("{} on the {} part", head.name, tested.split));
            classes::charts(&mut page, head, &**metric);
            detections::charts(&mut page, head, &**metric);
            classes::table(&mut page, head, &**metric, seen);
            mistakes::pictures(&mut page, run, tested.split, head, seen);
        }
        explained::pictures(&mut page, run, tested.split);
        overview::samples(&mut page, run);
    }
    overview::origin(&mut page, run);
    overview::cost(&mut page, run);
    layers::costs(&mut page, run);
    page.finish()
}

/// The last part of the folder's path.
fn name(run: &RunView) -> String {
    let path = run.folder.path();
    let last =
        path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    last.unwrap_or_else(|| path.display().to_string())
}
