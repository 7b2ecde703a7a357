//! The input gradient as forward convolutions of the output's gradient.
//!
//! Along one axis, output `o` reads input `y = s*o + k - p` (stride `s`, tap
//! `k`, padding `p`). Seen from the input, with `y + p = s*q + c`, the taps
//! that reach `y` are `k = c, c + s, c + 2s, ..`, and tap `c + s*t` belongs to
//! output `o = q - t`. So all inputs of one phase `c` are a convolution of
//! stride 1 over the outputs, with every `s`-th tap in reverse order. With two
//! axes there are `s*s` phases, which write to interleaved pixels; together
//! they do exactly the multiplications of the forward pass.

use super::{Block, Output, Packed, Pass, block_rows};
use crate::conv::{Conv2dSpec, Geometry, Padding};
use crate::pool::Buffer;
use crate::{Element, Rectifier, Tensor, parallel};

/// The inputs of one phase along one axis.
#[derive(Clone, Copy, Debug)]
struct AxisPhase {
    /// The phase `c`.
    first_tap: usize,
    /// How many taps reach its inputs.
    taps: usize,
    /// Its first input position.
    first: usize,
    /// How many inputs it has.
    count: usize,
    /// Zeros before and after the outputs for the convolution of stride 1.
    before: usize,
    after: usize,
}

impl AxisPhase {
    /// Phase `c` of an axis, or `None` if it would need a crop instead of padding.
    fn new(g: &Geometry, axis: usize, c: usize) -> Option<Self> {
        let stride = g.spec.stride[axis];
        let padding = if axis == 0 { g.spec.padding.top } else { g.spec.padding.left };
        let taps = (g.kernel[axis] + stride - 1).checked_sub(c)? / stride;
        // The first q whose input is inside the image.
        let q = padding.saturating_sub(c).div_ceil(stride);
        let first = stride * q + c - padding;
        let count = g.input[axis].saturating_sub(first).div_ceil(stride);
        if taps == 0 || count == 0 {
            return Some(Self { first_tap: c, taps: 0, first, count, before: 0, after: 0 });
        }
        let before = (taps - 1).checked_sub(q)?;
        let after = (count + taps - 1).checked_sub(g.output[axis] + before)?;
        Some(Self { first_tap: c, taps, first, count, before, after })
    }
}

/// The inputs of one phase along both axes.
struct Phase {
    axes: [AxisPhase; 2],
    /// The convolution of `dy` that gives them.
    geometry: Geometry,
}

/// All phases that any tap reaches, or `None` if the geometry is not supported.
fn phases(g: &Geometry) -> Option<Vec<Phase>> {
    let [sy, sx] = g.spec.stride;
    if (sy > 1 && g.spec.dilation[0] > 1) || (sx > 1 && g.spec.dilation[1] > 1) {
        return None;
    }
    if g.spec.dilation != [1, 1] {
        // Stride 1 with dilation: one phase, whose taps are not neighbours.
        let geometry = g.adjoint()?;
        let axis = |a: usize| AxisPhase {
            first_tap: 0,
            taps: g.kernel[a],
            first: 0,
            count: g.input[a],
            before: 0,
            after: 0,
        };
        return (g.spec.stride == [1, 1]).then(|| vec![Phase { axes: [axis(0), axis(1)], geometry }]);
    }
    let mut all = Vec::new();
    for cy in 0..sy {
        for cx in 0..sx {
            let (y, x) = (AxisPhase::new(g, 0, cy)?, AxisPhase::new(g, 1, cx)?);
            if y.taps * x.taps == 0 {
                continue;
            }
            let padding = Padding { top: y.before, bottom: y.after, left: x.before, right: x.after };
            let geometry = Geometry {
                n: g.n,
                input: g.output,
                cin: g.cout,
                kernel: [y.taps, x.taps],
                output: [y.count, x.count],
                cout: g.cin,
                spec: Conv2dSpec { padding, groups: g.spec.groups, ..Conv2dSpec::default() },
            };
            all.push(Phase { axes: [y, x], geometry: geometry.checked("conv2d input gradient") });
        }
    }
    Some(all)
}

/// Whether [`input_gradient`] handles this geometry: no stride together with
/// dilation, and no more padding than the kernel reaches.
pub fn supports_input_gradient(g: &Geometry) -> bool {
    phases(g).is_some()
}

/// The input gradient; see [`input_gradient`](crate::conv::input_gradient).
///
/// # Panics
/// If the geometry is not [supported](supports_input_gradient).
#[track_caller]
pub fn input_gradient<T: Element>(
    dy: &Tensor<T>,
    weight: &Tensor<T>,
    x_shape: &[usize],
    spec: &Conv2dSpec,
) -> Tensor<T> {
    let g = Geometry::new("conv2d input gradient", x_shape, weight.shape(), spec);
    g.check_dy("conv2d input gradient", dy.shape());
    let Some(phases) = phases(&g) else {
        panic!("conv2d input gradient: {spec:?} is not of the implicit kind");
    };
    let (dy, weight) = (dy.contiguous(), weight.contiguous());
    let packed: Vec<Packed<T>> = phases
        .iter()
        .map(|phase| {
            let flipped = flipped(&g, weight.data(), phase);
            Packed::new(T::kernels(), &flipped, g.cin, g.spec.groups)
        })
        .collect();
    // A single phase is an ordinary forward pass over dy.
    if let ([phase], [packed]) = (&phases[..], &packed[..])
        && phase.geometry.output == g.input
    {
        return super::forward(&phase.geometry, &dy, packed, &Default::default());
    }
    let passes: Vec<Pass<T>> = phases
        .iter()
        .zip(&packed)
        .map(|(phase, packed)| Pass::new(&phase.geometry, packed, None, Rectifier::None))
        .collect();
    let unreached = phases.len() < g.spec.stride[0] * g.spec.stride[1];
    let ([h, w], [sy, sx]) = (g.input, g.spec.stride);
    let rows = sy * block_rows::<T>(g.cout, h.div_ceil(sy), w.div_ceil(sx));
    let image = g.output[0] * g.output[1] * g.cout;
    let row = w * g.cin;
    Tensor::filled_by(x_shape, |dx| {
        if dx.is_empty() {
            return;
        }
        parallel::for_each(dx.chunks_mut(h * row).enumerate(), |(n, dx)| {
            let dy = &dy.data()[n * image..(n + 1) * image];
            parallel::for_each(dx.chunks_mut(rows * row).enumerate(), |(index, dx)| {
                if unreached {
                    dx.fill(T::ZERO);
                }
                let (start, end) = (index * rows, index * rows + dx.len() / row);
                for (phase, pass) in phases.iter().zip(&passes) {
                    let [y, x] = phase.axes;
                    // The phase's rows among start .. end.
                    let skipped = start.saturating_sub(y.first).div_ceil(sy);
                    let here = end.saturating_sub(y.first).div_ceil(sy).min(y.count).saturating_sub(skipped);
                    if here == 0 {
                        continue;
                    }
                    let block = Block::new(&phase.geometry, dy, skipped, here);
                    let origin = (y.first + sy * skipped - start) * row + x.first * g.cin;
                    for (panel, place) in pass.packed.panels.iter().enumerate() {
                        let c = &mut dx[origin + place.start..];
                        pass.panel(
                            block.values(),
                            panel,
                            here,
                            Output { c, pixel: sx * g.cin, row: sy * row },
                        );
                    }
                }
            });
        });
    })
}

/// The weights of one phase: its taps in reverse order, with input and output
/// channels exchanged within each group: `[taps, taps, Cout/groups, Cin]`.
fn flipped<T: Element>(g: &Geometry, weight: &[T], phase: &Phase) -> Buffer<T> {
    let [y, x] = phase.axes;
    let tap = |axis: AxisPhase, stride: usize, u: usize| axis.first_tap + stride * (axis.taps - 1 - u);
    let taps: Vec<usize> = (0..y.taps * x.taps)
        .map(|i| {
            let [ky, kx] = [tap(y, g.spec.stride[0], i / x.taps), tap(x, g.spec.stride[1], i % x.taps)];
            ky * g.kernel[1] + kx
        })
        .collect();
    crate::conv::exchanged(g, weight, &taps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::{Conv2dSpec, Padding};

    /// A geometry without phases takes a slower path to the same result, so comparing results would not show
    /// it.
    #[test]
    fn strides_or_dilations_are_cut_into_phases_and_only_both_together_are_not() {
        let count = |stride: usize, dilation: usize| {
            let padding = Padding::all(1);
            let spec = Conv2dSpec { stride: [stride; 2], dilation: [dilation; 2], padding, groups: 1 };
            phases(&Geometry::new("test", &[1, 12, 12, 2], &[3, 3, 2, 4], &spec)).map(|phases| phases.len())
        };
        assert_eq!([count(1, 1), count(2, 1), count(1, 2), count(2, 2)], [Some(1), Some(4), Some(1), None]);
    }
}
