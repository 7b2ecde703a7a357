//! Round trips, and every way a file can be wrong.

use std::fs;

use super::*;
use crate::layers::{BatchNorm2d, Linear};
use crate::{Adam, AdamOptions, Context, Init, ModuleTensorMut};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

struct Model<T: Element> {
    dense: Linear<T>,
    norm: BatchNorm2d<T>,
}
crate::module!(Model { dense, norm });

fn model<T: Element>(seed: u64) -> Model<T> {
    Model { dense: Linear::new(3, 2, &mut Init::new(seed)), norm: BatchNorm2d::new(2) }
}

/// The model's tensors as they go into a file, under `model.`.
fn named<T: Element>(model: &Model<T>) -> Vec<(String, Tensor<T>)> {
    model.tensors().into_iter().map(|(path, tensor)| (join("model", &path), tensor)).collect()
}

fn entries(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn in_a_folder(test: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    test(&folder.path().join("model.safetensors"));
}

fn round_trip<T: Element>() {
    in_a_folder(|path| {
        let saved = model::<T>(1);
        save(path, &named(&saved), &entries(&[("epoch", "3")])).unwrap();
        let checkpoint = load::<T>(path).unwrap();
        assert_eq!(checkpoint.metadata()["epoch"], "3");
        let mut loaded = model::<T>(2);
        checkpoint.load_into(&mut loaded, "model").unwrap();
        for ((path, a), (_, b)) in saved.tensors().iter().zip(loaded.tensors()) {
            assert_eq!(a.to_vec(), b.to_vec(), "{path}");
        }
        let order =
            |tensors: Vec<(String, Tensor<T>)>| tensors.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(order(checkpoint.under("")), order(named(&saved)));
        loaded.visit_mut("", &mut |path, entry| {
            if let ModuleTensorMut::Parameter(parameter) = entry {
                assert!(parameter.value.unique_data_mut().is_some(), "{path} is shared with the checkpoint");
            }
        });
    });
}

#[test]
fn a_model_survives_the_file_in_both_precisions() {
    round_trip::<f32>();
    round_trip::<f64>();
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    in_a_folder(|path| {
        let metadata: Vec<(String, String)> = (0..20).map(|i| (format!("key{i}"), i.to_string())).collect();
        let bytes = |entries: Vec<(String, String)>| {
            save(path, &named(&model::<f32>(1)), &entries.into_iter().collect()).unwrap();
            fs::read(path).unwrap()
        };
        let first = bytes(metadata.clone());
        assert_eq!(first, bytes(metadata.into_iter().rev().collect()));
        // And they are a file as the crate itself reads it.
        let file = SafeTensors::deserialize(&first).unwrap();
        assert_eq!(file.tensor("model.dense.weight").unwrap().shape(), [3, 2]);
    });
}

#[test]
fn special_values_and_odd_shapes_survive() {
    in_a_folder(|path| {
        let special = Tensor::from_vec(vec![f32::INFINITY, -0.0, f32::MIN_POSITIVE, 1e-45], &[4]);
        let tensors = vec![
            ("scalar".to_string(), Tensor::scalar(7.5)),
            ("empty".to_string(), Tensor::zeros(&[0, 3])),
            ("view".to_string(), Tensor::from_fn(&[2, 3], |i| i as f32).permute(&[1, 0])),
            ("special".to_string(), special),
        ];
        save(path, &tensors, &BTreeMap::new()).unwrap();
        let loaded: BTreeMap<String, Tensor> = load(path).unwrap().under("").into_iter().collect();
        for (name, tensor) in &tensors {
            let bits = |t: &Tensor| t.to_vec().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!((loaded[name].shape(), bits(&loaded[name])), (tensor.shape(), bits(tensor)), "{name}");
        }
    });
}

#[test]
fn an_optimiser_continues_from_the_file() {
    in_a_folder(|path| {
        let mut net = model::<f32>(1);
        let mut adam = Adam::new(AdamOptions::default());
        let mut context = Context::training(0, 0);
        let loss = context.parameter(net.parameters()[0].1).square().sum_all();
        let gradients = cerberus_autograd::backward(loss);
        context.discard();
        adam.set_learning_rate(0.1);
        adam.step(&mut net, &gradients);
        let state = adam.state().into_iter().map(|(name, tensor)| (join("optimizer", &name), tensor));
        save(path, &state.collect::<Vec<_>>(), &BTreeMap::new()).unwrap();
        let checkpoint = load(path).unwrap();
        let mut resumed = Adam::new(AdamOptions::default());
        checkpoint.load_optimizer(&mut resumed, &net, "optimizer").unwrap();
        assert_eq!(resumed.state().len(), 3);
        let mut other = crate::AdamW::new(AdamOptions::default());
        let message = checkpoint.load_optimizer(&mut other, &net, "optimizer").unwrap_err().to_string();
        assert!(
            message.contains("model.safetensors") && message.contains("adam.m.dense.weight"),
            "{message}"
        );
    });
}

/// The message of loading `bytes` as a checkpoint of `f32`; it names the file.
fn refusal(bytes: &[u8]) -> String {
    let mut message = String::new();
    in_a_folder(|path| {
        fs::write(path, bytes).unwrap();
        message = load::<f32>(path).unwrap_err().to_string();
        assert!(message.contains("model.safetensors"), "{message}");
    });
    message
}

#[track_caller]
fn assert_refused(bytes: &[u8], expected: &str) {
    let message = refusal(bytes);
    assert!(message.contains(expected), "{message}");
}

/// A file with this header and this many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

/// A file with one tensor entry in the right layout and version.
fn tensor_file(entry: &str, data: usize) -> Vec<u8> {
    file(&format!(r#"{{"__metadata__":{{"layout":"nhwc-hwio","format_version":"1"}},"a":{entry}}}"#), data)
}

#[test]
fn what_is_no_checkpoint_is_refused_with_a_reason() {
    assert_refused(b"", "is not a safetensors file");
    assert_refused(b"\x89PNG\r\n\x1a\n0123456789", "is not a safetensors file");
    assert_refused(&file("{ no json", 0), "is not a safetensors file");
    assert_refused(&file("{}", 0), "layout \"unknown\"");
    assert_refused(
        &file(r#"{"__metadata__":{"layout":"nchw-oihw","format_version":"1"}}"#, 0),
        "layout \"nchw-oihw\"",
    );
    assert_refused(
        &file(r#"{"__metadata__":{"layout":"nhwc-hwio","format_version":"2"}}"#, 0),
        "use a newer program",
    );
    assert_refused(&file(r#"{"__metadata__":{"layout":"nhwc-hwio"}}"#, 0), "format version \"unknown\"");
    assert_refused(
        &tensor_file(r#"{"dtype":"F64","shape":[2],"data_offsets":[0,16]}"#, 16),
        "element type F64, not F32",
    );
    assert_refused(
        &tensor_file(r#"{"dtype":"F32","shape":[1,1,1,1,1,1,1],"data_offsets":[0,4]}"#, 4),
        "7 dimensions",
    );
    let huge = r#"{"dtype":"F32","shape":[0,9223372036854775807,9223372036854775807],"data_offsets":[0,0]}"#;
    assert_refused(&tensor_file(huge, 0), "impossible shape");
    assert_refused(
        &tensor_file(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,4]}"#, 4),
        "is not a safetensors file",
    );
}

#[test]
fn a_file_cut_short_anywhere_is_an_error() {
    in_a_folder(|path| {
        save(path, &named(&model::<f32>(1)), &BTreeMap::new()).unwrap();
        let bytes = fs::read(path).unwrap();
        (0..bytes.len()).for_each(|len| drop(refusal(&bytes[..len])));
        assert_refused(&bytes[..bytes.len() - 1], "is damaged");
        assert_refused(&bytes[..20], "is damaged");
    });
}

#[test]
fn a_missing_file_is_named() {
    let message = load::<f32>(Path::new("nowhere/at/all.safetensors")).unwrap_err().to_string();
    assert!(message.starts_with("cannot read nowhere/at/all.safetensors"), "{message}");
}

#[test]
fn a_checkpoint_of_another_model_lists_what_differs_and_changes_nothing() {
    in_a_folder(|path| {
        let mut tensors = named(&model::<f32>(1));
        tensors[0].1 = Tensor::zeros(&[4, 2]);
        tensors[1].0 = "model.dense.shift".to_string();
        tensors.push(("optimizer.step".to_string(), Tensor::scalar(1.0)));
        save(path, &tensors, &BTreeMap::new()).unwrap();
        let mut other = model::<f32>(2);
        let before: Vec<Vec<f32>> = other.tensors().iter().map(|(_, tensor)| tensor.to_vec()).collect();
        let error = load(path).unwrap().load_into(&mut other, "model").unwrap_err();
        let message = error.to_string();
        for part in [
            "this checkpoint is of another model",
            "model.dense.weight has shape [4, 2], not the model's [3, 2]",
            "model.dense.bias is missing",
            "model.dense.shift is unexpected",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let CheckpointError::OtherModel { differences, .. } = error else { panic!("{error}") };
        assert_eq!(differences.missing, ["model.dense.bias"]);
        assert_eq!(differences.unexpected, ["model.dense.shift"]);
        assert_eq!(differences.reshaped, [("model.dense.weight".to_string(), vec![4, 2], vec![3, 2])]);
        assert!(!message.contains("optimizer"), "{message}");
        let after: Vec<Vec<f32>> = other.tensors().iter().map(|(_, tensor)| tensor.to_vec()).collect();
        assert_eq!(before, after);
        let message = load(path).unwrap().load_into(&mut other, "").unwrap_err().to_string();
        assert!(
            message.contains(
                "model: dense.weight, dense.bias, norm.gamma, norm.beta and 2 more are missing; \
                 model.dense.shift, model.dense.weight, model.norm.beta, model.norm.gamma and 3 more are unexpected; \
                 build the model"
            ),
            "{message}"
        );
    });
}

#[test]
#[should_panic(expected = "save: there are two tensors called \"a\"")]
fn two_tensors_of_one_name_are_a_mistake_in_code() {
    let tensor = ("a".to_string(), Tensor::<f32>::scalar(1.0));
    let _ = save(Path::new("never-written"), &[tensor.clone(), tensor], &BTreeMap::new());
}

#[test]
fn only_tensors_that_a_pattern_names_are_loaded_and_all_others_are_told() {
    in_a_folder(|path| {
        let saved = model::<f32>(1);
        let mut tensors = named(&saved);
        tensors.retain(|(name, _)| name != "model.norm.beta");
        tensors.push(("model.extra".to_string(), Tensor::scalar(1.0)));
        save(path, &tensors, &BTreeMap::new()).unwrap();
        let mut loaded = model::<f32>(2);
        let before = loaded.tensors();
        let patterns = ["dense.bias", "norm"].map(|text| PathPattern::new(text).unwrap());
        let transfer = load(path).unwrap().load_named(&mut loaded, "model", &patterns).unwrap();
        let norm = ["norm.gamma", "norm.running_mean", "norm.running_variance"];
        assert_eq!(transfer.taken, [&["dense.bias"][..], &norm].concat());
        assert_eq!(
            (&transfer.missing[..], &transfer.left[..]),
            (&["norm.beta".to_string()][..], &["dense.weight".to_string()][..])
        );
        assert_eq!(transfer.unused, ["extra"]);
        assert_eq!(loaded.tensors()[0].1.to_vec(), before[0].1.to_vec());
    });
}

/// A file of one tensor `a` in any element type, with values of `bytes`.
fn foreign(path: &Path, dtype: Dtype, shape: &[usize], bytes: &[u8]) {
    let view = safetensors::tensor::TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    fs::write(path, safetensors::serialize([("a", view)], None).unwrap()).unwrap();
}

#[test]
fn a_state_dict_is_read_from_every_floating_point_type() {
    let values = [1.5f32, -0.25, 3.0];
    let f16s = values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
    let bf16s = values.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect();
    let f32s = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let f64s = values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect();
    let files: [(Dtype, Vec<u8>); 4] =
        [(Dtype::F16, f16s), (Dtype::BF16, bf16s), (Dtype::F32, f32s), (Dtype::F64, f64s)];
    for (dtype, bytes) in files {
        in_a_folder(|path| {
            foreign(path, dtype, &[3], &bytes);
            assert_eq!(StateDict::read(path).unwrap().tensors["a"].to_vec(), values, "{dtype:?}");
        });
    }
    in_a_folder(|path| {
        foreign(path, Dtype::I64, &[1], &[0; 8]);
        let message = StateDict::read(path).unwrap_err().to_string();
        assert!(
            message.contains("tensor \"a\" has element type I64, not F32, F16, BF16 or F64"),
            "{message}"
        );
        foreign(path, Dtype::F64, &[1], &1e300f64.to_le_bytes());
        let message = StateDict::read(path).unwrap_err().to_string();
        assert!(message.contains("not finite"), "{message}");
    });
}

#[test]
fn a_state_dict_is_written_without_a_layout_and_in_the_order_of_its_names() {
    in_a_folder(|path| {
        let tensors: BTreeMap<String, Tensor> =
            [("b".to_string(), Tensor::ones(&[2])), ("a".to_string(), Tensor::zeros(&[1]))].into();
        StateDict::write(path, &tensors, &entries(&[("format", "pt")])).unwrap();
        let views = [("b", [1f32; 2].map(f32::to_le_bytes).concat()), ("a", vec![0; 4])];
        let views: Vec<_> = views
            .iter()
            .map(|(name, bytes)| {
                (
                    *name,
                    safetensors::tensor::TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).unwrap(),
                )
            })
            .collect();
        let metadata = [("format".to_string(), "pt".to_string())].into();
        assert_eq!(fs::read(path).unwrap(), safetensors::serialize(views, Some(metadata)).unwrap());
    });
}

#[test]
fn files_of_pytorch_and_indices_of_several_files_are_named_as_such_with_a_way_on() {
    assert_refused(b"PK\x03\x04 and so on, a zip", "safetensors.torch as s");
    assert_refused(b"\x80\x02}q\x00 a pickle", "weights_only=True");
    let index = br#"{"metadata":{"total_size":1},"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}}"#;
    assert_refused(index, "for f in ['model-1.safetensors', 'model-2.safetensors']]");
}
