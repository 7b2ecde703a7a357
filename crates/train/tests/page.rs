//! The page and the event file of small runs on generated data.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cerberus_data::{
    CLASS, DataError, Dataset, DatasetInfo, Image, LabelInfo, LabelKind, MASK, Mask, OBJECTS, Object, Sample,
    Split,
};
use cerberus_train::{EpochRow, Observer, Outcome, StepReport, TrainConfig, Trainer};

/// Squares of one of two classes, whose names would be markup if they were not escaped.
struct Squares {
    info: DatasetInfo,
    /// Samples for training, validation and testing.
    parts: [usize; 3],
    /// Whether samples outside training have labels.
    labelled: bool,
}

const SIDE: usize = 32;
const NAMES: [&str; 2] = ["<b>light</b>", "dark & \"quoted\""];

impl Squares {
    fn of(parts: [usize; 3], labelled: bool) -> Arc<dyn Dataset> {
        let names = NAMES.map(String::from);
        let label = |name: &str, kind| LabelInfo::new(name, kind, &names);
        let labels = vec![
            label(CLASS, LabelKind::Class),
            label(OBJECTS, LabelKind::Objects),
            label(MASK, LabelKind::Mask),
        ];
        let name = "<script>squares</script>".to_string();
        let info = DatasetInfo {
            name,
            height: SIDE,
            width: SIDE,
            channels: 3,
            labels,
            accounts: Default::default(),
            inputs: Vec::new(),
        };
        Arc::new(Squares { info, parts, labelled })
    }
}

impl Dataset for Squares {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn len(&self, split: Split) -> usize {
        match split {
            Split::Train => self.parts[0],
            Split::Validation => self.parts[1],
            Split::Test => self.parts[2],
        }
    }

    fn sample(&self, split: Split, _: u64, index: usize) -> Result<Sample, DataError> {
        let (class, left) = (index % 2, 2 + index % 7);
        let inside = |p: usize| (left..left + 16).contains(&(p % SIDE)) && (8..24).contains(&(p / SIDE));
        let value = |p: usize| if inside(p) { [220, 30][class] } else { 120 };
        let pixels: Vec<u8> = (0..SIDE * SIDE).flat_map(|p| [value(p); 3]).collect();
        let labelled = self.labelled || split == Split::Train;
        let mask = (0..SIDE * SIDE).map(|p| if inside(p) { class as u16 + 1 } else { 0 }).collect();
        let bbox = [left as f32, 8.0, left as f32 + 16.0, 24.0];
        Ok(Sample {
            image: Image { height: SIDE, width: SIDE, channels: 3, pixels: pixels.into() },
            class: labelled.then_some(class),
            objects: labelled.then(|| vec![Object::new(class, bbox)]),
            mask: labelled.then_some(Mask { height: SIDE, width: SIDE, classes: mask }),
            more: BTreeMap::new(),
            inputs: BTreeMap::new(),
        })
    }
}

struct Nobody;

impl Observer for Nobody {
    fn step(&mut self, _: &StepReport) {}
    fn evaluating(&mut self, _: Split, _: usize, _: usize) {}
    fn epoch(&mut self, _: &EpochRow) {}
}

fn config(data: &dyn Dataset) -> TrainConfig {
    let mut config = TrainConfig::for_data("squares", data.info());
    config.model.stages = vec![vec![4], vec![4], vec![8], vec![8]];
    (config.epochs, config.batch) = (2, 8);
    config
}

fn train(data: Arc<dyn Dataset>, folder: &Path) {
    let trainer = Trainer::builder(config(&*data), data).command("train --data '<squares>'").start(folder);
    let outcome = trainer.unwrap().run(&mut Nobody, &AtomicBool::new(false)).unwrap();
    assert!(matches!(outcome, Outcome::Finished(_)));
}

fn page(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("report.html")).unwrap()
}

/// Whether a text or a drawing contains NaN as a number; the bare letters may occur in an encoded picture.
fn holds_nan(page: &str) -> bool {
    [">NaN", " NaN", "\"NaN"].iter().any(|nan| page.contains(nan))
}

#[test]
fn the_page_tells_what_a_run_did_and_escapes_what_comes_from_outside() {
    let folder = tempfile::tempdir().unwrap();
    train(Squares::of([16, 12, 12], true), folder.path());
    let page = page(folder.path());
    for told in [
        "Finished: 2 of 2 epochs",
        "train --data '&lt;squares&gt;'",
        "Figures on the test part",
        "classify: training loss",
        "detect: validation",
        "Learning rate",
        "Confusion",
        "Reliability: ECE",
        "Precision against recall at IoU 0.5",
        "mean of all classes",
        "support (pixels)",
        "&lt;b&gt;light&lt;/b&gt;",
        "weight_decay",
        "seconds of training",
        "data:image/jpeg",
    ] {
        assert!(page.contains(told), "the page does not tell {told:?}");
    }
    assert!(!page.contains("<b>") && !page.contains("<script") && !holds_nan(&page));
    // An untrained model is wrong somewhere.
    assert!(page.contains("the worst mistakes") && page.contains("test 1"), "no mistake is named");
}

#[test]
fn a_run_without_a_validation_part_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    train(Squares::of([16, 0, 12], true), folder.path());
    assert!(page(folder.path()).contains("Figures on the test part"));
    let folder = tempfile::tempdir().unwrap();
    train(Squares::of([16, 0, 0], true), folder.path());
    let page = page(folder.path());
    assert!(page.contains("classify: training loss") && !page.contains("Figures on"));
}

#[test]
fn figures_that_are_unknown_are_dashes_and_leave_their_sections_out() {
    let folder = tempfile::tempdir().unwrap();
    train(Squares::of([16, 12, 12], false), folder.path());
    let page = page(folder.path());
    assert!(page.contains("<td class=\"number\">-</td>") && page.contains("classify: training loss"));
    for absent in ["Confusion", "Reliability", "the worst mistakes", "classify: validation"] {
        assert!(!page.contains(absent), "{absent}");
    }
    assert!(!holds_nan(&page));
}

#[test]
fn a_page_and_an_event_file_that_cannot_be_written_do_not_end_the_run() {
    let folder = tempfile::tempdir().unwrap();
    // A folder stands where the page should.
    std::fs::create_dir_all(folder.path().join("report.html/in the way")).unwrap();
    train(Squares::of([16, 12, 12], true), folder.path());
    assert!(folder.path().join("summary.json").is_file());
}

#[test]
fn a_continued_run_notes_its_command_and_begins_another_event_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = Squares::of([16, 12, 12], true);
    let events = || {
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("events.out.tfevents.")).count()
    };
    let new = || Trainer::builder(config(&*data), data.clone());
    let mut trainer = new().command("train").start(folder.path()).unwrap();
    struct Stop<'a>(&'a AtomicBool);
    impl Observer for Stop<'_> {
        fn step(&mut self, _: &StepReport) {}
        fn evaluating(&mut self, _: Split, _: usize, _: usize) {}
        fn epoch(&mut self, _: &EpochRow) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    assert!(matches!(trainer.run(&mut Stop(&stop), &stop).unwrap(), Outcome::Interrupted));
    assert!(page(folder.path()).contains("Under way: 1 of 2 epochs"));
    assert_eq!(events(), 1);
    drop(trainer);
    let mut trainer = new().command("train --resume").resume(folder.path()).unwrap();
    trainer.run(&mut Nobody, &AtomicBool::new(false)).unwrap();
    assert_eq!(events(), 2);
    let commands = std::fs::read_to_string(folder.path().join("command.txt")).unwrap();
    assert_eq!(commands, "train\ntrain --resume\n");
    assert!(page(folder.path()).contains("train --resume"));
}
