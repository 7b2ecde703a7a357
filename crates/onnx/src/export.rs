//! A network as an ONNX model: recorded, translated, and given its inputs and
//! outputs.

use std::path::Path;

use cerberus_autograd::Var;
use cerberus_nn::files::{WriteError, write_atomically};
use cerberus_nn::{Context, Layer, Module};
use prost::Message;

use crate::error::ExportError;
use crate::layout::Extent;
use crate::lower::{lower, outer_layout};
use crate::names::Names;
use crate::proto::{
    Dimension, FLOAT, ModelProto, OperatorSetId, StringStringEntry, TensorShape, TensorType, TypeProto,
    ValueInfo,
};
use crate::recording::record;

/// The version of the operators; ONNX Runtime reads it from 1.14 on.
pub const OPSET: i64 = 18;
/// The version of the file's messages that came with those operators.
pub const IR_VERSION: i64 = 8;
/// The name of the dimension that may have any extent.
pub const BATCH: &str = "batch";

/// The names in an exported file.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The graph's.
    pub graph: String,
    /// The input's.
    pub input: String,
    /// The outputs', in order, each with a sentence on what it is.
    pub outputs: Vec<(String, String)>,
    /// Texts that are kept with the model, by name.
    pub metadata: Vec<(String, String)>,
}

/// A layer as an ONNX model, for inputs of shape `[batch, sample..]` with any batch. Its input is called `input`, its
/// output `output`. Images, which are `[batch, H, W, C]` here, are `[batch, C, H, W]` in the file, on both sides;
/// values of other ranks keep their order.
///
/// ```
/// use cerberus_nn::{Conv2d, GlobalAvgPool, Init, Linear, Relu, Sequential};
///
/// let mut init = Init::new(1);
/// let network = Sequential::<f32>::new()
///     .add("conv", Conv2d::new(3, 8, 3, &mut init))
///     .add("relu", Relu::default())
///     .add("pool", GlobalAvgPool::default())
///     .add("classes", Linear::new(8, 10, &mut init));
/// let model = cerberus_onnx::export_layer(&network, &[32, 32, 3]).unwrap();
/// let operators: Vec<&str> =
///     model.graph.iter().flat_map(|graph| &graph.node).map(|node| node.op_type()).collect();
/// assert_eq!(operators, ["Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]);
/// ```
///
/// # Errors
/// If the layer uses an operation without a mapping, computes outside the operations of [`Var`], or does not take
/// every batch in the same way.
///
/// # Panics
/// If the layer does not take inputs of that shape, or only whole numbers (`Embedding`): the passes that record it
/// use fractions.
#[track_caller]
pub fn export_layer(layer: &(impl Layer + ?Sized), sample: &[usize]) -> Result<ModelProto, ExportError> {
    let signature = Signature {
        graph: "network".into(),
        input: "input".into(),
        outputs: vec![("output".into(), "the network's output".into())],
        metadata: Vec::new(),
    };
    export(layer, sample, &|x, context| vec![layer.forward(x, context)], &signature)
}

/// Any computation as an ONNX model: `forward` takes inputs of shape `[batch, sample..]`, and the parameters of
/// `module` give constants their names. Layouts are as for [`export_layer`].
///
/// # Errors
/// As for [`export_layer`].
///
/// # Panics
/// If `forward` does not take inputs of that shape, or the signature does not name as many outputs as it returns.
#[track_caller]
pub fn export(
    module: &(impl Module + ?Sized),
    sample: &[usize],
    forward: &dyn Fn(Var, &mut Context) -> Vec<Var>,
    signature: &Signature,
) -> Result<ModelProto, ExportError> {
    let recording = record(sample, forward)?;
    let [found, named] = [recording.outputs.len(), signature.outputs.len()];
    assert!(found == named, "export: the signature names {named} outputs of {found}");
    let names: Vec<String> = signature.outputs.iter().map(|(name, _)| name.clone()).collect();
    let graph = lower(&recording, &Names::of(module), &signature.input, &names)?;
    let mut graph = graph.finish(&signature.graph);
    let images = if sample.len() == 3 { "images" } else { "samples" };
    let said = format!("a batch of {images}");
    graph.input = vec![value_info(&signature.input, &said, &recording.nodes[0].extents)];
    let outputs = recording.outputs.iter().zip(&signature.outputs);
    graph.output = outputs
        .map(|(&place, (name, said))| value_info(name, said, &recording.nodes[place].extents))
        .collect();
    let metadata = signature.metadata.iter();
    let metadata =
        metadata.map(|(key, value)| StringStringEntry { key: Some(key.clone()), value: Some(value.clone()) });
    let model = ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some("cerberus".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        graph: Some(graph),
        opset_import: vec![OperatorSetId { domain: Some(String::new()), version: Some(OPSET) }],
        metadata_props: metadata.collect(),
    };
    // The format's messages cannot be longer.
    if model.encoded_len() > i32::MAX as usize {
        return Err(ExportError::Network(format!(
            "its file would have {} bytes, more than the 2 GiB that the format allows",
            model.encoded_len()
        )));
    }
    Ok(model)
}

/// Writes a model to a file, replacing what was there in one step.
///
/// # Errors
/// If the file cannot be written.
pub fn save(path: &Path, model: &ModelProto) -> Result<(), WriteError> {
    write_atomically(path, &model.encode_to_vec())
}

fn value_info(name: &str, said: &str, extents: &[Extent]) -> ValueInfo {
    let dim = |extent: Extent| match extent {
        Extent::Fixed(extent) => Dimension { dim_value: Some(extent as i64), dim_param: None },
        Extent::PerImage(1) => Dimension { dim_value: None, dim_param: Some(BATCH.into()) },
        Extent::PerImage(count) => {
            Dimension { dim_value: None, dim_param: Some(format!("{BATCH}_times_{count}")) }
        }
    };
    let dim = outer_layout(extents.len()).stored(extents).into_iter().map(dim).collect();
    let tensor_type = Some(TensorType { elem_type: Some(FLOAT), shape: Some(TensorShape { dim }) });
    ValueInfo {
        name: Some(name.into()),
        r#type: Some(TypeProto { tensor_type }),
        doc_string: Some(said.into()),
    }
}
