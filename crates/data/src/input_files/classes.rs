//! One folder of clips per class: `FOLDER/CLASS/clip.gif`, or `FOLDER/train/CLASS/clip.gif` with folders for the parts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Found, Given, Reading, Said};
use crate::FindingKind::{LeftOut, Suspicious};
use crate::dataset::{CLASS, LabelKind};
use crate::photos::files::{ending, entries, folders, is_picture, name, part, stem};
use crate::{DataError, Split};

/// Extensions of clips in one file.
const READ: [&str; 2] = ["gif", "y4m"];
/// Extensions of videos that are not read.
const NOT_READ: [&str; 14] =
    ["avi", "mp4", "m4v", "mov", "mkv", "webm", "mpg", "mpeg", "wmv", "flv", "ogv", "ts", "mts", "3gp"];

/// What an entry of a class's folder is.
enum Kind {
    Clip,
    /// A video of a format that is not read.
    Video,
    /// A picture alone, or any other file.
    Other,
}

fn kind(path: &Path) -> Kind {
    if path.is_dir() {
        let frames = entries(path).unwrap_or_default();
        let is_frame = |frame: &PathBuf| frame.is_file() && !is_file_of_clip(frame) && is_picture(frame);
        return if frames.iter().any(is_frame) { Kind::Clip } else { Kind::Other };
    }
    match ending(path) {
        end if READ.contains(&end.as_str()) => Kind::Clip,
        end if NOT_READ.contains(&end.as_str()) => Kind::Video,
        _ => Kind::Other,
    }
}

fn is_file_of_clip(path: &Path) -> bool {
    READ.contains(&ending(path).as_str())
}

/// Whether clips are directly in a folder.
fn holds_clips(folder: &Path) -> bool {
    entries(folder).unwrap_or_default().iter().any(|path| matches!(kind(path), Kind::Clip))
}

/// Whether a folder is one of the parts: by its name, and because the clips are one level further down.
fn as_part(folder: &Path) -> Option<Split> {
    part(&name(folder))
        .filter(|_| !holds_clips(folder) && folders(folder).iter().any(|class| holds_clips(class)))
}

pub(super) fn read(path: &Path, reading: &mut Reading) -> Result<(), DataError> {
    // Refuses what is no folder.
    let all: Vec<PathBuf> = entries(path)?;
    let below: Vec<PathBuf> = all.into_iter().filter(|path| path.is_dir()).collect();
    let parts: Vec<(Split, &PathBuf)> =
        below.iter().filter_map(|folder| Some((as_part(folder)?, folder))).collect();
    if parts.is_empty() {
        for class in &below {
            read_class(path, class, None, reading)?;
        }
    } else {
        for folder in &below {
            match as_part(folder) {
                Some(part) => {
                    for class in folders(folder) {
                        read_class(folder, &class, Some(part), reading)?;
                    }
                }
                None => reading.findings.add(LeftOut, "folders that stand for no part", folder.display()),
            }
        }
    }
    if reading.samples.is_empty() {
        let expected = "a folder for each class, with animated GIF files, Y4M files or folders of pictures";
        let found = match reading.found {
            0 => "no clip".to_string(),
            videos => format!("no clip, but {videos} videos of formats that are not read"),
        };
        let remedy = "turn videos into Y4M files: ffmpeg -i VIDEO CLASS/NAME.y4m";
        return Err(DataError::malformed(path, "the folder", expected, &found, remedy));
    }
    reading.labels = vec![(CLASS.into(), LabelKind::Class)];
    Ok(())
}

fn read_class(
    above: &Path,
    folder: &Path,
    part: Option<Split>,
    reading: &mut Reading,
) -> Result<(), DataError> {
    let before = reading.samples.len();
    for path in entries(folder)? {
        match kind(&path) {
            Kind::Clip => {
                reading.found += 1;
                let labels = BTreeMap::from([(CLASS.into(), Said::Class(name(folder)))]);
                // Names do not depend on the part, as those of photographs.
                let name = stem(above, &path).to_string_lossy().into_owned();
                let given = Given { video: Some(path), ..Given::default() };
                reading.samples.push(Found { name, given, part, labels });
            }
            Kind::Video => {
                reading.found += 1;
                let what = format!("videos in a format that is not read (.{})", ending(&path));
                reading.findings.add(LeftOut, &what, path.display());
            }
            Kind::Other => {
                reading.findings.add(LeftOut, "files and folders that are no clips", path.display())
            }
        }
    }
    if reading.samples.len() == before {
        reading.findings.add(Suspicious, "folders of classes without clips", folder.display());
    }
    Ok(())
}
