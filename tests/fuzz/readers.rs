//! The readers: how each makes sound files, and how it reads them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use cerberus::audio::{LogMel, LogMelConfig, Resampler, Sound, WavFormat, read_wav, write_wav};
use cerberus::data::idx::{IdxImages, write_images, write_labels};
use cerberus::data::{Batch, Dataset, IGNORED, Image, Label, LabelKind, PhotoOptions, Split};
use cerberus::nn::{Module, checkpoint};
use cerberus::tensor::Tensor;
use cerberus::train::{RunFolder, TrainConfig, load_model};
use cerberus_cli::settings::Settings;
use image::ImageFormat;

use crate::Part;
use crate::clips;
use crate::photos;

/// A reader of files.
pub struct Reader {
    pub name: &'static str,
    /// Valid sets of files.
    pub sets: fn() -> Vec<Vec<Part>>,
    /// Terms of the format, which damage inserts.
    pub words: &'static [&'static str],
    /// Reads the set in a folder; an error is the message that a user would get.
    pub read: fn(&Path) -> Result<(), String>,
}

const JSON: &[&str] =
    &["null", "true", "\"\"", "[]", "{}", "\\u0000", "\"counts\":", "\"size\":[30,40]", "\"id\":1,"];
const TOML: &[&str] =
    &["[[augment]]\n", "{}", "[]", "\"\"\"", " = ", "true", "nan", "1979-05-27", "\n", "inf"];
const TEXT: &[&str] = &[
    "\n", "\r\n", "\u{feff}", "\"", ";", ",", "\t", "-", "#", ": ", "train", "test", "nan", "inf", "&a ",
    "*a", "<<: *a", "|\n ",
];
const XML: &[&str] =
    &["<object>", "</object>", "<bndbox>", "&lt;", "&#0;", "<!--", "<![CDATA[", "<?xml", "<!DOCTYPE a ["];
const CHUNKS: &[&str] =
    &["IHDR", "IDAT", "PLTE", "tRNS", "IEND", "iCCP", "eXIf", "acTL", "VP8 ", "VP8L", "VP8X", "ALPH", "EXIF"];
const SEGMENTS: &[&str] = &["Exif\0\0MM\0*", "Exif\0\0II*\0", "Adobe", "ICC_PROFILE\0"];

macro_rules! picture {
    ($name:literal, $sets:expr) => {
        Reader { name: $name, sets: $sets, words: CHUNKS, read: read_picture }
    };
}

/// All readers.
pub static READERS: [Reader; 29] = [
    Reader {
        name: "idx",
        sets: || vec![idx("", <[u8]>::to_vec)],
        words: &[],
        read: |at| read(&format!("idx:{}", at.display())),
    },
    Reader {
        name: "idx-gzip",
        sets: || vec![idx(".gz", gzip)],
        words: &[],
        read: |at| read(&format!("idx:{}", at.display())),
    },
    Reader { name: "cifar", sets: || vec![cifar()], words: &[], read: read_photos },
    Reader { name: "coco", sets: photos::coco, words: JSON, read: read_photos },
    Reader { name: "run-lengths", sets: photos::run_lengths, words: JSON, read: read_photos },
    Reader { name: "panoptic", sets: photos::panoptic, words: JSON, read: read_photos },
    Reader { name: "yolo", sets: photos::yolo, words: TEXT, read: read_photos },
    Reader { name: "voc", sets: photos::voc, words: XML, read: read_photos },
    Reader { name: "table", sets: photos::table, words: TEXT, read: read_photos },
    Reader { name: "masks", sets: photos::masks, words: TEXT, read: read_photos },
    Reader { name: "pets", sets: photos::pets, words: TEXT, read: read_photos },
    Reader { name: "oxford", sets: photos::oxford, words: XML, read: read_photos },
    picture!("png", || pictures(ImageFormat::Png, &[PALETTE, GRAY16, ALPHA])),
    Reader {
        name: "jpeg",
        sets: || pictures(ImageFormat::Jpeg, &[BASELINE, PROGRESSIVE, CMYK, TURNED]),
        words: SEGMENTS,
        read: read_picture,
    },
    picture!("gif", || pictures(ImageFormat::Gif, &[ANIMATED])),
    picture!("bmp", || pictures(ImageFormat::Bmp, &[])),
    picture!("tiff", || pictures(ImageFormat::Tiff, &[])),
    picture!("webp", || pictures(ImageFormat::WebP, &[])),
    Reader {
        name: "wav",
        sets: sounds,
        words: &["RIFF", "WAVE", "fmt ", "data", "LIST", "INFO"],
        read: read_sound,
    },
    Reader { name: "clip-gif", sets: clips::gif, words: &["NETSCAPE2.0"], read: clips::read },
    Reader { name: "clip-y4m", sets: clips::y4m, words: clips::Y4M, read: clips::read },
    Reader { name: "clip-folder", sets: clips::folder, words: CHUNKS, read: clips::read },
    Reader { name: "clip-table", sets: clips::table, words: TEXT, read: clips::read_table },
    Reader { name: "ids", sets: photos::ids, words: CHUNKS, read: read_photos },
    Reader {
        name: "safetensors",
        sets: || vec![tensors()],
        words: &["F32", "F64", "BF16", "data_offsets", "[0,0]"],
        read: read_tensors,
    },
    Reader {
        name: "model",
        sets: || vec![model()],
        words: JSON,
        read: |at| load_model(&at.join("model")).map(drop).map_err(|e| e.to_string()),
    },
    Reader {
        name: "model-config",
        sets: || vec![described_model()],
        words: JSON,
        read: read_described_model,
    },
    Reader { name: "config", sets: || vec![config()], words: JSON, read: read_config },
    Reader { name: "toml", sets: || vec![settings()], words: TOML, read: read_settings },
];

const PALETTE: &[u8] = include_bytes!("../../crates/data/tests/pictures/palette.png");
const GRAY16: &[u8] = include_bytes!("../../crates/data/tests/pictures/gray16.png");
const ALPHA: &[u8] = include_bytes!("../../crates/data/tests/pictures/alpha.png");
const BASELINE: &[u8] = include_bytes!("../../crates/data/tests/pictures/baseline.jpg");
const PROGRESSIVE: &[u8] = include_bytes!("../../crates/data/tests/pictures/progressive.jpg");
const CMYK: &[u8] = include_bytes!("../../crates/data/tests/pictures/cmyk.jpg");
const TURNED: &[u8] = include_bytes!("../../crates/data/tests/pictures/exif6.jpg");
const ANIMATED: &[u8] = include_bytes!("../../crates/data/tests/pictures/animated.gif");

/// A file that gets damaged.
pub fn part(path: &str, bytes: impl Into<Vec<u8>>) -> Part {
    Part { path: path.into(), bytes: bytes.into(), damaged: true }
}

/// Opens data as a program does, and reads their samples.
fn read(name: &str) -> Result<(), String> {
    let options = PhotoOptions { size: [24, 32], repeats: 1, ..PhotoOptions::default() };
    let data = cerberus::data::open_photos(name, 1, &options).map_err(|error| error.to_string())?;
    read_samples(&*data)
}

/// Makes the first samples of each part.
pub fn read_samples(data: &dyn Dataset) -> Result<(), String> {
    data.info().accounts.iter().for_each(|account| drop(account.lines()));
    for split in [Split::Train, Split::Validation, Split::Test] {
        for index in 0..data.len(split).min(4) {
            let sample = data.sample(split, 0, index).map_err(|error| error.to_string())?;
            let batch = Batch::assemble(&[sample], vec![index]).expect("a sample fits into a batch");
            assert_sound(&batch, data);
        }
    }
    Ok(())
}

fn read_photos(folder: &Path) -> Result<(), String> {
    read(&folder.display().to_string())
}

/// Asserts that boxes lie in their picture, and that classes are among those of the data.
fn assert_sound(batch: &Batch, data: &dyn Dataset) {
    let info = data.info();
    for label in &info.labels {
        let classes = label.classes.len();
        for object in batch.objects_of(&label.name).into_iter().flatten().flatten() {
            assert!(object.class < classes, "class {} of {classes}", object.class);
            let [x1, y1, x2, y2] = object.bbox;
            let inside = 0.0 <= x1
                && x1 < x2
                && x2 <= info.width as f32
                && 0.0 <= y1
                && y1 < y2
                && y2 <= info.height as f32;
            assert!(inside && !object.area.is_nan(), "{object:?} in {}x{}", info.width, info.height);
        }
        for mask in batch.masks_of(&label.name).into_iter().flatten() {
            let known = |&id: &u16| usize::from(id) <= classes || id == IGNORED;
            assert!(mask.classes.iter().all(known), "a mask of {classes} classes");
        }
        if label.kind == LabelKind::Class {
            assert!(batch.classes_of(&label.name).into_iter().flatten().all(|class| class < classes));
        }
        assert!(batch.class_sets_of(&label.name).into_iter().flatten().all(|set| set.len() == classes));
    }
    let lists = batch.more.iter().flat_map(BTreeMap::values);
    let values =
        lists.filter_map(|label| if let Label::Values(values) = label { Some(values) } else { None });
    assert!(values.flatten().all(|value| !value.is_infinite()), "an infinite number");
}

/// Reads a picture by itself, and as one of a set.
fn read_picture(folder: &Path) -> Result<(), String> {
    let path = folder.join("some/picture");
    Image::read(&path).map_err(|error| error.to_string())?;
    read_photos(folder)
}

/// A picture of `side` rows and some more columns.
pub fn picture(side: u32) -> image::DynamicImage {
    let pixel = |x: u32, y: u32| image::Rgb([(x * 7) as u8, (y * 11) as u8, (x * y) as u8]);
    image::RgbImage::from_fn(side * 4 / 3, side, pixel).into()
}

/// A picture as a file of a format.
pub fn file(picture: &image::DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.write_to(&mut std::io::Cursor::new(&mut bytes), format).unwrap();
    bytes
}

/// Folders of two classes with a valid picture each; one of them is damaged.
fn pictures(format: ImageFormat, more: &[&[u8]]) -> Vec<Vec<Part>> {
    let colours = file(&picture(12), format);
    let gray = match format {
        // The encoder has no gray format.
        ImageFormat::Gif | ImageFormat::WebP => file(&picture(13).grayscale().to_rgba8().into(), format),
        _ => file(&picture(13).grayscale(), format),
    };
    let sound = |damaged: Vec<u8>| {
        let other = Part { damaged: false, ..part("other/picture", file(&picture(9), ImageFormat::Png)) };
        vec![part("some/picture", damaged), other]
    };
    let more = more.iter().map(|bytes| bytes.to_vec());
    [colours, gray].into_iter().chain(more).map(sound).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx(ending: &str, pack: fn(&[u8]) -> Vec<u8>) -> Vec<Part> {
    let mut parts = vec![part("classes.txt", "zero\none\ntwo\n")];
    for (name, count) in [("train", 20), ("t10k", 5)] {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        let pixels = (0..count * 30).map(|pixel| pixel as u8).collect();
        write_images(&IdxImages { count, height: 5, width: 6, pixels }, &mut images).unwrap();
        let classes: Vec<u8> = (0..count).map(|sample| (sample % 3) as u8).collect();
        write_labels(&classes, &mut labels).unwrap();
        parts.push(part(&format!("{name}-images-idx3-ubyte{ending}"), pack(&images)));
        parts.push(part(&format!("{name}-labels-idx1-ubyte{ending}"), pack(&labels)));
    }
    parts
}

fn cifar() -> Vec<Part> {
    let records = |seed: usize| -> Vec<u8> {
        (0..2 * 3073)
            .map(|byte| if byte % 3073 == 0 { (seed % 10) as u8 } else { (byte * seed) as u8 })
            .collect()
    };
    let names = (1..=5).map(|number| format!("data_batch_{number}.bin")).chain(["test_batch.bin".into()]);
    names.enumerate().map(|(seed, name)| part(&name, records(seed + 1))).collect()
}

/// The bytes of a file that `write` makes.
fn written(name: &str, write: impl FnOnce(&Path)) -> Vec<Part> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    write(&path);
    vec![part(name, std::fs::read(path).unwrap())]
}

/// Sounds of every format that is written.
fn sounds() -> Vec<Vec<Part>> {
    let channel: Vec<f32> = (0..400).map(|i| (i as f32 * 0.3).sin()).collect();
    let sound = Sound { rate: 8000, channels: vec![channel.clone(), channel] };
    let file = |format| written("sound.wav", |path| write_wav(path, &sound, format).unwrap());
    [WavFormat::Int16, WavFormat::Int24, WavFormat::Float32].map(file).into()
}

/// Reads a sound and makes features of it, as for a model.
fn read_sound(folder: &Path) -> Result<(), String> {
    let sound = read_wav(&folder.join("sound.wav")).map_err(|error| error.to_string())?;
    let samples = Resampler::new(sound.rate, 16000, &Default::default())?.process(&sound.mono());
    let log_mel = LogMel::<f32>::new(&LogMelConfig::new(16000, 40))?;
    assert_eq!(log_mel.compute(&samples).len(), log_mel.frames(samples.len()) * 40);
    Ok(())
}

fn tensors() -> Vec<Part> {
    let tensors = [("a.weight", vec![3, 4]), ("a.bias", vec![4]), ("b", vec![2, 0, 3]), ("c", vec![])];
    let tensors =
        tensors.map(|(name, shape)| (name.to_string(), Tensor::<f32>::from_fn(&shape, |i| i as f32)));
    let metadata = BTreeMap::from([("note".to_string(), "{\"a\": [1, 2]}".to_string())]);
    written("tensors", |path| checkpoint::save(path, &tensors, &metadata).unwrap())
}

fn read_tensors(folder: &Path) -> Result<(), String> {
    let file = checkpoint::load::<f32>(&folder.join("tensors")).map_err(|error| error.to_string())?;
    drop(file.under("a"));
    Ok(())
}

/// The configuration of a small model with a head of every common kind.
fn small() -> TrainConfig {
    let data = cerberus::data::open("fashion-scenes", 1).unwrap();
    let mut config = TrainConfig::for_data("fashion-scenes", data.info());
    config.model.stages = vec![vec![4], vec![4], vec![6]];
    config
}

fn model() -> Vec<Part> {
    let config = small();
    let model = cerberus::multitask::MultiTaskModel::new(&config.model, 1);
    let named = |(path, tensor)| (format!("model.{path}"), tensor);
    let tensors: Vec<(String, Tensor)> = model.tensors().into_iter().map(named).collect();
    let metadata = BTreeMap::from([("config".to_string(), serde_json::to_string(&config).unwrap())]);
    written("model", |path| checkpoint::save(path, &tensors, &metadata).unwrap())
}

/// A model file in which only the configuration gets damaged: most changes elsewhere break the file's header.
pub fn described_model() -> Vec<Part> {
    let model = model().into_iter().map(|part| Part { damaged: false, ..part });
    model.chain(config()).collect()
}

pub fn read_described_model(folder: &Path) -> Result<(), String> {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let (file, config) = (read("model"), read("config.json"));
    let end = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&file[8..end]).unwrap();
    header["__metadata__"]["config"] = String::from_utf8_lossy(&config).into();
    let header = serde_json::to_vec(&header).unwrap();
    let path = folder.join("described");
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, [&(header.len() as u64).to_le_bytes(), &header[..], &file[end..]].concat())
        .unwrap();
    load_model(&path).map(drop).map_err(|error| error.to_string())
}

fn settings() -> Vec<Part> {
    let text = "data = \"fashion-scenes\"\ntasks = [\"classify\"]\nepochs = 2\nlearning-rate = 1e-3\nsize = \"96x64\"\n\
                optimizer = \"sgd\"\nschedule = \"constant\"\nfreeze = [\"trunk\"]\nmap = [\"a=b\"]\ntrunk = \"4/4/4\"\n\
                [[augment]]\nname = \"mixup\"\nstrength = 0.5\n";
    vec![part("train.toml", text)]
}

/// Reads a file of settings and makes a configuration of it; the data that it names are not opened.
fn read_settings(folder: &Path) -> Result<(), String> {
    let scenes = cerberus::data::open("fashion-scenes", 1).map_err(|error| error.to_string())?;
    let settings =
        Settings::default().over_file(&folder.join("train.toml")).map_err(|error| error.to_string())?;
    settings.photos().map_err(|error| error.to_string())?;
    let settings = Settings { data: None, mix: Vec::new(), imbalance: Vec::new(), ..settings };
    let config = settings.config(&*scenes).map_err(|error| error.to_string())?;
    let _ = settings.completed(&config).to_toml();
    config.validate(scenes.info()).map_err(|error| error.to_string())
}

fn config() -> Vec<Part> {
    vec![part("config.json", serde_json::to_string_pretty(&small()).unwrap())]
}

fn read_config(folder: &Path) -> Result<(), String> {
    let config = RunFolder::read_config(folder).map_err(|error| error.to_string())?;
    config.validate_run().map_err(|error| error.to_string())?;
    config.model.check()
}
