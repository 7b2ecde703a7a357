//! What a configuration promises to hold at least, from which files are refused before memory is taken.

use super::*;

/// The configuration's lower bound, and the number of parameters.
fn bound_and_held(config: &ModelConfig) -> [u64; 2] {
    let model = MultiTaskModel::<f64>::new(config, 1);
    let held: usize = model.parameters().iter().map(|(_, parameter)| parameter.value.len()).sum();
    [config.least_numbers(), held as u64]
}

#[test]
fn the_least_numbers_are_a_lower_bound_for_every_encoder() {
    for inputs in [&[AUDIO][..], &["place"], &[IMAGE], &[VIDEO], &[IMAGE, AUDIO, VIDEO, "place"]] {
        let mut config = config(inputs, &["classify"], Fusion::Concat);
        // Larger than all else: a model without a trunk of images does not count it.
        config.stages = vec![vec![40, 40], vec![40], vec![40]];
        let [bound, held] = bound_and_held(&config);
        assert!(0 < bound && bound <= held, "{inputs:?}: at least {bound}, {held} held");
    }
    for (name, encoder) in ClipEncoder::ALL {
        let mut config = config(&[VIDEO], &["classify"], Fusion::Concat);
        config.set_clip_encoder(encoder.name()).unwrap();
        let [bound, held] = bound_and_held(&config);
        assert!(0 < bound && bound <= held, "{name}: at least {bound}, {held} held");
    }
    let mut waves = config(&[AUDIO], &["classify"], Fusion::Concat);
    waves.set_audio_encoder("waveform").unwrap();
    let [bound, held] = bound_and_held(&waves);
    assert!(0 < bound && bound <= held, "waveform: at least {bound}, {held} held");
}
