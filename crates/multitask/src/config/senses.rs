//! What a model's configuration says of several inputs, and what goes together.

use cerberus_data::{DatasetInfo, IMAGE};

use super::{HeadConfig, HeadOptions, ModelConfig, find_kind};
use crate::sense_config::{
    AUDIO_ENCODERS, ClipEncoder, EncoderConfig, FusionConfig, InputConfig, MOST_CHANNELS,
};

impl ModelConfig {
    /// Whether the model has several inputs, or one that is not an image.
    pub fn has_senses(&self) -> bool {
        !self.inputs.is_empty()
    }

    /// Chooses the inputs by name.
    ///
    /// # Errors
    /// A sentence that lists the data's inputs, if it lacks one.
    pub fn set_inputs(&mut self, names: &[String], info: &DatasetInfo) -> Result<(), String> {
        if names == [IMAGE] && info.channels > 0 {
            self.inputs.clear();
            return Ok(());
        }
        let before = std::mem::take(&mut self.inputs);
        for name in names {
            let known = before.iter().find(|input| input.name == *name).cloned();
            self.inputs.push(known.map_or_else(|| InputConfig::new(name, info), Ok)?);
        }
        Ok(())
    }

    /// Whether the model can do without these inputs: it must have them, and another.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn check_without(&self, names: &[String]) -> Result<(), String> {
        let own: Vec<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        let known = if own.is_empty() { IMAGE.into() } else { own.join(", ") };
        if let Some(unknown) = names.iter().find(|name| !own.contains(&name.as_str()) && **name != known) {
            return Err(format!("the model has no input {unknown:?} to do without; it has: {known}"));
        }
        if own.iter().all(|name| names.iter().any(|without| without == name)) {
            return Err(format!("without {} the model would have no input; leave one", names.join(", ")));
        }
        Ok(())
    }

    /// Chooses how clips are encoded.
    ///
    /// # Errors
    /// A sentence that says so, if there is no such encoder or the model has no clip.
    pub fn set_clip_encoder(&mut self, name: &str) -> Result<(), String> {
        let chosen = ClipEncoder::by_name(name)?;
        let mut found = false;
        let channels: Vec<usize> = self.stages.iter().filter_map(|stage| stage.last().copied()).collect();
        for input in &mut self.inputs {
            if let EncoderConfig::Clip { encoder, stages, .. } = &mut input.encoder {
                (*encoder, found) = (chosen, true);
                let own = matches!(chosen, ClipEncoder::Conv3d | ClipEncoder::Factorised);
                *stages = if !own {
                    Vec::new()
                } else if channels.is_empty() {
                    vec![32, 64, 128, 128]
                } else {
                    channels.clone()
                };
            }
        }
        if found {
            Ok(())
        } else {
            Err(format!("the encoder {name} is for clips, and the model has none as input"))
        }
    }

    /// How clips are encoded, if the model has a clip as input.
    pub fn clip_encoder(&self) -> Option<ClipEncoder> {
        self.inputs.iter().find_map(|input| match input.encoder {
            EncoderConfig::Clip { encoder, .. } => Some(encoder),
            _ => None,
        })
    }

    /// Chooses how sounds are encoded: `log-mel` or `waveform`.
    ///
    /// # Errors
    /// A sentence that says so, if there is no such encoder or the model has no sound.
    pub fn set_audio_encoder(&mut self, name: &str) -> Result<(), String> {
        if !AUDIO_ENCODERS.contains(&name) {
            let known = AUDIO_ENCODERS.join(", ");
            return Err(format!("there is no encoder of sounds {name:?}; there are: {known}"));
        }
        let mut found = false;
        for input in &mut self.inputs {
            let (len, rate) = match &input.encoder {
                EncoderConfig::LogMel { len, mel, .. } => (*len, mel.rate),
                EncoderConfig::Waveform { len, rate, .. } => (*len, *rate),
                _ => continue,
            };
            found = true;
            input.encoder = if name == AUDIO_ENCODERS[0] {
                EncoderConfig::log_mel(len, rate)
            } else {
                EncoderConfig::Waveform { len, rate, channels: vec![32, 64, 96, 128] }
            };
        }
        if found {
            Ok(())
        } else {
            Err(format!("the encoder {name} is for sounds, and the model has none as input"))
        }
    }

    /// How sounds are encoded, if the model has a sound as input.
    pub fn audio_encoder(&self) -> Option<&'static str> {
        self.inputs.iter().find_map(|input| match input.encoder {
            EncoderConfig::LogMel { .. } => Some(AUDIO_ENCODERS[0]),
            EncoderConfig::Waveform { .. } => Some(AUDIO_ENCODERS[1]),
            _ => None,
        })
    }

    /// Adds, for every head that answers for whole samples, one of each input alone with this weight in the loss, such as
    /// `classify_audio` beside `classify`.
    pub fn add_auxiliary(&mut self, weight: f64) {
        let whole = |head: &&HeadConfig| {
            head.options.input.is_none() && find_kind(&head.kind).is_ok_and(|kind| !kind.finds_places())
        };
        let mut added = Vec::new();
        for head in self.heads.iter().filter(whole) {
            for input in &self.inputs {
                let options = HeadOptions { input: Some(input.name.clone()), ..head.options.clone() };
                let name = format!("{}_{}", head.name, input.name);
                added.push(HeadConfig { name, weight: weight * head.weight, options, ..head.clone() });
            }
        }
        self.heads.extend(added);
    }

    /// Whether the inputs, the fusion and what heads look at go together.
    pub(crate) fn check_senses(&self) -> Result<(), String> {
        let FusionConfig { width, modality_dropout, .. } = self.fusion;
        if !(1..=MOST_CHANNELS).contains(&width) || !(0.0..1.0).contains(&modality_dropout) {
            return Err(format!(
                "a fusion to {width} numbers with modality dropout {modality_dropout}: the width must be 1 to \
                 {MOST_CHANNELS}, the dropout from 0 to below 1"
            ));
        }
        for (index, input) in self.inputs.iter().enumerate() {
            if self.inputs[..index].iter().any(|other| other.name == input.name) {
                return Err(format!("the input {} is named twice", input.name));
            }
            input.check()?;
        }
        let names: Vec<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        for head in &self.heads {
            let alone = head.options.input.as_deref();
            if let Some(input) = alone.filter(|input| !names.contains(input) || names.len() < 2) {
                return Err(format!(
                    "the task {} answers from {input:?} alone, which must be one of several inputs; there are: {}",
                    head.name,
                    names.join(", ")
                ));
            }
            let places = find_kind(&head.kind).is_ok_and(|kind| kind.finds_places());
            if places && alone.is_some() {
                return Err(format!(
                    "the task {} finds places, which it does on the image; name no input",
                    head.name
                ));
            }
            if places && !self.inputs.is_empty() && !self.inputs.iter().any(InputConfig::has_places) {
                return Err(format!(
                    "the task {} finds places in an image or a clip, and the inputs are: {}",
                    head.name,
                    names.join(", ")
                ));
            }
        }
        Ok(())
    }
}
