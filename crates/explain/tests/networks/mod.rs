//! Small random networks with two heads, for the tests of properties.

use cerberus_autograd::Var;
use cerberus_explain::Explained;
use cerberus_nn::{
    AvgPool2d, BatchNorm2d, Context, Conv2d, Flatten, Gelu, Identity, Init, Layer, Linear, MaxPool2d, Module,
    Relu, Sequential, Silu, Tanh,
};
use cerberus_tensor::Tensor;

/// What stands between the convolutions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Nothing, and averages for pooling.
    Linear,
    /// ReLU and max pooling.
    Relu,
    /// ReLU and max pooling, and no bias.
    ReluWithoutBias,
    /// SiLU, GELU, tanh and averages.
    Smooth,
}

/// A trunk and two heads of two and three outputs.
pub struct Network {
    trunk: Sequential<f64>,
    heads: [Linear<f64>; 2],
}

impl Network {
    /// For pictures of 6 x 8 pixels and two channels.
    pub fn new(kind: Kind, seed: u64) -> Self {
        let mut init = Init::new(seed);
        let bias = kind != Kind::ReluWithoutBias;
        let mut conv = |cin, cout| {
            let layer = Conv2d::new(cin, cout, 3, &mut init).same();
            if bias { layer } else { layer.without_bias() }
        };
        let (conv1, conv2) = (conv(2, 4), conv(4, 5));
        let mut trunk = Sequential::new().add("conv1", conv1);
        if bias {
            trunk = trunk.add("norm", BatchNorm2d::new(4));
        }
        trunk = match kind {
            Kind::Linear => trunk.add("act1", Identity::default()).add("pool", AvgPool2d::new(2, 2)),
            Kind::Smooth => trunk.add("act1", Silu::default()).add("pool", AvgPool2d::new(2, 2)),
            _ => trunk.add("act1", Relu::default()).add("pool", MaxPool2d::new(2, 2)),
        };
        trunk = trunk.add("conv2", conv2);
        trunk = match kind {
            Kind::Linear => trunk,
            Kind::Smooth => trunk.add("act2", Gelu::default()).add("act3", Tanh::default()),
            _ => trunk.add("act2", Relu::default()),
        };
        let mut head = |outputs| {
            let head = Linear::new(60, outputs, &mut init);
            if bias { head } else { head.without_bias() }
        };
        let mut network = Self { trunk: trunk.add("flatten", Flatten::default()), heads: [head(2), head(3)] };
        // Biases and statistics that are neither 0 nor 1.
        let mut place = seed as f64;
        let mut shake = |module: &mut dyn Module<f64>| {
            module.visit_mut("", &mut |path, mut entry| {
                if !path.ends_with("weight") {
                    for value in entry.value_mut().data_mut() {
                        place += 1.7;
                        *value += 0.3 * place.sin();
                    }
                }
            });
        };
        shake(&mut network.trunk);
        network.heads.iter_mut().for_each(|head| shake(head));
        network
    }

    /// The outputs of some of the heads, each as an answer.
    pub fn answers<'a>(&'a self, heads: &'a [usize]) -> impl Explained<f64> + 'a {
        move |x: Var<f64>, context: &mut Context<f64>| {
            let features = self.trunk.forward(x, context);
            let mut answers = Vec::new();
            for &head in heads {
                let logits = self.heads[head].forward(features.clone(), context);
                answers.extend((0..logits.shape()[1]).map(|class| logits.clone().narrow(1, class, 1)));
            }
            answers
        }
    }
}

/// Pictures for the networks.
pub fn pictures(count: usize, seed: u64) -> Tensor<f64> {
    let mut place = seed as f64 * 0.61;
    Tensor::from_fn(&[count, 6, 8, 2], |_| {
        place += 2.399;
        1.2 * place.sin() + 0.4 * (place * 1.7).cos()
    })
}

/// The largest difference of two tensors of one shape, relative to the largest value.
pub fn difference(a: &Tensor<f64>, b: &Tensor<f64>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let size = b.to_vec().iter().fold(1e-3, |most: f64, v| most.max(v.abs()));
    a.to_vec().iter().zip(b.to_vec()).fold(0.0, |most: f64, (a, b)| most.max((a - b).abs())) / size
}
