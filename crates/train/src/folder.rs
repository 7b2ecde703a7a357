//! A run's folder and the files in it.
//!
//! `config.json`, `metrics.csv`, `summary.json`, `checkpoints/last.safetensors`
//! and `best.safetensors`, `samples/*.png`. Every file is written under a
//! temporary name and renamed, so a run that is killed leaves whole files.

use std::fs;
use std::path::{Path, PathBuf};

use cerberus_nn::files::write_atomically;
use serde::Serialize;

use crate::config::TrainConfig;
use crate::error::TrainError;

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// A folder for a new run, made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made or written to, or already holds a run, which is
    /// never overwritten.
    pub fn create(path: &Path) -> Result<Self, TrainError> {
        let folder = Self { path: path.to_path_buf() };
        if folder.config().exists() {
            return Err(folder.problem(format!(
                "there already is a run here; continue it with --resume {}, or choose another --out",
                path.display()
            )));
        }
        for part in ["checkpoints", "samples"] {
            fs::create_dir_all(path.join(part)).map_err(|error| {
                folder.problem(format!("cannot make the folder {part}: {error}; choose another --out"))
            })?;
        }
        Ok(folder)
    }

    /// The folder of an existing run, and its configuration.
    ///
    /// # Errors
    /// If there is no run, or its configuration cannot be understood.
    pub fn open(path: &Path) -> Result<(Self, TrainConfig), TrainError> {
        let folder = Self { path: path.to_path_buf() };
        let config = folder.config();
        let text = fs::read_to_string(&config).map_err(|error| {
            folder.problem(format!(
                "there is no run to resume here: cannot read config.json: {error}; give the folder that a run was written to"
            ))
        })?;
        let parsed = serde_json::from_str(&text).map_err(|error| TrainError::Folder {
            path: config,
            problem: format!("not the configuration of a run: {error}; start a new run with --out"),
        })?;
        Ok((folder, parsed))
    }

    /// The first of `base/train-1`, `base/train-2`, .. that is not there yet.
    pub fn next_free(base: &Path) -> PathBuf {
        (1..)
            .map(|n| base.join(format!("train-{n}")))
            .find(|path| !path.exists())
            .expect("there are numbers enough")
    }

    fn problem(&self, problem: String) -> TrainError {
        TrainError::Folder { path: self.path.clone(), problem }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.json`.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.json")
    }

    /// `metrics.csv`.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.csv")
    }

    /// `balance.csv`.
    pub fn balance(&self) -> PathBuf {
        self.path.join("balance.csv")
    }

    /// `conflicts.csv`.
    pub fn conflicts(&self) -> PathBuf {
        self.path.join("conflicts.csv")
    }

    /// `summary.json`.
    pub fn summary(&self) -> PathBuf {
        self.path.join("summary.json")
    }

    /// `checkpoints/last.safetensors`.
    pub fn last(&self) -> PathBuf {
        self.path.join("checkpoints").join("last.safetensors")
    }

    /// `checkpoints/best.safetensors`.
    pub fn best(&self) -> PathBuf {
        self.path.join("checkpoints").join("best.safetensors")
    }

    /// `samples/NAME`.
    pub fn sample(&self, name: &str) -> PathBuf {
        self.path.join("samples").join(name)
    }

    /// Writes a value as indented JSON.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| self.problem(format!("cannot encode: {error}")))?;
        Ok(write_atomically(path, (text + "\n").as_bytes())?)
    }
}
