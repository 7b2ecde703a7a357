//! The order of dimensions of a tensor here and in PyTorch. Each layout is a permutation of dimensions, so that going
//! there and back gives the same bits.

use cerberus_tensor::Tensor;

/// How a tensor lies in PyTorch's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// As here: vectors, embeddings of positions.
    Same,
    /// The weight of a convolution or a dense layer: here the inputs and the outputs come last, `[KH, KW, in, out]` or
    /// `[in, out]`, there they come first in the other order, `[out, in, KH, KW]` or `[out, in]`. With groups, `in` is
    /// the inputs of a group on both sides; a depthwise kernel has 1.
    Weight,
    /// The weight of a dense layer after a flattened map of so many positions: its inputs are in H, W, C order here and
    /// in C, H, W order there.
    AfterFlatten(usize),
    /// A number for each channel: a vector here, `[C, 1, 1]` there.
    PerChannel,
}

/// Dense layers after a flattened map, by the beginning of the network's name, with the map's positions.
const AFTER_FLATTEN: [(&str, &str, usize); 2] =
    [("vgg", "classifier.0.weight", 7 * 7), ("small_cnn", "dense.weight", 6 * 6)];

impl Layout {
    /// That of the tensor at `path`, called `theirs` there, with the shape `ours`.
    pub fn of(network: &str, [path, theirs]: [&str; 2], ours: &[usize]) -> Self {
        let flattened =
            |(start, dense, _): &&(&str, &str, usize)| network.starts_with(start) && path == *dense;
        match AFTER_FLATTEN.iter().find(flattened) {
            Some(&(_, _, positions)) => Self::AfterFlatten(positions),
            // The other matrices and the scales of norms are vectors, or have other names.
            None if theirs.ends_with(".layer_scale") => Self::PerChannel,
            None if ours.len() >= 2 && path.ends_with("weight") => Self::Weight,
            None => Self::Same,
        }
    }

    /// The shape there of a tensor with the shape `ours`.
    pub fn their_shape(self, ours: &[usize]) -> Vec<usize> {
        match self {
            Self::Same => ours.to_vec(),
            Self::PerChannel => vec![ours[0], 1, 1],
            Self::Weight | Self::AfterFlatten(_) => {
                to_front(ours.len()).iter().map(|&axis| ours[axis]).collect()
            }
        }
    }

    /// From here to there.
    pub fn to_theirs(self, ours: &Tensor) -> Tensor {
        match self {
            Self::Same => ours.clone(),
            Self::PerChannel => ours.contiguous().reshape(&[ours.len(), 1, 1]),
            Self::Weight => ours.permute(&to_front(ours.shape().len())).contiguous(),
            Self::AfterFlatten(positions) => {
                let [inputs, outputs] = [ours.shape()[0], ours.shape()[1]];
                let split = ours.contiguous().reshape(&[positions, inputs / positions, outputs]);
                split.permute(&[2, 1, 0]).contiguous().reshape(&[outputs, inputs])
            }
        }
    }

    /// From there to here.
    pub fn to_ours(self, theirs: &Tensor) -> Tensor {
        match self {
            Self::Same => theirs.clone(),
            Self::PerChannel => theirs.contiguous().reshape(&[theirs.len()]),
            Self::Weight => theirs.permute(&to_back(theirs.shape().len())).contiguous(),
            Self::AfterFlatten(positions) => {
                let [outputs, inputs] = [theirs.shape()[0], theirs.shape()[1]];
                let split = theirs.contiguous().reshape(&[outputs, inputs / positions, positions]);
                split.permute(&[2, 1, 0]).contiguous().reshape(&[inputs, outputs])
            }
        }
    }
}

/// The permutation that brings the last two dimensions to the front, the last one first: `[3, 2, 0, 1]`.
fn to_front(rank: usize) -> Vec<usize> {
    [rank - 1, rank - 2].into_iter().chain(0..rank - 2).collect()
}

/// Its inverse: `[2, 3, 1, 0]`.
fn to_back(rank: usize) -> Vec<usize> {
    (2..rank).chain([1, 0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cerberus_nn::{Conv2d, Flatten, Init, Layer, Linear, Module, Sequential, predict};

    /// A tensor with the values `0, 1, 2, ...`.
    fn counted(shape: &[usize]) -> Tensor {
        Tensor::from_fn(shape, |i| i as f32)
    }

    #[test]
    fn every_layout_goes_there_and_back() {
        for (layout, shape) in [
            (Layout::Same, vec![5]),
            (Layout::Weight, vec![3, 4]),
            (Layout::Weight, vec![3, 2, 4, 5]),
            (Layout::AfterFlatten(6), vec![12, 5]),
            (Layout::PerChannel, vec![4]),
        ] {
            let ours = counted(&shape);
            let theirs = layout.to_theirs(&ours);
            assert_eq!(theirs.shape(), layout.their_shape(&shape), "{layout:?}");
            let back = layout.to_ours(&theirs);
            assert_eq!((back.shape(), back.to_vec()), (ours.shape(), ours.to_vec()), "{layout:?}");
        }
    }

    #[test]
    fn a_convolution_with_a_weight_of_pytorch_gives_what_its_definition_gives() {
        // PyTorch's: [out, in, KH, KW], y[o][i][j] = sum over c, p, q of x[c][i + p][j + q] w[o][c][p][q].
        let (theirs, x) = (counted(&[2, 3, 2, 2]), counted(&[1, 3, 4, 3]).map(|v| (v * 0.3).sin()));
        let ours = Layout::Weight.to_ours(&theirs);
        let mut conv = Conv2d::<f32>::new(3, 2, 2, &mut Init::blank()).without_bias();
        conv.visit_mut("", &mut |_, mut entry| *entry.value_mut() = ours.clone());
        let y = predict(&conv, x.clone());
        let (w, pixels) = (theirs.to_vec(), x.to_vec());
        for (i, j, o) in [(0, 0, 0), (1, 1, 0), (0, 2, 1), (1, 0, 1)] {
            let mut sum = 0.0;
            for (c, p, q) in (0..12).map(|n| (n / 4, n / 2 % 2, n % 2)) {
                sum += pixels[((i + p) * 4 + j + q) * 3 + c] * w[((o * 3 + c) * 2 + p) * 2 + q];
            }
            let found = y.to_vec()[(i * 3 + j) * 2 + o];
            assert!((found - sum).abs() < 1e-4, "{found}, not {sum}");
        }
    }

    #[test]
    fn a_dense_layer_after_a_flattened_map_sees_the_same_numbers() {
        // A map of 2x3 positions and 4 channels; PyTorch flattens [C, H, W], so its input c * 6 + h * 3 + w is ours at
        // (h * 3 + w) * 4 + c.
        let (theirs, map) = (counted(&[5, 24]).map(|v| (v * 0.1).cos()), counted(&[1, 2, 3, 4]));
        let ours = Layout::AfterFlatten(6).to_ours(&theirs);
        let dense = Linear::new(24, 5, &mut Init::blank()).without_bias().with_weight(ours);
        let net = Sequential::new().add("flatten", Flatten::default()).add("dense", dense);
        let y = predict(&net as &dyn Layer, map.clone());
        let (w, map) = (theirs.to_vec(), map.to_vec());
        for o in 0..5 {
            let at = |n: usize| w[o * 24 + n] * map[(n % 6) * 4 + n / 6];
            let sum: f32 = (0..24).map(at).sum();
            assert!((y.to_vec()[o] - sum).abs() < 1e-3, "{}, not {sum}", y.to_vec()[o]);
        }
    }
}
