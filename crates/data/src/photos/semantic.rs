//! Masks beside COCO's JSON: gray or paletted PNGs that hold category ids.
//!
//! They are in `semantic_NAME/` for `instances_NAME.json`, in `semantic/NAME/`, or in `semantic/`, beside the file or
//! one level up, and have the names of their pictures. 0 is background, and 255 is ignored unless it is a category.
//! Folders with other names are not read, such as `stuffthingmaps`, whose numbers are ids minus one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::MaskSource;
use super::files::{self, ByStem};
use super::painted::{Code, same_size};
use super::reading::Reading;
use crate::FindingKind::LabelLeftOut;
use crate::image_file::Header;
use crate::{ClassId, DataError, IGNORED};

/// Assigns the masks beside `json` to the photos from `start` on. Returns whether there are any.
///
/// # Errors
/// [`DataError`] when a mask is damaged, or of another size than its picture.
pub(super) fn read(
    json: &Path,
    of: &BTreeMap<i64, usize>,
    start: usize,
    reading: &mut Reading,
) -> Result<bool, DataError> {
    let beside = json.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stem = json.file_stem().map_or(String::new(), |stem| stem.to_string_lossy().into_owned());
    let name = stem.rsplit_once('_').map_or(stem.as_str(), |(_, name)| name);
    let folders = [beside.to_path_buf(), beside.join("..")].into_iter().flat_map(|base| {
        [base.join(format!("semantic_{name}")), base.join("semantic").join(name), base.join("semantic")]
    });
    let Some(folder) = folders.into_iter().find(|folder| folder.is_dir()) else { return Ok(false) };
    let mut masks = ByStem::new(&folder, &["png"])?;
    if masks.len() == 0 {
        return Ok(false);
    }
    let mut classes = BTreeMap::from([(0, 0), (255, IGNORED)]);
    let own = of.iter().filter_map(|(&id, &class)| Some((u32::try_from(id).ok()?, class as ClassId + 1)));
    classes.extend(own);
    let code = Arc::new(Code {
        colours: false,
        classes,
        expected: format!("the id of a category of {}", json.display()),
        remedy: "add the category to the file, or mend the mask",
    });
    for photo in &mut reading.photos[start..] {
        let name = Path::new(&photo.name).file_name().unwrap_or_default();
        let mask = files::as_written(&photo.name).last().and_then(|name| {
            let path = Path::new(name).with_extension("");
            masks.take(path.as_os_str()).or_else(|| masks.take(path.file_name()?))
        });
        photo.mask = match mask {
            Some(mask) => {
                same_size(&mask, photo.size, Header::read(&mask)?.stored)?;
                MaskSource::Painted(mask, Arc::clone(&code))
            }
            None => {
                // Its outlines alone would wrongly mean that there is no stuff.
                let what = "masks of pictures for which there is no semantic PNG although others have one";
                reading.findings.add(LabelLeftOut, what, name.to_string_lossy());
                MaskSource::Missing
            }
        };
    }
    // If several files share the folder, the remaining masks belong to another file.
    for mask in masks.left().filter(|_| !folder.ends_with("semantic")) {
        reading.findings.add(LabelLeftOut, "masks that belong to no picture", mask.display());
    }
    Ok(true)
}
