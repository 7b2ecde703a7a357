//! The outputs by which a run can be watched: its page and its event file. A run needs neither, so a failure is
//! reported on standard error, once for each, and the run goes on.

use std::cell::Cell;

use crate::error::TrainError;
use crate::events::EventFile;
use crate::folder::RunFolder;
use crate::page::{self, RunView, Tested};

/// Called after every epoch and at the end.
pub(crate) struct Watch {
    events: EventFile,
    page_failed: Cell<bool>,
    events_failed: Cell<bool>,
}

impl Watch {
    /// For the run in a folder; writes nothing yet.
    pub fn of(folder: &RunFolder) -> Self {
        Self { events: EventFile::of(folder), page_failed: Cell::default(), events_failed: Cell::default() }
    }

    /// An epoch is done.
    pub fn epoch(&self, run: &RunView) {
        warn("page", &self.page_failed, page::write(run, None));
        if let Some(row) = run.state.history.last() {
            let added = self.events.epoch(&run.model.task_names(), row);
            warn("event file", &self.events_failed, added);
        }
    }

    /// The run is done.
    pub fn end(&self, run: &RunView, tested: &Tested) {
        warn("page", &self.page_failed, page::write(run, Some(tested)));
        let added = self.events.end(run.folder, run.state.step, tested.summary);
        warn("event file", &self.events_failed, added);
    }
}

/// Reports only the first failure of a kind: a full disk would fail after every epoch.
fn warn(what: &str, told: &Cell<bool>, result: Result<(), TrainError>) {
    if let Err(error) = result
        && !told.replace(true)
    {
        eprintln!("warning: the run's {what} could not be written: {error}; the run goes on without it");
    }
}
