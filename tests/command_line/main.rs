//! The programs as a user runs them: good runs write what they should, bad
//! input gives one clear line and exit code 1 or 2, never a panic.

mod explain;
mod imported;
mod own_images;
mod personal;
mod runs;
mod senses;
mod settings;

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

/// The program must fail with this code and print each of `words`.
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
    fails("train", &["--batch", "0"], &[2], &["batch is 0", "from 1"]);
    fails("train", &["--epochs", "0"], &[2], &["epochs is 0", "from 1"]);
    for rate in ["0", "-0.01", "nan", "inf", "1e9"] {
        fails("train", &[&format!("--learning-rate={rate}")], &[2], &["learning rate", "more than 0"]);
    }
    fails("train", &["--missing", "2"], &[2], &["taken away", "from 0 to 1"]);
    fails("train", &["--temperature", "nan"], &[2], &["temperature"]);
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
    let onnx = folder.path().join("onnx");
    let arguments = ["--model", model, "--out", onnx.to_str().unwrap()];
    let exported = output("export", &arguments);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    assert!(String::from_utf8_lossy(&exported.stdout).contains("classify.logits, detect.heat"));
    let written = std::fs::read(onnx.join("model.onnx")).unwrap();
    fails("export", &arguments, &[1], &["model.onnx", "there already"]);
    assert_eq!(std::fs::read(onnx.join("model.onnx")).unwrap(), written);
    let scored = output("evaluate", &["--model", model, "--samples", "8"]);
    let line: serde_json::Value = serde_json::from_slice(&scored.stdout).unwrap();
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(
        page.contains("--samples 8 --epochs 1 --batch 4 --out") && page.contains("Finished: 1 of 1 epochs")
    );
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
        let fresh = folder.path().join("fresh");
        fails(
            "export",
            &["--model", path.to_str().unwrap(), "--out", fresh.to_str().unwrap()],
            &[1],
            &[name],
        );
        assert!(!fresh.exists());
    }
    // A damaged last checkpoint makes resuming fail, with the file's name.
    std::fs::write(run.join("checkpoints/last.safetensors"), &whole[..whole.len() / 2]).unwrap();
    fails("train", &["--resume", run_name], &[1], &["last.safetensors"]);
}

/// A folder in the layout of Oxford-IIIT Pet: squares of two colours on gray.
fn pets(folder: &Path, count: usize) {
    use cerberus::data::Image;
    let mut table = String::from("name,class,width,height,body_xmin,body_ymin,body_xmax,body_ymax\n");
    for part in ["images", "trimaps"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
    }
    for index in 0..count {
        let (class, at) = (index % 2, 4 + index % 5);
        let inside = |p: usize| (at..at + 20).contains(&(p % 48)) && (at..at + 20).contains(&(p / 48));
        let colour = |p: usize| {
            if !inside(p) {
                [90; 3]
            } else if class == 0 {
                [230, 60, 60]
            } else {
                [60, 60, 230]
            }
        };
        let pixels: Vec<u8> = (0..40 * 48).flat_map(colour).collect();
        let name = format!("{}_{index}", ["Red", "Blue"][class]);
        let image = Image { height: 40, width: 48, channels: 3, pixels: pixels.into() };
        std::fs::write(folder.join(format!("images/{name}.jpg")), image.to_png().unwrap()).unwrap();
        let trimap: Vec<u8> = (0..40 * 48).map(|p| if inside(p) { 1 } else { 2 }).collect();
        let trimap = Image { height: 40, width: 48, channels: 1, pixels: trimap.into() };
        std::fs::write(folder.join(format!("trimaps/{name}.png")), trimap.to_png().unwrap()).unwrap();
        table += &format!("{name},{class},48,40,{at},{at},{},{}\n", at + 20, at + 20);
    }
    std::fs::write(folder.join("labels.csv"), table).unwrap();
}

#[test]
fn photographs_are_trained_on_scored_and_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let [ours, others, run, out] = ["ours", "others", "run", "out"].map(|name| folder.path().join(name));
    pets(&ours, 10);
    pets(&others, 3);
    let text = |path: &Path| path.to_str().unwrap().to_string();
    let tasks = "classify,detect,segment,tint:classify@class";
    let trained = output(
        "train",
        &["--data", &text(&ours), "--size", "32", "--epochs", "1", "--tasks", tasks, "--out", &text(&run)],
    );
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    assert!(String::from_utf8_lossy(&trained.stdout).contains("No image was held back"));
    let model = text(&run.join("checkpoints/best.safetensors"));
    let scored = output("evaluate", &["--model", &model, "--data", &text(&others)]);
    assert!(scored.status.success(), "{}", String::from_utf8_lossy(&scored.stderr));
    let line: serde_json::Value = serde_json::from_slice(&scored.stdout).unwrap();
    for key in ["accuracy", "box_iou", "ap50", "mask_iou", "tint.accuracy", "ece", "boundary_f1"] {
        assert!(line[key].is_number(), "{key} in {line}");
    }
    assert_eq!(line["images"], 3);
    fails("evaluate", &["--model", &model], &[2], &["--hold-back", "--data"]);

    let pictures = [text(&others.join("images/Red_0.jpg")), text(&others.join("images/Blue_1.jpg"))];
    let arguments = ["--model", &model, "--threshold", "0", "--out", &text(&out), &pictures[0], &pictures[1]];
    assert!(output("predict", &arguments).status.success());
    let all: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("predictions.json")).unwrap()).unwrap();
    assert_eq!(all["images"].as_array().unwrap().len(), 2);
    assert!(all["annotations"].as_array().unwrap().iter().all(|a| a["category_id"].as_u64() > Some(0)));
    for file in ["Red_0.png", "Blue_1.json", "Red_0.mask.png", "Red_0.colours.png"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let results: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap();
    let results = results.as_array().unwrap();
    assert!(!results.is_empty());
    assert!(
        results.iter().all(|r| r["score"].is_number() && r["image_id"].as_u64() > Some(0)),
        "{results:?}"
    );
    let table = std::fs::read_to_string(out.join("predictions.csv")).unwrap();
    assert!(table.starts_with("image,task,name,value,x1,y1,x2,y2,pixels\n"), "{table}");
    for task in ["classify", "detect", "segment", "tint"] {
        assert!(table.contains(&format!(",{task},")), "{task} in {table}");
    }

    std::fs::write(ours.join("labels.csv"), "name,class\n").unwrap();
    fails("train", &["--data", &text(&ours)], &[1], &["labels.csv, line 1", "width"]);
}

#[test]
fn throughput_prints_one_line_of_json() {
    for workload in ["seed32", "resnet18", "mtl64", "scenes64", "infer-seed32"] {
        let output =
            output("throughput", &["--workload", workload, "--batch", "2", "--threads", "1", "--steps", "1"]);
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        for key in ["batch", "threads", "ms_per_step", "images_per_second", "parameters"] {
            assert!(line[key].as_f64().is_some_and(|value| value > 0.0), "{workload}: {key}");
        }
        // In hundredths of a second, so it may be 0.
        let first = line["seconds_to_first_step"].as_f64();
        assert!(first.is_some_and(|value| value >= 0.0), "{workload}");
        assert_eq!(line["workload"], workload);
        // Null if the system does not report it.
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
fn cifar10_takes_its_fast_recipe_on_a_handful_of_images() {
    let folder = tempfile::tempdir().unwrap();
    let record = |image: usize| {
        let pixel = move |i: usize| (i * (image + 3) / 7) as u8;
        std::iter::once((image % 10) as u8).chain((0..3072).map(pixel))
    };
    let bytes: Vec<u8> = (0..12).flat_map(record).collect();
    for name in (1..=5).map(|number| format!("data_batch_{number}.bin")).chain(["test_batch.bin".into()]) {
        std::fs::write(folder.path().join(name), &bytes).unwrap();
    }
    let data = folder.path().to_str().unwrap();
    let small = ["--recipe", "fast", "--epochs", "2", "--batch", "8", "--samples", "16"];
    let output = output("cifar10", &[&["--data", data][..], &small].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("mean of 1 runs: test accuracy 0."), "{text}");
    fails("cifar10", &["--data", data, "--samples", "0"], &[1], &["must be at least 1"]);
}

#[test]
fn cifar10_names_the_files_it_misses() {
    let folder = tempfile::tempdir().unwrap();
    fails("cifar10", &["--data", folder.path().to_str().unwrap()], &[1], &["data_batch_1.bin"]);
}

#[test]
fn shards_of_a_comparison_do_every_run_once_and_a_finished_one_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let plan = "--data multi-fashion --strategies equal,mgda --seeds 1 --epochs 1 --samples 8 --diagnose 1";
    let shard = |part: &str| {
        let mut arguments: Vec<&str> = plan.split(' ').collect();
        arguments.extend(["--out", out, "--resume", "--shard", part]);
        let output = output("compare", &arguments);
        assert!(output.status.success(), "{part}: {}", String::from_utf8_lossy(&output.stderr));
        let rows = std::fs::read_to_string(folder.path().join("rows.csv")).unwrap();
        rows.lines().skip(1).map(|line| line.split(',').next().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(shard("1/3"), ["single-left", "mgda"]);
    assert_eq!(shard("3/3"), ["single-left", "mgda", "equal"]);
    assert_eq!(shard("1/3").len(), 3);
    assert_eq!(shard("2/3"), ["single-left", "mgda", "equal", "single-right"]);
    let table = std::fs::read_to_string(folder.path().join("table.csv")).unwrap();
    assert!(table.contains("left.accuracy") && table.contains("tensors_mib"), "{table}");
    let page = std::fs::read_to_string(folder.path().join("index.html")).unwrap();
    assert!(page.contains("Pareto plot") && page.contains("Conflicts over time"));
    for part in ["0/2", "3/2", "1", "a/b"] {
        fails("compare", &["--out", out, "--resume", "--shard", part], &[2], &["--shard", "I/N"]);
    }
    fails("compare", &["--out", out, "--shard", "1/3"], &[2], &["--resume"]);
}
