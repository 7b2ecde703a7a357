//! What a training step keeps alive: the activations of a deep network after
//! the forward pass, and ever less of them while the backward pass runs.
//!
//! The only test of its file, because the counters are of the whole process.

use cerberus::autograd::{Gradient, GradientSink, Leaf, backward_into};
use cerberus::prelude::*;
use cerberus::tensor::pool::{live_bytes, take_peak_bytes};

const LAYERS: usize = 20;

/// Notes what is alive each time a gradient arrives, and drops the gradient.
struct Witness(Vec<usize>);

impl GradientSink<f32> for Witness {
    fn accept(&mut self, _: Leaf, gradient: Gradient<f32>) {
        drop(gradient);
        self.0.push(live_bytes());
    }
}

#[test]
fn activations_live_once_after_the_forward_pass_and_die_as_the_backward_pass_consumes_them() {
    let mut init = Init::new(1);
    let spec = Conv2dSpec { padding: Padding::all(1), ..Conv2dSpec::default() };
    let net = (0..LAYERS).fold(Sequential::new(), |net, layer| {
        net.add(&format!("conv{layer}"), Conv2d::new(16, 16, 3, spec, &mut init).with_relu())
    });
    let before = live_bytes();
    let images = Tensor::from_fn(&[8, 32, 32, 16], |i| (i as f32 * 0.3).sin());
    let activation = images.len() * size_of::<f32>();

    let mut context = Context::training(1, 0);
    let loss = net.forward(Var::constant(images), &mut context).mean_all();
    context.finish();
    let after_forward = live_bytes() - before;
    // Each layer keeps its input and its output, but one's output is the next
    // one's input: the images and one activation per layer.
    let kept = after_forward as f64 / activation as f64;
    assert!(
        kept > LAYERS as f64 + 0.5 && kept < LAYERS as f64 + 1.5,
        "{kept} activations kept after forward"
    );

    take_peak_bytes();
    let mut witness = Witness(Vec::new());
    backward_into(loss, &mut witness);
    let peak = (take_peak_bytes() - before) as f64 / activation as f64;
    // On top of what the forward pass kept: a gradient coming in, a gradient
    // going out, and small change for packed weights and padded blocks.
    assert!(peak < kept + 3.0, "{peak} activations alive at the peak of backward");
    let alive: Vec<f64> =
        witness.0.iter().map(|&bytes| (bytes - before) as f64 / activation as f64).collect();
    assert_eq!(alive.len(), 2 * LAYERS);
    assert!(alive.windows(2).all(|pair| pair[1] <= pair[0]), "memory grew again: {alive:?}");
    assert!(alive[2 * LAYERS - 1] < 3.0, "{alive:?}");
}
