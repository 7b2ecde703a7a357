//! The run's event file, which TensorBoard reads: scalars after every epoch, test figures and sample pictures at the end.
//!
//! | tag | |
//! |---|---|
//! | `loss/TASK`, `weight/TASK` | means over the epoch |
//! | `validation/TASK/FIGURE`, `score` | after the epoch; unknown ones are left out |
//! | `learning_rate`, `images_per_second` | |
//! | `best/PART/TASK/FIGURE` | at the end, of the best model on the `test` part, or the `validation` part |
//! | `samples/test_000`, .. | at the end |
//!
//! Steps are those of the training. A program that continues a run begins another file beside the first; TensorBoard
//! reads all of a folder. Unlike the other files of a run this one grows by appending, so a program that is killed may
//! leave a record without its end, which readers skip.

mod messages;
mod records;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::error::TrainError;
use crate::folder::RunFolder;
use crate::report::Summary;
use crate::state::EpochRow;
use messages::{Event, Image, Summary as Scalars, Value};
use records::frame;

/// The version in the first event of a file.
const VERSION: &str = "brain.Event:2";

/// A file of events, created with the first one.
pub(crate) struct EventFile {
    path: PathBuf,
}

impl EventFile {
    /// A file in a run's folder, with a name that is not used there.
    pub fn of(folder: &RunFolder) -> Self {
        let mut seconds = now() as u64;
        let path = |seconds: u64| folder.path().join(format!("events.out.tfevents.{seconds:010}.cerberus"));
        while path(seconds).exists() {
            seconds += 1;
        }
        Self { path: path(seconds) }
    }

    /// Adds an epoch's figures.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn epoch(&self, tasks: &[String], row: &EpochRow) -> Result<(), TrainError> {
        let named = |kind: &'static str, values: &[f64]| -> Vec<Value> {
            let pairs = tasks.iter().zip(values);
            pairs.map(|(task, value)| Value::scalar(format!("{kind}/{task}"), *value)).collect()
        };
        let mut values = named("loss", &row.losses);
        values.extend(named("weight", &row.weights));
        for figures in &row.validation {
            let known = figures.metrics.iter().filter_map(|(name, value)| Some((name, (*value)?)));
            values
                .extend(known.map(|(name, value)| {
                    Value::scalar(format!("validation/{}/{name}", figures.task), value)
                }));
        }
        values.extend(row.score.map(|score| Value::scalar("score".into(), score)));
        values.push(Value::scalar("learning_rate".into(), row.learning_rate));
        values.push(Value::scalar("images_per_second".into(), row.images_per_second));
        self.add(row.step, values)
    }

    /// Adds the test figures, and the pictures of the folder's `samples`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn end(&self, folder: &RunFolder, step: u64, summary: &Summary) -> Result<(), TrainError> {
        let part = summary.scored_on.as_deref().unwrap_or("test");
        let figures = summary.tasks.iter().flat_map(|(task, figures)| {
            let known = figures.iter().filter_map(|(name, value)| Some((name, (*value)?)));
            known.map(move |(name, value)| Value::scalar(format!("best/{part}/{task}/{name}"), value))
        });
        self.add(step, figures.collect())?;
        for place in 0.. {
            let name = format!("test_{place:03}");
            let Ok(png) = std::fs::read(folder.sample(&format!("{name}.png"))) else { return Ok(()) };
            // One event each: a reader takes a whole event into memory.
            self.add(
                step,
                Image::of_png(png)
                    .map(|image| Value::picture(format!("samples/{name}"), image))
                    .into_iter()
                    .collect(),
            )?;
        }
        Ok(())
    }

    fn add(&self, step: u64, values: Vec<Value>) -> Result<(), TrainError> {
        if values.is_empty() {
            return Ok(());
        }
        let fail = |error: std::io::Error| TrainError::Folder {
            path: self.path.clone(),
            problem: format!("cannot write: {error}; check that the folder exists and has space left"),
        };
        let mut bytes = Vec::new();
        if !self.path.exists() {
            let version = Event { file_version: Some(VERSION.into()), ..Event::at(now(), 0) };
            bytes.extend(frame(&version.encode_to_vec()));
        }
        let event = Event { summary: Some(Scalars { values }), ..Event::at(now(), step) };
        bytes.extend(frame(&event.encode_to_vec()));
        let mut file = File::options().create(true).append(true).open(&self.path).map_err(fail)?;
        file.write_all(&bytes).map_err(fail)
    }
}

/// Seconds since 1970; 0 if the clock is set before that.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests;
