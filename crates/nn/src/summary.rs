//! What a model consists of, layer by layer: Keras' `summary`.
//!
//! One forward pass over zeros, in which every layer reports its output to the
//! [`Context`]. The layers' paths and parameters come from the module tree, so a
//! layer of one's own needs nothing but its call of
//! [`layer_done`](Context::layer_done).

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use cerberus_autograd::{ParamId, Var};
use cerberus_tensor::{Element, Tensor};
use serde::Serialize;

use crate::context::{Context, Row};
use crate::layers::Layer;
use crate::module::Module;

/// One layer in a [`Summary`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerSummary {
    /// Its path in the model; empty if the model is this one layer.
    pub path: String,
    /// The shape of its output.
    pub output: Vec<usize>,
    /// How many numbers its own parameters hold; 0 when a layer runs again.
    pub parameters: usize,
    /// Products of two numbers that are added up, for this input; element-wise operations do not count.
    pub multiply_adds: u64,
}

/// The layers of a model in the order in which they ran. Its `Display` is a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The layers.
    pub layers: Vec<LayerSummary>,
    /// How many numbers all parameters of the model hold, whether or not a layer reported them.
    pub parameters: usize,
    /// Those that training changes, which are not frozen.
    pub trainable: usize,
    /// All multiply-adds.
    pub multiply_adds: u64,
}

impl Summary {
    /// The summary as JSON, with the names of the fields as keys.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and numbers have a form in JSON")
    }
}

/// The summary of `layer` for inputs of shape `x`, batch included; runs one forward pass over zeros.
///
/// # Panics
/// If the layer does not take inputs of that shape.
///
/// ```
/// use cerberus_nn::{Conv2d, Flatten, Init, Linear, Sequential, summary};
///
/// let mut init = Init::new(0);
/// let net = Sequential::<f32>::new()
///     .add("conv", Conv2d::new(3, 8, 3, &mut init))
///     .add("flatten", Flatten::default())
///     .add("dense", Linear::new(8 * 36, 10, &mut init));
/// let expected = "\
/// layer      output shape  parameters  multiply-adds
/// conv       [1, 6, 6, 8]         224          7,776
/// flatten    [1, 288]               0              0
/// dense      [1, 10]            2,890          2,880
/// total                         3,114         10,656
/// trainable                     3,114
/// ";
/// assert_eq!(summary(&net, &[1, 8, 8, 3]).to_string(), expected);
/// ```
#[track_caller]
pub fn summary<T: Element>(layer: &(impl Layer<T> + ?Sized), x: &[usize]) -> Summary {
    summary_with(layer, |context| {
        layer.forward(Var::constant(Tensor::zeros(x)), context);
    })
}

/// The summary of a model that is not one layer, such as one with several outputs: `forward` runs it.
#[track_caller]
pub fn summary_with<T: Element>(
    model: &(impl Module<T> + ?Sized),
    forward: impl FnOnce(&mut Context<T>),
) -> Summary {
    let mut context = Context::evaluation();
    context.record_rows();
    forward(&mut context);

    let mut paths: HashMap<ParamId, String> = HashMap::new();
    // The parameters that each layer holds itself, by the layer's path.
    let mut own: BTreeMap<String, usize> = BTreeMap::new();
    let (mut parameters, mut trainable) = (0, 0);
    for (path, parameter) in model.parameters() {
        let layer = path.rsplit_once('.').map_or("", |(layer, _)| layer).to_string();
        let count = parameter.value.len();
        parameters += count;
        trainable += if parameter.is_trainable() { count } else { 0 };
        *own.entry(layer.clone()).or_default() += count;
        paths.insert(parameter.id(), layer);
    }
    let layer = |row: &Row| {
        let found = row.parameter.and_then(|parameter| paths.get(&parameter));
        LayerSummary {
            path: found.unwrap_or(&row.path).clone(),
            output: row.shape.clone(),
            parameters: found.and_then(|path| own.remove(path)).unwrap_or(0),
            multiply_adds: row.multiply_adds,
        }
    };
    let layers: Vec<LayerSummary> = context.rows().iter().map(layer).collect();
    let multiply_adds = layers.iter().map(|layer| layer.multiply_adds).sum();
    Summary { layers, parameters, trainable, multiply_adds }
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let cells = |layer: &LayerSummary| {
            let path = if layer.path.is_empty() { "(the layer)" } else { &layer.path };
            let [parameters, multiply_adds] = [layer.parameters as u64, layer.multiply_adds].map(grouped);
            [path.to_string(), format!("{:?}", layer.output), parameters, multiply_adds]
        };
        let mut rows = vec![["layer", "output shape", "parameters", "multiply-adds"].map(String::from)];
        rows.extend(self.layers.iter().map(cells));
        let ends = [
            ("total", self.parameters, grouped(self.multiply_adds)),
            ("trainable", self.trainable, String::new()),
        ];
        rows.extend(ends.map(|(word, parameters, multiply_adds)| {
            [word.to_string(), String::new(), grouped(parameters as u64), multiply_adds]
        }));
        let widths =
            [0, 1, 2, 3].map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
        let [a, b, c, d] = widths;
        for [path, output, parameters, multiply_adds] in rows {
            let line = format!("{path:<a$}  {output:<b$}  {parameters:>c$}  {multiply_adds:>d$}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{BatchNorm2d, Conv2d, MultiHeadSelfAttention, Relu, Residual, Sequential};
    use crate::{Init, Linear, Parameter};

    fn rows(summary: &Summary) -> Vec<(&str, &[usize], usize, u64)> {
        let rows = summary.layers.iter();
        rows.map(|layer| (layer.path.as_str(), &*layer.output, layer.parameters, layer.multiply_adds))
            .collect()
    }

    #[test]
    fn nested_layers_stand_under_their_paths_and_those_without_parameters_too() {
        let mut init = Init::new(1);
        let body = Sequential::new()
            .add("conv", Conv2d::new(4, 4, 3, &mut init).same().without_bias())
            .add("norm", BatchNorm2d::new(4));
        let mut net = Sequential::<f32>::new()
            .add("stem", Conv2d::new(3, 4, 3, &mut init).same().stride(2))
            .add("relu", Relu::default())
            .add("block", Residual::new(body));
        net.freeze("stem");
        let summary = summary(&net, &[2, 8, 8, 3]);
        let y: &[usize] = &[2, 4, 4, 4];
        let expected = [
            ("stem", y, 27 * 4 + 4, 128 * 27),
            ("relu", y, 0, 0),
            ("block.body.conv", y, 36 * 4, 128 * 36),
            ("block.body.norm", y, 8, 0),
        ];
        assert_eq!(rows(&summary), expected);
        assert_eq!((summary.parameters, summary.trainable), (264, 152));
        assert_eq!(summary.multiply_adds, 128 * 63);
    }

    /// A layer used twice, and a parameter beside it.
    struct Twice<T: Element> {
        dense: Linear<T>,
        gain: Parameter<T>,
    }
    crate::module!(Twice { dense, gain });

    #[test]
    fn a_layer_that_runs_twice_holds_its_parameters_once() {
        let model = Twice::<f32> {
            dense: Linear::new(3, 3, &mut Init::new(1)),
            gain: Parameter::new(Tensor::ones(&[3])),
        };
        let summary = summary_with(&model, |context| {
            let x = model.dense.forward(Tensor::zeros(&[2, 3]).into(), context);
            let y = model.dense.forward(x, context) * context.parameter(&model.gain);
            context.layer_done(&model.gain, &y);
        });
        let y: &[usize] = &[2, 3];
        assert_eq!(rows(&summary), [("dense", y, 12, 18), ("dense", y, 0, 18), ("", y, 3, 0)]);
        assert_eq!(summary.parameters, 15);
        assert!(summary.to_string().contains("\n(the layer)  [2, 3] "), "{summary}");
    }

    #[test]
    fn the_products_of_attention_count_beside_those_of_its_dense_layers() {
        let layer = MultiHeadSelfAttention::<f32>::new(8, 2, &mut Init::new(1));
        let summary = summary(&layer, &[1, 5, 8]);
        let counts: Vec<(&str, u64)> =
            summary.layers.iter().map(|layer| (layer.path.as_str(), layer.multiply_adds)).collect();
        assert_eq!(counts, [("qkv", 5 * 8 * 24), ("attention", 2 * 25 * 8), ("projection", 5 * 64)]);
    }

    #[test]
    fn the_json_has_every_field_of_the_table() {
        let layer = Linear::<f32>::new(2, 3, &mut Init::new(1));
        let json: serde_json::Value =
            serde_json::from_str(&summary(&layer, &[4, 2]).to_json()).expect("JSON");
        let expected = serde_json::json!({
            "layers": [{ "path": "", "output": [4, 3], "parameters": 9, "multiply_adds": 24 }],
            "parameters": 9, "trainable": 9, "multiply_adds": 24,
        });
        assert_eq!(json, expected);
    }
}
