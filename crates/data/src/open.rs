//! Opens a data set from the name that a user types.

use std::path::Path;
use std::sync::Arc;

use crate::{
    Cifar10, DataError, Dataset, FashionMnist, FashionScenes, IdxClasses, InputFileOptions, InputFiles,
    MovingScenes, MultiFashion, Obscured, Paired, PhotoOptions, Photos, Sounds,
};

const UNDERSTOOD: &str = "\"fashion-scenes\" (made from the embedded garments), \
    \"fashion-scenes-long-tail\" or \"fashion-scenes-long-tail:RATIO\" (the same with rare classes), \
    \"fashion-scenes:FOLDER\" or FOLDER with the four files of Fashion-MNIST (scenes made from those), \
    \"idx:FOLDER\" or FOLDER with other IDX files, such as MNIST's of any size (classification alone), \
    \"moving-scenes\" or \"moving-scenes:FRAMES\" (clips of scenes in which a garment moves), \
    \"multi-fashion\" or \"multi-fashion:FOLDER\" (pairs of garments, embedded or from those files), \
    \"clips:FOLDER\" or \"clips:FILE.csv\" (clips of any kind in folders of classes, or a table of them), \
    \"inputs:FILE.csv\" (a table with a column for each input and each label: pictures, recordings, clips, numbers), \
    \"sounds:FOLDER\" or FOLDER of .wav files in folders of classes or called CLASS_GROUP_NUMBER.wav, \
    \"digits:IDX_FOLDER,WAV_FOLDER\" (digits seen and heard: pictures and recordings of the same classes), \
    FOLDER with the binary batches of CIFAR-10, and photographs: FOLDER with labels.csv, images/ and \
    trimaps/ (Oxford-IIIT Pet), FOLDER with annotations.json or annotations/instances_*.json, or such a \
    FILE.json (COCO), the same with panoptic_*.json, FILE.yaml or FOLDER with one (YOLO, or folders of masks), \
    FOLDER with Annotations/ of .xml files and JPEGImages/, or with .xml files beside pictures (Pascal VOC), \
    FOLDER with annotations/list.txt and images/ (Oxford-IIIT Pet as distributed), FOLDER with a folder of \
    pictures for each class, FOLDER with images/ and masks/, and FILE.csv or FOLDER with one that has a column of pictures";

/// Opens a data set by name or folder.
///
/// | `name_or_path` | what opens |
/// |---|---|
/// | `fashion-scenes` | [`FashionScenes`] from the embedded garments |
/// | `fashion-scenes-long-tail`, `fashion-scenes-long-tail:RATIO` | the same [thinned](FashionScenes::with_long_tail), by default to a ratio of 100 |
/// | `fashion-scenes:FOLDER`, or a folder with Fashion-MNIST's files | [`FashionScenes`] from those |
/// | `idx:FOLDER`, or a folder with other IDX files | [`IdxClasses`]: classification alone |
/// | `moving-scenes`, `moving-scenes:FRAMES` | [`MovingScenes`] from the embedded garments |
/// | `multi-fashion`, `multi-fashion:FOLDER` | [`MultiFashion`] from the embedded garments, or Fashion-MNIST's files |
/// | `clips:FOLDER`, `clips:FILE.csv`, `inputs:FILE.csv` | [`InputFiles`], resized and held back as photographs are |
/// | `sounds:FOLDER`, `sounds:FOLDER,GROUP`, or a folder of WAV files | [`Sounds`], with this group for testing |
/// | `digits:IDX_FOLDER,WAV_FOLDER`, also with `,GROUP` | [`Paired`] digits seen, [made hard](Obscured), and heard |
/// | a folder with CIFAR-10's binary batches | [`Cifar10`] [with a validation split](Cifar10::with_validation) |
/// | a folder, JSON, YAML or CSV file of [photographs](crate::photos) | [`Photos`] with the default options |
///
/// `seed` decides the training scenes, and the augmentation of photographs.
///
/// # Errors
/// [`DataError::UnknownDataset`], which lists the above, when the name is none of them; the error of the file when the
/// folder is right but a file is not.
pub fn open(name_or_path: &str, seed: u64) -> Result<Arc<dyn Dataset>, DataError> {
    open_photos(name_or_path, seed, &PhotoOptions::default())
}

/// [`open`] with options for how photographs become samples; other data sets ignore `options`.
///
/// # Errors
/// Those of [`open`], and [`DataError::Option`] for an option out of range.
pub fn open_photos(
    name_or_path: &str,
    seed: u64,
    options: &PhotoOptions,
) -> Result<Arc<dyn Dataset>, DataError> {
    let scenes = |folder: &Path| -> Result<Arc<dyn Dataset>, DataError> {
        Ok(Arc::new(FashionScenes::new(seed, Arc::new(FashionMnist::from_folder(folder)?))))
    };
    if name_or_path == "fashion-scenes" {
        return Ok(Arc::new(FashionScenes::embedded(seed)));
    }
    if let Some(rest) = name_or_path.strip_prefix("fashion-scenes-long-tail") {
        // A ratio that is not a number is refused like one out of range.
        let ratio = if rest.is_empty() { Some(100.0) } else { rest.strip_prefix(':').map(parse_ratio) };
        if let Some(ratio) = ratio {
            return Ok(Arc::new(FashionScenes::embedded(seed).with_long_tail(ratio)?));
        }
    }
    if let Some(folder) = name_or_path.strip_prefix("fashion-scenes:") {
        return scenes(Path::new(folder));
    }
    if let Some(rest) = name_or_path.strip_prefix(MovingScenes::NAME) {
        let frames = if rest.is_empty() {
            Some(crate::moving::FRAMES)
        } else {
            rest.strip_prefix(':').map(|count| count.parse().unwrap_or(0))
        };
        if let Some(frames) = frames {
            return Ok(Arc::new(MovingScenes::embedded(seed).with_frames(frames)?));
        }
    }
    if name_or_path == MultiFashion::NAME {
        return Ok(MultiFashion::embedded());
    }
    if let Some(folder) = name_or_path.strip_prefix("multi-fashion:") {
        let source = FashionMnist::from_folder(Path::new(folder))?;
        return Ok(Arc::new(MultiFashion::new(Arc::new(source))?));
    }
    if let Some(folder) = name_or_path.strip_prefix("idx:") {
        return Ok(Arc::new(IdxClasses::from_folder(Path::new(folder))?));
    }
    if let Some(rest) = name_or_path.strip_prefix("digits:") {
        return digits(name_or_path, rest, seed);
    }
    if let Some(path) = InputFiles::path_in(name_or_path) {
        let PhotoOptions { size, fit, hold_back, .. } = *options;
        let options = InputFileOptions { size, fit, hold_back, ..InputFileOptions::default() };
        return Ok(Arc::new(InputFiles::open(path, seed, options)?));
    }
    if let Some(rest) = name_or_path.strip_prefix("sounds:") {
        let (folder, group) =
            rest.split_once(',').map_or((rest, None), |(folder, group)| (folder, Some(group)));
        return Ok(Arc::new(Sounds::open(Path::new(folder), group, seed)?));
    }
    let folder = Path::new(name_or_path);
    // Files with these names but another image size are another set, such as an enlarged MNIST.
    if FashionMnist::is_in(folder) && !IdxClasses::has_other_sizes(folder) {
        return scenes(folder);
    }
    if Cifar10::find(folder).is_some() {
        return Ok(Arc::new(Cifar10::from_folder(folder)?.with_validation()));
    }
    if IdxClasses::is_in(folder) {
        return Ok(Arc::new(IdxClasses::from_folder(folder)?));
    }
    if Photos::is_at(folder) {
        return Ok(Arc::new(Photos::open(folder, seed, options.clone())?));
    }
    if folder.is_dir() && Sounds::is_at(folder) {
        return Ok(Arc::new(Sounds::open(folder, None, seed)?));
    }
    let reason = match (folder.is_dir(), folder.exists()) {
        (true, _) => match Photos::descriptions_in(folder)[..] {
            [] | [_] => "the folder holds the files of none".into(),
            ref several => {
                let names: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
                format!("the folder holds several descriptions: give one of {}", names.join(", "))
            }
        },
        (false, true) => "it is a file, not a folder".into(),
        (false, false) => "no such name, no such folder".into(),
    };
    Err(DataError::UnknownDataset { name: name_or_path.into(), reason, understood: UNDERSTOOD })
}

/// Digits seen and heard: pictures from IDX files, made hard, and recordings.
fn digits(name: &str, rest: &str, seed: u64) -> Result<Arc<dyn Dataset>, DataError> {
    let parts: Vec<&str> = rest.split(',').collect();
    let (seen, heard, group) = match parts[..] {
        [seen, heard] => (seen, heard, None),
        [seen, heard, group] => (seen, heard, Some(group)),
        _ => {
            return Err(DataError::UnknownDataset {
                name: name.into(),
                reason: "it does not name two folders".into(),
                understood: "\"digits:IDX_FOLDER,WAV_FOLDER\" and \"digits:IDX_FOLDER,WAV_FOLDER,SPEAKER\", where the \
                             speaker is kept for testing",
            });
        }
    };
    let seen =
        Arc::new(Obscured::new(Arc::new(IdxClasses::from_folder(Path::new(seen))?), PIXEL_NOISE, seed)?);
    let heard = Arc::new(Sounds::open(Path::new(heard), group, seed)?);
    Ok(Arc::new(Paired::new("digits", seen, heard, seed)?))
}

/// The noise in the pictures of digits.
const PIXEL_NOISE: f64 = 0.25;

fn parse_ratio(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}
