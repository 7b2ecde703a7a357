//! Configurations as model files hold them.

use crate::{
    LogMel, LogMelConfig, LogScale, MelConfig, Mfcc, MfccConfig, ResampleConfig, ResampleWindow, Resampler,
    SpectrogramConfig,
};

#[test]
fn a_configuration_comes_back_from_json_and_transforms_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let config = LogMelConfig {
        log: LogScale::Decibel { reference: None, floor: 1e-10, top_db: Some(80.0) },
        mel: MelConfig { high: Some(7600.0), ..MelConfig::new(64) },
        ..LogMelConfig::new(16000, 64)
    };
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<LogMelConfig>(&text).unwrap(), config);
    assert!(text.contains(r#""log":{"decibel":{"floor":1e-10,"top_db":80.0}}"#), "{text}");
    let spelled = text.replace("\"hop\"", "\"hops\"");
    assert!(serde_json::from_str::<LogMelConfig>(&spelled).is_err());
    shared(&LogMel::<f32>::new(&config).unwrap());
    shared(&Mfcc::<f32>::new(&MfccConfig { log_mel: config, coefficients: 20 }).unwrap());
    shared(&Resampler::<f32>::new(2, 3, &ResampleConfig::default()).unwrap());
}

#[test]
fn usual_features_are_possible_at_every_rate() {
    for rate in [1, 80, 8000, 11025, 16000, 22050, 44100, 48000, 192_000, 768_000] {
        let config = LogMelConfig::new(rate, 32);
        config.check().unwrap_or_else(|error| panic!("{rate} hertz: {error}"));
        assert!(LogMel::<f32>::new(&config).unwrap().compute(&[]).is_empty());
    }
    let config = LogMelConfig::new(16000, 64);
    let SpectrogramConfig { n_fft, window, hop, .. } = config.spectrogram;
    assert_eq!([n_fft, window, hop], [512, 400, 160]);
}

#[test]
fn impossible_numbers_are_refused_with_their_name_and_not_computed() {
    let sound = LogMelConfig::new(8000, 20);
    let refused = |change: &dyn Fn(&mut LogMelConfig), name: &str| {
        let mut config = sound.clone();
        change(&mut config);
        let message = config.check().unwrap_err();
        assert!(message.contains(name), "{name}: {message}");
        assert_eq!(LogMel::<f32>::new(&config).err(), Some(message.clone()));
        let mfcc = MfccConfig { log_mel: config, coefficients: 1 };
        assert_eq!(mfcc.check().err(), Some(message));
    };
    refused(&|config| config.rate = 0, "rate is 0");
    refused(&|config| config.rate = u32::MAX, "rate");
    for n_fft in [0, 1, usize::MAX, 1 << 40] {
        refused(&|config| config.spectrogram.n_fft = n_fft, "n_fft");
    }
    for window in [0, 1000, usize::MAX] {
        refused(&|config| config.spectrogram.window = window, "window");
    }
    for hop in [0, usize::MAX] {
        refused(&|config| config.spectrogram.hop = hop, "hop");
    }
    for bands in [0, usize::MAX] {
        refused(&|config| config.mel.bands = bands, "bands");
    }
    for low in [-1.0, 4000.0, f64::NAN, f64::INFINITY] {
        refused(&|config| config.mel.low = low, "low < high");
    }
    for high in [0.0, -1.0, 4000.1, f64::NAN, f64::INFINITY] {
        refused(&|config| config.mel.high = Some(high), "low < high");
    }
    // The small and the large one are 0 and infinite in f32.
    for value in [0.0, -1.0, 1e-50, 1e50, f64::NAN, f64::INFINITY] {
        refused(&|config| config.log = LogScale::Natural { floor: value }, "floor");
        let scale = |floor, reference, top_db| LogScale::Decibel { floor, reference, top_db };
        refused(&|config| config.log = scale(value, None, None), "floor");
        refused(&|config| config.log = scale(1.0, Some(value), None), "reference");
        refused(&|config| config.log = scale(1.0, None, Some(value)), "top_db");
    }
    for coefficients in [0, 21] {
        let message = Mfcc::<f32>::new(&MfccConfig { log_mel: sound.clone(), coefficients }).err().unwrap();
        assert!(message.contains("coefficients"), "{message}");
    }
}

#[test]
fn impossible_resampling_is_refused_with_its_name() {
    let usual = ResampleConfig::default();
    let refused = |from: u32, to: u32, config: &ResampleConfig, name: &str| {
        let message = Resampler::<f32>::new(from, to, config).err().unwrap();
        assert!(message.contains(name), "{name}: {message}");
    };
    for (from, to) in [(0, 1), (1, 0), (768_001, 16000), (16000, u32::MAX)] {
        refused(from, to, &usual, "give rates");
    }
    refused(1, 16000, &usual, "ratio");
    refused(768_000, 1, &usual, "ratio");
    for width in [0, 65, usize::MAX] {
        refused(1, 2, &ResampleConfig { width, ..usual.clone() }, "width");
    }
    for rolloff in [0.0, 1.1, f64::NAN] {
        refused(1, 2, &ResampleConfig { rolloff, ..usual.clone() }, "rolloff");
    }
    for beta in [-1.0, 101.0, f64::NAN] {
        let window = ResampleWindow::Kaiser { beta };
        refused(1, 2, &ResampleConfig { window, ..usual.clone() }, "beta");
    }
}
