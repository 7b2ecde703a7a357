//! Numbers through dense layers.

use cerberus_autograd::Var;
use cerberus_nn::{Context, Init, Layer, Linear, module};
use cerberus_tensor::Element;

use super::encoder::{Encoded, Encoder};
use crate::features::MapInfo;

/// Dense layers with ReLU on numbers `[P, K]`; the map has one position.
pub(super) struct Dense<T: Element> {
    layers: Vec<Linear<T>>,
    outputs: usize,
}

module!(Dense { layers } without { outputs });

impl<T: Element> Dense<T> {
    pub fn new(len: usize, hidden: &[usize], init: &mut Init) -> Self {
        let inputs = std::iter::once(len).chain(hidden.iter().copied());
        let layers = inputs.zip(hidden).map(|(cin, &cout)| Linear::new(cin, cout, init)).collect();
        Self { layers, outputs: *hidden.last().expect("at least one layer") }
    }
}

impl<T: Element> Encoder<T> for Dense<T> {
    fn has_positions(&self) -> bool {
        false
    }

    fn whole(&self) -> MapInfo {
        MapInfo { name: "numbers".into(), channels: self.outputs, stride: 1 }
    }

    #[track_caller]
    fn forward(&self, x: Var<T>, context: &mut Context<T>) -> Encoded<T> {
        let samples = x.shape()[0];
        let y = self.layers.iter().fold(x, |x, layer| layer.forward(x, context).relu());
        Encoded { maps: None, whole: y.reshape(&[samples, 1, 1, self.outputs]) }
    }
}
