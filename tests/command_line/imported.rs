//! A network's weights from a file of PyTorch: imported, run by the other programs, and written back as they were.

use std::collections::BTreeMap;
use std::fs;

use cerberus::data::Image;
use cerberus::multitask::{networks, weights};
use cerberus::nn::{Init, StateDict};
use serde_json::Value;

use crate::{fails, output};

#[test]
fn an_imported_network_predicts_its_classes_begins_a_run_and_goes_back_as_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let network = networks::find::<f32>("small_cnn").unwrap();
    let classifier = (network.classifier)([3, 2], &mut Init::new(9));
    let theirs = weights::export(&*classifier, "small_cnn", "torchvision").unwrap();
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    let torch = file("state.safetensors");
    StateDict::write(torch.as_ref(), &theirs, &metadata).unwrap();
    fs::write(file("names.txt"), "cat\ndog\n").unwrap();
    let images = cerberus::tensor::Tensor::from_fn(&[2, 32, 32, 3], |i| (i as f32).sin());
    StateDict::write(file("x").as_ref(), &BTreeMap::from([("images".into(), images)]), &metadata).unwrap();

    let out = file("imported");
    let arguments =
        ["--model", &torch, "--out", &out, "--classes", &file("names.txt"), "--check", &file("x")];
    let imported = output("import", &arguments);
    let said = String::from_utf8_lossy(&imported.stdout);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    assert!(said.contains("small_cnn with torchvision's names: 6 tensors, 3 channels, 2 classes"), "{said}");
    assert!(fs::read(file("imported/torch.safetensors")).unwrap() == fs::read(&torch).unwrap());
    let logits = StateDict::read(file("imported/logits.safetensors").as_ref()).unwrap();
    assert_eq!(logits.tensors["logits"].shape(), [2, 2]);
    fails("import", &arguments, &[1], &["model.safetensors", "exists already"]);

    let model = file("imported/model.safetensors");
    let pixels: Vec<u8> = (0..40 * 48 * 3).map(|i| (i * 7 % 256) as u8).collect();
    let picture = Image { height: 40, width: 48, channels: 3, pixels: pixels.into() };
    fs::write(file("photo.png"), picture.to_png().unwrap()).unwrap();
    let predicted = output("predict", &["--model", &model, &file("photo.png")]);
    assert!(predicted.status.success(), "{}", String::from_utf8_lossy(&predicted.stderr));
    let line: Value = serde_json::from_slice(&predicted.stdout).unwrap();
    let class = line["classify"]["class"].as_str().unwrap();
    assert!(["cat", "dog"].contains(&class), "{line}");

    let export = ["--format", "torch", "--out", &file("back"), "--model"];
    let exported = output("export", &[&export[..], &[&model]].concat());
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    assert!(fs::read(file("back/torch.safetensors")).unwrap() == fs::read(&torch).unwrap());
    fails("export", &[&export[..], &[&model]].concat(), &[1], &["torch.safetensors", "there already"]);

    let run = ["--trunk", "small_cnn", "--init-from", &model, "--samples", "8", "--epochs", "1"];
    let trained = output("train", &[&run[..], &["--tasks", "classify", "--out", &file("run")]].concat());
    let said = String::from_utf8_lossy(&trained.stdout);
    assert!(trained.status.success(), "{said}{}", String::from_utf8_lossy(&trained.stderr));
    assert!(said.contains("4 of ") && said.contains("tensors begin as in the model given"), "{said}");

    let export = ["--format", "torch", "--out", &file("trunk"), "--model"];
    let exported = output("export", &[&export[..], &[&file("run/checkpoints/last.safetensors")]].concat());
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let trunk = StateDict::read(file("trunk/torch.safetensors").as_ref()).unwrap();
    assert_eq!(trunk.tensors.len(), 4);
    assert!(trunk.tensors.iter().all(|(name, tensor)| tensor.shape() == theirs[name].shape()));
}

#[test]
fn files_that_are_no_state_dict_of_a_network_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let out = file("out");
    fs::write(file("resnet18.pth"), b"PK\x03\x04 a pickle in a zip archive").unwrap();
    let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    fs::write(file("index.json"), index).unwrap();
    let cases = [
        ("resnet18.pth", vec!["is a pickle", "torch.load", "resnet18.safetensors"]),
        ("index.json", vec!["index of a checkpoint in 2 files", "model-2.safetensors"]),
        ("nowhere.safetensors", vec!["cannot read", "check that the path is right"]),
    ];
    for (name, words) in cases {
        fails("import", &["--model", &file(name), "--out", &out], &[1], &[&[name], &words[..]].concat());
        assert!(!folder.path().join("out").exists(), "{name}");
    }
}
