//! The programs as a user meets them: good runs leave what they promise, bad
//! input gives one clear line and exit code 1 or 2, never a panic.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An example program, built by the same `cargo test` as this one.
fn example(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(Path::parent).unwrap();
    let program: PathBuf = target.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "{} is not built; run the whole of cargo test", program.display());
    Command::new(program)
}

fn output(name: &str, arguments: &[&str]) -> Output {
    example(name).args(arguments).output().unwrap()
}

/// The program must fail with this code and say each of `words`.
#[track_caller]
fn fails(name: &str, arguments: &[&str], codes: &[i32], words: &[&str]) {
    let output = output(name, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        codes.contains(&output.status.code().unwrap_or(-1)),
        "{arguments:?}: {:?}\n{said}",
        output.status
    );
    assert!(!said.contains("panicked"), "{said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?} does not say {word:?}:\n{said}");
    }
}

#[test]
fn train_refuses_bad_options() {
    fails("train", &["--nonsense"], &[2], &["--nonsense"]);
    fails("train", &["--tasks", "classify,dance"], &[2], &["dance", "classify, detect, segment"]);
    fails("train", &["--balance", "magic"], &[2], &["magic", "fixed"]);
    fails("train", &["--batch", "0"], &[2], &["at least 1"]);
    fails("train", &["--epochs", "0"], &[2], &["at least 1"]);
    fails("train", &["--threads", "0"], &[2], &["--threads"]);
    fails("train", &["--data", "no-such-data"], &[1, 2], &["no-such-data", "fashion-scenes"]);
}

#[test]
fn train_refuses_folders_it_cannot_use() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let inside = file.join("run");
    fails("train", &["--out", inside.to_str().unwrap()], &[1], &["file", "--out"]);
    fails("train", &["--resume", folder.path().to_str().unwrap()], &[1], &["no run to resume"]);
    std::fs::write(folder.path().join("config.json"), "{\"data\": 3}").unwrap();
    fails("train", &["--resume", folder.path().to_str().unwrap()], &[1], &["config.json"]);
}

#[test]
fn train_refuses_broken_data_files() {
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ];
    for name in names {
        std::fs::write(folder.path().join(name), [0, 0, 8, 9, 1, 2]).unwrap();
    }
    fails("train", &["--data", folder.path().to_str().unwrap()], &[1], &["idx"]);
}

#[test]
fn a_small_run_can_be_predicted_from_and_its_files_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let run_name = run.to_str().unwrap();
    let trained = output("train", &["--samples", "8", "--epochs", "1", "--batch", "4", "--out", run_name]);
    let said = String::from_utf8_lossy(&trained.stdout);
    assert!(trained.status.success(), "{said}{}", String::from_utf8_lossy(&trained.stderr));
    assert!(said.contains("summary.json") && said.contains("best.safetensors"), "{said}");

    let model = run.join("checkpoints/best.safetensors");
    let model = model.to_str().unwrap();
    let picture = run.join("samples/test_000.png");
    let out = folder.path().join("found");
    let arguments = ["--model", model, "--out", out.to_str().unwrap(), picture.to_str().unwrap()];
    let predicted = output("predict", &arguments);
    assert!(predicted.status.success(), "{}", String::from_utf8_lossy(&predicted.stderr));
    let line: serde_json::Value = serde_json::from_slice(&predicted.stdout).unwrap();
    assert!(line["classify"]["class"].is_string() && line["detect"].is_array());
    for file in ["test_000.json", "test_000.png", "test_000.mask.png"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let scored = output("evaluate", &["--model", model, "--samples", "8"]);
    let line: serde_json::Value = serde_json::from_slice(&scored.stdout).unwrap();
    for key in ["accuracy", "map", "map50", "miou", "images"] {
        assert!(line[key].is_number(), "{key}");
    }
    fails("evaluate", &["--model", model, "--data", "nowhere"], &[1, 2], &["nowhere"]);

    let broken = folder.path().join("broken.png");
    std::fs::write(&broken, b"not a picture").unwrap();
    fails("predict", &["--model", model, broken.to_str().unwrap()], &[1], &["broken.png"]);
    fails("predict", &["--model", model, "missing.png"], &[1], &["missing.png"]);

    let whole = std::fs::read(model).unwrap();
    for (name, bytes) in [("cut", &whole[..whole.len() / 2]), ("short", &whole[..5]), ("empty", &[][..])] {
        let path = folder.path().join(format!("{name}.safetensors"));
        std::fs::write(&path, bytes).unwrap();
        fails("predict", &["--model", path.to_str().unwrap(), picture.to_str().unwrap()], &[1], &[name]);
    }
    // A damaged last checkpoint stops a resumption, with the file's name.
    std::fs::write(run.join("checkpoints/last.safetensors"), &whole[..whole.len() / 2]).unwrap();
    fails("train", &["--resume", run_name], &[1], &["last.safetensors"]);
}

#[test]
fn throughput_prints_one_line_of_json() {
    for workload in ["seed32", "resnet18", "mtl64", "scenes64", "infer-seed32"] {
        let output =
            output("throughput", &["--workload", workload, "--batch", "2", "--threads", "1", "--steps", "1"]);
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        for key in
            ["batch", "threads", "ms_per_step", "images_per_second", "seconds_to_first_step", "parameters"]
        {
            assert!(line[key].as_f64().is_some_and(|value| value > 0.0), "{workload}: {key}");
        }
        assert_eq!(line["workload"], workload);
        // Null where the system does not tell it.
        assert!(line.get("peak_rss_mb").is_some(), "{workload}");
    }
    // The published size of the ResNet-18 for ten classes of 32x32 pictures.
    let output = output("throughput", &["--workload", "infer-resnet18", "--batch", "1", "--steps", "1"]);
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["parameters"], 11_173_962);
    fails("throughput", &["--workload", "magic"], &[2], &["seed32", "mtl64"]);
    fails("throughput", &["--workload", "seed32", "--batch", "0"], &[2], &["at least 1"]);
}

#[test]
fn cifar10_names_the_files_it_misses() {
    let folder = tempfile::tempdir().unwrap();
    fails("cifar10", &["--data", folder.path().to_str().unwrap()], &[1], &["data_batch_1.bin"]);
}
