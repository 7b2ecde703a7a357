//! Scales and shifts that follow a convolution, taken into its weights.
//!
//! A batch norm in evaluation is `(x - mean) scale + beta` per channel. Behind a
//! convolution that nothing else reads, `y = scale (W x + b) + shift` is the
//! convolution with the weights `scale W` and the bias `scale b + shift` (Jacob et
//! al., "Quantization and Training of Neural Networks", 2018, section 3.2). The
//! file then has one operator where the network has two layers.

use cerberus_autograd::ops::{Add, Affine, Conv2d, ConvTranspose2d, Mul, Sub};
use cerberus_tensor::Tensor;

use crate::layout::Extent;
use crate::recording::{Input, Recording, Step};

/// What is taken into a convolution, per output channel: `scale y + shift`.
pub(crate) struct Fold {
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
    /// The nodes that are taken in, in order; the convolution computes the last one's value.
    pub taken: Vec<usize>,
}

/// For each node, what is taken into it if it is a convolution. `used` are the nodes that outputs depend on.
pub(crate) fn folds(recording: &Recording, used: &[bool]) -> Vec<Option<Fold>> {
    let readers = readers(recording, used);
    let fold = |(place, &used): (usize, &bool)| {
        let step = recording.nodes[place].step.as_ref().filter(|_| used)?;
        let plain =
            step.as_both::<Conv2d>().is_some_and(|[conv, _]| !conv.relu) || step.is::<ConvTranspose2d>();
        if !plain {
            return None;
        }
        let channels = match recording.nodes[place].extents.last() {
            Some(Extent::Fixed(channels)) => *channels,
            _ => return None,
        };
        let mut fold = Fold { scale: vec![1.0; channels], shift: vec![0.0; channels], taken: Vec::new() };
        while let &[Some(reader)] = &readers[fold.last(place)][..] {
            let step = recording.nodes[reader].step.as_ref().expect("what reads is a step");
            if !fold.take(step) {
                break;
            }
            fold.taken.push(reader);
        }
        Some(fold)
    };
    used.iter().enumerate().map(fold).collect()
}

/// The nodes that read each node; `None` for an output of the network.
fn readers(recording: &Recording, used: &[bool]) -> Vec<Vec<Option<usize>>> {
    let mut readers = vec![Vec::new(); recording.nodes.len()];
    recording.outputs.iter().for_each(|&output| readers[output].push(None));
    for (place, node) in recording.nodes.iter().enumerate().filter(|(place, _)| used[*place]) {
        for input in node.step.iter().flat_map(|step| &step.inputs) {
            if let Input::Node(from) = input {
                readers[*from].push(Some(place));
            }
        }
    }
    readers
}

impl Fold {
    /// The node whose value the convolution at `place` then computes.
    pub fn last(&self, place: usize) -> usize {
        self.taken.last().copied().unwrap_or(place)
    }

    /// Takes one more operation in; `false` if it is of another kind.
    fn take(&mut self, step: &Step) -> bool {
        if let Some([a, b]) = step.as_both::<Affine>() {
            if [a.alpha, a.beta] == [b.alpha, b.beta] {
                self.apply(a.alpha, |_| a.beta);
                return true;
            }
            return false;
        }
        let channels = self.scale.len();
        let values = |constant: &Tensor| -> Option<Vec<f64>> {
            let shape = constant.shape();
            let fits = shape.len() <= 4
                && (constant.len() == 1 || (constant.len() == channels && shape.last() == Some(&channels)));
            let values = constant.to_vec().into_iter().map(f64::from);
            fits.then(|| values.cycle().take(channels).collect())
        };
        let (constant, reversed) = match &step.inputs[..] {
            [Input::Node(_), Input::Constant(constant)] => (constant, false),
            [Input::Constant(constant), Input::Node(_)] => (constant, true),
            _ => return false,
        };
        let Some(values) = values(&constant.value).filter(|_| constant.repeated.is_none()) else {
            return false;
        };
        if step.is::<Add>() {
            self.apply(1.0, |channel| values[channel]);
        } else if step.is::<Sub>() && reversed {
            self.apply(-1.0, |channel| values[channel]);
        } else if step.is::<Sub>() {
            self.apply(1.0, |channel| -values[channel]);
        } else if step.is::<Mul>() {
            self.scale.iter_mut().zip(&values).for_each(|(scale, value)| *scale *= value);
            self.shift.iter_mut().zip(&values).for_each(|(shift, value)| *shift *= value);
        } else {
            return false;
        }
        true
    }

    fn apply(&mut self, alpha: f64, beta: impl Fn(usize) -> f64) {
        self.scale.iter_mut().for_each(|scale| *scale *= alpha);
        self.shift
            .iter_mut()
            .enumerate()
            .for_each(|(channel, shift)| *shift = alpha * *shift + beta(channel));
    }

    /// The weights, whose output channels are `channels(place)`, with the scales taken in.
    pub fn scaled(&self, mut weights: Vec<f32>, channel: impl Fn(usize) -> usize) -> Vec<f32> {
        if self.scale.iter().any(|&scale| scale != 1.0) {
            for (place, weight) in weights.iter_mut().enumerate() {
                *weight = (f64::from(*weight) * self.scale[channel(place)]) as f32;
            }
        }
        weights
    }

    /// The bias with scales and shifts taken in; `None` if it is zero and there was none.
    pub fn bias(&self, bias: Option<Vec<f32>>) -> Option<Vec<f32>> {
        let shifted =
            |channel: usize, bias: f32| (self.scale[channel] * f64::from(bias) + self.shift[channel]) as f32;
        match bias {
            Some(bias) => Some(bias.into_iter().enumerate().map(|(c, bias)| shifted(c, bias)).collect()),
            None if self.shift.iter().all(|&shift| shift == 0.0) => None,
            None => Some(self.shift.iter().map(|&shift| shift as f32).collect()),
        }
    }
}
