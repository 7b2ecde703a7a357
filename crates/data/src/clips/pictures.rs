//! A folder of pictures as a clip.

use std::path::{Path, PathBuf};

use super::film::{Film, check_size};
use super::natural;
use crate::image_file::Header;
use crate::photos::files::{entries, is_picture};
use crate::{DataError, Image};

const REMEDY: &str = "put all frames of one clip into the folder, and nothing else";

/// The pictures of a folder.
pub(super) struct Pictures {
    paths: Vec<PathBuf>,
    size: [usize; 2],
    rate: f64,
}

impl Pictures {
    pub fn open(folder: &Path, rate: f64) -> Result<Pictures, DataError> {
        let mut paths: Vec<PathBuf> =
            entries(folder)?.into_iter().filter(|path| path.is_file() && is_picture(path)).collect();
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        paths.sort_by(|a, b| natural::compare(&name(a), &name(b)));
        let Some(first) = paths.first() else {
            let expected = "pictures, one for each frame";
            return Err(DataError::malformed(folder, "the folder", expected, "none", REMEDY));
        };
        let size = Header::read(first)?.upright;
        check_size(first, size)?;
        Ok(Pictures { paths, size, rate })
    }
}

impl Film for Pictures {
    fn size(&self) -> [usize; 2] {
        self.size
    }

    fn ends(&self) -> Vec<f64> {
        (1..=self.paths.len()).map(|end| end as f64 / self.rate).collect()
    }

    fn read(&mut self, numbers: &[usize], keep: &mut dyn FnMut(Image)) -> Result<(), DataError> {
        for &number in numbers {
            let path = &self.paths[number];
            let ([rows, columns], first) = (self.size, self.paths[0].display());
            let found = Header::read(path)?.upright;
            if found != self.size {
                let expected = format!("{columns}x{rows} pixels, as in {first}");
                let found = format!("{}x{}", found[1], found[0]);
                return Err(DataError::malformed(path, "the picture", &expected, &found, REMEDY));
            }
            keep(Image::read(path)?);
        }
        Ok(())
    }
}
