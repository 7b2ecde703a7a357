//! Decoded pictures on disk: a photo is decoded and shrunk once, and from then on read as bytes.
//!
//! Each picture is kept at the size that training needs: at most [twice](super::prepare::reduced) its size in a sample,
//! so that a crop of half its sides is not enlarged, and never above its own size. It is an uncompressed PPM file,
//! which any viewer shows. Its name is a digest of its [key](Cache::key): path, length and modification time of the
//! photo's file, the orientation in which it is read, and the rows and columns that are kept. The file contains the key
//! as well. An entry is valid only if its header and length are exactly as expected. An entry for a photo that has
//! changed, for other options, or one that is truncated is not valid and is written again.
//!
//! Entries are written under a temporary name and renamed, so several programs may share a folder. If the folder is not
//! writable, there is one warning, and the run continues without the cache.

use std::fs;
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use super::Photo;
use super::digest::fnv;
use crate::Image;

/// Must change when the same photo would give other bytes.
const VERSION: u32 = 1;

/// A folder of decoded pictures.
pub(super) struct Cache {
    folder: PathBuf,
    /// Whether writing failed, which is reported once.
    refused: AtomicBool,
    /// Distinguishes the files that one program writes at the same time.
    written: AtomicU64,
}

/// An entry: its path and its expected header.
pub(super) struct Entry {
    path: PathBuf,
    head: String,
    size: [usize; 2],
}

impl Cache {
    pub fn new(folder: &Path) -> Cache {
        Cache { folder: folder.into(), refused: AtomicBool::new(false), written: AtomicU64::new(0) }
    }

    /// The entry of a photo that is kept as `size` rows and columns; `None` if the system does not know when its file
    /// changed.
    pub fn entry(&self, photo: &Photo, size: [usize; 2]) -> Option<Entry> {
        let key = key(photo, size).ok()?;
        let name = format!("{:016x}.ppm", fnv(key.as_bytes()));
        // 256 folders: some systems are slow with many files in one.
        let path = self.folder.join(&name[..2]).join(name);
        Some(Entry { path, head: format!("P6\n# {key}\n{} {}\n255\n", size[1], size[0]), size })
    }

    /// Writes a picture to its entry, if possible.
    pub fn keep(&self, entry: &Entry, image: &Image) {
        if self.refused.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.write(entry, image)
            && !self.refused.swap(true, Ordering::Relaxed)
        {
            let folder = self.folder.display();
            eprintln!(
                "warning: cannot keep decoded pictures in {folder}: {error}; going on without (--cache)"
            );
        }
    }

    fn write(&self, entry: &Entry, image: &Image) -> io::Result<()> {
        let folder = entry.path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!(".{}-{number}.tmp", std::process::id()));
        let bytes = [entry.head.as_bytes(), &image.pixels].concat();
        let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, &entry.path));
        if written.is_err() {
            // Only the first error is reported.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

impl Entry {
    /// The picture, if the entry is valid.
    pub fn read(&self) -> Option<Image> {
        let [height, width] = self.size;
        let mut bytes = fs::read(&self.path).ok()?;
        let sound =
            bytes.starts_with(self.head.as_bytes()) && bytes.len() == self.head.len() + height * width * 3;
        bytes.drain(..self.head.len().min(bytes.len()));
        sound.then(|| Image { height, width, channels: 3, pixels: bytes.into() })
    }
}

/// Everything that the kept bytes depend on, as one line.
fn key(photo: &Photo, size: [usize; 2]) -> io::Result<String> {
    let data = fs::metadata(&photo.path)?;
    let changed = data.modified()?.duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_nanos();
    let path = absolute(&photo.path)?;
    // Debug formatting escapes the path, so it contains no line break.
    Ok(format!("{VERSION} {path:?} {} {changed} {:?} {:?} {size:?}", data.len(), photo.turn, photo.size))
}
