//! The settings of a run besides its data and tasks: optimiser, schedule, several batches per step, averaged weights,
//! early stopping, initial weights, frozen parameters; and what is left when it diverges.

use cerberus::data::augment::OperationConfig;
use cerberus::multitask::weights::{ClassifierInfo, save_classifier};
use cerberus::multitask::{Normalisation, Prediction, networks};
use cerberus::nn::Init;
use cerberus::tensor::Tensor;
use cerberus::train::{OptimizerKind, ScheduleConfig, find_rate, load_into};

use super::*;

/// All settings at once.
fn full_config() -> TrainConfig {
    let mut config = small_config();
    config.samples = Some(40);
    config.accumulate = 2;
    config.ema = 0.9;
    config.optimizer.kind = OptimizerKind::Sgd;
    config.schedule = ScheduleConfig::by_name("warmup_cosine").unwrap();
    config.augment.operations = ["horizontal_flip", "mixup"].map(OperationConfig::new).to_vec();
    config.freeze = vec!["trunk.stage1".into(), "heads.*.heat*".into()];
    config
}

fn open(config: &TrainConfig) -> Result<Arc<dyn Dataset>, TrainError> {
    config.open_data()
}

#[test]
fn a_run_with_every_choice_continues_with_the_same_bits_wherever_it_was_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let config = full_config();
    let begin = |path: &Path| Trainer::start(config.clone(), open(&config).unwrap(), path).unwrap();
    let mut trainer = begin(&whole);
    run(&mut trainer, 2, u64::MAX).unwrap();
    // Five batches per epoch, two per step: three steps, the last one of one batch
    assert_eq!(trainer.state().averaged, 6);
    let mut trainer = begin(&parts);
    let path = trainer.model().parameters()[0].0.clone();
    assert!(path.starts_with("trunk.stage1") && !trainer.model().parameters()[0].1.is_trainable());
    let initial = trainer.model().parameters()[0].1.value.clone();
    // In the middle of two batches, and in the second epoch.
    for stop_after in [1, 7] {
        assert!(run(&mut trainer, 1, stop_after).is_none());
        assert_eq!(trainer.state().batch % 2, 0, "a step is finished before the run stops");
        drop(trainer);
        trainer = Trainer::resume(&parts, open).unwrap();
    }
    run(&mut trainer, 2, u64::MAX).unwrap();
    assert!(tensor_bytes(&whole) == tensor_bytes(&parts));
    assert_eq!(trainer.model().parameters()[0].1.value.data(), initial.data(), "frozen");
}

#[test]
fn the_best_model_is_the_mean_of_the_weights_where_one_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small_config();
    (config.ema, config.epochs) = (0.5, 1);
    let path = folder.path().join("run");
    let mut trainer = Trainer::start(config.clone(), scenes(&config).unwrap(), &path).unwrap();
    run(&mut trainer, 2, u64::MAX).unwrap();
    let (_, best) = load_model(&path.join("checkpoints/best.safetensors")).unwrap();
    let (mut last, mut same) = (load_model(&path.join("checkpoints/best.safetensors")).unwrap().1, 0);
    let read = cerberus::nn::checkpoint::load::<f32>(&path.join("checkpoints/last.safetensors")).unwrap();
    read.load_into(&mut last, "average").unwrap();
    for ((name, best), (_, mean)) in best.tensors().into_iter().zip(last.tensors()) {
        assert_eq!(best.data(), mean.data(), "{name}");
        same += 1;
    }
    assert!(same > 10);
    load_into(&path.join("checkpoints/last.safetensors"), &mut last).unwrap();
    assert!(best.tensors().iter().zip(last.tensors()).any(|((_, a), (_, b))| a.data() != b.data()));
}

#[test]
fn a_run_ends_early_when_the_score_no_longer_rises_and_a_resumed_one_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small_config();
    // Nothing is learned: the first epoch stays the best.
    (config.learning_rate, config.epochs, config.patience) = (1e-30, 9, Some(2));
    config.set_heads(&["segment".to_string()], scenes(&config).unwrap().info()).unwrap();
    config.freeze = vec!["trunk".into()];
    let path = folder.path().join("run");
    let mut trainer = Trainer::start(config.clone(), scenes(&config).unwrap(), &path).unwrap();
    let summary = run(&mut trainer, 2, u64::MAX).unwrap();
    let best = summary.best_epoch;
    assert_eq!(summary.epochs, best + 2, "best epoch {best}");
    drop(trainer);
    let again = run(&mut Trainer::resume(&path, scenes).unwrap(), 2, u64::MAX).unwrap();
    assert_eq!(again.epochs, summary.epochs);
}

#[test]
fn a_model_begins_with_what_matches_in_another_and_the_rest_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    whole_run(&first, 2);
    let mut config = small_config();
    config.init_from = Some(first.join("checkpoints/best.safetensors"));
    config.model.stages[3] = vec![24];
    config.set_heads(&["classify".to_string()], scenes(&config).unwrap().info()).unwrap();
    let trainer =
        Trainer::start(config.clone(), scenes(&config).unwrap(), &folder.path().join("run")).unwrap();
    let transfer = trainer.transfer().unwrap();
    assert!(transfer.taken.iter().any(|name| name == "trunk.stage1.block1.conv.weight"));
    assert!(transfer.reshaped.iter().any(|(name, ..)| name == "trunk.stage4.block1.conv.weight"));
    assert!(transfer.unused.iter().any(|name| name.starts_with("heads.segment")));
    let (_, source) = load_model(config.init_from.as_ref().unwrap()).unwrap();
    assert_eq!(trainer.model().tensors()[0].1.data(), source.tensors()[0].1.data());
    config.init_from = Some(folder.path().join("first/config.json"));
    assert!(Trainer::start(config.clone(), scenes(&config).unwrap(), &folder.path().join("other")).is_err());
}

#[test]
fn a_run_begins_with_an_imported_network_and_keeps_the_normalisation_of_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small_config();
    (config.samples, config.epochs) = (Some(16), 1);
    config.model.set_trunk("small_cnn").unwrap();
    config.set_heads(&["classify".to_string()], scenes(&config).unwrap().info()).unwrap();
    let channels = config.model.image[2];
    let network = networks::find::<f32>("small_cnn").unwrap();
    let classifier = (network.classifier)([channels, 4], &mut Init::new(9));
    let normalisation = Normalisation { mean: vec![0.3; channels], std: vec![0.2; channels] };
    let info = ClassifierInfo {
        network: "small_cnn".into(),
        image: [32, 32, channels],
        classes: ["a", "b", "c", "d"].map(String::from).into(),
        normalisation: Some(normalisation.clone()),
    };
    let file = folder.path().join("imported.safetensors");
    save_classifier(&file, &info, &classifier.tensors()).unwrap();

    // As a model by itself.
    let (read, model) = load_model(&file).unwrap();
    assert_eq!((read.model.image, read.model.heads[0].outputs()), ([32, 32, channels], 4));
    let images = Tensor::from_fn(&[1, 32, 32, channels], |i| (i as f32).sin());
    let [predictions] = &model.predict(images)[..] else { panic!("one task") };
    assert!(matches!(&predictions[0], Prediction::Classes(shares) if shares.len() == 4));

    // As the trunk of a run, of a resumed run, and of a run that begins with the first.
    config.init_from = Some(file);
    let first = folder.path().join("first");
    let mut trainer = Trainer::start(config.clone(), scenes(&config).unwrap(), &first).unwrap();
    let transfer = trainer.transfer().unwrap();
    assert_eq!(
        transfer.taken,
        ["trunk.conv1.weight", "trunk.conv1.bias", "trunk.conv2.weight", "trunk.conv2.bias"]
    );
    assert_eq!(transfer.unused, ["dense.bias", "dense.weight"]);
    assert!(transfer.missing.iter().any(|name| name.starts_with("heads.classify")));
    assert_eq!(trainer.model().tensors()[0].1.data(), classifier.tensors()[0].1.data());
    assert_eq!(trainer.config().model.normalisation.as_ref(), Some(&normalisation));
    run(&mut trainer, 2, u64::MAX).unwrap();
    drop(trainer);
    let resumed = Trainer::resume(&first, scenes).unwrap();
    assert_eq!(resumed.config().model.normalisation.as_ref(), Some(&normalisation));
    config.init_from = Some(first.join("checkpoints/best.safetensors"));
    let second =
        Trainer::start(config.clone(), scenes(&config).unwrap(), &folder.path().join("second")).unwrap();
    assert_eq!(second.config().model.normalisation.as_ref(), Some(&normalisation));
}

#[test]
fn patterns_that_freeze_nothing_or_everything_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (pattern, expected) in
        [("trunk.stage9", "trunk.stage1"), ("*", "nothing to train"), ("[", "--freeze [")]
    {
        let mut config = small_config();
        config.freeze = vec![pattern.into()];
        let error = Trainer::start(config.clone(), scenes(&config).unwrap(), folder.path()).err().unwrap();
        assert!(error.is_usage() && error.to_string().contains(expected), "{error}");
    }
}

/// The scenes, with constant images; in the second epoch of training their value is the largest finite one.
struct Poisoned(Arc<dyn Dataset>);

impl Dataset for Poisoned {
    fn info(&self) -> &cerberus::data::DatasetInfo {
        self.0.info()
    }

    fn len(&self, split: Split) -> usize {
        self.0.len(split)
    }

    fn sample(
        &self,
        split: Split,
        epoch: u64,
        index: usize,
    ) -> Result<cerberus::data::Sample, cerberus::data::DataError> {
        let mut sample = self.0.sample(split, epoch, index)?;
        // Finite, but a sum of several is not.
        let large = if split == Split::Train && epoch == 1 { f32::MAX } else { 0.5 };
        let pixels = vec![large; sample.image.height * sample.image.width * sample.image.channels];
        sample.image.pixels = cerberus::data::Pixels::Floats(pixels);
        Ok(sample)
    }
}

#[test]
fn a_diverged_run_names_the_first_layer_and_keeps_the_weights_from_before() {
    let folder = tempfile::tempdir().unwrap();
    let config = small_config();
    let path = folder.path().join("run");
    let data = Arc::new(Poisoned(scenes(&config).unwrap()));
    let mut trainer = Trainer::start(config, data, &path).unwrap();
    let flag = AtomicBool::new(false);
    let mut observer = StopAfter { steps: u64::MAX, flag: &flag, epochs: Vec::new() };
    let error =
        trainer.run(&mut observer, &flag).err().expect("the second epoch cannot be computed").to_string();
    assert!(error.contains("diverged") && error.contains("at step 4"), "{error}");
    assert!(error.contains("that of trunk.stage1.block1.conv, of shape [8, 64, 64, 8]"), "{error}");
    let kept = path.join("checkpoints/before-divergence.safetensors");
    assert!(error.contains(&kept.display().to_string()), "{error}");
    let (_, model) = load_model(&kept).expect("what is kept is whole");
    let (_, last) = load_model(&path.join("checkpoints/last.safetensors")).unwrap();
    assert_eq!(
        model.tensors()[0].1.data(),
        last.tensors()[0].1.data(),
        "the step before was the epoch's last"
    );
}

#[test]
fn weights_that_left_the_numbers_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small_config();
    (config.optimizer.kind, config.learning_rate, config.clip_norm) = (OptimizerKind::Sgd, 100.0, 1e30);
    (config.schedule, config.epochs) = (ScheduleConfig::Constant, 50);
    let path = folder.path().join("run");
    let mut trainer = Trainer::start(config.clone(), scenes(&config).unwrap(), &path).unwrap();
    let flag = AtomicBool::new(false);
    let mut observer = StopAfter { steps: u64::MAX, flag: &flag, epochs: Vec::new() };
    let error = trainer.run(&mut observer, &flag).err().expect("a rate of 100 diverges").to_string();
    assert!(error.contains("diverged") && error.contains("try a lower"), "{error}");
    let kept = path.join("checkpoints/before-divergence.safetensors");
    assert!(!kept.exists() || load_model(&kept).is_ok(), "what is kept can be used");
}

#[test]
fn a_range_test_suggests_a_rate_below_the_one_where_the_loss_is_lowest() {
    let mut config = small_config();
    config.samples = Some(64);
    let data = scenes(&config).unwrap();
    let test = find_rate(&config, &data, 60).unwrap();
    assert!(test.points.windows(2).all(|pair| pair[0].rate < pair[1].rate));
    assert!(test.suggested <= test.lowest_loss && (1e-5..1.0).contains(&test.suggested), "{test:?}");
    assert!(find_rate(&config, &data, 3).unwrap_err().is_usage());
}
