//! Runs shared by several processes, here threads: the files of a run are those of one process, bit by bit, whatever
//! happens on the way.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use cerberus::data::{DataError, Dataset, DatasetInfo, Pixels, Sample, Split};
use cerberus::distributed::{Alone, Group, thread_groups};
use cerberus::train::{Outcome, Summary, TrainConfig, TrainError, Trainer};

use super::{StopAfter, scenes, small_config, tensor_bytes};

fn sharded(balance: &str) -> TrainConfig {
    let mut config = small_config();
    config.samples = Some(17);
    config.model.stages = vec![vec![4], vec![4], vec![8], vec![8]];
    config.shards = 4;
    config.set_balance(balance).unwrap();
    config
}

/// What every rank of a group of `size` returns.
fn on_each<R: Send>(size: usize, work: impl Fn(Arc<dyn Group>) -> R + Sync) -> Vec<R> {
    if size == 1 {
        return vec![work(Arc::new(Alone))];
    }
    thread::scope(|scope| {
        let ranks = thread_groups(size).into_iter().map(|group| scope.spawn(|| work(group)));
        let ranks: Vec<_> = ranks.collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// Runs in `size` processes to the end, or until one of them, the last, is stopped after so many steps.
fn run(folder: &Path, config: &TrainConfig, size: usize, stop_after: u64) -> Vec<Option<Summary>> {
    on_each(size, |group| {
        let is_last = group.rank() + 1 == size;
        let builder = Trainer::builder(config.clone(), scenes(config).unwrap()).group(group);
        let is_new = !folder.join("config.json").exists();
        let mut trainer = if is_new { builder.start(folder) } else { builder.resume(folder) }.unwrap();
        let flag = AtomicBool::new(false);
        let steps = if is_last { stop_after } else { u64::MAX };
        let mut observer = StopAfter { steps, flag: &flag, epochs: Vec::new() };
        match trainer.run(&mut observer, &flag).unwrap() {
            Outcome::Finished(summary) => Some(*summary),
            Outcome::Interrupted => None,
        }
    })
}

/// All columns but those of time.
fn metrics(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("metrics.csv")).unwrap();
    text.lines().map(|row| row.rsplitn(3, ',').nth(2).unwrap().to_string()).collect()
}

#[test]
fn a_run_is_the_same_in_any_number_of_processes() {
    let folder = tempfile::tempdir().unwrap();
    let shared = |balance: &str| TrainConfig { share_optimizer: true, accumulate: 2, ..sharded(balance) };
    for (config, sizes) in [
        (sharded("fixed"), &[4][..]),
        (sharded("auto-lambda"), &[2]),
        (TrainConfig { sync_norm: true, ..sharded("upgrad") }, &[3]),
        (shared("equal"), &[2]),
    ] {
        let balance = &*config.balance;
        let one = folder.path().join(balance);
        let expected = run(&one, &config, 1, u64::MAX).remove(0).unwrap();
        for &size in sizes {
            let several = folder.path().join(format!("{balance}{size}"));
            for summary in run(&several, &config, size, u64::MAX) {
                let summary = summary.unwrap();
                assert_eq!(
                    (summary.tasks, summary.best_epoch),
                    (expected.tasks.clone(), expected.best_epoch)
                );
            }
            assert!(tensor_bytes(&one) == tensor_bytes(&several), "{balance} in {size} processes");
            assert_eq!(metrics(&one), metrics(&several));
        }
    }
}

#[test]
fn a_run_stopped_by_one_process_continues_in_another_number_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let plain = sharded("fixed");
    // One process with an optimiser of its own, and several that share it.
    let averaged = TrainConfig { ema: 0.9, clip_norm: 0.1, ..plain.clone() };
    let shared = TrainConfig { share_optimizer: true, ..averaged.clone() };
    for (name, alone, config) in [("plain", &plain, &plain), ("shared", &averaged, &shared)] {
        let (whole, parts) = (folder.path().join(format!("{name}-whole")), folder.path().join(name));
        run(&whole, alone, 1, u64::MAX);
        assert!(run(&parts, config, 4, 1).iter().all(Option::is_none));
        assert!(run(&parts, config, 2, 3).iter().all(Option::is_none));
        assert!(run(&parts, config, 3, u64::MAX).iter().all(Option::is_some));
        assert!(tensor_bytes(&whole) == tensor_bytes(&parts), "{name}");
        assert_eq!(metrics(&whole), metrics(&parts));
    }
}

/// Scenes of which every third one is not finite.
struct WithNan(Arc<dyn Dataset>);

impl Dataset for WithNan {
    fn info(&self) -> &DatasetInfo {
        self.0.info()
    }

    fn len(&self, split: Split) -> usize {
        self.0.len(split)
    }

    fn sample(&self, split: Split, epoch: u64, index: usize) -> Result<Sample, DataError> {
        let mut sample = self.0.sample(split, epoch, index)?;
        if split == Split::Train && index.is_multiple_of(3) {
            sample.image.pixels = Pixels::Floats(vec![f32::NAN; sample.image.pixels.len()]);
        } else if let Pixels::Bytes(bytes) = &sample.image.pixels {
            sample.image.pixels =
                Pixels::Floats(bytes.iter().map(|&byte| f32::from(byte) / 64.0 - 2.0).collect());
        }
        Ok(sample)
    }
}

#[test]
fn what_is_not_finite_in_one_process_is_named_in_all() {
    let folder = tempfile::tempdir().unwrap();
    // With norms over all shards, the others are spoiled by the first one that is not finite.
    for sync_norm in [false, true] {
        let config = TrainConfig { sync_norm, share_optimizer: sync_norm, ..sharded("fixed") };
        let folder = folder.path().join(sync_norm.to_string());
        is_named(&config, &folder);
    }
}

fn is_named(config: &TrainConfig, folder: &Path) {
    let told = on_each(2, |group| {
        let data = Arc::new(WithNan(scenes(config).unwrap()));
        let trainer = Trainer::builder(config.clone(), data).group(group).start(folder);
        let flag = AtomicBool::new(false);
        let mut observer = StopAfter { steps: u64::MAX, flag: &flag, epochs: Vec::new() };
        match trainer.unwrap().run(&mut observer, &flag) {
            Err(error @ TrainError::Diverged { .. }) => error.to_string(),
            _ => panic!("a step on what is not finite"),
        }
    });
    assert_eq!(told[0], told[1]);
    assert!(told[0].contains(" of rank ") && told[0].contains("in shard "), "{}", told[0]);
    assert!(told[0].contains("the images themselves hold values that are not finite"), "{}", told[0]);
    assert!(folder.join("checkpoints/before-divergence.safetensors").exists());
}

#[test]
fn processes_that_cannot_share_the_shards_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = sharded("fixed");
    config.shards = 2;
    let told = on_each(4, |group| {
        let trainer = Trainer::builder(config.clone(), scenes(&config).unwrap()).group(group);
        trainer.start(&folder.path().join("run")).err().unwrap().to_string()
    });
    assert!(told.iter().all(|told| told.contains("4 processes cannot share 2 shards")), "{told:?}");
    assert!(!folder.path().join("run").exists());
    config.shards = 9;
    let told = Trainer::start(config.clone(), scenes(&config).unwrap(), folder.path()).err().unwrap();
    assert!(told.to_string().contains("a batch of 8 cannot be cut into 9 shards"), "{told}");
}
