//! The trunk of the MultiMNIST literature: LeNet for gray pictures of 28x28.
//!
//! `conv 5x5, 10 -> max-pool -> ReLU -> conv 5x5, 20 -> max-pool -> ReLU -> dense 50 -> ReLU`
//! (Sener and Koltun, 2018, in their code, but without its dropout, as in PaMaL's).
//! Pixels range from 0 to 1, as in those setups: the data's normalisation is undone.

use cerberus_autograd::Var;
use cerberus_nn::{Context, Conv2d, Init, Layer, Linear, MaxPool2d, module};
use cerberus_tensor::Element;

use crate::features::{Features, MapInfo};
use crate::trunk::Trunk;

/// Rows and columns of the pictures.
pub const LENET_SIDE: usize = 28;
/// Output channels of both convolutions, and the features.
const CHANNELS: [usize; 2] = [10, 20];
const FEATURES: usize = 50;
const KERNEL: usize = 5;
/// Rows and columns after both convolutions and poolings.
const LEFT: usize = ((LENET_SIDE - (KERNEL - 1)) / 2 - (KERNEL - 1)) / 2;

/// LeNet up to the layer that the tasks share: a single map of one position and 50 channels.
pub struct LeNet<T: Element = f32> {
    conv1: Conv2d<T>,
    conv2: Conv2d<T>,
    dense: Linear<T>,
}

module!(LeNet { conv1, conv2, dense });

impl<T: Element> LeNet<T> {
    /// A trunk for images of `channels` channels.
    pub fn new(channels: usize, init: &mut Init) -> Self {
        let conv = |cin, cout, init: &mut Init| Conv2d::new(cin, cout, KERNEL, init);
        Self {
            conv1: conv(channels, CHANNELS[0], init),
            conv2: conv(CHANNELS[0], CHANNELS[1], init),
            dense: Linear::new(LEFT * LEFT * CHANNELS[1], FEATURES, init),
        }
    }
}

impl<T: Element> Trunk<T> for LeNet<T> {
    fn stages(&self) -> Vec<MapInfo> {
        vec![MapInfo { name: "stage1".into(), channels: FEATURES, stride: LENET_SIDE }]
    }

    #[track_caller]
    fn forward(&self, images: Var<T>, context: &mut Context<T>) -> Features<T> {
        let n = images.shape()[0];
        assert_eq!(
            images.shape()[1..3],
            [LENET_SIDE; 2],
            "LeNet: images are of {LENET_SIDE}x{LENET_SIDE} pixels"
        );
        let pool = MaxPool2d::new(2, 2).with_relu();
        let x = self.conv1.forward(images.affine(0.25, 0.5), context);
        let x = self.conv2.forward(pool.forward(x, context), context);
        let x = pool.forward(x, context).reshape(&[n, LEFT * LEFT * CHANNELS[1]]);
        let x = self.dense.forward(x, context).relu().reshape(&[n, 1, 1, FEATURES]);
        Features::new(vec![context.stage(0, x)], None)
    }
}
