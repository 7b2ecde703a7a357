//! Predictions for a sample of several inputs, and for clips frame by frame.
//!
//! Every frame of a clip is looked at as the last of as many frames as the model takes; the first is repeated where there
//! are fewer. What happens in the clip as a whole is told from frames spread evenly over it. Boxes that are the same thing
//! from frame to frame have the same track.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cerberus::audio::fit;
use cerberus::data::{
    Batch, Clip, ClipOptions, Image, Input, Pixels, Placement, Sample, open_clip, read_recording,
};
use cerberus::draw::{RgbImage, comfortable_scale, encode_png, overlay, to_rgb};
use cerberus::metrics::tracking::{Tracker, TrackerOptions};
use cerberus::multitask::senses::{EncoderConfig, InputConfig};
use cerberus::multitask::{HeadConfig, MultiTaskModel, Prediction};
use cerberus::nn::files::write_atomically;
use cerberus::train::{TrainConfig, TrainError, annotate, drawn_names, picture_of};
use serde_json::{Value, json};

use crate::found::to_json;
use crate::look::brought_back;
use crate::shell::{make_folder, write_json};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The files of one sample; those that are absent are missing inputs.
#[derive(Default)]
pub(crate) struct Files {
    pub image: Option<PathBuf>,
    pub audio: Option<PathBuf>,
    pub video: Option<PathBuf>,
}

impl Files {
    pub fn is_empty(&self) -> bool {
        self.image.is_none() && self.audio.is_none() && self.video.is_none()
    }

    fn named(&self) -> [(&'static str, Option<&PathBuf>); 3] {
        [("image", self.image.as_ref()), ("audio", self.audio.as_ref()), ("video", self.video.as_ref())]
    }
}

/// A model and how its inputs are made.
pub(crate) struct Senses<'a> {
    pub config: &'a TrainConfig,
    pub model: &'a MultiTaskModel,
    /// Objects less certain are left out.
    pub threshold: f32,
}

/// Frames that are predicted at once.
const TOGETHER: usize = 16;

impl Senses<'_> {
    /// The input of this sense.
    fn input(&self, sense: &str) -> Option<&InputConfig> {
        self.config.model.inputs.iter().find(|input| input.sense() == sense)
    }

    /// How many frames the model looks at; 1 for a model of images.
    fn frames(&self) -> Option<usize> {
        match self.input("video").map(|input| &input.encoder) {
            Some(EncoderConfig::Clip { frames, .. }) => Some(*frames),
            _ if self.config.model.inputs.is_empty() || self.input("image").is_some() => Some(1),
            _ => None,
        }
    }

    /// Whether the model can use all of the files.
    fn check(&self, files: &Files) -> Result<(), Failure> {
        let senses: Vec<&str> = match &self.config.model.inputs[..] {
            [] => vec!["image"],
            inputs => inputs.iter().map(InputConfig::sense).collect(),
        };
        for (sense, file) in files.named() {
            let by_frames = sense == "video" && self.frames().is_some() && files.image.is_none();
            if file.is_some() && !senses.contains(&sense) && !by_frames {
                let known: Vec<String> = senses.iter().map(|sense| format!("--{sense}")).collect();
                let problem = format!("the model has no input for --{sense}; it takes {}", known.join(", "));
                return Err(TrainError::Option(problem).into());
            }
        }
        Ok(())
    }

    /// The sound of a file as the model's input.
    fn sound(&self, path: &Path) -> Result<Option<(String, Input)>, Failure> {
        let Some(input) = self.input("audio") else { return Ok(None) };
        let (rate, len) = match &input.encoder {
            EncoderConfig::LogMel { len, mel, .. } => (mel.rate, *len),
            EncoderConfig::Waveform { len, rate, .. } => (*rate, *len),
            _ => return Ok(None),
        };
        let samples = read_recording(path, rate)?;
        Ok(Some((input.name.clone(), Input::Sound(fit(&samples, len, 0.5).into()))))
    }

    /// A frame or picture in the model's size, and where it lies there.
    fn place(&self, picture: &Image) -> (Image, Placement) {
        let [height, width, channels] = self.config.model.image;
        let placement = Placement::new(self.config.fit(), [picture.height, picture.width], [height, width]);
        (channels_of(placement.place(picture), channels), placement)
    }

    /// Every task's prediction for each sample; `None` for a task that lacks what it needs.
    fn predict(
        &self,
        samples: &[Sample],
        placement: Option<&Placement>,
    ) -> Result<Vec<Vec<Option<Prediction>>>, Failure> {
        let batch = Batch::assemble(samples, (0..samples.len()).collect())?;
        let predictions = self.model.predict(&batch);
        let mut all = vec![Vec::new(); samples.len()];
        for (task, predictions) in predictions.into_iter().enumerate() {
            let answered = self.model.answerable(task, &batch);
            for (place, prediction) in predictions.into_iter().enumerate() {
                let brought = match placement {
                    Some(placement) => brought_back(prediction, placement, self.threshold),
                    None => prediction,
                };
                all[place].push(answered.binary_search(&place).is_ok().then_some(brought));
            }
        }
        Ok(all)
    }

    fn heads(&self) -> &[HeadConfig] {
        &self.config.model.heads
    }

    /// The predictions of those tasks that answered.
    fn answered<'a>(
        &'a self,
        predictions: &'a [Option<Prediction>],
    ) -> Vec<(&'a HeadConfig, &'a Prediction)> {
        let pairs = self.heads().iter().zip(predictions);
        pairs.filter_map(|(head, prediction)| Some((head, prediction.as_ref()?))).collect()
    }

    /// Predicts for the sample of these files; writes what is told, and pictures, to `out` under `name`.
    pub fn look(&self, files: &Files, out: Option<(&Path, &str)>) -> Result<Value, Failure> {
        self.check(files)?;
        let mut sample = Sample::default();
        if let Some(path) = &files.audio {
            sample.inputs.extend(self.sound(path)?);
        }
        let mut seen = None;
        if let Some(path) = &files.image {
            let picture = Image::read(path)?;
            let (placed, placement) = self.place(&picture);
            sample.image = placed;
            seen = Some((picture, placement));
        }
        let given =
            files.named().into_iter().filter_map(|(sense, file)| Some((sense, file?.display().to_string())));
        let given: BTreeMap<&str, String> = given.collect();
        if let Some(path) = &files.video {
            let clip = open_clip(path, &ClipOptions::default())?;
            return self.watch(&clip, &sample, given, out);
        }
        let predictions =
            self.predict(std::slice::from_ref(&sample), seen.as_ref().map(|(_, placement)| placement))?;
        let answered = self.answered(&predictions[0]);
        let whole = seen.as_ref().map(|(picture, _)| picture);
        let mut told = self.told(&answered, whole);
        told["inputs"] = json!(given);
        if let Some((out, name)) = out {
            write_json(&out.join(format!("{name}.json")), &told)?;
            let size = seen.as_ref().map_or([0, 0], |(_, placement)| placement.covered);
            let rgb = whole.map_or_else(|| picture_of(&sample), to_rgb);
            write_atomically(
                &out.join(format!("{name}.png")),
                &encode_png(&self.drawn(&rgb, &answered, size))?,
            )?;
        }
        Ok(told)
    }

    /// What the tasks answer, without a picture's path and size.
    fn told(&self, answered: &[(&HeadConfig, &Prediction)], picture: Option<&Image>) -> Value {
        let none = Image::missing();
        let mut told = to_json(Path::new(""), picture.unwrap_or(&none), answered);
        if let Some(fields) = told.as_object_mut() {
            fields.remove("image");
            if picture.is_none() {
                fields.remove("width");
                fields.remove("height");
            }
        }
        told
    }

    fn drawn(&self, rgb: &RgbImage, answered: &[(&HeadConfig, &Prediction)], size: [usize; 2]) -> RgbImage {
        let annotated = annotate(answered, size, None, 0.0);
        let scale = comfortable_scale(rgb.width(), rgb.height());
        overlay(rgb, &annotated, &drawn_names(&self.heads().iter().collect::<Vec<_>>()), scale)
    }

    /// Predicts for every frame of a clip and for the clip as a whole.
    fn watch(
        &self,
        clip: &Clip,
        base: &Sample,
        given: BTreeMap<&str, String>,
        out: Option<(&Path, &str)>,
    ) -> Result<Value, Failure> {
        let count = self.frames().unwrap_or(1);
        let own = self.input("video").map(|input| input.name.clone());
        let placed: Vec<(Image, Placement)> = clip.frames.iter().map(|frame| self.place(frame)).collect();
        let Some((_, placement)) = placed.first() else { return Err("a clip without frames".into()) };
        // The sample whose clip is made of these frames.
        let sample = |frames: &[usize]| {
            let mut sample = base.clone();
            match &own {
                None => sample.image = placed[frames[frames.len() - 1]].0.clone(),
                Some(name) => {
                    let frames: Arc<[Image]> = frames.iter().map(|&frame| placed[frame].0.clone()).collect();
                    sample.inputs.insert(name.clone(), Input::Clip(frames));
                }
            }
            sample
        };
        let all = placed.len();
        let windows: Vec<Vec<usize>> = (0..all)
            .map(|last| (0..count).map(|place| (last + place + 1).saturating_sub(count)).collect())
            .collect();
        let mut frames = Vec::with_capacity(all);
        for windows in windows.chunks(TOGETHER) {
            let samples: Vec<Sample> = windows.iter().map(|window| sample(window)).collect();
            frames.extend(self.predict(&samples, Some(placement))?);
        }
        let mut told = json!({"inputs": given, "frames": all, "rate": clip.rate});
        // The middle frames of as many parts as the model takes frames.
        let spread: Vec<usize> =
            (0..count).map(|part| ((2 * part + 1) * all / (2 * count)).min(all - 1)).collect();
        let whole = self.predict(&[sample(&spread)], Some(placement))?;
        let in_places = |prediction: &Prediction| {
            matches!(prediction, Prediction::Objects(_) | Prediction::Mask(_) | Prediction::ValueMap(_))
        };
        let mut answered = self.answered(&whole[0]);
        answered.retain(|(_, prediction)| !in_places(prediction));
        if let (Some(told), Value::Object(whole)) = (told.as_object_mut(), self.told(&answered, None)) {
            told.extend(whole);
        }
        let mut trackers: Vec<Tracker> =
            self.heads().iter().map(|_| Tracker::new(TrackerOptions::default())).collect();
        let mut lines = Vec::with_capacity(all);
        for (number, (frame, predictions)) in clip.frames.iter().zip(&frames).enumerate() {
            let mut line = self.told(&self.answered(predictions), Some(frame));
            line["frame"] = json!(number);
            for ((head, prediction), tracker) in self.heads().iter().zip(predictions).zip(&mut trackers) {
                let Some(Prediction::Objects(objects)) = prediction else { continue };
                let boxes: Vec<_> = objects.iter().map(|object| object.bbox).collect();
                let classes: Vec<usize> = objects.iter().map(|object| object.class).collect();
                let tracks = tracker.update(&boxes, &classes);
                let listed = line[&head.name].as_array_mut().into_iter().flatten();
                listed.zip(tracks).for_each(|(object, track)| object["track"] = json!(track));
            }
            lines.push(line);
        }
        told["each"] = json!(lines);
        if let Some((out, name)) = out {
            write_json(&out.join(format!("{name}.json")), &told)?;
            let folder = out.join(format!("{name}.frames"));
            make_folder(&folder)?;
            let mut drawn = Vec::with_capacity(all);
            for (number, (frame, predictions)) in clip.frames.iter().zip(&frames).enumerate() {
                let picture = self.drawn(&to_rgb(frame), &self.answered(predictions), placement.covered);
                write_atomically(&folder.join(format!("{:05}.png", number + 1)), &encode_png(&picture)?)?;
                drawn.push(image_of(&picture));
            }
            let film = Clip { frames: drawn, rate: clip.rate };
            write_atomically(&out.join(format!("{name}.gif")), &film.to_gif()?)?;
        }
        Ok(told)
    }
}

/// A picture with as many channels as the model takes: the mean of three, or one three times.
fn channels_of(image: Image, channels: usize) -> Image {
    let (Pixels::Bytes(bytes), true) = (&image.pixels, image.channels != channels) else { return image };
    let pixels: Vec<u8> = match (image.channels, channels) {
        (3, 1) => bytes
            .chunks_exact(3)
            .map(|p| ((u32::from(p[0]) + u32::from(p[1]) + u32::from(p[2]) + 1) / 3) as u8)
            .collect(),
        (1, _) => bytes.iter().flat_map(|&value| std::iter::repeat_n(value, channels)).collect(),
        _ => return image,
    };
    Image { channels, pixels: pixels.into(), ..image }
}

fn image_of(picture: &RgbImage) -> Image {
    let [height, width] = [picture.height() as usize, picture.width() as usize];
    Image { height, width, channels: 3, pixels: picture.as_raw().clone().into() }
}

/// The name of a sample's output files: that of the first file that is given.
pub(crate) fn name_of(files: &Files) -> String {
    let first = [&files.video, &files.image, &files.audio].into_iter().flatten().next();
    let stem = first.and_then(|path| path.file_stem());
    stem.map_or_else(|| "sample".into(), |stem| stem.to_string_lossy().into_owned())
}
