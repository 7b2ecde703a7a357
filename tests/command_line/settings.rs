//! Settings of `train` from the command line and from files, and what it does before training.

use super::*;

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_string()
}

const SMALL: [&str; 8] = ["--samples", "16", "--epochs", "1", "--batch", "8", "--trunk", "8/8/16/16"];

#[test]
fn the_file_that_a_run_writes_repeats_it_and_the_command_line_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let [first, again, other] = ["first", "again", "other"].map(|name| folder.path().join(name));
    let mut arguments = SMALL.to_vec();
    let more = "--optimizer sgd --momentum 0.8 --schedule warmup_cosine --warmup 0.2 --ema 0.9 --accumulate 2 --seed 5 \
                --augment horizontal_flip,cutout:0.5:0.3 --tasks classify,fine:unet --balance uw --patience 3";
    arguments.extend(more.split_whitespace());
    let out = text(&first);
    arguments.extend(["--out", &out]);
    let trained = output("train", &arguments);
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let file = text(&first.join("train.toml"));
    let repeated = output("train", &["--config", &file, "--out", &text(&again), "--quiet"]);
    assert!(repeated.status.success() && repeated.stdout.is_empty(), "{repeated:?}");
    let read = |folder: &Path, name: &str| std::fs::read(folder.join(name)).unwrap();
    assert_eq!(read(&first, "config.json"), read(&again, "config.json"));
    let weights = "checkpoints/best.safetensors";
    assert!(read(&first, weights) == read(&again, weights), "the same bits");
    let changed = output("train", &["--config", &file, "--seed", "6", "--out", &text(&other), "-q"]);
    assert!(changed.status.success());
    let config: serde_json::Value = serde_json::from_slice(&read(&other, "config.json")).unwrap();
    assert_eq!((&config["seed"], &config["ema"], &config["accumulate"]), (&6.into(), &0.9.into(), &2.into()));
    assert_eq!(config["augment"]["operations"][1]["name"], "cutout");
    assert_eq!(config["model"]["heads"][1]["kind"], "unet");
}

#[test]
fn settings_that_cannot_be_are_refused_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, "epochs = 2\nbatchsize = 3\n").unwrap();
    fails("train", &["--config", &text(&file)], &[1, 2], &["mine.toml", "line 2", "batchsize", "batch"]);
    fails("train", &["--config", "none.toml"], &[1, 2], &["none.toml"]);
    fails("train", &["--optimizer", "sgdm"], &[2], &["adamw, adam, sgd, adagrad"]);
    fails("train", &["--schedule", "stairs"], &[2], &["one_cycle"]);
    fails("train", &["--momentum", "1"], &[2], &["momentum"]);
    fails("train", &["--ema", "1"], &[2], &["decay"]);
    fails("train", &["--augment", "flip"], &[2], &["horizontal_flip"]);
    fails("train", &["--augment", "3"], &[2], &["0 to 2"]);
    fails("train", &["--augment", "cutout:9"], &[2], &["strength 9"]);
    fails("train", &["--trunk", "resnet"], &[2], &["narrow"]);
    fails("train", &["--trunk", "8/0/8"], &[2], &["stages"]);
    fails("train", &["--freeze", "trunck"], &[2], &["trunk.stage1"]);
    fails("train", &["--patience", "0"], &[2], &["patience"]);
    fails("train", &["--accumulate", "2", "--balance", "famo"], &[2], &["accumulate"]);
    fails("train", &["--init-from", "none.safetensors"], &[1], &["none.safetensors"]);
    fails("train", &["--resume", "x", "--epochs", "3"], &[2], &["--resume"]);
    fails("train", &["--find-rate", "5"], &[2], &["20"]);
}

#[test]
fn a_rate_is_found_and_drawn_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let out = text(&folder.path().join("rates"));
    let arguments = ["--find-rate", "40", "--batch", "4", "--trunk", "8/8/16/16", "--out", &out];
    let found = output("train", &arguments);
    let said = String::from_utf8_lossy(&found.stdout);
    assert!(found.status.success() && said.contains("suggested: --learning-rate"), "{said}");
    let csv = std::fs::read_to_string(folder.path().join("rates/find-rate.csv")).unwrap();
    assert!(csv.starts_with("rate,loss,smoothed\n") && csv.lines().count() > 10, "{csv}");
    assert!(std::fs::read_to_string(folder.path().join("rates/find-rate.html")).unwrap().contains("<svg"));
    fails("train", &arguments, &[1], &["already"]);
}

#[test]
fn a_batch_that_fits_keeps_the_run_within_the_memory_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let arguments = ["--fit-memory", "400", "--samples", "60", "--epochs", "1", "--out", &text(&out)];
    let trained = output("train", &arguments);
    let said = String::from_utf8_lossy(&trained.stdout);
    assert!(trained.status.success() && said.contains("a step needs"), "{said}");
    let summary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("summary.json")).unwrap()).unwrap();
    // Null if the system does not report it.
    assert!(summary["peak_rss_mb"].as_f64().is_none_or(|mib| mib <= 400.0), "{summary}");
    fails("train", &["--fit-memory", "1"], &[2], &["MiB", "--trunk"]);
}
