//! Batch normalisation over all dimensions but the last (Ioffe & Szegedy,
//! "Batch Normalization: Accelerating Deep Network Training by Reducing
//! Internal Covariate Shift", 2015, algorithm 1 and the equations after it).
//!
//! These kernels do little arithmetic, so what counts is how often they pass
//! over memory. The statistics take one pass: a piece of rows is read into the
//! cache, its mean and then its squared deviations are computed there, and the
//! pieces are merged in order by the formula of Chan, Golub & LeVeque (1979),
//! in `f64`. The activation is applied in the same pass as the normalisation,
//! and the backward pass recomputes it instead of storing it.
//!
//! With an activation, NaN stays NaN in the forward pass and lets the gradient through in the
//! backward pass.

mod layer;

pub use layer::{layer_norm, layer_norm_backward};

pub use crate::Rectifier;
use crate::memory::rows::{column_sums, folded, repeated, rewrite_rows, wide_row};
use crate::parallel::{PIECE, for_each_rows, map_ranges};
use crate::simd::loops::{self, Loop};
use crate::{Element, Tensor, relu as rectified};

/// Mean and variance of every channel of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchStatistics<T> {
    /// `M`: the rows that they are of.
    pub rows: f64,
    /// `[C]`: the mean.
    pub mean: Vec<T>,
    /// `[C]`: the biased variance, `sum (x - mean)^2 / M` over the `M` rows.
    pub variance: Vec<T>,
    /// `[C]`: `1 / sqrt(variance + eps)`.
    pub inv_std: Vec<T>,
}

/// Mean and variance of `x [.., C]` over all dimensions but the last, in one
/// pass over memory. Those of an empty batch are 0.
///
/// # Panics
/// If `x` has rank 0.
#[track_caller]
pub fn batch_statistics<T: Element>(x: &Tensor<T>, eps: f64) -> BatchStatistics<T> {
    statistics_of(&batch_moments(x), eps)
}

/// What [`statistics_of`] a batch need of a part `x [.., C]` of it: `[1 + 2C]`, the number of rows, the mean of every
/// channel, and its sum of squared deviations from that mean; zeros for an empty part.
///
/// # Panics
/// If `x` has rank 0.
#[track_caller]
pub fn batch_moments<T: Element>(x: &Tensor<T>) -> Vec<f64> {
    let channels = last_extent("batch_statistics", x);
    let source = x.contiguous();
    let data = source.data();
    let pieces = map_ranges(data.len() / channels.max(1), rows_of_piece(channels), |rows| {
        let values = &data[rows.start * channels..rows.end * channels];
        let (mean, squares) = moments(values, channels);
        let numbers = mean.into_iter().chain(squares).map(|x| x.as_f64());
        [rows.len() as f64].into_iter().chain(numbers).collect::<Vec<f64>>()
    });
    pieces.into_iter().fold(vec![0.0; 1 + 2 * channels], joined_moments)
}

/// The [moments](batch_moments) of two parts together.
///
/// # Panics
/// If they have other channels.
#[track_caller]
pub fn joined_moments(mut a: Vec<f64>, b: Vec<f64>) -> Vec<f64> {
    assert!(a.len() == b.len(), "joined_moments: {} and {} numbers", a.len(), b.len());
    let (count, more) = (a[0], b[0]);
    if more == 0.0 {
        return a;
    }
    let (channels, share) = (a.len() / 2, more / (count + more));
    let (mean, squares) = a[1..].split_at_mut(channels);
    for channel in 0..channels {
        let delta = b[1 + channel] - mean[channel];
        mean[channel] += delta * share;
        squares[channel] += b[1 + channels + channel] + delta * delta * count * share;
    }
    a[0] += more;
    a
}

/// The statistics of a batch with these [moments](batch_moments).
pub fn statistics_of<T: Element>(moments: &[f64], eps: f64) -> BatchStatistics<T> {
    let (rows, (mean, squares)) = (moments[0], moments[1..].split_at(moments.len() / 2));
    let variance: Vec<f64> = squares.iter().map(|sum| sum / rows.max(1.0)).collect();
    BatchStatistics {
        rows,
        mean: mean.iter().map(|&mean| T::from_f64(mean)).collect(),
        inv_std: variance.iter().map(|v| T::from_f64((v + eps).sqrt().recip())).collect(),
        variance: variance.into_iter().map(T::from_f64).collect(),
    }
}

/// `y = gamma (x - mean) inv_std + beta`, then the activation.
///
/// Shapes: `x [.., C]`, the others `[C]`, to the shape of `x`, which is
/// overwritten when it is the only owner. In training `mean` and `inv_std` are
/// those of the batch, in evaluation the running ones.
///
/// # Panics
/// If the length of a per-channel argument is not `C`.
#[track_caller]
pub fn normalise<T: Element>(
    x: Tensor<T>,
    mean: &[T],
    inv_std: &[T],
    gamma: &Tensor<T>,
    beta: &Tensor<T>,
    activation: Rectifier,
) -> Tensor<T> {
    let channels = last_extent("normalise", &x);
    let rows = ChannelRows::new("normalise", channels, [mean, inv_std], [gamma, beta]);
    match activation {
        Rectifier::None => rows.apply(x, |y| y),
        Rectifier::Relu => rows.apply(x, rectified),
        Rectifier::Relu6 => rows.apply(x, |y| Rectifier::Relu6.of(y)),
    }
}

/// The vector-Jacobian product of [`normalise`] with the batch's own
/// statistics: `(dx, dgamma, dbeta)`.
///
/// With `n = (x - mean) inv_std`, `M` rows, and `dy` set to 0 where the activation
/// cut the output off:
///
/// ```text
/// dbeta  = sum dy
/// dgamma = sum dy n
/// dx     = gamma inv_std (dy - dbeta / M - n dgamma / M)
/// ```
///
/// Shapes: `x` and `dy [.., C]`, `gamma` and `beta [C]`. Two passes over `x`
/// and `dy`; `dx` overwrites `dy` when that is the only owner.
///
/// # Panics
/// If `x` and `dy` differ in shape, or the length of a per-channel argument is not `C`.
#[track_caller]
pub fn batch_norm_backward<T: Element>(
    x: &Tensor<T>,
    dy: Tensor<T>,
    gamma: &Tensor<T>,
    beta: &Tensor<T>,
    statistics: &BatchStatistics<T>,
    activation: Rectifier,
) -> (Tensor<T>, Tensor<T>, Tensor<T>) {
    batch_norm_backward_joined(x, dy, [gamma, beta], statistics, activation, |_| None)
}

/// [`batch_norm_backward`] of a part of the batch that `statistics` are of: `joined` gives the sums over the whole batch
/// of `dbeta` and `dgamma`, `[2C]`, from those of this part; `dgamma` and `dbeta` that are returned are those of the part.
///
/// # Panics
/// As [`batch_norm_backward`].
#[track_caller]
pub fn batch_norm_backward_joined<T: Element>(
    x: &Tensor<T>,
    dy: Tensor<T>,
    [gamma, beta]: [&Tensor<T>; 2],
    statistics: &BatchStatistics<T>,
    activation: Rectifier,
    joined: impl FnOnce(&[Vec<f64>; 2]) -> Option<Vec<f64>>,
) -> (Tensor<T>, Tensor<T>, Tensor<T>) {
    assert_eq!(x.shape(), dy.shape(), "batch_norm_backward: x and dy must have the same shape");
    let channels = last_extent("batch_norm_backward", x);
    let rows = [&statistics.mean[..], &statistics.inv_std];
    let rows = ChannelRows::new("batch_norm_backward", channels, rows, [gamma, beta]);
    let (source, dy) = (x.contiguous(), if dy.is_contiguous() { dy } else { dy.contiguous() });
    let x = source.data();
    let (cuts, ceiling) = (activation != Rectifier::None, activation.ceiling());
    let [dbeta, mut dgamma] = if cuts {
        sums::<T, true>(x, dy.data(), &rows, ceiling)
    } else {
        sums::<T, false>(x, dy.data(), &rows, ceiling)
    };
    dgamma.iter_mut().zip(&statistics.inv_std).for_each(|(sum, inv_std)| *sum *= inv_std.as_f64());

    let own = [dbeta, dgamma];
    let whole = joined(&own);
    let [dbeta, dgamma] = own;
    let (offsets, slopes) = whole.as_ref().map_or((&dbeta[..], &dgamma[..]), |sums| sums.split_at(channels));
    let to_row = |value: &dyn Fn(usize) -> f64| {
        repeated(&(0..channels).map(|c| T::from_f64(value(c) / statistics.rows)).collect::<Vec<_>>())
    };
    let offset = to_row(&|c| offsets[c]);
    let slope = to_row(&|c| slopes[c] * statistics.inv_std[c].as_f64());
    let (wide, isa) = (wide_row(channels), T::kernels().isa);
    let dx = rewrite_rows(dy, wide, |start, piece| {
        let x = &x[start..];
        let (rows, offset, slope) = (&rows, &offset, &slope);
        if cuts {
            loops::run(isa, InputGradient::<T, true> { dx: piece, x, rows, offset, slope, ceiling });
        } else {
            loops::run(isa, InputGradient::<T, false> { dx: piece, x, rows, offset, slope, ceiling });
        }
    });
    let to_tensor =
        |sums: Vec<f64>| Tensor::from_vec(sums.into_iter().map(T::from_f64).collect(), &[channels]);
    (dx, to_tensor(dgamma), to_tensor(dbeta))
}

/// The per-channel values, each repeated to a wide row.
struct ChannelRows<T> {
    channels: usize,
    mean: Vec<T>,
    /// `gamma inv_std`.
    scale: Vec<T>,
    beta: Vec<T>,
}

impl<T: Element> ChannelRows<T> {
    #[track_caller]
    fn new(
        operation: &str,
        channels: usize,
        [mean, inv_std]: [&[T]; 2],
        [gamma, beta]: [&Tensor<T>; 2],
    ) -> Self {
        assert!(
            [mean.len(), inv_std.len()] == [channels; 2] && [gamma.shape(), beta.shape()] == [[channels]; 2],
            "{operation}: mean [{}], inv_std [{}], gamma {:?} and beta {:?} must have one value for each of the {channels} channels",
            mean.len(),
            inv_std.len(),
            gamma.shape(),
            beta.shape()
        );
        let scale: Vec<T> =
            gamma.to_vec().iter().zip(inv_std).map(|(&gamma, &inv_std)| gamma * inv_std).collect();
        Self { channels, mean: repeated(mean), scale: repeated(&scale), beta: repeated(&beta.to_vec()) }
    }

    /// Mean, scale and shift of every number in a wide row.
    #[inline(always)]
    fn values(&self) -> impl Iterator<Item = ((&T, &T), &T)> {
        self.mean.iter().zip(&self.scale).zip(&self.beta)
    }

    /// The normalisation of `x`, then `activation`; in place when `x` is the only owner.
    fn apply(&self, mut x: Tensor<T>, activation: impl Fn(T) -> T + Sync) -> Tensor<T> {
        let wide = wide_row(self.channels);
        let isa = T::kernels().isa;
        if let Some(data) = x.unique_data_mut() {
            for_each_rows(data, wide, |_, piece| {
                loops::run(isa, InPlace { y: piece, rows: self, activation: &activation });
            });
            return x;
        }
        let source = x.contiguous();
        let x = source.data();
        Tensor::filled_by(source.shape(), |y| {
            for_each_rows(y, wide, |first, piece| {
                let x = &x[first * wide..];
                loops::run(isa, Apart { y: piece, x, rows: self, activation: &activation });
            });
        })
    }
}

/// The normalisation of whole wide rows, overwritten.
struct InPlace<'a, T, F> {
    y: &'a mut [T],
    rows: &'a ChannelRows<T>,
    activation: &'a F,
}

impl<T: Element, F: Fn(T) -> T> Loop for InPlace<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        let Self { y, rows, activation } = self;
        for row in y.chunks_mut(rows.mean.len()) {
            row.iter_mut()
                .zip(rows.values())
                .for_each(|(x, ((&m, &s), &b))| *x = activation(affine(*x - m, s, b)));
        }
    }
}

/// The same into other rows.
struct Apart<'a, T, F> {
    y: &'a mut [T],
    x: &'a [T],
    rows: &'a ChannelRows<T>,
    activation: &'a F,
}

impl<T: Element, F: Fn(T) -> T> Loop for Apart<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        let Self { y, x, rows, activation } = self;
        let wide = rows.mean.len();
        for (y, x) in y.chunks_mut(wide).zip(x.chunks(wide)) {
            y.iter_mut()
                .zip(x)
                .zip(rows.values())
                .for_each(|((y, &x), ((&m, &s), &b))| *y = activation(affine(x - m, s, b)));
        }
    }
}

/// The output before the activation. Forward and backward pass share this
/// arithmetic, so that they agree on where the activation was 0.
#[inline(always)]
fn affine<T: Element>(centred: T, scale: T, beta: T) -> T {
    centred * scale + beta
}

/// `dy`, or 0 where an activation cut the output off: at 0, or above `ceiling`.
#[inline(always)]
fn masked<T: Element, const CUTS: bool>(dy: T, output: T, ceiling: T) -> T {
    if CUTS && ((output <= T::ZERO) | (output > ceiling)) { T::ZERO } else { dy }
}

fn rows_of_piece(channels: usize) -> usize {
    (PIECE / channels.max(1)).max(8)
}

#[track_caller]
fn last_extent<T: Element>(operation: &str, x: &Tensor<T>) -> usize {
    *x.shape().last().unwrap_or_else(|| panic!("{operation}: x of rank 0 has no channels"))
}

/// Mean of `values [R, C]` over `R`, and the sum of squared deviations from it.
fn moments<T: Element>(values: &[T], channels: usize) -> (Vec<T>, Vec<T>) {
    let count = T::from_f64((values.len() / channels.max(1)) as f64);
    let mut mean = column_sums(values, channels);
    mean.iter_mut().for_each(|sum| *sum /= count);
    let wide_mean = repeated(&mean);
    let mut squares = vec![T::ZERO; wide_row(channels)];
    for row in values.chunks(wide_row(channels)) {
        for ((sum, &x), &mean) in squares.iter_mut().zip(row).zip(&wide_mean) {
            let delta = x - mean;
            *sum += delta * delta;
        }
    }
    (mean, folded(&squares, channels))
}

/// `[sum dy, sum dy (x - mean)]` per channel, `dy` being masked.
fn sums<T: Element, const CUTS: bool>(x: &[T], dy: &[T], rows: &ChannelRows<T>, ceiling: T) -> [Vec<f64>; 2] {
    let (channels, wide) = (rows.channels, wide_row(rows.channels));
    let pieces = map_ranges(x.len() / channels.max(1), rows_of_piece(channels), |range| {
        let range = range.start * channels..range.end * channels;
        let mut sums = [vec![T::ZERO; wide], vec![T::ZERO; wide]];
        let (x, dy) = (&x[range.clone()], &dy[range]);
        loops::run(T::kernels().isa, AddSums::<T, CUTS> { sums: &mut sums, x, dy, rows, ceiling });
        sums.map(|sums| folded(&sums, channels))
    });
    let mut totals = [vec![0.0; channels], vec![0.0; channels]];
    for piece in pieces {
        for (total, sums) in totals.iter_mut().zip(piece) {
            total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum.as_f64());
        }
    }
    totals
}

/// The sums of [`sums`] over some rows, for every place in a wide row.
struct AddSums<'a, T, const CUTS: bool> {
    sums: &'a mut [Vec<T>; 2],
    x: &'a [T],
    dy: &'a [T],
    rows: &'a ChannelRows<T>,
    ceiling: T,
}

impl<T: Element, const CUTS: bool> Loop for AddSums<'_, T, CUTS> {
    #[inline(always)]
    fn run(self) {
        let Self { sums: [plain, weighted], x, dy, rows, ceiling } = self;
        let wide = rows.mean.len();
        for (x, dy) in x.chunks(wide).zip(dy.chunks(wide)) {
            let sums = plain.iter_mut().zip(&mut *weighted);
            for (((plain, weighted), (&x, &dy)), ((&mean, &scale), &beta)) in
                sums.zip(x.iter().zip(dy)).zip(rows.values())
            {
                let centred = x - mean;
                let dy = masked::<T, CUTS>(dy, affine(centred, scale, beta), ceiling);
                *plain += dy;
                *weighted += dy * centred;
            }
        }
    }
}

/// Wide rows of `dx = scale (dy - offset - slope (x - mean))`; `dx` holds `dy` before.
struct InputGradient<'a, T, const CUTS: bool> {
    dx: &'a mut [T],
    x: &'a [T],
    rows: &'a ChannelRows<T>,
    offset: &'a [T],
    slope: &'a [T],
    ceiling: T,
}

impl<T: Element, const CUTS: bool> Loop for InputGradient<'_, T, CUTS> {
    #[inline(always)]
    fn run(self) {
        let Self { dx, x, rows, offset, slope, ceiling } = self;
        let wide = rows.mean.len();
        for (dx, x) in dx.chunks_mut(wide).zip(x.chunks(wide)) {
            let values = rows.values().zip(offset.iter().zip(slope));
            for ((dx, &x), (((&mean, &scale), &beta), (&offset, &slope))) in dx.iter_mut().zip(x).zip(values)
            {
                let centred = x - mean;
                let dy = masked::<T, CUTS>(*dx, affine(centred, scale, beta), ceiling);
                *dx = scale * (dy - offset - slope * centred);
            }
        }
    }
}

#[cfg(test)]
mod tests;
