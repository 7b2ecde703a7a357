//! The loader keeps its order, resumes, stops, and never hangs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cerberus_data::{
    Batch, CLASS, DataError, Dataset, DatasetInfo, EpochPlan, Image, Label, LabelInfo, LabelKind, Loader,
    MissingLabels, Mixture, Resampled, Sample, Sampling, Split, annotated_key,
};

/// One-pixel images; the test decides what happens at `bad`.
struct Numbers {
    info: DatasetInfo,
    len: usize,
    bad: Option<(usize, Bad)>,
    made: AtomicUsize,
}

#[derive(Clone, Copy)]
enum Bad {
    Error,
    Panic,
    OtherSize,
}

fn numbers(len: usize, bad: Option<(usize, Bad)>) -> Arc<Numbers> {
    let info = DatasetInfo {
        name: "numbers".into(),
        height: 1,
        width: 1,
        channels: 1,
        labels: vec![LabelInfo::new(CLASS, LabelKind::Class, &[])],
        accounts: Default::default(),
        inputs: Vec::new(),
    };
    Arc::new(Numbers { info, len, bad, made: AtomicUsize::new(0) })
}

impl Dataset for Numbers {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, _: Split) -> usize {
        self.len
    }

    fn sample(&self, split: Split, _: u64, index: usize) -> Result<Sample, DataError> {
        self.made.fetch_add(1, Ordering::Relaxed);
        // Later samples are ready sooner, so that the right order is not luck.
        std::thread::sleep(std::time::Duration::from_micros((self.len - index) as u64 % 7 * 50));
        let mut width = 1;
        match self.bad {
            Some((at, Bad::Error)) if at == index => {
                let dataset = self.info.name.clone();
                return Err(DataError::NoSuchSample { dataset, split: split.name(), len: 0, index });
            }
            Some((at, Bad::Panic)) if at == index => panic!("sample {index} is cursed"),
            Some((at, Bad::OtherSize)) if at == index => width = 2,
            _ => {}
        }
        let image = Image { height: 1, width, channels: 1, pixels: vec![0; width].into() };
        Ok(Sample {
            image,
            class: Some(index),
            objects: None,
            mask: None,
            more: BTreeMap::new(),
            inputs: BTreeMap::new(),
        })
    }
}

fn plan(workers: usize) -> EpochPlan {
    EpochPlan { batch_size: 4, workers, ..EpochPlan::new(Split::Train) }
}

fn indices(dataset: Arc<Numbers>, plan: EpochPlan) -> Vec<Vec<usize>> {
    let batches: Result<Vec<Batch>, DataError> = Loader::new(dataset, plan).unwrap().collect();
    batches.unwrap().into_iter().map(|batch| batch.indices).collect()
}

#[test]
fn order_does_not_depend_on_the_number_of_workers() {
    let shuffled = |workers| EpochPlan { shuffle: true, seed: 5, epoch: 2, ..plan(workers) };
    let expected = indices(numbers(50, None), shuffled(0));
    assert_eq!(expected.len(), 13);
    for workers in [1, 2, 3, 40] {
        assert_eq!(indices(numbers(50, None), shuffled(workers)), expected);
    }
}

#[test]
fn a_shuffle_is_a_permutation_that_changes_with_seed_and_epoch() {
    let order = |seed, epoch| EpochPlan { shuffle: true, seed, epoch, ..plan(1) }.order(100);
    let mut sorted = order(1, 0);
    sorted.sort_unstable();
    assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    assert_eq!(order(1, 0), order(1, 0));
    assert_ne!(order(1, 0), order(2, 0));
    assert_ne!(order(1, 0), order(1, 1));
    assert_eq!(plan(1).order(3), [0, 1, 2]);
}

#[test]
fn an_epoch_resumed_in_the_middle_continues_as_if_it_had_not_stopped() {
    let whole = EpochPlan { shuffle: true, ..plan(2) };
    let expected = indices(numbers(30, None), whole.clone());
    let rest = indices(numbers(30, None), EpochPlan { start_batch: 3, ..whole.clone() });
    assert_eq!(rest, expected[3..]);
    let end = EpochPlan { start_batch: 8, ..whole.clone() };
    assert!(indices(numbers(30, None), end).is_empty());
    let past = Loader::new(numbers(30, None), EpochPlan { start_batch: 9, ..whole });
    assert!(past.err().unwrap().to_string().contains("8 batches"));
}

#[test]
fn limit_and_drop_last_cut_the_epoch() {
    let limited = EpochPlan { limit: Some(10), ..plan(2) };
    assert_eq!(indices(numbers(30, None), limited.clone()).concat(), (0..10).collect::<Vec<_>>());
    let full = EpochPlan { drop_last: true, ..limited };
    assert_eq!(indices(numbers(30, None), full.clone()).concat(), (0..8).collect::<Vec<_>>());
    assert!(indices(numbers(3, None), full).is_empty());
    assert_eq!(indices(numbers(2, None), EpochPlan { limit: Some(10), ..plan(1) }).concat(), [0, 1]);
    assert!(indices(numbers(0, None), plan(2)).is_empty());
}

#[test]
fn processes_share_a_batch_or_take_turns_with_batches() {
    let whole = EpochPlan { shuffle: true, ..plan(2) };
    let expected = indices(numbers(30, None), whole.clone());
    let within = |range: std::ops::Range<usize>| {
        indices(numbers(30, None), EpochPlan { within: Some(range), drop_last: true, ..whole.clone() })
    };
    let (first, second) = (within(0..3), within(3..4));
    for (batch, expected) in expected[..7].iter().enumerate() {
        assert_eq!([&first[batch][..], &second[batch]].concat(), *expected);
    }
    for workers in [0, 1, 3] {
        let turn = |start_batch| {
            indices(numbers(30, None), EpochPlan { start_batch, every: 3, workers, ..whole.clone() })
        };
        let turns = [0, 1, 2].map(turn);
        assert_eq!(turns.each_ref().map(Vec::len), [3, 3, 2]);
        for (batch, expected) in expected.iter().enumerate() {
            assert_eq!(turns[batch % 3][batch / 3], *expected);
        }
    }
}

#[test]
fn a_batch_size_of_zero_is_an_error() {
    let error = Loader::new(numbers(3, None), EpochPlan { batch_size: 0, ..plan(1) }).err().unwrap();
    assert_eq!(error.to_string(), "batch size is 0: give at least 1");
}

#[test]
fn an_error_or_panic_of_the_data_set_comes_out_in_its_turn_and_ends_the_epoch() {
    for (bad, text) in
        [(Bad::Error, "number 9"), (Bad::Panic, "sample 9 is cursed"), (Bad::OtherSize, "sample 9")]
    {
        for workers in [0, 1, 3] {
            let mut loader = Loader::new(numbers(40, Some((9, bad))), plan(workers)).unwrap();
            assert!(loader.next().unwrap().is_ok() && loader.next().unwrap().is_ok());
            let error = loader.next().unwrap().unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
            assert!(loader.next().is_none());
        }
    }
}

#[test]
fn dropping_the_loader_stops_its_workers() {
    let dataset = numbers(100_000, None);
    let mut loader = Loader::new(dataset.clone(), plan(3)).unwrap();
    loader.next().unwrap().unwrap();
    drop(loader);
    // The workers have ended: only this handle is left, and few samples were made.
    assert_eq!(Arc::strong_count(&dataset), 1);
    let made = dataset.made.load(Ordering::Relaxed);
    assert!(made < 1000, "{made}");
}

#[test]
fn workers_run_ahead_only_so_far() {
    let dataset = numbers(1000, None);
    let loader = Loader::new(dataset.clone(), plan(2)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    // Two batches waiting and one being made for each worker.
    let made = dataset.made.load(Ordering::Relaxed);
    assert!(made <= 2 * 3 * 4, "{made}");
    drop(loader);
}

/// Every hundredth image is of a rare class.
struct Classes {
    info: DatasetInfo,
    train: usize,
}

fn classes(name: &str, label: &str, train: usize) -> Arc<Classes> {
    let names = ["often", "rarely"].map(String::from);
    let mut info = numbers(0, None).info.clone();
    (info.name, info.labels) = (name.into(), vec![LabelInfo::new(label, LabelKind::Class, &names)]);
    Arc::new(Classes { info, train })
}

impl Dataset for Classes {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        if split == Split::Train { self.train } else { 3 }
    }

    fn sample(&self, _: Split, _: u64, index: usize) -> Result<Sample, DataError> {
        let image = Image { height: 1, width: 1, channels: 1, pixels: vec![self.train as u8].into() };
        let class = usize::from(index.is_multiple_of(100));
        let mut sample = Sample {
            image,
            class: None,
            objects: None,
            mask: None,
            more: BTreeMap::new(),
            inputs: BTreeMap::new(),
        };
        match self.info.labels[0].name.as_str() {
            CLASS => sample.class = Some(class),
            other => drop(sample.more.insert(other.into(), Label::Class(class))),
        }
        Ok(sample)
    }
}

#[test]
fn samplers_show_rare_classes_as_often_as_they_promise() {
    for (by, expected) in [(Sampling::Balanced, 0.5), (Sampling::SquareRoot, 1.0 / (1.0 + 99f64.sqrt()))] {
        let sampled = Resampled::new(classes("c", CLASS, 2000), CLASS, by, 3).unwrap();
        assert!((sampled.shares()[1] - expected).abs() < 1e-12, "{:?}", sampled.shares());
        let rare =
            (0..2000).filter(|&i| sampled.sample(Split::Train, 1, i).unwrap().class == Some(1)).count();
        assert!((rare as f64 / 2000.0 - expected).abs() < 0.05, "{by:?}: {rare} of 2000");
        assert_eq!(sampled.drawn(1, 7), sampled.drawn(1, 7));
        assert_eq!(sampled.sample(Split::Test, 0, 0).unwrap().class, Some(1), "the test part is as it was");
        assert!(sampled.sample(Split::Train, 0, 2000).is_err());
    }
    assert!(Resampled::new(classes("c", CLASS, 20), "mask", Sampling::Balanced, 3).is_err());
}

#[test]
fn mixtures_draw_by_temperature_and_leave_labels_of_other_sets_missing() {
    let parts = || -> Vec<Arc<dyn Dataset>> { vec![classes("a", CLASS, 90), classes("b", "breed", 10)] };
    let even = Mixture::new(parts(), 1e9, 1, 1).unwrap();
    assert!((even.shares()[0] - 0.5).abs() < 1e-6);
    let two = Mixture::new(parts(), 2.0, 4, 1).unwrap();
    assert!((two.shares()[0] - 0.75).abs() < 1e-12, "the root of 9 to 1 is 3 to 1");
    let in_proportion = Mixture::new(parts(), 1.0, 1, 1).unwrap();
    let from_b = (0..100).flat_map(|i| (0..20).map(move |epoch| (epoch, i)));
    let from_b = from_b.filter(|&(epoch, i)| in_proportion.part_of(epoch, i) == 1).count();
    assert!((from_b as f64 / 2000.0 - 0.1).abs() < 0.03, "{from_b}");
    for index in 0..100 {
        assert_eq!(two.part_of(0, index), two.part_of(0, index / 4 * 4), "four in a row are of one set");
        let sample = even.sample(Split::Train, 0, index).unwrap();
        assert_eq!(
            sample.class.is_some(),
            !sample.more.contains_key("breed"),
            "each has the labels of its set"
        );
    }
    assert_eq!((even.len(Split::Test), even.info().labels.len()), (6, 2));
    assert!(even.sample(Split::Test, 0, 4).unwrap().more.contains_key("breed"));
    assert!(Mixture::new(vec![], 1.0, 1, 1).is_err() && Mixture::new(parts(), 0.0, 1, 1).is_err());
}

#[test]
fn labels_taken_away_stay_away_and_only_in_training() {
    let missing = MissingLabels::new(classes("c", CLASS, 200), 0.33, 5).unwrap();
    let kept = |epoch| -> Vec<bool> {
        (0..200).map(|i| missing.sample(Split::Train, epoch, i).unwrap().class.is_some()).collect()
    };
    assert_eq!(kept(0), kept(1));
    let share = kept(0).iter().filter(|&&kept| kept).count() as f64 / 200.0;
    assert!((share - 0.67).abs() < 0.1, "{share}");
    assert!((0..3).all(|i| missing.sample(Split::Test, 0, i).unwrap().class.is_some()));
    assert!(MissingLabels::new(classes("c", CLASS, 2), 1.5, 5).is_err());
}

#[test]
fn what_a_set_annotates_stays_known_where_labels_are_taken_away() {
    let known = annotated_key("breed");
    let missing = MissingLabels::new(classes("c", &known, 20), 1.0, 5).unwrap();
    assert!((0..20).all(|i| missing.sample(Split::Train, 0, i).unwrap().more.contains_key(&known)));
}
