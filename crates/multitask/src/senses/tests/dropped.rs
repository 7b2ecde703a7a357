//! Modality dropout: the fusion does without an input, its encoder and its own head do not.

use super::*;

#[test]
fn modality_dropout_drops_inputs_of_training_alone_and_never_all() {
    let mut config = config(&[IMAGE, AUDIO], &["classify"], Fusion::Concat);
    config.fusion.modality_dropout = 0.7;
    let model = model(&config);
    let samples: Vec<Sample> =
        (0..32).map(|index| sample(index, kept(3 * index + usize::from(index % 8 == 0)))).collect();
    let batch = batch(&samples);
    let present = |context: &mut Context<f64>| {
        let features = model.features(&batch, context);
        features.whole.unwrap().kept
    };
    let mut training = Context::training(1, 1);
    let drawn = present(&mut training);
    training.discard();
    assert!((0..32).all(|place| drawn[0][place] || drawn[1][place]));
    let both = (0..32).filter(|&place| drawn[0][place] && drawn[1][place]).count();
    assert!((0..=10).contains(&both), "{both} of 32 kept both");
    let seen = present(&mut Context::evaluation());
    assert!((0..32).all(|place| seen[0][place] && seen[1][place] == (place % 8 != 0)), "{seen:?}");
}

#[test]
fn what_is_dropped_does_not_reach_the_fusion_and_still_reaches_its_own_head() {
    for fusion in [Fusion::Concat, Fusion::Gated, Fusion::Film, Fusion::Attention] {
        let mut config = config(&[IMAGE, AUDIO], &["classify"], fusion);
        config.fusion.modality_dropout = 0.5;
        let model = model(&config);
        let whole = |other: usize| {
            let mut samples: Vec<Sample> = (0..16).map(|index| sample(index, |_| true)).collect();
            // Other sounds with the same images.
            let sounds = (0..16).map(|index| sample(index + other, |_| true).inputs);
            samples.iter_mut().zip(sounds).for_each(|(sample, inputs)| sample.inputs = inputs);
            let mut context = Context::training(1, 1);
            let whole = model.features(&batch(&samples), &mut context).whole.unwrap();
            context.discard();
            whole
        };
        let [before, after] = [whole(0), whole(100)];
        assert_eq!(before.kept, after.kept);
        assert!(before.present.iter().flatten().all(|has| *has));
        let row = |map: &Var<f64>, place: usize| map.value().narrow(0, place, 1).to_vec();
        let (mut dropped, mut heard) = (0, 0);
        for place in 0..16 {
            let [old, new] = [&before, &after].map(|whole| row(whole.joined.as_ref().unwrap(), place));
            let is_kept = before.kept[1][place];
            assert_eq!(old != new, is_kept, "{fusion:?}: sample {place}");
            assert_ne!(row(&before.alone[1], place), row(&after.alone[1], place), "{fusion:?}");
            (dropped, heard) = (dropped + usize::from(!is_kept), heard + usize::from(is_kept));
        }
        assert!(dropped > 0 && heard > 0, "{fusion:?}: {dropped} dropped, {heard} heard");
    }
}
