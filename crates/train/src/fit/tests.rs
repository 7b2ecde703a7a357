use cerberus_data::TensorDataset;
use cerberus_nn::{Adam, AdamOptions, Dropout, Init, Linear, Module, Relu, Sequential, Sgd, SgdOptions};

use super::*;

fn adam(learning_rate: f64) -> Adam {
    Adam::new(AdamOptions { learning_rate, ..AdamOptions::default() })
}

fn rows(count: usize) -> Tensor<f32> {
    Tensor::from_fn(&[count, 2], |i| ((i * i) as f32 * 0.37).sin())
}

/// Points, and whether they are inside a circle.
fn circle(count: usize) -> TensorDataset {
    let points = rows(count);
    let inside = |p: &[f32]| usize::from(p[0] * p[0] + p[1] * p[1] < 0.5);
    let classes: Vec<usize> = points.data().chunks(2).map(inside).collect();
    TensorDataset::new(points, &classes)
}

fn net() -> Sequential {
    let mut init = Init::new(0);
    Sequential::new()
        .add("hidden", Linear::new(2, 16, &mut init))
        .add("relu", Relu::default())
        .add("output", Linear::new(16, 2, &mut init))
}

#[test]
fn a_classifier_learns_and_its_history_is_what_scoring_says() {
    let fit = Fit::classifier(circle(400).hold_out(0.25, 1)).epochs(30).quiet();
    let mut model = net();
    let history = fit.run(&mut model, &mut adam(0.02)).unwrap();
    assert_eq!(history.epochs.len(), 30);
    assert_eq!(history.last().train.samples, 300);
    let validation = history.last().validation.clone().unwrap();
    assert_eq!(validation.samples, 100);
    assert!(validation.metric("accuracy") > 0.9, "{validation:?}");
    assert_eq!(fit.score(&model, Split::Validation).unwrap(), validation);
    assert!(history.epochs[0].train.loss > 2.0 * history.last().train.loss);
}

#[test]
fn a_regressor_finds_a_linear_map() {
    let x = rows(64);
    let y = Tensor::from_fn(&[64, 1], |i| 2.0 * x.data()[2 * i] - x.data()[2 * i + 1] + 0.5);
    let fit = Fit::regressor(TensorDataset::with_values(x, y)).epochs(40).batch_size(16).quiet();
    let mut model = Linear::new(2, 1, &mut Init::new(0));
    let history = fit.run(&mut model, &mut adam(0.1)).unwrap();
    assert!(history.last().validation.is_none());
    assert!(history.last().train.metric("mae") < 0.05, "{:?}", history.last());
}

#[test]
fn means_over_batches_of_different_sizes_are_means_over_samples() {
    let data = circle(10);
    let fit = |batch: usize| {
        let count = |outputs: &Tensor<f32>, _: &Batch| f64::from(outputs.data()[0]);
        Fit::new(data.clone(), |y, _| y.square().mean_all()).metric("first", count).batch_size(batch)
    };
    let model = net();
    let whole = fit(10).score(&model, Split::Train).unwrap();
    let parts = fit(4).score(&model, Split::Train).unwrap();
    assert!((whole.loss - parts.loss).abs() < 1e-6);
    let first = |row: usize| {
        let sample = data.sample(Split::Train, 0, row).unwrap();
        let batch = Batch::assemble(&[sample], vec![row]).unwrap();
        f64::from(cerberus_nn::predict(&model, batch.images).data()[0])
    };
    let expected = (4.0 * first(0) + 4.0 * first(4) + 2.0 * first(8)) / 10.0;
    assert!((parts.metric("first") - expected).abs() < 1e-6);
}

#[test]
fn patience_stops_and_gives_back_the_best_weights() {
    let fit = Fit::classifier(circle(60).hold_out(0.5, 1)).epochs(200).patience(3).quiet();
    let mut model = net();
    // So high a rate that the loss jumps about.
    let history = fit.run(&mut model, &mut adam(0.5)).unwrap();
    let losses: Vec<f64> = history.epochs.iter().map(|epoch| epoch.judged().loss).collect();
    assert_eq!(history.epochs.len(), history.best + 4, "{losses:?}");
    assert!(losses.iter().all(|&loss| loss >= losses[history.best]));
    assert_eq!(fit.score(&model, Split::Validation).unwrap().loss, losses[history.best]);
}

#[test]
fn the_schedule_gives_the_rate_of_every_step() {
    let data = circle(50);
    let fit = Fit::classifier(data.clone()).epochs(2).batch_size(20).quiet();
    assert_eq!(fit.steps(), 6);
    let steps = fit.steps();
    let schedule = Schedule::WarmupCosine { peak: 0.1, floor: 0.0, warmup_steps: 0, total_steps: steps };
    let mut optimizer = Sgd::new(SgdOptions { learning_rate: 7.0, ..SgdOptions::default() });
    fit.schedule(schedule.clone()).run(&mut net(), &mut optimizer).unwrap();
    assert_eq!(optimizer.learning_rate(), schedule.rate(5));
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_one_others() {
    let run = |seed: u64| {
        let mut model = net().add("drop", Dropout::new(0.2));
        let options = StepOptions { seed, ..StepOptions::default() };
        let fit = Fit::classifier(circle(100)).epochs(2).options(options).quiet();
        fit.run(&mut model, &mut adam(0.01)).unwrap();
        model.tensors().into_iter().flat_map(|(_, tensor)| tensor.to_vec()).collect::<Vec<f32>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn what_cannot_be_trained_is_refused_with_the_place() {
    let fit = Fit::classifier(circle(30)).epochs(3).batch_size(10).quiet();
    let error = fit.score(&net(), Split::Test).unwrap_err();
    assert!(matches!(error, FitError::Empty { split: "test", .. }), "{error}");
    let rows = Tensor::from_fn(&[30, 2], |i| if i == 59 { f32::NAN } else { 1.0 });
    let broken = Fit::classifier(TensorDataset::new(rows, &[0; 30])).batch_size(10).quiet();
    let mut model = net();
    let error = broken.run(&mut model, &mut adam(0.01)).unwrap_err();
    assert!(error.to_string().contains("in epoch 1, batch"), "{error}");
    assert!(model.tensors().iter().all(|(_, tensor)| tensor.to_vec().iter().all(|v| v.is_finite())));
}
