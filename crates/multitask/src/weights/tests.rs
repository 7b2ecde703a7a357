//! Files as PyTorch's programs write them, made by hand: there, here and back.

use std::path::Path;

use cerberus_nn::{Context, Layer, load_model, predict};
use safetensors::tensor::{Dtype, TensorView};

use super::*;

/// Small whole numbers, which every type holds exactly.
fn value(name: &str, index: usize) -> f32 {
    let start: usize = name.bytes().map(usize::from).sum();
    ((start + 31 * index) % 17) as f32 - 8.0
}

/// The state dict of a network under a naming, as bytes of an element type, in the order of the names.
fn state_dict(
    network: &str,
    library: &str,
    size: [usize; 2],
    dtype: Dtype,
) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let found = networks::find::<f32>(network).unwrap();
    let naming = NAMINGS.iter().find(|n| n.library == library && n.is_for(network)).unwrap();
    let bytes = |value: f32| match dtype {
        Dtype::F16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
        Dtype::BF16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
        Dtype::F64 => f64::from(value).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    };
    let tensor = |(path, shape): (String, Vec<usize>)| {
        let name = naming.theirs(&path);
        let shape = Layout::of(network, [&path, &name], &shape).their_shape(&shape);
        let values = (0..shape.iter().product()).flat_map(|index| bytes(value(&name, index)));
        let values: Vec<u8> = values.collect();
        (name, (shape, values))
    };
    shapes(&found, size).into_iter().map(tensor).collect()
}

fn write(path: &Path, tensors: &BTreeMap<String, (Vec<usize>, Vec<u8>)>, dtype: Dtype) {
    let views = tensors
        .iter()
        .map(|(name, (shape, bytes))| (name.as_str(), TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    let metadata = [("format".to_string(), "pt".to_string())].into();
    std::fs::write(path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
}

fn in_a_file(test: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    test(&folder.path().join("state.safetensors"));
}

/// The smallest networks that PyTorch's libraries name.
const SMALL: [(&str, &str); 4] = [
    ("mobilenet_v3_small", "torchvision"),
    ("mobilenet_v2", "timm"),
    ("small_cnn", "torchvision"),
    ("vit_tiny", "timm"),
];

#[test]
fn a_file_that_is_imported_and_exported_again_is_the_same_file() {
    for (network, library) in SMALL {
        in_a_file(|path| {
            let tensors = state_dict(network, library, [2, 5], Dtype::F32);
            write(path, &tensors, Dtype::F32);
            let before = std::fs::read(path).unwrap();
            let dict = StateDict::read(path).unwrap();
            let imported = import(&dict, None).unwrap();
            assert_eq!(
                (imported.network, imported.library, imported.channels, imported.classes),
                (network, library, 2, 5)
            );
            let mut classifier =
                (networks::find::<f32>(network).unwrap().classifier)([2, 5], &mut Init::new(1));
            let own = path.with_file_name("own.safetensors");
            let classes: Vec<String> = (0..5).map(|class| class.to_string()).collect();
            let info =
                ClassifierInfo { network: network.into(), image: [32, 32, 2], classes, normalisation: None };
            save_classifier(&own, &info, &imported.tensors).unwrap();
            load_model(&mut *classifier, &own).unwrap();
            let back = export(&*classifier, network, library).unwrap();
            StateDict::write(path, &back, &dict.metadata).unwrap();
            assert!(std::fs::read(path).unwrap() == before, "{network} of {library}");
        });
    }
}

#[test]
fn half_and_double_precision_give_the_values_of_single_precision() {
    let (network, library) = SMALL[0];
    let import_as = |dtype| {
        let mut values = Vec::new();
        in_a_file(|path| {
            write(path, &state_dict(network, library, [3, 4], dtype), dtype);
            let imported = import(&StateDict::read(path).unwrap(), Some(network)).unwrap();
            values = imported.tensors.into_iter().map(|(name, tensor)| (name, tensor.to_vec())).collect();
        });
        values
    };
    let single = import_as(Dtype::F32);
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::F64] {
        assert!(import_as(dtype) == single, "{dtype:?}");
    }
}

#[test]
fn counts_of_batches_and_the_wrapper_of_data_parallel_are_ignored() {
    let (network, library) = SMALL[0];
    in_a_file(|path| {
        let plain = state_dict(network, library, [3, 4], Dtype::F32);
        let mut wrapped: BTreeMap<String, _> =
            plain.into_iter().map(|(name, tensor)| (format!("module.{name}"), tensor)).collect();
        let counted = "module.features.0.1.num_batches_tracked".to_string();
        wrapped.insert(counted, (vec![1], vec![0; 4]));
        write(path, &wrapped, Dtype::F32);
        assert_eq!(import(&StateDict::read(path).unwrap(), None).unwrap().network, network);
    });
}

#[test]
fn files_of_no_network_and_of_another_network_say_what_differs_and_what_to_do() {
    let (network, library) = SMALL[0];
    in_a_file(|path| {
        let mut tensors = state_dict(network, library, [3, 4], Dtype::F32);
        let refused = |tensors: &_, network, parts: &[&str]| {
            write(path, tensors, Dtype::F32);
            let message = import(&StateDict::read(path).unwrap(), network).unwrap_err().to_string();
            let named = network == Some("lenet5") || message.contains("state.safetensors");
            assert!(named && parts.iter().all(|part| message.contains(part)), "{message}");
        };
        refused(
            &tensors,
            Some("resnet18"),
            &["are not those of resnet18", "conv1.weight", "leave the name out"],
        );
        refused(&tensors, Some("lenet5"), &["no network \"lenet5\"", "resnet50", "vgg16_bn"]);
        let (shape, bytes) = tensors.remove("features.3.block.0.0.weight").unwrap();
        tensors.insert("features.3.block.0.0.kernel".into(), (shape, bytes));
        let parts = [
            "for the closest one, mobilenet_v3_small",
            "features.3.block.0.0.weight is missing",
            "features.3.block.0.0.kernel is unexpected",
            "Give a state dict",
        ];
        refused(&tensors, None, &parts);
        let (shape, bytes) = tensors.remove("features.3.block.0.0.kernel").unwrap();
        tensors.insert("features.3.block.0.0.weight".into(), (shape.into_iter().rev().collect(), bytes));
        refused(
            &tensors,
            None,
            &["features.3.block.0.0.weight has shape [1, 1, 24, 88], not the model's [88, 24, 1, 1]"],
        );
    });
}

#[test]
fn channels_and_classes_that_no_network_can_have_are_refused_with_the_tensor() {
    let (network, library) = SMALL[0];
    in_a_file(|path| {
        let cases: [(&str, &[usize], &str); 5] = [
            ("features.0.0.weight", &[16, 0, 3, 3], "[16, 0, 3, 3], not the model's [16, 1, 3, 3]"),
            ("features.0.0.weight", &[16], "[16], not the model's [16, 3, 3, 3]"),
            ("classifier.3.bias", &[0], "[0], not the model's [1]"),
            ("classifier.3.bias", &[], "[], not the model's [1]"),
            ("classifier.3.bias", &[70_000], "[70000], not the model's [65534]"),
        ];
        for (name, shape, expected) in cases {
            let mut tensors = state_dict(network, library, [3, 4], Dtype::F32);
            tensors.insert(name.into(), (shape.to_vec(), vec![0; 4 * shape.iter().product::<usize>()]));
            write(path, &tensors, Dtype::F32);
            let message = import(&StateDict::read(path).unwrap(), None).unwrap_err().to_string();
            let expected = format!("for the closest one, {network}: {name} has shape {expected}");
            assert!(message.contains("state.safetensors") && message.contains(&expected), "{message}");
        }
    });
}

#[test]
fn a_classifier_in_a_file_runs_as_a_task_behind_its_normalisation() {
    in_a_file(|path| {
        let network = networks::find::<f32>("resnet9").unwrap();
        let classifier = (network.classifier)([3, 4], &mut Init::new(7));
        let info = ClassifierInfo {
            network: "resnet9".into(),
            image: [16, 16, 3],
            classes: ["a", "b", "c", "d"].map(String::from).into(),
            normalisation: Some(Normalisation::imagenet()),
        };
        save_classifier(path, &info, &classifier.tensors()).unwrap();
        let (found, model) =
            load_classifier(&cerberus_nn::checkpoint::load(path).unwrap()).unwrap().expect("a classifier");
        assert_eq!(found, info);
        let x = Tensor::from_fn(&[2, 16, 16, 3], |i| (i as f32 * 0.37).sin());
        let mean = Tensor::from_vec(vec![0.485, 0.456, 0.406], &[3]);
        let std = Tensor::from_vec(vec![0.229, 0.224, 0.225], &[3]);
        let theirs = (x.clone().map(|x| 0.25 * x + 0.5) - &mean) / &std;
        let expected = predict(&classifier as &dyn Layer, theirs).to_vec();
        let found = model.forward(x, &mut Context::evaluation());
        for (found, expected) in found[0].maps[0].value().to_vec().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-3, "{found}, not {expected}");
        }
    });
}

#[test]
fn a_classifiers_file_with_a_description_of_something_else_is_refused() {
    in_a_file(|path| {
        let info = |network: &str, classes: usize| ClassifierInfo {
            network: network.into(),
            image: [32, 32, 3],
            classes: vec!["a".into(); classes],
            normalisation: None,
        };
        let tensors = [("fc.bias".to_string(), Tensor::zeros(&[3]))];
        let refused = |info: ClassifierInfo, part: &str| {
            save_classifier(path, &info, &tensors).unwrap();
            let file = cerberus_nn::checkpoint::load(path).unwrap();
            let message = load_classifier(&file).map(drop).unwrap_err().to_string();
            assert!(message.contains("state.safetensors") && message.contains(part), "{message}");
        };
        refused(info("resnet19", 3), "no network \"resnet19\"");
        refused(info("resnet18", 4), "4 classes, which are not the outputs");
        refused(info("resnet18", 3), "conv1.weight");
        let other = ClassifierInfo {
            normalisation: Some(Normalisation::imagenet()),
            image: [32, 32, 1],
            ..info("resnet18", 3)
        };
        refused(other, "1 channels");
    });
}
