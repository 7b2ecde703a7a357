//! Lists of generated folders: finished, stopped, running and broken runs.

use std::path::Path;

use cerberus::train::{RunFolder, TrainConfig};

use super::found::State;
use super::*;

fn config() -> TrainConfig {
    let data = cerberus::data::open("fashion-scenes", 1).unwrap();
    TrainConfig { epochs: 2, ..TrainConfig::for_data("fashion-scenes", data.info()) }
}

/// A run with these accuracies after its epochs, the last one being the best.
fn run(folder: &Path, accuracies: &[f64]) -> RunFolder {
    let run = RunFolder::create(folder, &config()).unwrap();
    let mut text = String::from(
        "epoch,step,learning_rate,train_loss_classify,validation_classify_accuracy,validation_detect_map,score,best,images_per_second,seconds\n",
    );
    for (place, accuracy) in accuracies.iter().enumerate() {
        text += &format!("{},{},0.01,1.5,{accuracy},,{accuracy},1,120,3\n", place + 1, 10 * (place + 1));
    }
    std::fs::write(run.metrics(), text).unwrap();
    run
}

fn names(runs: &[Run]) -> Vec<&str> {
    runs.iter().map(|run| run.name.as_str()).collect()
}

#[test]
fn runs_are_found_two_folders_deep_with_where_they_stand() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    drop(run(&path.join("train-10"), &[0.25]));
    let held = run(&path.join("train-2"), &[]);
    drop(run(&path.join("more/one"), &[0.5, 0.75]));
    drop(run(&path.join("too/deep/here"), &[0.5]));
    std::fs::create_dir_all(path.join("nothing")).unwrap();
    let summary = serde_json::json!({
        "tasks": {"classify": {"accuracy": 0.625}}, "best_epoch": 2, "epochs": 2, "images_per_second": 99.0,
        "wall_seconds": 1.0, "peak_rss_mb": null, "seed": 1, "threads": 1, "parameters": 1, "data": "d", "splits": {},
        "scored_on": "test"
    });
    std::fs::write(path.join("more/one/summary.json"), summary.to_string()).unwrap();
    let found = find(path).unwrap();
    assert_eq!(names(&found), ["more/one", "train-2", "train-10"]);
    let states: Vec<State> = found.iter().map(|run| run.state).collect();
    assert_eq!(states, [State::Finished, State::Running, State::Interrupted]);
    assert!(found.iter().all(|run| run.problem.is_none()), "{found:?}");
    let accuracy = |place: usize| {
        let figure = &found[place].figures[0];
        (figure.name.clone(), figure.value, figure.part.clone())
    };
    assert_eq!(accuracy(0), ("accuracy".into(), Some(0.625), "test".into()));
    assert_eq!(accuracy(2), ("accuracy".into(), Some(0.25), "validation".into()));
    assert_eq!(found[0].figures[1].value, None, "no map is known");
    assert_eq!((found[0].epochs, found[0].best_epoch), ([2, 2], Some(2)));
    drop(held);
    assert_eq!(find(path).unwrap()[1].state, State::Interrupted);
    // A run itself is a list of one.
    assert_eq!(names(&find(&path.join("train-2")).unwrap()), ["train-2"]);
}

#[test]
fn broken_runs_are_listed_with_what_is_wrong() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    std::fs::create_dir_all(path.join("other")).unwrap();
    std::fs::write(path.join("other/config.json"), "{\"data\": 3}").unwrap();
    std::fs::create_dir_all(path.join("half/checkpoints")).unwrap();
    drop(run(&path.join("rows"), &[0.5]));
    std::fs::write(path.join("rows/metrics.csv"), "epoch,score\n1,0.5\n2\n").unwrap();
    drop(run(&path.join("summary"), &[0.5]));
    std::fs::write(path.join("summary/summary.json"), "[").unwrap();
    let found = find(path).unwrap();
    assert_eq!(names(&found), ["half", "other", "rows", "summary"]);
    let told = ["no config.json", "config.json is not", "metrics.csv cannot be read", "summary.json is not"];
    for (run, told) in found.iter().zip(told) {
        assert!(run.problem.as_ref().is_some_and(|problem| problem.contains(told)), "{run:?}");
    }
    assert_eq!(found[1].state, State::Broken);
    let listing = Listing::of(&found);
    let lines = listing.lines(&found);
    assert_eq!(lines.len(), 5);
    assert!(lines[0].ends_with("problem") && lines[1].contains("no config.json"));
    assert!(page::page(&listing, &found).contains("metrics.csv cannot be read"));
    assert!(find(&path.join("nowhere")).err().unwrap().to_string().contains("nowhere"));
}

#[test]
fn runs_sort_by_any_column_and_what_is_unknown_comes_last() {
    let root = tempfile::tempdir().unwrap();
    for (name, accuracies) in [("a", &[0.5][..]), ("b", &[]), ("c", &[0.25]), ("d", &[0.5, 0.75])] {
        drop(run(&root.path().join(name), accuracies));
    }
    let mut runs = find(root.path()).unwrap();
    let listing = Listing::of(&runs);
    let mut sorted = |column: &str, descending: bool| {
        listing.sort(&mut runs, column, descending).unwrap();
        names(&runs).concat()
    };
    assert_eq!(sorted("classify", false), "cadb");
    assert_eq!(sorted("classify", true), "dacb");
    assert_eq!(sorted("name", true), "dcba");
    assert_eq!(sorted("epochs", false), "bcad");
    let message = listing.sort(&mut runs, "colour", false).unwrap_err().to_string();
    assert!(message.contains("colour") && message.contains("images/s"), "{message}");
    let message = chosen(runs, &["a".into(), "z".into()]).unwrap_err().to_string();
    assert!(message.contains("\"z\"") && message.contains("a, b, c, d"), "{message}");
}

#[test]
fn the_page_has_a_line_for_every_run_and_leaves_unknown_columns_out() {
    let root = tempfile::tempdir().unwrap();
    drop(run(&root.path().join("first <b>"), &[0.5, 0.75]));
    drop(run(&root.path().join("second"), &[0.25]));
    let runs = find(root.path()).unwrap();
    let html = page::page(&Listing::of(&runs), &runs);
    assert!(html.contains("classify: accuracy") && html.contains("classify: training loss"));
    assert!(html.contains("first &lt;b&gt;") && !html.contains("<b>"));
    assert!(!html.contains("detect: map"), "no value of it is known");
}
