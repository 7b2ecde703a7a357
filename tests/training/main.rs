//! A whole training run, small: the same result for any number of threads,
//! after an interruption, and after being killed.

mod choices;
mod processes;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cerberus::data::{self, Dataset, Split};
use cerberus::nn::Module;
use cerberus::train::{
    EpochRow, Observer, Outcome, StepReport, Summary, TrainConfig, TrainError, Trainer, load_model,
};

fn scenes(config: &TrainConfig) -> Result<Arc<dyn Dataset>, TrainError> {
    Ok(data::open(&config.data, config.seed)?)
}

fn small_config() -> TrainConfig {
    let dataset = data::open("fashion-scenes", 3).unwrap();
    let mut config = TrainConfig::for_data("fashion-scenes", dataset.info());
    config.model.stages = vec![vec![8], vec![8], vec![16], vec![16]];
    config.epochs = 2;
    config.batch = 8;
    config.seed = 3;
    config.samples = Some(32);
    config
}

/// Raises the flag after a number of steps.
struct StopAfter<'a> {
    steps: u64,
    flag: &'a AtomicBool,
    epochs: Vec<EpochRow>,
}

impl Observer for StopAfter<'_> {
    fn step(&mut self, report: &StepReport) {
        if report.step[0] == self.steps {
            self.flag.store(true, Ordering::Relaxed);
        }
    }

    fn evaluating(&mut self, _split: Split, _images: usize, _of: usize) {}

    fn epoch(&mut self, row: &EpochRow) {
        self.epochs.push(row.clone());
    }
}

/// Runs to the end, or to `stop_after` steps; returns a summary if it got to
/// the end.
fn run(trainer: &mut Trainer, threads: usize, stop_after: u64) -> Option<Summary> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let flag = AtomicBool::new(false);
        let mut observer = StopAfter { steps: stop_after, flag: &flag, epochs: Vec::new() };
        match trainer.run(&mut observer, &flag).unwrap() {
            Outcome::Finished(summary) => Some(*summary),
            Outcome::Interrupted => None,
        }
    })
}

fn whole_run(folder: &Path, threads: usize) -> Summary {
    let config = small_config();
    let mut trainer = Trainer::start(config.clone(), scenes(&config).unwrap(), folder).unwrap();
    run(&mut trainer, threads, u64::MAX).expect("nothing stopped it")
}

/// All tensors of a checkpoint, byte by byte.
fn tensor_bytes(folder: &Path) -> Vec<u8> {
    let bytes = std::fs::read(folder.join("checkpoints/last.safetensors")).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    assert!(bytes.len() > 8 + header);
    bytes[8 + header..].to_vec()
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let runs: Vec<_> = [1, 2, 3]
        .map(|threads| {
            let path = folder.path().join(threads.to_string());
            let summary = whole_run(&path, threads);
            assert_eq!(summary.threads, threads);
            (summary.tasks, summary.best_epoch, tensor_bytes(&path))
        })
        .into();
    assert!(runs[0] == runs[1] && runs[0] == runs[2]);
}

#[test]
fn a_run_that_was_interrupted_and_continued_equals_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let expected = whole_run(&whole, 2);
    let config = small_config();
    // Stopped in the first epoch, exactly at its end, and in the second.
    let mut trainer = Trainer::start(config.clone(), scenes(&config).unwrap(), &parts).unwrap();
    assert!(run(&mut trainer, 2, 2).is_none());
    // Only one trainer may use a run's folder.
    assert!(Trainer::resume(&parts, scenes).err().unwrap().to_string().contains("another program"));
    drop(trainer);
    for stop_after in [4, 7] {
        let mut trainer = Trainer::resume(&parts, scenes).unwrap();
        assert!(run(&mut trainer, 1, stop_after).is_none(), "stopped at {stop_after}");
    }
    let mut trainer = Trainer::resume(&parts, scenes).unwrap();
    let found = run(&mut trainer, 2, u64::MAX).unwrap();
    assert_eq!((found.tasks, found.best_epoch), (expected.tasks, expected.best_epoch));
    assert!(tensor_bytes(&whole) == tensor_bytes(&parts));
    let csv = |folder: &Path| {
        let text = std::fs::read_to_string(folder.join("metrics.csv")).unwrap();
        // All but the two columns of time.
        let rows = text.lines().map(|row| row.rsplitn(3, ',').nth(2).unwrap().to_string());
        rows.collect::<Vec<_>>()
    };
    assert_eq!(csv(&whole), csv(&parts));
    assert_eq!(csv(&whole).len(), 3);
}

/// One strategy for each kind of state and of required gradients; every other
/// one is resumed in the unit tests of the interface.
#[test]
fn a_run_continued_in_the_middle_of_any_strategy_equals_one_that_was_not_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    for (name, place) in [
        ("uw", "parameters"),
        ("dwa", "parameters"),
        ("famo", "parameters"),
        ("auto-lambda", "parameters"),
        ("gradnorm", "features"),
        ("gradvac", "summed-features"),
        ("upgrad", "features"),
        ("cagrad", "streamed-parameters"),
        ("graddrop", "features"),
        ("moco", "parameters"),
        ("excess-mtl", "parameters"),
        ("sdmgrad", "parameters"),
        ("smooth-mgda", "parameters"),
    ] {
        let mut config = small_config();
        config.set_balance(name).unwrap();
        config.gradients = place.parse().unwrap();
        config.diagnose = 3;
        config.samples = Some(16);
        config.epochs = 3;
        let (whole, parts) = (folder.path().join(format!("{name}-whole")), folder.path().join(name));
        let mut trainer = Trainer::start(config.clone(), scenes(&config).unwrap(), &whole).unwrap();
        // Stopped before a third epoch: what follows the last one, pictures and a page, is another test's.
        assert!(run(&mut trainer, 2, 4).is_none());
        drop(trainer);
        let mut trainer = Trainer::start(config.clone(), scenes(&config).unwrap(), &parts).unwrap();
        assert!(run(&mut trainer, 2, 3).is_none());
        drop(trainer);
        assert!(run(&mut Trainer::resume(&parts, scenes).unwrap(), 1, 4).is_none());
        assert!(tensor_bytes(&whole) == tensor_bytes(&parts), "{name}: the checkpoints differ");
        for log in ["balance.csv", "conflicts.csv"] {
            let text = |folder: &Path| std::fs::read_to_string(folder.join(log)).unwrap();
            assert_eq!(text(&whole), text(&parts), "{name}: {log}");
        }
        let conflicts = std::fs::read_to_string(whole.join("conflicts.csv")).unwrap();
        assert!(conflicts.contains("\n0,all,classify,detect,"), "{name}: {conflicts}");
        let rows = std::fs::read_to_string(whole.join("balance.csv")).unwrap().lines().count();
        assert_eq!(rows, 5, "a header and four steps");
    }
}

#[test]
fn preferences_and_places_that_do_not_fit_the_strategy_are_refused() {
    let refuse = |name: &str, preference: &[f64], place: &str, expected: &str| {
        let mut config = small_config();
        config.set_balance(name).unwrap();
        config.preference = preference.to_vec();
        config.gradients = place.parse().unwrap();
        let error = config.balancing().err().unwrap();
        assert!(error.is_usage() && error.to_string().contains(expected), "{error}");
    };
    refuse("mgda", &[1.0, 2.0, 1.0], "parameters", "takes no preference");
    refuse("upgrad", &[1.0, 2.0], "parameters", "3 tasks");
    refuse("upgrad", &[1.0, -2.0, 1.0], "parameters", "negative");
    refuse("moco", &[], "summed-features", "direction of its own");
    refuse("modo", &[], "features", "parameters");
}

#[test]
fn a_run_killed_before_its_first_checkpoint_starts_over() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    whole_run(&whole, 2);
    let config = small_config();
    drop(Trainer::start(config.clone(), scenes(&config).unwrap(), &killed).unwrap());
    run(&mut Trainer::resume(&killed, scenes).unwrap(), 2, u64::MAX).unwrap();
    assert!(tensor_bytes(&whole) == tensor_bytes(&killed));
}

#[test]
fn a_finished_run_leaves_every_file_and_can_be_resumed_without_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let summary = whole_run(&path, 2);
    for file in ["config.json", "metrics.csv", "summary.json", "samples/gallery.png", "samples/test_000.png"]
    {
        assert!(path.join(file).is_file(), "{file}");
    }
    let text = std::fs::read_to_string(path.join("summary.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for pointer in
        ["/tasks/classify/accuracy", "/tasks/detect/map", "/tasks/detect/map50", "/tasks/segment/miou"]
    {
        let value = json.pointer(pointer).and_then(serde_json::Value::as_f64);
        assert!(value.is_some_and(|value| (0.0..=1.0).contains(&value)), "{pointer}");
    }
    assert_eq!(json["splits"]["test"], 32);
    let before = tensor_bytes(&path);
    let again = run(&mut Trainer::resume(&path, scenes).unwrap(), 1, u64::MAX).unwrap();
    assert_eq!(again.tasks, summary.tasks);
    assert!(tensor_bytes(&path) == before);
    let (_, model) = load_model(&path.join("checkpoints/best.safetensors")).unwrap();
    assert_eq!(model.parameter_count(), summary.parameters);
}

#[test]
fn the_loss_falls() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = small_config();
    config.epochs = 6;
    let mut trainer =
        Trainer::start(config.clone(), scenes(&config).unwrap(), &folder.path().join("run")).unwrap();
    run(&mut trainer, 2, u64::MAX).unwrap();
    let history = &trainer.state().history;
    let (first, last) = (&history[0].losses, &history[5].losses);
    assert!(first.iter().zip(last).all(|(first, last)| last < first), "{first:?} to {last:?}");
}

#[test]
fn one_task_alone_and_any_pair_can_be_trained() {
    let folder = tempfile::tempdir().unwrap();
    for (index, tasks) in
        [vec!["classify"], vec!["detect"], vec!["segment", "classify"]].into_iter().enumerate()
    {
        let mut config = small_config();
        (config.epochs, config.samples) = (1, Some(8));
        let names: Vec<String> = tasks.iter().map(|name| name.to_string()).collect();
        config.set_heads(&names, scenes(&config).unwrap().info()).unwrap();
        let path = folder.path().join(index.to_string());
        let mut trainer = Trainer::start(config.clone(), scenes(&config).unwrap(), &path).unwrap();
        let summary = run(&mut trainer, 2, u64::MAX).unwrap();
        assert_eq!(summary.tasks.len(), tasks.len());
    }
}

#[test]
fn an_existing_run_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let config = small_config();
    drop(Trainer::start(config.clone(), scenes(&config).unwrap(), folder.path()).unwrap());
    let error = Trainer::start(config.clone(), scenes(&config).unwrap(), folder.path()).err().unwrap();
    assert!(error.to_string().contains("--resume"), "{error}");
}

#[test]
fn options_that_cannot_be_are_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |change: &dyn Fn(&mut TrainConfig), expected: &str| {
        let mut config = small_config();
        change(&mut config);
        let error = Trainer::start(config.clone(), scenes(&config).unwrap(), folder.path()).err().unwrap();
        assert!(error.is_usage() && error.to_string().contains(expected), "{error}");
    };
    refuse(&|config| config.batch = 0, "batch is 0");
    refuse(&|config| config.epochs = 0, "epochs is 0");
    refuse(&|config| config.learning_rate = f64::NAN, "learning rate");
    refuse(&|config| config.model.heads.clear(), "no task");
    let error = small_config().set_balance("magic").unwrap_err();
    assert!(error.to_string().contains("fixed, equal"), "{error}");
    assert!(folder.path().read_dir().unwrap().next().is_none(), "a refused run leaves nothing behind");
}
