//! Makes folders for the tests, and checks what their account says.

use std::fs;
use std::path::Path;

use super::super::{PhotoOptions, Photos};
use crate::{Account, DataError, Dataset, FindingKind, Image, Sample, Split};

/// A PNG of 40x30 pixels (width x height), different for every seed below 128.
pub fn picture(seed: u8) -> Vec<u8> {
    let pixels: Vec<u8> = (0..40 * 30 * 3).map(|p| (p as u8).wrapping_mul(2 * seed + 1)).collect();
    Image { height: 30, width: 40, channels: 3, pixels: pixels.into() }.to_png().unwrap()
}

/// A gray PNG of 40x30 pixels: its left `columns` columns hold one number and the rest another.
pub fn halves(columns: usize, [left, right]: [u8; 2]) -> Vec<u8> {
    let ids: Vec<u8> = (0..40 * 30).map(|place| if place % 40 < columns { left } else { right }).collect();
    Image { height: 30, width: 40, channels: 1, pixels: ids.into() }.to_png().unwrap()
}

pub fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub fn options() -> PhotoOptions {
    PhotoOptions { size: [40, 40], repeats: 1, augment: 0.0, ..PhotoOptions::default() }
}

pub fn open(path: &Path) -> Result<Photos, DataError> {
    Photos::open(path, 1, options())
}

/// Opens a folder with the given format.
pub fn open_as(format: &str, path: &Path) -> Result<Photos, DataError> {
    Photos::open(path, 1, PhotoOptions { format: Some(format.into()), ..options() })
}

pub fn account(photos: &Photos) -> &Account {
    &photos.info().accounts[0]
}

/// How often the account reports this, or 0.
pub fn told(photos: &Photos, kind: FindingKind, what: &str) -> usize {
    let findings = account(photos).findings.iter();
    findings.filter(|f| f.kind == kind && f.what.contains(what)).map(|f| f.count).sum()
}

pub fn refused(path: &Path, words: &[&str]) {
    let message = open(path).err().expect("it must be refused").to_string();
    assert!(words.iter().all(|word| message.contains(word)), "{message} lacks one of {words:?}");
}

/// The numbers of training, validation and test pictures.
pub fn parts(photos: &Photos) -> [usize; 3] {
    [Split::Train, Split::Validation, Split::Test].map(|split| photos.len(split))
}

pub fn first(photos: &Photos) -> Sample {
    photos.sample(Split::Train, 0, 0).unwrap()
}
