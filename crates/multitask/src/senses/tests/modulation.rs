//! Modulated gradients: one encoder learns more slowly, everything else as before.

use super::*;

/// The parameters after a step, and its losses.
fn stepped(config: &ModelConfig, modulation: Option<f64>) -> (BTreeMap<String, Vec<f64>>, Vec<f64>) {
    let mut model = model(config);
    let batch = batch(&(0..6).map(|index| sample(index, |_| true)).collect::<Vec<Sample>>());
    let mut sgd = Sgd::new(SgdOptions::default());
    let input = StepInput { modulation, seed: [1, 0], ..StepInput::new(&batch) };
    let weights = vec![1.0; config.heads.len()];
    let result = train_step(&mut model, &mut sgd, &mut Balancing::fixed(&weights), &input).unwrap();
    let after = model.parameters().into_iter().map(|(path, parameter)| (path, parameter.value.to_vec()));
    (after.collect(), result.losses)
}

#[test]
fn only_the_encoder_of_the_input_that_is_ahead_learns_otherwise() {
    for (_, fusion) in Fusion::ALL {
        let mut config = config(&[IMAGE, "place"], &["classify"], fusion);
        config.add_auxiliary(1.0);
        let (plain, losses) = stepped(&config, None);
        let (modulated, same) = stepped(&config, Some(0.5));
        // The tasks are classify, classify_image and classify_place.
        assert_eq!(losses, same);
        let ahead = if losses[1] < losses[2] { "trunk.image." } else { "trunk.place." };
        // The neck's parameters have no gradient, as no head uses it.
        let start = model(&config);
        let start: BTreeMap<String, &Parameter<f64>> = start.parameters().into_iter().collect();
        for (path, values) in &plain {
            let slowed = path.starts_with(ahead) && *values != start[path].value.to_vec();
            assert_eq!(*values != modulated[path], slowed, "{fusion:?}: {path}");
        }
        assert!(plain.iter().any(|(path, values)| *values != modulated[path]), "{fusion:?}");
    }
}

#[test]
fn without_tasks_of_single_inputs_nothing_is_modulated() {
    let config = config(&[IMAGE, "place"], &["classify"], Fusion::Concat);
    assert_eq!(stepped(&config, None), stepped(&config, Some(0.5)));
}
