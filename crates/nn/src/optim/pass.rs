//! The pass over memory that all optimisers share.
//!
//! A gradient that is held as two factors (a dense layer's) is multiplied out
//! here, some rows at a time, by the thread that applies them: it is never in
//! memory as a whole, which for a large layer saves a third of the traffic.

use cerberus_autograd::{Gradient, Gradients};
use cerberus_tensor::parallel::PIECE;
use cerberus_tensor::{Element, Tensor, product};

use super::state::State;
use crate::losses::pieces::map_jobs;
use crate::module::{Module, Parameter};

/// Elements of a product computed at a time: few enough to stay in the
/// second-level cache until they are applied, and many enough for the factors to
/// be read quickly.
const PRODUCT_PIECE: usize = 4 * PIECE;

/// One parameter of one step, for the choice of its coefficients.
#[derive(Clone, Copy)]
pub(super) struct Situation {
    /// The parameter's rank.
    pub rank: usize,
    /// The number of this step for this parameter, from 1.
    pub step: u64,
}

/// A run of one parameter's values with everything that belongs to them.
pub(super) struct Piece<'a, T, const B: usize> {
    pub value: &'a mut [T],
    pub gradient: &'a [T],
    /// Zeros in the parameter's first step.
    pub state: [&'a mut [T]; B],
}

/// One piece of the update, as a thread gets it.
struct Job<'a, T: Element, C, const B: usize> {
    /// The parameter's number among those of the step.
    parameter: usize,
    coefficients: C,
    value: &'a mut [T],
    /// The gradient of the whole parameter, if the update reads it.
    gradient: Option<&'a Gradient<T>>,
    /// Where in the parameter the piece starts.
    start: usize,
    state: [&'a mut [T]; B],
    /// Whether the state still has to be cleared.
    fresh: bool,
}

impl<T: Element, C: Copy, const B: usize> Job<'_, T, C, B> {
    fn run<R>(&mut self, update: impl Fn(C, Piece<'_, T, B>) -> R) -> R {
        let Self { coefficients, start, .. } = *self;
        let value = &mut *self.value;
        let mut state = self.state.each_mut().map(|values| &mut **values);
        if std::mem::take(&mut self.fresh) {
            state.iter_mut().for_each(|values| values.fill(T::ZERO));
        }
        match self.gradient {
            None => update(coefficients, Piece { value, gradient: &[], state }),
            Some(Gradient::Dense(gradient)) => {
                let gradient = &gradient.data()[start..][..value.len()];
                update(coefficients, Piece { value, gradient, state })
            }
            Some(Gradient::Product { left, right }) => {
                let first_row = start / right.shape()[1];
                let rows = Tensor::filled_by(&[value.len()], |out| {
                    product::product_rows(left, right, first_row, out);
                });
                update(coefficients, Piece { value, gradient: rows.data(), state })
            }
        }
    }
}

/// `x`, or 0 if it is closer to 0 than `least`.
#[inline(always)]
pub(super) fn flushed<T: Element>(x: T, least: T) -> T {
    if x.abs() < least { T::ZERO } else { x }
}

/// The least magnitudes that moments may have: of a value that is squared later, and of a square that is kept at
/// the rate `taken` of new ones. Below them, the next square or product could be subnormal.
pub(super) fn least<T: Element>(taken: T) -> (T, T) {
    ((T::min_positive_value() / taken).sqrt(), T::from_f64(2.0) * T::min_positive_value())
}

/// The strength of the weight decay for a parameter of this rank.
pub(super) fn decay_of<T: Element>(weight_decay: f64, decay_all: bool, rank: usize) -> T {
    T::from_f64(if decay_all || rank >= 2 { weight_decay } else { 0.0 })
}

/// The gradient with contiguous elements; a product keeps its factors.
fn contiguous<T: Element>(gradient: &Gradient<T>) -> Gradient<T> {
    match gradient {
        Gradient::Dense(gradient) => gradient.contiguous().into(),
        product => product.clone(),
    }
}

/// The gradients of `parameters`, in their order.
fn forms<T: Element>(
    parameters: &[(String, &mut Parameter<T>)],
    gradients: &Gradients<T>,
) -> Vec<Option<Gradient<T>>> {
    parameters.iter().map(|(_, p)| gradients.factored(p.id()).map(contiguous)).collect()
}

/// Elements of one piece of the update; for a product, whole rows.
fn piece_length<T: Element>(gradient: &Gradient<T>) -> usize {
    match gradient {
        Gradient::Dense(_) => PIECE,
        Gradient::Product { right, .. } => {
            let row = right.shape()[1].max(1);
            let rows = PRODUCT_PIECE / row;
            // A multiple of the register tile's height, if there are enough rows.
            row * if rows > 16 { rows / 16 * 16 } else { rows.max(1) }
        }
    }
}

impl<T: Element, const B: usize> State<T, B> {
    /// Updates all parameters that have a gradient: `coefficients` once per
    /// parameter, `update` on every piece of it, in parallel over all pieces.
    #[track_caller]
    pub fn step<C: Copy + Send + Sync>(
        &mut self,
        model: &mut dyn Module<T>,
        gradients: &Gradients<T>,
        coefficients: impl Fn(Situation) -> C,
        update: impl Fn(C, Piece<'_, T, B>) + Sync,
    ) {
        let mut parameters = model.parameters_mut();
        let forms = forms(&parameters, gradients);
        let jobs = self.jobs(&mut parameters, &forms, true, coefficients);
        map_jobs(jobs, |mut job| job.run(&update));
    }

    /// Like [`step`](Self::step), with an update that needs sums over the whole
    /// parameter: `first` returns a piece's share of `N` of them, `second` gets
    /// the sums and everything but the gradient. The sums have the same bits for
    /// any number of threads.
    #[track_caller]
    pub fn step_with_sums<C: Copy + Send + Sync, const N: usize>(
        &mut self,
        model: &mut dyn Module<T>,
        gradients: &Gradients<T>,
        coefficients: impl Fn(Situation) -> C,
        (first, second): (
            impl Fn(C, Piece<'_, T, B>) -> [f64; N] + Sync,
            impl Fn(C, [f64; N], Piece<'_, T, B>) + Sync,
        ),
    ) {
        let mut parameters = model.parameters_mut();
        let forms = forms(&parameters, gradients);
        let jobs = self.jobs(&mut parameters, &forms, true, coefficients);
        let mut sums = vec![[0.0; N]; forms.len()];
        let done = map_jobs(jobs, |mut job| {
            let shares = job.run(&first);
            job.gradient = None;
            (job, shares)
        });
        for (job, shares) in &done {
            sums[job.parameter].iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
        }
        map_jobs(done, |(mut job, _)| {
            let sums = sums[job.parameter];
            job.run(|coefficients, piece| second(coefficients, sums, piece));
        });
    }

    /// Changes the values and the state of all parameters that have a gradient
    /// without reading it; `counts` says whether this counts as a step of theirs.
    #[track_caller]
    pub fn apply(
        &mut self,
        model: &mut dyn Module<T>,
        gradients: &Gradients<T>,
        counts: bool,
        update: impl Fn(Situation, Piece<'_, T, B>) + Sync,
    ) {
        let mut parameters = model.parameters_mut();
        let forms: Vec<Option<Gradient<T>>> =
            parameters.iter().map(|(_, p)| gradients.factored(p.id()).cloned()).collect();
        let jobs = self.jobs(&mut parameters, &forms, counts, |at| at);
        map_jobs(jobs, |mut job| {
            job.gradient = None;
            job.run(&update);
        });
    }

    /// The pieces of all parameters that have a gradient.
    #[track_caller]
    fn jobs<'a, C: Copy>(
        &'a mut self,
        parameters: &'a mut [(String, &mut Parameter<T>)],
        forms: &'a [Option<Gradient<T>>],
        counts: bool,
        coefficients: impl Fn(Situation) -> C,
    ) -> Vec<Job<'a, T, C, B>> {
        let name = self.name();
        let paths = parameters.iter().map(|(path, _)| path.as_str());
        if !self.slots.iter().map(|slot| slot.path.as_str()).eq(paths.clone()) {
            self.arrange(paths);
        }
        let mut jobs = Vec::new();
        let all = parameters.iter_mut().zip(&mut self.slots).zip(forms).enumerate();
        for (number, (((path, parameter), slot), gradient)) in all {
            let Some(gradient) = gradient else { continue };
            let shape = parameter.value.dims();
            assert!(
                gradient.shape() == shape,
                "{name}: the gradient of {path} has shape {:?}, the parameter {shape:?}",
                gradient.shape()
            );
            slot.steps += u64::from(counts);
            let coefficients = coefficients(Situation { rank: shape.len(), step: slot.steps });
            // Cleared by the job, piece by piece: the first access to new memory is slow, and slower
            // still if it is a read.
            let fresh = slot.tensors.is_none();
            let unspecified = || Tensor::filled_by(&shape, |_| {});
            let tensors = slot.tensors.get_or_insert_with(|| std::array::from_fn(|_| unspecified()));
            let Some(value) = parameter.value.unique_data_mut() else {
                panic!(
                    "{name}: the values of {path} are shared with another tensor and cannot be changed in place; \
                     drop the tapes, contexts, clones and views that hold them before the step, or let \
                     `step(&mut model, &mut optimizer, |model, context| loss)` order it all"
                );
            };
            let len = piece_length(gradient);
            // If a caller of `state` holds a tensor, it is copied here: the caller's snapshot must not change.
            let mut state = tensors.each_mut().map(|tensor| tensor.data_mut().chunks_mut(len));
            for (index, value) in value.chunks_mut(len).enumerate() {
                let state =
                    state.each_mut().map(|chunks| chunks.next().expect("as many pieces as the value"));
                let (start, gradient) = (index * len, Some(gradient));
                jobs.push(Job { parameter: number, coefficients, value, gradient, start, state, fresh });
            }
        }
        jobs
    }
}
