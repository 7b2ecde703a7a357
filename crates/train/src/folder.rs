//! A run's folder and the files in it.
//!
//! `config.json`, `train.toml`, `command.txt`, `metrics.csv`, `summary.json`, `report.html`,
//! `checkpoints/last.safetensors` and `best.safetensors`, `samples/*.png`. Every
//! file is written under a temporary name and renamed, so a run that is killed
//! leaves only complete files.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use cerberus_data::Account;
use cerberus_nn::files::{is_temporary, write_atomically};
use serde::Serialize;

use crate::config::TrainConfig;
use crate::error::TrainError;

/// The file whose lock says that a program trains in the folder.
const LOCK: &str = ".lock";

/// The folder of one run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Held while a program trains here; the system releases it however the program ends. Absent in processes that leave
    /// writing to another one.
    _lock: Option<File>,
}

impl RunFolder {
    /// A folder for a new run, made if it is not there, with the run's configuration.
    ///
    /// # Errors
    /// If it cannot be made or written to, another program uses it, or it already holds a run, which is
    /// never overwritten.
    pub fn create(path: &Path, config: &TrainConfig) -> Result<Self, TrainError> {
        Self::create_with(path, config, None)
    }

    /// The same, with a `train.toml`. It is written before `config.json`, whose presence makes the folder a run.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with(
        path: &Path,
        config: &TrainConfig,
        settings: Option<&str>,
    ) -> Result<Self, TrainError> {
        for part in ["checkpoints", "samples"] {
            fs::create_dir_all(path.join(part)).map_err(|error| {
                problem(path, format!("cannot make the folder {part}: {error}; choose another --out"))
            })?;
        }
        let folder = Self { path: path.to_path_buf(), _lock: Some(lock(path)?) };
        // Checked under the lock: two programs cannot both find the folder empty.
        if folder.config().exists() {
            return Err(folder.problem(format!(
                "there already is a run here; continue it with --resume {}, or choose another --out",
                path.display()
            )));
        }
        if let Some(settings) = settings {
            write_atomically(&folder.settings(), settings.as_bytes())?;
        }
        folder.write_json(&folder.config(), config)?;
        Ok(folder)
    }

    /// A folder of its own for a new run: the first of `base/train-1`, `base/train-2`, .. that does not exist yet.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_next(
        base: &Path,
        config: &TrainConfig,
        settings: Option<&str>,
    ) -> Result<Self, TrainError> {
        Self::create_with(&make_next(base, "train")?, config, settings)
    }

    /// The folder of an existing run, and its configuration.
    ///
    /// # Errors
    /// If there is no run, or its configuration cannot be understood.
    pub fn open(path: &Path) -> Result<(Self, TrainConfig), TrainError> {
        let parsed = Self::read_config(path)?;
        Ok((Self { path: path.to_path_buf(), _lock: Some(lock(path)?) }, parsed))
    }

    /// The folder of a run that another process of the same group writes.
    pub(crate) fn of_another(path: &Path) -> Self {
        Self { path: path.to_path_buf(), _lock: None }
    }

    /// The configuration of the run in a folder, which another program may be training.
    ///
    /// # Errors
    /// If there is no run, or its configuration cannot be understood.
    pub fn read_config(path: &Path) -> Result<TrainConfig, TrainError> {
        let config = path.join("config.json");
        let text = fs::read_to_string(&config).map_err(|error| {
            problem(path, format!(
                "there is no run to resume here: cannot read config.json: {error}; give the folder that a run was written to"
            ))
        })?;
        serde_json::from_str(&text).map_err(|error| TrainError::Folder {
            path: config,
            problem: format!("not the configuration of a run: {error}; start a new run with --out"),
        })
    }

    /// Whether a program trains in the folder at the moment. On a file system without locks this cannot be known, and
    /// the answer is no.
    pub fn is_in_use(path: &Path) -> bool {
        // A shared lock, held no longer than this call.
        let Ok(file) = File::open(path.join(LOCK)) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// Removes what a killed program left half-written.
    pub(crate) fn clear_temporary(&self) {
        for folder in [self.path.clone(), self.path.join("checkpoints"), self.path.join("samples")] {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            for path in entries.map(|entry| entry.path()).filter(|path| is_temporary(path)) {
                // If it cannot be removed, the next start tries again.
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Writes `data.json`: the accounts of the run's data, where data have one.
    pub(crate) fn write_accounts(&self, accounts: &[Account]) -> Result<(), TrainError> {
        if accounts.is_empty() {
            return Ok(());
        }
        self.write_json(&self.path.join("data.json"), &accounts)
    }

    /// The accounts that the run began with; none where they cannot be read.
    pub(crate) fn accounts(&self) -> Vec<Account> {
        let text = fs::read_to_string(self.path.join("data.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Adds a line to `command.txt`: the command that started the run, then those that continued it.
    pub(crate) fn note_command(&self, command: &str) -> Result<(), TrainError> {
        let before = fs::read_to_string(self.command()).unwrap_or_default();
        Ok(write_atomically(&self.command(), (before + command + "\n").as_bytes())?)
    }

    fn problem(&self, text: String) -> TrainError {
        problem(&self.path, text)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.json`.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.json")
    }

    /// `train.toml`.
    pub fn settings(&self) -> PathBuf {
        self.path.join("train.toml")
    }

    /// `command.txt`.
    pub fn command(&self) -> PathBuf {
        self.path.join("command.txt")
    }

    /// `report.html`.
    pub fn page(&self) -> PathBuf {
        self.path.join("report.html")
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

    /// `checkpoints/before-divergence.safetensors`: the run before a step whose loss was not finite.
    pub fn before_divergence(&self) -> PathBuf {
        self.path.join("checkpoints").join("before-divergence.safetensors")
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

/// Makes a folder of its own for what a program writes: the first of `base/NAME-1`, `base/NAME-2`, .. that does not
/// exist yet.
///
/// # Errors
/// If it cannot be made.
pub fn make_next(base: &Path, name: &str) -> Result<PathBuf, TrainError> {
    let failed = |error| problem(base, format!("cannot make a folder in it: {error}; choose one with --out"));
    fs::create_dir_all(base).map_err(failed)?;
    let mut number = 1;
    loop {
        let path = base.join(format!("{name}-{number}"));
        // Only one program can create it, even if others try at the same time.
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(failed(error)),
        }
    }
}

fn problem(path: &Path, problem: String) -> TrainError {
    TrainError::Folder { path: path.to_path_buf(), problem }
}

/// Takes a run's folder for this program.
fn lock(path: &Path) -> Result<File, TrainError> {
    let name = path.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&name);
    let file = file.map_err(|error| {
        problem(path, format!("cannot write into the folder: {error}; choose another --out"))
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(problem(
            path,
            "another program trains in this folder; wait for it, or choose another --out".into(),
        )),
        // Some network file systems have no locks: then only the users can keep two programs apart.
        Err(TryLockError::Error(_)) => Ok(file),
    }
}
