//! Channels taken from neighbouring frames.

use cerberus_tensor::Element;
use cerberus_tensor::linear_map::LinearMap;

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;

/// Of `x [N, T, P, C]`, the first `fold` channels come from the next frame, the next `fold` from the one before, the rest
/// stay; what would come from beyond the ends is 0 (Lin, Gan and Han, "TSM: Temporal Shift Module for Efficient Video
/// Understanding", 2019, section 3.3). `dx` goes the same ways back.
pub struct TemporalShift;

#[cfg(feature = "proofs")]
impl Proof for TemporalShift {
    fn facts() -> Facts {
        Facts::new(
            "temporal_shift",
            Group::Shape,
            "y[t] = x[t+1] in the first fold channels, x[t-1] in the next fold, x[t] in the rest",
            "dx[t] = dy[t-1], dy[t+1], dy[t] in the same channels",
        )
        .shapes("[N, T, P, C]")
        .torch("torch.cat([pad(a[:, 1:, :, :fold]), pad(a[:, :-1, :, fold:2 fold]), a[.., 2 fold:]], 3)")
        .nan("what comes from beyond the ends is 0")
        .linear(&[0])
        .large(&[&[3, 5, 300, 8]])
    }

    fn cases() -> Vec<Case> {
        let torch = |fold: usize| {
            let first = format!("torch.nn.functional.pad(a[:, 1:, :, :{fold}], (0, 0, 0, 0, 0, 1))");
            let second =
                format!("torch.nn.functional.pad(a[:, :-1, :, {fold}:{0}], (0, 0, 0, 0, 1, 0))", 2 * fold);
            format!("torch.cat([{first}, {second}, a[:, :, :, {}:]], 3)", 2 * fold)
        };
        let case = |kind: &str, shape: &[usize], fold: usize| {
            case!(format!("temporal_shift{kind}"), torch(fold), [sample(1, shape)], |x| x
                .temporal_shift(fold))
        };
        vec![
            case("", &[2, 3, 2, 5], 1),
            case(": all channels", &[1, 4, 1, 4], 2),
            case(": one frame", &[2, 1, 2, 3], 1),
            case(": empty batch", &[0, 3, 2, 4], 1),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        vec![
            ErrorCase::new("temporal_shift: 2 channels each way of x [1, 2, 1, 3]", || {
                let _ = super::zeros::<f64>(&[1, 2, 1, 3]).temporal_shift(2);
            }),
            ErrorCase::new("temporal_shift: 1 channels each way of x [1, 2, 3]", || {
                let _ = super::zeros::<f64>(&[1, 2, 3]).temporal_shift(1);
            }),
        ]
    }
}

impl<T: Element> Var<T> {
    /// `fold` channels from the next frame and `fold` from the one before; see [`TemporalShift`].
    ///
    /// # Panics
    /// If `x` is not `[N, T, P, C]` with at least `2 fold` channels.
    #[track_caller]
    pub fn temporal_shift(self, fold: usize) -> Var<T> {
        let fits = self.shape().len() == 4 && 2 * fold <= self.shape()[3];
        assert!(
            fits,
            "temporal_shift: {fold} channels each way of x {:?}: it must be [N, T, P, C] with at least twice as many",
            self.shape()
        );
        let (frames, channels) = (self.shape()[1], self.shape()[3]);
        let shifted = |x: Var<T>, sources: Vec<Option<usize>>| {
            x.linear_map("temporal_shift", LinearMap::select(frames, sources), 1..2, &[frames])
        };
        let next = (0..frames).map(|t| (t + 1 < frames).then_some(t + 1)).collect();
        let last = (0..frames).map(|t| t.checked_sub(1)).collect();
        let mut parts = vec![
            shifted(self.clone().narrow(3, 0, fold), next),
            shifted(self.clone().narrow(3, fold, fold), last),
        ];
        if 2 * fold < channels {
            parts.push(self.narrow(3, 2 * fold, channels - 2 * fold));
        }
        Var::concat(parts, 3)
    }
}
