//! Exported networks and models: their structure, their constants, and what is
//! refused. Whether the numbers are right is for ONNX Runtime to say
//! (`tests/parity/README.md`).

use std::collections::{BTreeMap, BTreeSet};

use cerberus_autograd::Var;
use cerberus_multitask::config::{HeadConfig, ModelConfig};
use cerberus_multitask::{MultiTaskModel, tasks};
use cerberus_nn::{
    BatchNorm2d, Context, Conv2d, Init, Layer, Module, ModuleTensorMut, Pad2d, Sequential, Upsample, module,
};
use cerberus_onnx::proto::{GraphProto, ModelProto, TensorProto};
use cerberus_onnx::{DESCRIPTION, IR_VERSION, OPSET, Preprocessing, export_layer, export_model, save};
use cerberus_tensor::conv::Padding;
use cerberus_tensor::{Element, Tensor};
use prost::Message;

mod networks;

/// A layer that is one expression.
macro_rules! module_without_parameters {
    ($name:ident, |$x:ident| $y:expr) => {
        impl Module for $name {
            fn visit<'a>(&'a self, _: &str, _: &mut dyn FnMut(String, cerberus_nn::ModuleTensor<'a, f32>)) {}
            fn visit_mut<'a>(&'a mut self, _: &str, _: &mut dyn FnMut(String, ModuleTensorMut<'a, f32>)) {}
        }

        impl Layer for $name {
            fn forward(&self, $x: Var, _: &mut Context) -> Var {
                $y
            }
        }
    };
}
fn head(name: &str, kind: &str) -> HeadConfig {
    HeadConfig {
        name: name.into(),
        kind: kind.into(),
        label: "label".into(),
        classes: ["cat", "dog", "owl"].map(String::from).into(),
        weight: 1.0,
        options: Default::default(),
    }
}

fn preprocessing() -> Preprocessing {
    let steps = vec!["take it as it is".to_string()];
    Preprocessing { channels: "RGB".into(), scale: 1.0, offset: 0.0, fit: "stretch".into(), steps }
}

/// The default trunk for images of 32 x 48 pixels with these heads.
fn exported(kinds: &[&str]) -> (MultiTaskModel, ModelProto) {
    let heads = kinds.iter().map(|kind| head(kind, kind)).collect();
    let config = ModelConfig::with_stages([32, 48, 3], vec![vec![4], vec![6, 6], vec![8], vec![8]], heads);
    let model = MultiTaskModel::new(&config, 7);
    let exported = export_model(&model, config.image, &preprocessing()).expect("an export");
    (model, exported)
}

fn operators(model: &ModelProto) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for node in model.graph.iter().flat_map(|graph| &graph.node) {
        *counts.entry(node.op_type().to_string()).or_default() += 1;
    }
    counts
}

fn constant<'a>(graph: &'a GraphProto, name: &str) -> &'a TensorProto {
    let found = graph.initializer.iter().find(|tensor| tensor.name() == name);
    found.unwrap_or_else(|| panic!("no constant {name}"))
}

fn floats(tensor: &TensorProto) -> Vec<f32> {
    tensor.raw_data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// The extents of an input or output; the name where it depends on the batch.
fn extents(graph: &GraphProto, name: &str) -> Vec<String> {
    let mut values = graph.input.iter().chain(&graph.output);
    let value = values.find(|value| value.name() == name).unwrap_or_else(|| panic!("no {name}"));
    let tensor = value.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref()).expect("a tensor");
    let dims = &tensor.shape.as_ref().expect("a shape").dim;
    dims.iter().map(|dim| dim.dim_param.clone().unwrap_or_else(|| dim.dim_value().to_string())).collect()
}

/// Every value is made once, before it is read, and everything that is promised is made.
fn is_well_formed(model: &ModelProto) {
    let graph = model.graph.as_ref().expect("a graph");
    let mut known: BTreeSet<&str> = BTreeSet::from([""]);
    for name in graph.input.iter().map(|value| value.name()).chain(graph.initializer.iter().map(|t| t.name()))
    {
        assert!(known.insert(name), "{name} is there twice");
    }
    let mut names = BTreeSet::new();
    for node in &graph.node {
        assert!(names.insert(node.name()), "two operators are called {}", node.name());
        for input in &node.input {
            assert!(
                known.contains(input.as_str()),
                "{} reads {input}, which is not made before",
                node.name()
            );
        }
        for output in &node.output {
            assert!(known.insert(output), "{output} is made twice");
        }
    }
    for output in &graph.output {
        assert!(known.contains(output.name()), "{} is not made", output.name());
    }
    for tensor in &graph.initializer {
        let size = if tensor.data_type() == cerberus_onnx::proto::FLOAT { 4 } else { 8 };
        let elements: i64 = tensor.dims.iter().product();
        assert_eq!(tensor.raw_data().len(), elements as usize * size, "{}", tensor.name());
        assert!(
            graph.node.iter().any(|node| node.input.contains(&tensor.name().to_string())),
            "{} is unused",
            tensor.name()
        );
    }
}

#[test]
fn every_layer_with_a_mapping_becomes_a_well_formed_graph_that_reads_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for networks::Network { name, layers, sample } in networks::networks() {
        let model = export_layer(&layers, &sample).unwrap_or_else(|error| panic!("{name}: {error}"));
        is_well_formed(&model);
        let path = folder.path().join("model.onnx");
        save(&path, &model).unwrap();
        let read = ModelProto::decode(&std::fs::read(&path).unwrap()[..]).expect("a message");
        assert!(read == model, "{name}");
    }
}

/// Readers without newer forms of these operators (tract 0.22, say) know pads of all axes, and factors of all axes, only.
#[test]
fn pads_and_whole_factors_are_given_for_all_axes() {
    let sample = [4, 6, 3];
    let layers = Sequential::new().add("up", Upsample::nearest(2)).add("pad", Pad2d::zeros(Padding::all(1)));
    let model = export_layer(&layers, &sample).expect("an export");
    let graph = model.graph.as_ref().expect("a graph");
    let of = |operator: &str| graph.node.iter().find(|node| node.op_type.as_deref() == Some(operator));
    let resize = of("Resize").expect("a resize");
    assert_eq!(resize.input.len(), 3, "image, no region, factors");
    assert_eq!(floats(constant(graph, &resize.input[2])), [1.0, 1.0, 2.0, 2.0]);
    for pad in graph.node.iter().filter(|node| node.op_type.as_deref() == Some("Pad")) {
        assert_eq!(pad.input.len(), 3, "image, pads, value");
        assert_eq!(constant(graph, &pad.input[1]).dims, [8]);
    }
    assert!(of("Pad").is_some());
}

#[test]
fn the_default_model_of_three_heads_has_named_outputs_channels_first_and_no_transpose() {
    let (_, model) = exported(&["classify", "detect", "segment"]);
    is_well_formed(&model);
    let graph = model.graph.as_ref().unwrap();
    assert_eq!((model.ir_version, model.opset_import[0].version), (Some(IR_VERSION), Some(OPSET)));
    assert_eq!(extents(graph, "images"), ["batch", "3", "32", "48"]);
    assert_eq!(extents(graph, "classify.logits"), ["batch", "3"]);
    assert_eq!(extents(graph, "detect.heat"), ["batch", "3", "8", "12"]);
    assert_eq!(extents(graph, "detect.sides"), ["batch", "4", "8", "12"]);
    assert_eq!(extents(graph, "segment.logits"), ["batch", "4", "32", "48"]);
    assert_eq!(graph.output.len(), 4);
    let operators = operators(&model);
    assert_eq!(operators.get("Transpose"), None, "{operators:?}");
    // Batch norms are part of the convolutions before them.
    assert!(
        ["Sub", "Div", "BatchNormalization"].iter().all(|name| !operators.contains_key(*name)),
        "{operators:?}"
    );
}

#[test]
fn weights_have_their_paths_and_their_kernels_last() {
    let mut init = Init::new(3);
    let layers = Sequential::<f32>::new().add("conv", Conv2d::new(2, 5, 3, &mut init));
    let model = export_layer(&layers, &[6, 6, 2]).unwrap();
    let stored = constant(model.graph.as_ref().unwrap(), "conv.weight");
    assert_eq!(stored.dims, [5, 2, 3, 3]);
    let ours = layers.parameters()[0].1.value.clone(); // [KH, KW, Cin, Cout]
    let values = floats(stored);
    for (o, i, y, x) in [(0, 0, 0, 0), (4, 1, 2, 0), (3, 0, 1, 2)] {
        assert_eq!(values[((o * 2 + i) * 3 + y) * 3 + x], ours.at(&[y, x, i, o]));
    }
}

#[test]
fn a_batch_norm_is_taken_into_the_weights_and_the_bias_of_the_convolution_before_it() {
    let mut init = Init::new(3);
    let mut layers = Sequential::<f32>::new()
        .add("conv", Conv2d::new(1, 2, 1, &mut init).without_bias())
        .add("norm", BatchNorm2d::new(2).with_eps(0.0));
    layers.visit_mut("", &mut |path, mut entry: ModuleTensorMut<f32>| {
        let values: [f32; 2] = match path.as_str() {
            "norm.gamma" => [2.0, 3.0],
            "norm.beta" => [0.5, -1.0],
            "norm.running_mean" => [1.0, 4.0],
            "norm.running_variance" => [4.0, 0.25],
            _ => [10.0, 20.0],
        };
        entry.value_mut().data_mut().copy_from_slice(&values);
    });
    let model = export_layer(&layers, &[3, 3, 1]).unwrap();
    let graph = model.graph.as_ref().unwrap();
    assert_eq!(operators(&model), BTreeMap::from([("Conv".to_string(), 1)]));
    // gamma / sqrt(variance) is 1 and 6.
    assert_eq!(floats(constant(graph, "conv.weight")), [10.0, 120.0]);
    assert_eq!(floats(constant(graph, "conv.bias")), [0.5 - 1.0, -1.0 - 24.0]);
}

#[test]
fn a_convolution_that_is_read_twice_keeps_its_own_weights() {
    struct Twice<T: Element = f32> {
        conv: Conv2d<T>,
    }
    module!(Twice { conv });
    impl<T: Element> Layer<T> for Twice<T> {
        fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Var<T> {
            let y = self.conv.forward(x, context);
            y.clone().scale(2.0) * y.sigmoid()
        }
    }
    let layer = Twice { conv: Conv2d::new(1, 2, 1, &mut Init::new(3)) };
    let model = export_layer(&layer, &[3, 3, 1]).unwrap();
    is_well_formed(&model);
    let ours = layer.conv.parameters()[0].1.value.to_vec();
    assert_eq!(floats(constant(model.graph.as_ref().unwrap(), "conv.weight")), ours);
}

#[test]
fn heads_of_all_kinds_are_exported_under_the_names_that_they_describe() {
    let kinds: Vec<&str> = tasks::kinds::<f32>().into_iter().map(|kind| kind.name).collect();
    let (model, exported) = exported(&kinds);
    is_well_formed(&exported);
    let metadata = &exported.metadata_props[0];
    assert_eq!(metadata.key(), DESCRIPTION);
    let told: serde_json::Value = serde_json::from_str(metadata.value()).expect("JSON");
    assert_eq!(told["input"]["name"], "images");
    let graph = exported.graph.as_ref().unwrap();
    let outputs: Vec<&str> = graph.output.iter().map(|output| output.name()).collect();
    let mut described = Vec::new();
    for (task, head) in model.tasks().iter().zip(told["heads"].as_array().unwrap()) {
        let decoding = task.decoding();
        assert!(
            !decoding.outputs.is_empty() && !decoding.steps.is_empty(),
            "{} does not say how",
            task.name()
        );
        // What the steps call by name exists: the outputs and the numbers.
        for (name, _) in &decoding.numbers {
            assert!(
                decoding.steps.iter().any(|step| step.contains(name)),
                "{}: {name} is not used",
                task.name()
            );
        }
        assert_eq!(head["classes"][2], "owl");
        described.extend(
            head["outputs"].as_array().unwrap().iter().map(|o| o["name"].as_str().unwrap().to_string()),
        );
    }
    assert_eq!(outputs, described);
}

#[test]
fn an_operation_without_a_mapping_is_refused_by_name() {
    struct Running;
    module_without_parameters!(Running, |x| x.cumsum(1));
    let error = export_layer(&Running, &[4]).unwrap_err().to_string();
    assert!(error.contains("cumsum") && error.contains("docs/onnx.md"), "{error}");
}

#[test]
fn what_depends_on_the_batch_or_on_values_is_refused() {
    struct First;
    module_without_parameters!(First, |x| x.narrow(0, 0, 1));
    let error = export_layer(&First, &[4]).unwrap_err().to_string();
    assert!(error.contains("narrow") && error.contains("batch"), "{error}");

    struct Mean;
    module_without_parameters!(Mean, |x| x.mean(&[0]));
    let error = export_layer(&Mean, &[4]).unwrap_err().to_string();
    assert!(error.contains("affine") && error.contains("for another"), "{error}");

    struct Best;
    module_without_parameters!(Best, |x| {
        let best = x.value().to_vec().into_iter().enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
        x.index_select(1, &[best % 4])
    });
    let error = export_layer(&Best, &[4]).unwrap_err().to_string();
    assert!(error.contains("index_select") && error.contains("depends on"), "{error}");
}

#[test]
fn constants_with_a_row_for_every_image_are_repeated_by_the_graph() {
    struct Token;
    module_without_parameters!(Token, |x| {
        let n = x.shape()[0];
        let token = Var::constant(Tensor::from_fn(&[n, 1, 2], |i| (i % 2) as f32));
        Var::concat(vec![token, x], 1)
    });
    let model = export_layer(&Token, &[3, 2]).unwrap();
    is_well_formed(&model);
    assert_eq!(extents(model.graph.as_ref().unwrap(), "output"), ["batch", "4", "2"]);
    assert_eq!(operators(&model)["Expand"], 1);
}
