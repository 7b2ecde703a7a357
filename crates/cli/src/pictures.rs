//! Pictures that the user names, what is written about each, and how many are done.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::say;
use cerberus::data;
use cerberus::train::TrainError;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The pictures to process: the given files, and the pictures in the given folders and patterns, each once.
///
/// # Errors
/// If a folder holds no picture, or a pattern fits no file.
pub(crate) fn inputs(given: &[PathBuf]) -> Result<Vec<PathBuf>, TrainError> {
    let fail = |problem: String| Err(TrainError::Option(problem));
    let mut images: Vec<PathBuf> = Vec::with_capacity(given.len());
    for path in given {
        let text = path.to_string_lossy();
        if path.is_dir() {
            let found = data::pictures_in(path)?;
            if found.is_empty() {
                return fail(format!(
                    "{text}: there is no picture in this folder; give files, folders or patterns"
                ));
            }
            images.extend(found);
        } else if !path.exists() && text.contains(['*', '?', '[']) {
            let found = match glob::glob(&text) {
                Ok(found) => found,
                Err(error) => return fail(format!("{text}: not a pattern: {error}")),
            };
            let before = images.len();
            images.extend(found.flatten().filter(|path| path.is_file()));
            if images.len() == before {
                return fail(format!("{text}: no file fits this pattern"));
            }
        } else {
            images.push(path.clone());
        }
    }
    let mut seen = BTreeSet::new();
    images.retain(|path| seen.insert(path.clone()));
    Ok(images)
}

/// The pictures' names without folder and ending; a number is added if an output file would replace that of another
/// picture, or one of the given pictures.
///
/// `endings` are those of a picture's files, `together` the names of the files for all pictures.
pub(crate) fn output_names(
    images: &[PathBuf],
    out: &Path,
    endings: &[String],
    together: &[&str],
) -> Vec<String> {
    // Some systems ignore case in file names.
    let folded = |path: &Path| path.to_string_lossy().to_lowercase();
    let place = |path: &Path| folded(&std::fs::canonicalize(path).unwrap_or_else(|_| path.into()));
    let folder = std::fs::canonicalize(out).unwrap_or_else(|_| out.into());
    let mut taken: BTreeSet<String> = images.iter().map(|path| place(path)).collect();
    taken.extend(together.iter().map(|name| folded(&folder.join(name))));
    let mut names = Vec::with_capacity(images.len());
    for path in images {
        let stem = path.file_stem().map_or("image".into(), |stem| stem.to_string_lossy().into_owned());
        let files = |name: &str| -> Vec<String> {
            endings.iter().map(|ending| folded(&folder.join(format!("{name}.{ending}")))).collect()
        };
        let numbered = (2..).map(|n| format!("{stem}-{n}"));
        let free = std::iter::once(stem.clone())
            .chain(numbered)
            .find(|name| files(name).iter().all(|file| !taken.contains(file)));
        let name = free.expect("there are numbers enough");
        taken.extend(files(&name));
        names.push(name);
    }
    names
}

/// Does `one` for so many pictures and prints the lines that it returns. A picture that fails is named and does not stop
/// the others; returns how many failed.
pub(crate) fn for_each<E: Display>(
    pictures: usize,
    mut one: impl FnMut(usize) -> Result<Option<String>, E>,
) -> usize {
    let bar = progress(pictures);
    let mut failed = 0;
    for index in 0..pictures {
        match one(index) {
            Ok(Some(line)) => bar.suspend(|| say!("{line}")),
            Ok(None) => {}
            Err(error) => {
                bar.suspend(|| eprintln!("error: {error}"));
                failed += 1;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    failed
}

/// A bar on standard error, if that is a terminal and there is more than one picture to wait for.
pub(crate) fn progress(images: usize) -> ProgressBar {
    let target = if images > 1 { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(images as u64), target);
    let style = ProgressStyle::with_template("{bar:28} {pos} of {len} pictures, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// One more picture of a long run is done; where there is no terminal for a bar, every tenth of all pictures is told of
/// in a line.
pub(crate) fn advance(bar: &ProgressBar) {
    bar.inc(1);
    let (done, all) = (bar.position(), bar.length().unwrap_or(0));
    if bar.is_hidden() && done % all.div_ceil(10).max(1) == 0 {
        eprintln!("{done} of {all} pictures, {:.0} s", bar.elapsed().as_secs_f64());
    }
}
