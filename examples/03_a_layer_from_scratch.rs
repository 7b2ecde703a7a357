//! Lesson 3: a layer from scratch.
//!
//! `cargo run --release --example 03_a_layer_from_scratch`
//!
//! An operation that the library does not have, its gradient by hand, the proof
//! that it is right, a layer with a parameter around it, and a small network
//! that learns garments with it. The operation is Swish with a slope that is
//! learned for each channel (Ramachandran, Zoph and Le, "Searching for
//! Activation Functions", 2017): `y = x sigmoid(beta x)`.

use cerberus::autograd::gradcheck::sample;
use cerberus::autograd::{Gradient, Inputs, Operation, Saved, Saves, prove, two};
use cerberus::data::{FashionMnist, Garments, Image, normalise};
use cerberus::prelude::*;
use cerberus::tensor::sigmoid;
use cerberus_cli::say;

/// `x [.., C]`, `beta [C]`. With `s = sigmoid(beta x)` and `s' = s (1 - s)`:
/// `dx = dy (s + beta x s')`, `dbeta = dy x x s'`.
struct Swish;

impl<T: Element> Operation<T> for Swish {
    fn name(&self) -> &'static str {
        "swish"
    }

    /// The backward pass needs both inputs, but not the output.
    fn saves(&self) -> Saves {
        Saves::inputs(&[0, 1])
    }

    fn forward(&mut self, inputs: Inputs<T>) -> Tensor<T> {
        let [x, beta] = inputs.take();
        x.zip(beta, |x, beta| x * sigmoid(beta * x))
    }

    fn backward(&self, mut saved: Saved<T>, dy: Tensor<T>, wants: &[bool]) -> Vec<Option<Gradient<T>>> {
        let (x, beta) = (saved.input(0), saved.input(1));
        let slope = |s: T| s * (T::ONE - s);
        let dx = |x: T, beta: T| {
            let s = sigmoid(beta * x);
            s + beta * x * slope(s)
        };
        let dbeta = |x: T, beta: T| x * x * slope(sigmoid(beta * x));
        // The second gradient has the shape of x, not of beta. That is allowed:
        // the engine sums it over the dimensions beta was stretched along.
        two(wants, || &dy * &x.clone().zip(beta.clone(), dx), || &dy * &x.clone().zip(beta.clone(), dbeta))
    }
}

/// The layer: one slope per channel, starting at 1.
struct SwishLayer<T: Element = f32> {
    beta: Parameter<T>,
}

// Implements the visit of the parameters, which optimisers and checkpoints use. A
// field left out here would not compile.
module!(SwishLayer { beta });

impl SwishLayer {
    fn new(channels: usize) -> Self {
        Self { beta: Parameter::new(Tensor::ones(&[channels])) }
    }
}

impl Layer for SwishLayer {
    fn forward(&self, x: Var, context: &mut Context) -> Var {
        // The context records the parameter when this pass trains.
        Var::apply(Swish, vec![x, context.parameter(&self.beta)])
    }
}

fn main() {
    say!("-- The rule against finite differences");
    // One line: it panics unless the gradients are right on each set of inputs.
    prove!(
        |x, beta| Var::apply(Swish, vec![x, beta]),
        [sample(1, &[2, 3, 3, 4]), sample(2, &[4])],
        [sample(3, &[5, 2]), sample(4, &[2])],
    );
    say!("both gradients are right, on images and on rows");

    say!("\n-- A network with the new layer");
    let mut model = network();
    for (path, parameter) in model.parameters() {
        say!("{path:<14} {:?}", parameter.value.shape());
    }
    say!("{} numbers to learn", model.parameter_count());

    say!("\n-- Learning garments");
    let garments = FashionMnist::embedded();
    let (train, test) = (&garments.train, &garments.test);
    let mut optimizer = Adam::new(AdamOptions::default());
    let before = accuracy(&model, test);
    say!("before    accuracy {before:.3} on {TEST} garments it will not learn from");
    let mut after = before;
    for epoch in 0..EPOCHS {
        let plan = EpochPlan { shuffle: true, epoch, seed: 1, ..EpochPlan::new(Split::Train) };
        let mut losses = Vec::new();
        for batch in plan.order(TRAIN).chunks(BATCH) {
            let (images, classes) = gather(train, batch);
            losses.push(step(&mut model, &mut optimizer, |model, context| {
                cross_entropy(model.forward((&images).into(), context), &classes)
            }));
        }
        after = accuracy(&model, test);
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        say!("epoch {:>2}  accuracy {after:.3}  training loss {mean:.3}", epoch + 1);
    }
    assert!(before < 0.3 && after > 0.7, "from {before} to {after}");

    // The slopes have changed: they are parameters like any other.
    for (path, parameter) in model.parameters().iter().filter(|(path, _)| path.ends_with("beta")) {
        let slopes = parameter.value.to_vec();
        say!("{path}: {slopes:.2?}");
        assert!(slopes.iter().any(|beta| (beta - 1.0).abs() > 0.01));
    }
}

const TRAIN: usize = 600;
const TEST: usize = 500;
const EPOCHS: u64 = 12;
const BATCH: usize = 30;

fn network() -> Sequential {
    let mut init = Init::new(1);
    Sequential::new()
        .add("conv1", Conv2d::new(1, 16, 3, &mut init).same())
        .add("swish1", SwishLayer::new(16))
        .add("pool1", MaxPool2d::new(2, 2)) // 28x28 to 14x14
        .add("conv2", Conv2d::new(16, 32, 3, &mut init).same())
        .add("swish2", SwishLayer::new(32))
        .add("pool2", MaxPool2d::new(2, 2)) // to 7x7
        .add("flatten", Flatten::default())
        .add("dense", Linear::new(7 * 7 * 32, 10, &mut init))
}

fn gather(garments: &Garments, batch: &[usize]) -> (Tensor, Vec<u8>) {
    let image =
        |&i: &usize| Image { height: 28, width: 28, channels: 1, pixels: garments.pixels(i).to_vec().into() };
    let images: Vec<Image> = batch.iter().map(image).collect();
    let classes = batch.iter().map(|&i| garments.labels()[i]).collect();
    (normalise(&images.iter().collect::<Vec<_>>()), classes)
}

fn accuracy(model: &Sequential, garments: &Garments) -> f64 {
    let (images, classes) = gather(garments, &(0..TEST).collect::<Vec<_>>());
    let best = predict(model, images).argmax();
    let right = best.iter().zip(&classes).filter(|&(&best, &class)| best == usize::from(class)).count();
    right as f64 / TEST as f64
}
