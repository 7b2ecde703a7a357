//! Which inputs a model has, how each is encoded, and how they are joined.

use cerberus_audio::LogMelConfig;
use cerberus_audio::augment::SpecAugment;
use cerberus_data::{AUDIO, DatasetInfo, IMAGE, InputFiles, InputKind, VIDEO};
use serde::{Deserialize, Serialize};

/// The most channels of an image or a convolution: a file with more is damaged.
pub(crate) const MOST_CHANNELS: usize = 1 << 14;

/// The most frames of a clip.
const MOST_FRAMES: usize = 256;
/// The bands of the usual spectrogram.
const BANDS: usize = 40;
/// The most samples of a sound.
const MOST_SAMPLES: usize = 1 << 24;

/// An input of a model: its name in the data, and its encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputConfig {
    /// The input's name, a key of [`Sample::inputs`](cerberus_data::Sample::inputs), or [`IMAGE`].
    pub name: String,
    /// How it is encoded.
    pub encoder: EncoderConfig,
}

/// The encoder of an input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EncoderConfig {
    /// The model's trunk of images.
    Image,
    /// A clip of frames of the images' size.
    Clip {
        /// How many frames.
        frames: usize,
        /// How they are encoded.
        encoder: ClipEncoder,
        /// The channels of each stage of a volume encoder; empty for those that use the trunk of images.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stages: Vec<usize>,
    },
    /// A sound as a log-mel spectrogram, in which convolutions see time and pitch as rows and columns.
    LogMel {
        /// Samples of every sound.
        len: usize,
        /// The spectrogram.
        mel: LogMelConfig,
        /// The channels of each convolution, stage by stage.
        stages: Vec<Vec<usize>>,
        /// What is hidden of a spectrogram in training.
        #[serde(default)]
        hide: SpecAugment,
    },
    /// A sound as it is: convolutions over its samples.
    Waveform {
        /// Samples of every sound.
        len: usize,
        /// Samples a second.
        rate: u32,
        /// The channels of each convolution.
        channels: Vec<usize>,
    },
    /// Numbers: dense layers.
    Numbers {
        /// How many numbers.
        len: usize,
        /// The outputs of each layer.
        hidden: Vec<usize>,
    },
}

/// The names of the encoders of sounds.
pub(crate) const AUDIO_ENCODERS: [&str; 2] = ["log-mel", "waveform"];

impl EncoderConfig {
    /// The usual spectrogram and convolutions for sounds of `len` samples.
    pub(crate) fn log_mel(len: usize, rate: u32) -> Self {
        Self::LogMel {
            len,
            mel: LogMelConfig::new(rate, BANDS),
            stages: vec![vec![16], vec![32, 32], vec![64, 64], vec![96]],
            hide: SpecAugment { times: 1, most_frames: 12, frequencies: 1, most_bands: 6 },
        }
    }
}

/// How the frames of a clip become maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClipEncoder {
    /// The trunk of images on the frames as the channels of one image: early fusion. It costs little more than an image.
    #[default]
    Stack,
    /// The trunk of images on every frame, and the mean over frames.
    Mean,
    /// The same with a weighted mean.
    Attention,
    /// The trunk of images on every frame, with channels shifted between neighbouring frames (TSM).
    Shift,
    /// Convolutions over time and space.
    Conv3d,
    /// Convolutions over space, then over time: (2+1)D.
    #[serde(rename = "r2plus1d")]
    Factorised,
}

impl ClipEncoder {
    /// All by name.
    pub const ALL: [(&'static str, Self); 6] = [
        ("stack", Self::Stack),
        ("mean", Self::Mean),
        ("attention", Self::Attention),
        ("shift", Self::Shift),
        ("conv3d", Self::Conv3d),
        ("r2plus1d", Self::Factorised),
    ];

    /// The one of this name.
    ///
    /// # Errors
    /// A sentence that lists the names.
    pub fn by_name(name: &str) -> Result<Self, String> {
        find(&Self::ALL, name, "encoder of clips")
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        name_of(&Self::ALL, self)
    }
}

/// How inputs are joined for heads that answer for the whole sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// The vectors side by side, and a dense layer. A missing input has a vector of its own, which is learned.
    #[default]
    Concat,
    /// A weighted sum of `tanh` layers of the vectors, with weights from all vectors (gated multimodal units: Arevalo et
    /// al., 2017, section 3.1, with a softmax over the inputs, so that there may be more than two). A missing input has
    /// weight 0.
    Gated,
    /// The first input's vector, scaled and shifted by the others (FiLM: Perez et al., 2018, equation 2). A missing
    /// input changes nothing; a missing first one has a vector of its own, which is learned.
    Film,
    /// Cross-attention: every input asks the places of the others' maps (Vaswani et al., 2017, equation 1). Missing
    /// inputs are not asked.
    Attention,
    /// Late: a head on every input, and the mean of their outputs over the inputs that are there.
    Late,
    /// The same with learned weights, which sum to 1 over the inputs that are there.
    LateWeighted,
}

impl Fusion {
    /// All by name.
    pub const ALL: [(&'static str, Self); 6] = [
        ("concat", Self::Concat),
        ("gated", Self::Gated),
        ("film", Self::Film),
        ("attention", Self::Attention),
        ("late", Self::Late),
        ("late-weighted", Self::LateWeighted),
    ];

    /// The one of this name.
    ///
    /// # Errors
    /// A sentence that lists the names.
    pub fn by_name(name: &str) -> Result<Self, String> {
        if name == "early" {
            return Err(
                "early fusion joins inputs as channels of one grid, which the frames of a clip have (the \
                        encoder of clips \"stack\"), and an image and a sound have not; choose another fusion"
                    .into(),
            );
        }
        find(&Self::ALL, name, "fusion")
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        name_of(&Self::ALL, self)
    }
}

fn name_of<V: PartialEq>(all: &[(&'static str, V)], value: V) -> &'static str {
    all.iter().find(|(_, known)| *known == value).map_or("", |(name, _)| name)
}

fn find<V: Copy>(all: &[(&str, V)], name: &str, what: &str) -> Result<V, String> {
    all.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        format!("there is no {what} {name:?}; there are: {}", names.join(", "))
    })
}

/// The fusion and its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FusionConfig {
    /// How inputs are joined.
    pub kind: Fusion,
    /// The numbers of the vector that an input becomes, and of what is made of all.
    pub width: usize,
    /// The rate at which training drops an input of a sample that has another.
    pub modality_dropout: f64,
}

impl Default for FusionConfig {
    fn default() -> Self {
        Self { kind: Fusion::default(), width: 128, modality_dropout: 0.0 }
    }
}

/// The number of weights in layers between these channels, each with `kernel` positions.
pub(crate) fn weights_between<'a>(channels: impl IntoIterator<Item = &'a usize>, kernel: u64) -> u64 {
    let channels: Vec<u64> = channels.into_iter().map(|&count| count as u64).collect();
    let weights = channels.windows(2).map(|pair| pair[0].saturating_mul(pair[1]).saturating_mul(kernel));
    weights.fold(0, u64::saturating_add)
}

impl InputConfig {
    /// The usual encoder of the input `name` of a data set.
    ///
    /// # Errors
    /// A sentence that lists the data's inputs, if there is none of this name.
    pub fn new(name: &str, info: &DatasetInfo) -> Result<Self, String> {
        if name == IMAGE && info.channels > 0 {
            return Ok(Self { name: name.into(), encoder: EncoderConfig::Image });
        }
        let Some(input) = info.inputs.iter().find(|input| input.name == name) else {
            let image = (info.channels > 0).then_some(IMAGE);
            let names: Vec<&str> =
                image.into_iter().chain(info.inputs.iter().map(|input| input.name.as_str())).collect();
            return Err(format!("{} has no input {name:?}; it has: {}", info.name, names.join(", ")));
        };
        let encoder = match input.kind {
            InputKind::Clip { shape } => {
                EncoderConfig::Clip { frames: shape[0], encoder: ClipEncoder::default(), stages: Vec::new() }
            }
            InputKind::Sound { rate, len } => EncoderConfig::log_mel(len, rate),
            InputKind::Numbers { len } => EncoderConfig::Numbers { len, hidden: vec![64, 64] },
        };
        Ok(Self { name: name.into(), encoder })
    }

    /// The usual inputs of a data set: all, but not the image beside a clip, of which it is the last frame unless the
    /// data have pictures of their own; none if there is only the image.
    pub fn usual(info: &DatasetInfo) -> Vec<Self> {
        let has_clip = info.inputs.iter().any(|input| matches!(input.kind, InputKind::Clip { .. }));
        let is_frame = has_clip && info.name != InputFiles::WITH_PICTURES;
        let image = (info.channels > 0 && !info.inputs.is_empty() && !is_frame).then_some(IMAGE);
        let names = image.into_iter().chain(info.inputs.iter().map(|input| input.name.as_str()));
        names.filter_map(|name| Self::new(name, info).ok()).collect()
    }

    /// Whether the encoder is or uses the model's trunk of images.
    pub(crate) fn uses_trunk(&self) -> bool {
        match &self.encoder {
            EncoderConfig::Image => true,
            EncoderConfig::Clip { encoder, .. } => {
                !matches!(encoder, ClipEncoder::Conv3d | ClipEncoder::Factorised)
            }
            _ => false,
        }
    }

    /// Whether it makes maps for heads that find places.
    pub(crate) fn has_places(&self) -> bool {
        matches!(self.encoder, EncoderConfig::Image | EncoderConfig::Clip { .. })
    }

    /// What programs call the input: `image`, `audio`, `video`, or `numbers`.
    pub fn sense(&self) -> &'static str {
        match self.encoder {
            EncoderConfig::Image => IMAGE,
            EncoderConfig::Clip { .. } => VIDEO,
            EncoderConfig::LogMel { .. } | EncoderConfig::Waveform { .. } => AUDIO,
            EncoderConfig::Numbers { .. } => "numbers",
        }
    }

    /// A lower bound of the encoder's parameters, given one of the image trunk's.
    pub(crate) fn least_numbers(&self, trunk: u64) -> u64 {
        match &self.encoder {
            EncoderConfig::Clip { stages, .. } if !self.uses_trunk() => weights_between(stages, 1),
            EncoderConfig::Image | EncoderConfig::Clip { .. } => trunk,
            EncoderConfig::LogMel { stages, .. } => weights_between(stages.iter().flatten(), 9),
            EncoderConfig::Waveform { channels, .. } => weights_between(channels, 3),
            EncoderConfig::Numbers { len, hidden } => weights_between(std::iter::once(len).chain(hidden), 1),
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let fail = |problem: String| Err(format!("the input {}: {problem}", self.name));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return fail("its name must be of letters, digits, - and _".into());
        }
        let layers = |list: &[usize], what: &str| {
            if list.is_empty() || list.len() > 12 || list.iter().any(|&c| c == 0 || c > MOST_CHANNELS) {
                return fail(format!("{what} {list:?} must be 1 to 12 numbers from 1 to {MOST_CHANNELS}"));
            }
            Ok(())
        };
        let samples = |len: usize| {
            if (1..=MOST_SAMPLES).contains(&len) {
                return Ok(());
            }
            fail(format!("{len} samples; there must be 1 to {MOST_SAMPLES}"))
        };
        match &self.encoder {
            EncoderConfig::Image if self.name != IMAGE => {
                fail(format!("the trunk of images encodes the input {IMAGE} alone"))
            }
            EncoderConfig::Image => Ok(()),
            EncoderConfig::Clip { frames, .. } if !(1..=MOST_FRAMES).contains(frames) => {
                fail(format!("{frames} frames; there must be 1 to {MOST_FRAMES}"))
            }
            EncoderConfig::Clip { stages, .. } if !self.uses_trunk() => layers(stages, "its stages"),
            EncoderConfig::Clip { stages, .. } if !stages.is_empty() => fail(format!(
                "its stages {stages:?} are for the encoders conv3d and r2plus1d; leave them out"
            )),
            EncoderConfig::Clip { .. } => Ok(()),
            EncoderConfig::LogMel { len, mel, stages, hide } => {
                samples(*len)?;
                mel.check().or_else(fail)?;
                hide.check().or_else(fail)?;
                stages.iter().try_for_each(|stage| layers(stage, "a stage of its convolutions"))?;
                layers(&stages.iter().map(Vec::len).collect::<Vec<_>>(), "the lengths of its stages")
            }
            EncoderConfig::Waveform { len, rate, channels } => {
                samples(*len)?;
                if *rate == 0 {
                    return fail("its rate is 0; it must be the samples a second".into());
                }
                layers(channels, "its channels")
            }
            EncoderConfig::Numbers { len, hidden } => {
                layers(&[*len], "its numbers")?;
                layers(hidden, "its layers")
            }
        }
    }
}
