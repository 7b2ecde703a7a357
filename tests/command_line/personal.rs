//! `personal` on a small base: what is taught is undone and forgotten bit for bit, two programs may work on one store, and
//! what cannot be is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::explain::trained;
use super::{example, fails};

/// A base and eight pictures in a folder.
struct Place {
    folder: tempfile::TempDir,
    model: String,
    pictures: Vec<String>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (model, _) = trained(folder.path());
        let pictures = (0..8).map(|number| {
            let pixels: Vec<u8> =
                (0..40 * 30 * 3).map(|i| (i * (number + 3) % (60 + 20 * number)) as u8).collect();
            let picture = cerberus::data::Image { height: 30, width: 40, channels: 3, pixels: pixels.into() };
            let path = folder.path().join(format!("{number}.png"));
            std::fs::write(&path, picture.to_png().unwrap()).unwrap();
            path.to_str().unwrap().to_string()
        });
        let pictures = pictures.collect();
        Self { folder, model, pictures }
    }

    fn store(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments(&self, store: &str, words: &[&str]) -> Vec<String> {
        let user = self.store(store).to_str().unwrap().to_string();
        let start =
            ["--model".into(), self.model.clone(), "--threads".into(), "1".into(), "--user".into(), user];
        start.into_iter().chain(words.iter().map(|word| word.to_string())).collect()
    }

    fn command(&self, store: &str, words: &[&str]) -> Command {
        let mut command = example("personal");
        command.args(self.arguments(store, words)).env("SOURCE_DATE_EPOCH", "1700000000");
        command
    }

    fn run(&self, store: &str, words: &[&str]) -> Output {
        let output = self.command(store, words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn teach(&self, store: &str, class: &str, pictures: std::ops::Range<usize>) {
        let pictures = self.pictures[pictures].iter().map(String::as_str);
        self.run(store, &["teach", "--class", class].into_iter().chain(pictures).collect::<Vec<_>>());
    }

    #[track_caller]
    fn refuses(&self, store: &str, words: &[&str], code: i32, said: &[&str]) {
        let arguments = self.arguments(store, words);
        fails("personal", &arguments.iter().map(String::as_str).collect::<Vec<_>>(), &[code], said);
    }
}

/// Every file of a store by its name, but the lock, and what is remembered of the base's file, which may change at any time
/// and is computed anew if it is damaged.
fn files(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![store.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !["lock", "base.json"].contains(&path.file_name().unwrap().to_str().unwrap()) {
                let name = path.strip_prefix(store).unwrap().to_str().unwrap().to_string();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn what_is_undone_or_forgotten_was_never_taught_bit_for_bit() {
    let place = Place::new();
    let base = std::fs::read(&place.model).unwrap();
    // Before and after the base was prepared.
    for prepared in ["imagined", "measured"] {
        let name = |kind: &str| format!("{kind}-{prepared}");
        let (one, other, third) = (name("one"), name("other"), name("third"));
        place.teach(&one, "my hat", 0..3);
        place.teach(&one, "my mug", 3..6);
        let both = files(&place.store(&one));
        place.run(&one, &["correct", &place.pictures[0], "--class", "my mug"]);
        assert_ne!(files(&place.store(&one)), both);
        place.run(&one, &["undo"]);
        assert_eq!(files(&place.store(&one)), both, "undo");

        place.teach(&other, "my mug", 3..6);
        let never = files(&place.store(&other));
        assert!(never.len() == 2 && never != both);
        place.run(&one, &["forget", "my hat"]);
        assert_eq!(files(&place.store(&one)), never, "forget");
        // A class that was taught in several steps, with copies of its pictures, and by a correction.
        let keep = ["teach", "--class", "my hat", "--keep-pictures", &place.pictures[0], &place.pictures[6]];
        place.run(&one, &keep);
        assert!(files(&place.store(&one)).keys().filter(|name| name.starts_with("pictures")).count() == 2);
        place.run(&one, &["correct", &place.pictures[4], "--class", "my hat"]);
        place.run(&one, &["forget", "my hat"]);
        assert_eq!(files(&place.store(&one)), never, "forget what was corrected");

        // Taken along, and merged.
        let taken = place.store(&name("taken.safetensors"));
        place.run(&other, &["export", taken.to_str().unwrap()]);
        place.run(&third, &["import", taken.to_str().unwrap()]);
        assert_eq!(files(&place.store(&third)), never, "import");
        place.teach(&third, "my hat", 0..3);
        let grown = files(&place.store(&third));
        place.run(&third, &["merge", place.store(&one).to_str().unwrap()]);
        assert_eq!(files(&place.store(&third)), grown, "there is nothing new to merge");
        place.run(&one, &["merge", place.store(&third).to_str().unwrap()]);
        let said = place.run(&one, &["list", "--json"]).stdout;
        let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
        assert_eq!(said["classes"], serde_json::json!(["my mug", "my hat"]));

        let said = place.run(&one, &["predict", &place.pictures[7]]).stdout;
        let line: serde_json::Value = serde_json::from_slice(&said).unwrap();
        assert!(line["answer"]["from"].is_string() && line["detect"].is_array(), "{line}");
        if prepared == "imagined" {
            let samples = ["prepare", "--data", "fashion-scenes", "--samples", "60"];
            place.run("nobody", &samples);
        }
    }
    assert_eq!(std::fs::read(&place.model).unwrap(), base, "the base was written");
}

#[test]
fn programs_that_teach_one_store_at_once_all_succeed() {
    let place = Place::new();
    let teach = |number: usize| {
        let class = format!("class {number}");
        let words = ["teach", "--class", &class, &place.pictures[number]];
        place.command("shared", &words).spawn().unwrap()
    };
    let programs: Vec<_> = (0..4).map(teach).collect();
    for mut program in programs {
        assert!(program.wait().unwrap().success());
    }
    let said: serde_json::Value =
        serde_json::from_slice(&place.run("shared", &["list", "--json"]).stdout).unwrap();
    assert_eq!((said["classes"].as_array().unwrap().len(), said["steps"].as_array().unwrap().len()), (4, 4));
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_changed() {
    let place = Place::new();
    let picture = place.pictures[0].as_str();
    place.refuses("none", &["list"], 1, &["holds no personal store", "teach"]);
    place.refuses("none", &["predict", picture], 1, &["no personal store"]);
    place.refuses("none", &["forget", "x"], 1, &["no personal store"]);
    assert!(!place.store("none").exists());
    place.teach("one", "my mug", 0..2);
    let before = files(&place.store("one"));
    place.refuses("one", &["forget", "my hat"], 2, &["my hat", "my mug"]);
    place.refuses("one", &["undo", "2"], 2, &["2 steps", "there are 1"]);
    place.refuses("one", &["undo", "0"], 2, &["0 steps"]);
    place.refuses("one", &["teach", "--class", " ", picture], 2, &["name of a class"]);
    let broken = place.store("broken.png");
    std::fs::write(&broken, b"no picture").unwrap();
    let broken = broken.to_str().unwrap();
    place.refuses("one", &["teach", "--class", "x", picture, broken], 1, &["broken.png"]);
    place.refuses("one", &["import", broken], 2, &["merge"]);
    place.refuses("one", &["merge", broken], 1, &["broken.png", "safetensors"]);
    place.refuses("one", &["merge", &place.model], 1, &["export"]);
    place.refuses("one", &["predict", "--threshold", "2", picture], 2, &["--threshold"]);
    place.refuses("one", &["evaluate", "--data", "nowhere"], 1, &["nowhere"]);
    assert_eq!(files(&place.store("one")), before);

    // Another base, though of the same shape.
    let last = place.model.replace("best", "last");
    let user = place.store("one").to_str().unwrap().to_string();
    fails(
        "personal",
        &["--model", &last, "--user", &user, "list"],
        &[1],
        &["best.safetensors", "another --user"],
    );
    // A damaged store.
    for (name, bytes) in &before {
        let path = place.store("one").join(name);
        for cut in [0, bytes.len() / 2, bytes.len() - 2] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            place.refuses("one", &["predict", picture], 1, &[name]);
            std::fs::write(&path, bytes).unwrap();
        }
    }
    assert!(place.run("one", &["predict", picture]).status.success());
}
