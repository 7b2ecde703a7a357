//! `explain` on a small model: every file, refusals that leave the rest alone, broken pictures and options.

use std::path::Path;

use super::{fails, output};

/// A model of a run of one epoch, and one of its pictures.
pub(super) fn trained(folder: &Path) -> (String, String) {
    let run = folder.join("run");
    let out = run.to_str().unwrap();
    let trained =
        output("train", &["--samples", "8", "--epochs", "1", "--batch", "4", "--out", out, "--quiet"]);
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("What the answers rest on") && page.contains("what segment rests on"));
    let path = |name: &str| run.join(name).to_str().unwrap().to_string();
    (path("checkpoints/best.safetensors"), path("samples/test_000.png"))
}

#[test]
fn a_picture_is_explained_for_every_head_and_method_and_what_is_not_possible_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (model, picture) = trained(folder.path());
    let out = folder.path().join("explained");
    let (out_name, methods) = (out.to_str().unwrap(), "grad-cam,deeplift,saliency");
    let arguments = ["--model", &model, "--method", methods, "--out", out_name, &picture];
    let explained = output("explain", &arguments);
    assert!(explained.status.success(), "{}", String::from_utf8_lossy(&explained.stderr));
    let line: serde_json::Value = serde_json::from_slice(&explained.stdout).unwrap();
    let answers = line["answers"].as_array().unwrap();
    assert_eq!(answers[0]["task"], "classify");
    for answer in answers {
        let found = answer["methods"].as_array().unwrap();
        assert_eq!(found.len(), 3);
        assert!(found[2]["deletion"].is_number() && found[2]["map"].is_string());
    }
    // The head that classifies pools by attention.
    assert!(answers[0]["methods"][1]["refused"].as_str().unwrap().contains("not defined"));
    let page = std::fs::read_to_string(out.join("explain.html")).unwrap();
    assert!(page.contains("Not possible: DeepLIFT") && page.contains("data:image/png"));
    assert!(!page.contains("http"), "a page that needs a network");
    for file in
        ["test_000.json", "test_000.sheet.png", "test_000.maps.safetensors", "test_000.classify.grad-cam.png"]
    {
        assert!(out.join(file).is_file(), "{file}");
    }
    assert!(!out.join("test_000.classify.deeplift.png").exists());

    // One head, one target; a broken picture does not stop the others, and both are told.
    let broken = folder.path().join("broken.png");
    std::fs::write(&broken, b"not a picture").unwrap();
    let one = ["--model", &model, "--task", "segment", "--target", "background@3,4", "--method", "saliency"];
    let both = output("explain", &[&one[..], &[broken.to_str().unwrap(), &picture]].concat());
    assert_eq!(both.status.code(), Some(1));
    let said = String::from_utf8_lossy(&both.stderr);
    assert!(said.contains("broken.png") && said.contains("1 of 2 pictures"), "{said}");
    let line: serde_json::Value = serde_json::from_slice(&both.stdout).unwrap();
    assert_eq!(line["answers"][0]["target"], "the mean logit of the background over a pixel");

    // The table over a data set.
    let scored = folder.path().join("scored");
    let arguments = ["--model", &model, "--model", &model, "--faithfulness", "--samples", "2", "--method"];
    let table = output(
        "explain",
        &[&arguments[..], &["saliency,grad-cam", "--out", scored.to_str().unwrap()]].concat(),
    );
    let said = String::from_utf8_lossy(&table.stdout);
    assert!(table.status.success(), "{said}{}", String::from_utf8_lossy(&table.stderr));
    assert!(
        said.contains("| saliency |") && said.contains("| (random) |") && said.contains("**segment**"),
        "{said}"
    );
    let json = std::fs::read(scored.join("faithfulness.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["rows"][0]["figures"]["deletion"]["pictures"], 2);

    // What the heads share.
    let arguments = [
        "--model",
        &model,
        "--model",
        &model,
        "--trunk",
        "--samples",
        "2",
        "--out",
        scored.to_str().unwrap(),
    ];
    let table = output("explain", &arguments);
    let said = String::from_utf8_lossy(&table.stdout);
    assert!(table.status.success(), "{said}{}", String::from_utf8_lossy(&table.stderr));
    assert!(said.contains("classify and segment") && said.contains("| stage1 | 1.000 |"), "{said}");
    assert!(scored.join("trunk.json").is_file() && scored.join("trunk.html").is_file());

    // Pictures of a data set.
    let drawn = folder.path().join("drawn");
    let arguments =
        ["--model", &model, "--data", "fashion-scenes", "--samples", "2", "--method", "saliency", "--out"];
    let shown = output("explain", &[&arguments[..], &[drawn.to_str().unwrap()]].concat());
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    assert!(drawn.join("test_001.sheet.png").is_file() && !drawn.join("test_002.json").exists());

    fails("explain", &["--model", &model, "--data", "fashion-scenes", &picture], &[2], &["--data"]);
    fails("explain", &["--model", &model, "--method", "magic", &picture], &[2], &["magic", "grad-cam"]);
    fails("explain", &["--model", &model, "--baseline", "black", &picture], &[2], &["black", "blur"]);
    fails("explain", &["--model", &model, "--task", "dance", &picture], &[2], &["dance", "classify, detect"]);
    fails(
        "explain",
        &[
            "--model",
            &model,
            "--layer",
            "trunk.none",
            "--method",
            "grad-cam",
            "--task",
            "classify",
            "--target",
            "9000",
            &picture,
        ],
        &[1],
        &["9000", "test_000.png"],
    );
    fails("explain", &["--model", &model, "--target", "1", &picture], &[2], &["--task"]);
    fails("explain", &["--model", &model], &[2], &["IMAGE"]);
    fails("explain", &["--model", &model, "--model", &model, &picture], &[2], &["one --model"]);
    fails("explain", &["--model", "nowhere", &picture], &[1], &["nowhere"]);
    fails("explain", &["--model", &model, "--faithfulness", "--samples", "0"], &[2], &["--samples"]);
}
