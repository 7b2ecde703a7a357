//! A user's own images: no input is ever overwritten, unknown labels do not count, and a run recognises its data.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cerberus::data::Image;
use serde_json::Value;
use tempfile::TempDir;

use crate::{example, fails, output};

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_string()
}

/// A picture of a bright square on gray.
fn square(at: usize) -> Vec<u8> {
    let inside = |p: usize| (at..at + 16).contains(&(p % 48)) && (at..at + 16).contains(&(p / 48));
    let pixels: Vec<u8> =
        (0..40 * 48).flat_map(|p| if inside(p) { [230, 60, 60] } else { [90; 3] }).collect();
    Image { height: 40, width: 48, channels: 3, pixels: pixels.into() }.to_png().unwrap()
}

/// A set in YOLO's layout; each part's pictures have a box of class 0 unless they are named `empty`.
fn yolo(folder: &Path, parts: &[(&str, usize)]) {
    let mut yaml = String::from("names: [cup, box]\n");
    for (part, count) in parts {
        for kind in ["images", "labels"] {
            fs::create_dir_all(folder.join(kind).join(part)).unwrap();
        }
        for number in 0..*count {
            let at = 2 + (number * 5 + part.len()) % 20;
            let centre = |side: f64| (at as f64 + 8.0) / side;
            let line = format!("0 {} {} {} {}\n", centre(48.0), centre(40.0), 16.0 / 48.0, 16.0 / 40.0);
            let line = if part.contains("empty") { String::new() } else { line };
            fs::write(folder.join(format!("images/{part}/{part}{number}.png")), square(at)).unwrap();
            fs::write(folder.join(format!("labels/{part}/{part}{number}.txt")), line).unwrap();
        }
        let key = if part.starts_with("val") { "val" } else { part };
        yaml += &format!("{key}: images/{part}\n");
    }
    fs::write(folder.join("data.yaml"), yaml).unwrap();
}

/// Trains on a folder into `run` beside it and returns the output.
fn train(set: &TempDir, more: &[&str]) -> String {
    let (data, run) = (text(set.path()), text(&set.path().join("run")));
    let mut arguments = vec!["--data", &data, "--out", &run, "--size", "32", "--batch", "4"];
    arguments.extend(["--samples", "8", "--threads", "1"]);
    if !more.contains(&"--epochs") {
        arguments.extend(["--epochs", "1"]);
    }
    arguments.extend(more);
    let done = output("train", &arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn model(set: &TempDir) -> String {
    text(&set.path().join("run/checkpoints/best.safetensors"))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What `evaluate` prints, and its notes.
fn evaluate(arguments: &[&str]) -> (Value, String) {
    let done = output("evaluate", arguments);
    let notes = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{notes}");
    (serde_json::from_slice(&done.stdout).unwrap(), notes)
}

#[test]
fn predictions_never_write_over_a_given_picture_or_another_prediction() {
    let set = tempfile::tempdir().unwrap();
    yolo(set.path(), &[("train", 4)]);
    train(&set, &[]);
    let out = set.path().join("found");
    fs::create_dir_all(out.join("more")).unwrap();
    // Into the pictures' own folder, with names that would collide.
    let names = ["x.png", "x.mask.png", "predictions.png", "more/x.png", "X.jpg", "x-2.png"];
    let given: Vec<_> = names.iter().enumerate().map(|(at, name)| (out.join(name), square(at))).collect();
    given.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    let paths: Vec<String> = given.iter().map(|(path, _)| text(path)).collect();
    let (model, folder) = (model(&set), text(&out));
    let mut arguments = vec!["--model", &model, "--out", &folder];
    arguments.extend(paths.iter().map(String::as_str));
    let done = output("predict", &arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    given
        .iter()
        .for_each(|(path, bytes)| assert!(fs::read(path).unwrap() == *bytes, "{} changed", path.display()));
    let written = fs::read_dir(&out)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "json"));
    // One for each picture, and the two with all of them.
    assert_eq!(written.count(), names.len() + 2);
    assert_eq!(json(&out.join("predictions.json"))["images"].as_array().unwrap().len(), names.len());
}

#[test]
fn predict_takes_folders_and_patterns_and_draws_what_it_tells() {
    let set = tempfile::tempdir().unwrap();
    yolo(set.path(), &[("train", 4)]);
    train(&set, &[]);
    let model = model(&set);
    let lines = |given: &str| {
        let done = output("predict", &["--model", &model, given]);
        String::from_utf8_lossy(&done.stdout).lines().count()
    };
    assert_eq!(lines(&text(&set.path().join("images"))), 4);
    assert_eq!(lines(&text(&set.path().join("images/*/train[01].png"))), 2);
    fails("predict", &["--model", &model, &text(&set.path().join("labels"))], &[1], &["no picture"]);
    fails("predict", &["--model", &model, &text(&set.path().join("*.bmp"))], &[1], &["no file fits"]);
    fails("predict", &["--model", &model, "--threshold", "nan", "x.png"], &[1], &["--threshold"]);
    let picture = text(&set.path().join("images/train/train0.png"));
    let drawn = |threshold: &str| {
        let out = set.path().join(threshold);
        let done =
            output("predict", &["--model", &model, "--threshold", threshold, "--out", &text(&out), &picture]);
        assert!(done.status.success());
        fs::read(out.join("train0.png")).unwrap()
    };
    assert!(drawn("0") != drawn("1"), "boxes of the threshold that was asked for");
}

#[test]
fn what_cannot_be_scored_is_null_and_chooses_no_model() {
    let set = tempfile::tempdir().unwrap();
    yolo(set.path(), &[("train", 4), ("valempty", 2)]);
    train(&set, &["--epochs", "2"]);
    let summary = json(&set.path().join("run/summary.json"));
    assert_eq!(summary["best_epoch"], 2, "nothing tells them apart: the last counts");
    let rows = fs::read_to_string(set.path().join("run/metrics.csv")).unwrap();
    let header: Vec<&str> = rows.lines().next().unwrap().split(',').collect();
    let row: BTreeMap<&str, &str> =
        header.iter().copied().zip(rows.lines().nth(1).unwrap().split(',')).collect();
    assert_eq!([row["validation_detect_map"], row["score"]], ["", ""]);
    let (line, _) = evaluate(&["--model", &model(&set)]);
    assert!(line["map"].is_null() && line["box_iou"].is_null() && line["part"] == "validation", "{line}");
}

#[test]
fn pictures_that_were_trained_on_are_scored_only_if_asked_for() {
    let set = tempfile::tempdir().unwrap();
    yolo(set.path(), &[("train", 6), ("test", 2)]);
    train(&set, &[]);
    let model = model(&set);
    let images = |more: &[&str]| {
        let (line, notes) = evaluate(&[&["--model", &model], more].concat());
        (line["images"].as_u64().unwrap(), notes.contains("trained on these data"))
    };
    let yaml = text(&set.path().join("data.yaml"));
    assert_eq!(images(&[]), (2, false));
    assert_eq!(images(&["--data", &yaml]), (2, true));
    assert_eq!(images(&["--data", &yaml, "--all"]), (8, false));
    // The same pictures in another folder are the same data.
    let copy = tempfile::tempdir().unwrap();
    yolo(copy.path(), &[("train", 6), ("test", 2)]);
    assert_eq!(images(&["--data", &text(copy.path())]), (2, true));
    // Of other data, all pictures are scored, for the labels that they have.
    let other = tempfile::tempdir().unwrap();
    yolo(other.path(), &[("train", 3)]);
    assert_eq!(images(&["--data", &text(other.path())]), (3, false));
    fs::write(set.path().join("labels/train/train0.txt"), "").unwrap();
    fails("evaluate", &["--model", &model], &[2], &["not what it was", "--accept-changed-data"]);
    assert_eq!(images(&["--accept-changed-data"]).0, 2);
}

#[test]
fn a_run_is_continued_from_any_folder_but_not_on_other_data() {
    let set = tempfile::tempdir().unwrap();
    yolo(set.path(), &[("train", 4), ("test", 2)]);
    let started = example("train")
        .current_dir(set.path())
        .args(["--data", "data.yaml", "--out", "run", "--size", "32", "--epochs", "1", "--batch", "4"])
        .args(["--samples", "8", "--threads", "1"])
        .output()
        .unwrap();
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let run = text(&set.path().join("run"));
    let resumed = output("train", &["--resume", &run]);
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    assert_eq!(evaluate(&["--model", &model(&set)]).0["images"], 2);
    let account = json(&set.path().join("run/data.json"));
    assert_eq!(account[0]["used"], 6);
    fs::write(set.path().join("images/train/new.png"), square(3)).unwrap();
    fs::write(set.path().join("labels/train/train1.txt"), "1 0.5 0.5 0.2 0.2\n").unwrap();
    fails(
        "train",
        &["--resume", &run],
        &[1],
        &["1 pictures are new (new in train)", "train1", "--accept-changed-data"],
    );
    let accepted = output("train", &["--resume", &run, "--accept-changed-data"]);
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    assert!(output("train", &["--resume", &run]).status.success(), "accepted once, it is the run's");
}

#[test]
fn programs_that_start_at_once_have_folders_of_their_own() {
    let place = tempfile::tempdir().unwrap();
    let arguments = ["--samples", "4", "--epochs", "1", "--batch", "4", "--threads", "1"];
    let started: Vec<_> = (0..4)
        .map(|_| {
            example("train")
                .current_dir(place.path())
                .args(arguments)
                .stdout(std::process::Stdio::null())
                .spawn()
        })
        .collect();
    for program in started {
        assert!(program.unwrap().wait().unwrap().success());
    }
    for number in 1..=4 {
        assert!(place.path().join(format!("runs/train-{number}/summary.json")).is_file(), "train-{number}");
    }
    // With the same `--out` folder, the second run is refused.
    let both: Vec<_> = (0..2)
        .map(|_| example("train").current_dir(place.path()).args(arguments).args(["--out", "one"]).output())
        .collect();
    let failed = both.iter().filter(|output| !output.as_ref().unwrap().status.success()).count();
    assert_eq!(failed, 1);
}

#[test]
fn weights_that_are_not_finite_are_refused_with_the_tensors_name() {
    let set = tempfile::tempdir().unwrap();
    yolo(set.path(), &[("train", 4)]);
    train(&set, &[]);
    let path = set.path().join("run/checkpoints/best.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let entries: BTreeMap<String, Value> = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let name = "model.trunk.stage1.0.conv.weight";
    let entry =
        entries.get(name).or_else(|| entries.get(entries.keys().find(|k| k.ends_with("weight"))?)).unwrap();
    let start = 8 + header + entry["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let broken = set.path().join("broken.safetensors");
    fs::write(&broken, &bytes).unwrap();
    let picture = text(&set.path().join("images/train/train0.png"));
    fails(
        "predict",
        &["--model", &text(&broken), &picture],
        &[1],
        &["broken.safetensors", "weight", "not finite"],
    );
}

#[test]
fn a_table_of_numbers_and_depth_maps_is_trained_on_scored_and_predicted() {
    let set = tempfile::tempdir().unwrap();
    for part in ["images", "depth"] {
        fs::create_dir_all(set.path().join(part)).unwrap();
    }
    let mut table = String::from("image,split,number:place/left,number:place/top,depth\n");
    for number in 0..12_usize {
        let at = 2 + number * 5 % 20;
        let part = if number < 8 { "train" } else { "test" };
        fs::write(set.path().join(format!("images/{number}.png")), square(at)).unwrap();
        // In millimetres; 0 is unknown.
        let inside = |p: usize| (at..at + 16).contains(&(p % 48)) && (at..at + 16).contains(&(p / 48));
        let depth: Vec<u16> =
            (0..40 * 48).map(|p| if inside(p) { 900 } else { 1800 * u16::from(p % 7 > 0) }).collect();
        let depth = cerberus::draw::encode_mask(&depth, [40, 48], [40, 48]).unwrap();
        fs::write(set.path().join(format!("depth/{number}.png")), depth).unwrap();
        table += &format!("{number}.png,{part},{},{},{number}.png\n", at as f64 / 48.0, at as f64 / 40.0);
    }
    fs::write(set.path().join("set.csv"), table).unwrap();
    train(&set, &["--tasks", "regress,depth"]);
    let summary = json(&set.path().join("run/summary.json"));
    for task in ["regress", "depth"] {
        let metrics = summary["tasks"][task].as_object().unwrap();
        assert!(!metrics.is_empty() && metrics.values().all(|value| value.as_f64().is_some()), "{summary}");
    }
    let picture = text(&set.path().join("images/9.png"));
    let found = output("predict", &["--model", &model(&set), &picture]);
    let line: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert!(line["regress"]["left"].is_number() && line["depth"]["mean"].is_number(), "{line}");
}

#[test]
fn small_gray_pictures_in_idx_files_are_trained_on_as_classes() {
    use cerberus::data::idx::{IdxImages, write_images, write_labels};
    let set = tempfile::tempdir().unwrap();
    for (part, count) in [("train", 24_usize), ("t10k", 8)] {
        let digit =
            |number: usize, p: usize| if (p % 28 < 14) == (number.is_multiple_of(2)) { 250 } else { 5 };
        let pixels: Vec<u8> = (0..count * 784).map(|i| digit(i / 784, i % 784)).collect();
        let labels: Vec<u8> = (0..count).map(|number| (number % 2) as u8).collect();
        let mut images = Vec::new();
        write_images(&IdxImages { count, height: 28, width: 28, pixels }, &mut images).unwrap();
        fs::write(set.path().join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        let mut classes = Vec::new();
        write_labels(&labels, &mut classes).unwrap();
        fs::write(set.path().join(format!("{part}-labels-idx1-ubyte")), classes).unwrap();
    }
    let (data, run) = (format!("idx:{}", text(set.path())), text(&set.path().join("run")));
    let done = output("train", &["--data", &data, "--epochs", "2", "--batch", "8", "--out", &run]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let config = json(&set.path().join("run/config.json"));
    assert_eq!(config["augment"]["operations"][0]["name"], "pad_and_crop", "no digit is mirrored");
    let summary = json(&set.path().join("run/summary.json"));
    assert!(summary["tasks"]["classify"]["accuracy"].is_number(), "{summary}");
}
