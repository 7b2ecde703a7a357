//! Decoded pictures on disk are used if, and only if, they match the file.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};

use super::made::{picture, write};
use crate::{Dataset, PhotoOptions, Photos, Sample, Split};

/// Two classes with one photo each; samples are so small that photos are shrunk first.
fn set() -> TempDir {
    let set = tempdir().unwrap();
    write(set.path(), "cat/a.png", picture(1));
    write(set.path(), "dog/b.png", picture(2));
    set
}

/// The samples of an epoch, with the photos kept in `cache`.
fn samples(set: &Path, cache: Option<&Path>) -> Vec<Sample> {
    let cache = cache.map(Path::to_path_buf);
    let options = PhotoOptions { size: [9, 8], repeats: 2, cache, ..PhotoOptions::default() };
    let photos = Photos::open(set, 1, options).unwrap();
    (0..4).map(|index| photos.sample(Split::Train, 0, index).unwrap()).collect()
}

fn entries(cache: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(cache).unwrap().map(|folder| folder.unwrap().path());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn samples_are_the_same_without_a_cache_and_when_it_fills_and_when_it_is_full() {
    let (set, cache) = (set(), tempdir().unwrap());
    let plain = samples(set.path(), None);
    assert_eq!(samples(set.path(), Some(cache.path())), plain);
    assert_eq!(entries(cache.path()).len(), 2);
    assert_eq!(samples(set.path(), Some(cache.path())), plain);
    assert_eq!(entries(cache.path()).len(), 2);
}

#[test]
fn kept_pictures_are_read_instead_of_the_photos() {
    let (set, cache) = (set(), tempdir().unwrap());
    let plain = samples(set.path(), Some(cache.path()));
    for entry in entries(cache.path()) {
        let mut bytes = fs::read(&entry).unwrap();
        let head = bytes.len() - 24 * 18 * 3;
        assert!(
            bytes.starts_with(b"P6\n") && bytes[..head].ends_with(b"\n24 18\n255\n"),
            "a picture of 24x18"
        );
        bytes[head..].fill(0);
        fs::write(entry, bytes).unwrap();
    }
    assert_ne!(samples(set.path(), Some(cache.path())), plain);
}

#[test]
fn entries_of_changed_photos_other_options_and_broken_off_ones_are_not_used() {
    let (set, cache) = (set(), tempdir().unwrap());
    let plain = samples(set.path(), Some(cache.path()));
    for entry in entries(cache.path()) {
        let bytes = fs::read(&entry).unwrap();
        fs::write(entry, &bytes[..bytes.len() - 1]).unwrap();
    }
    assert_eq!(samples(set.path(), Some(cache.path())), plain);
    write(set.path(), "cat/a.png", picture(77));
    let changed = samples(set.path(), Some(cache.path()));
    assert_ne!(changed, plain);
    assert_eq!(changed, samples(set.path(), None));
    let larger = PhotoOptions {
        size: [12, 12],
        repeats: 1,
        cache: Some(cache.path().into()),
        ..PhotoOptions::default()
    };
    let photos = Photos::open(set.path(), 1, larger.clone()).unwrap();
    let without = Photos::open(set.path(), 1, PhotoOptions { cache: None, ..larger }).unwrap();
    assert_eq!(photos.sample(Split::Train, 0, 0).unwrap(), without.sample(Split::Train, 0, 0).unwrap());
}

#[test]
fn a_folder_that_cannot_be_written_to_changes_nothing() {
    let set = set();
    let file = set.path().join("cat/a.png");
    assert_eq!(samples(set.path(), Some(&file)), samples(set.path(), None));
}
