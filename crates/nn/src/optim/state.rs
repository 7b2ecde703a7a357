//! What all optimisers share: state by path, and the pass over memory.
//!
//! A gradient that is held as two factors (a dense layer's) is multiplied out
//! here, some rows at a time, by the thread that applies them: it is never in
//! memory as a whole, which for a large layer saves a third of the traffic.

use std::collections::BTreeMap;

use cerberus_autograd::{Gradient, Gradients};
use cerberus_tensor::parallel::PIECE;
use cerberus_tensor::{Element, Tensor, product};

use crate::losses::pieces::map_jobs;
use crate::module::{Module, Parameter};

/// The methods of an [`Optimizer`](super::Optimizer) with the fields `options` and `state`, all but its step.
macro_rules! kept_in_state {
    () => {
        fn learning_rate(&self) -> f64 {
            self.options.learning_rate
        }

        #[track_caller]
        fn set_learning_rate(&mut self, rate: f64) {
            super::assert_learning_rate(self.state.name(), rate);
            self.options.learning_rate = rate;
        }

        fn steps(&self) -> u64 {
            self.state.steps()
        }

        fn state(&self) -> Vec<(String, Tensor<T>)> {
            self.state.save()
        }

        fn load_state(
            &mut self,
            model: &dyn Module<T>,
            tensors: Vec<(String, Tensor<T>)>,
        ) -> Result<(), StateError> {
            self.state.load(model, tensors)
        }
    };
}
pub(super) use kept_in_state;

/// Elements of a product computed at a time: few enough to stay in the
/// second-level cache until they are applied, and many enough for the factors to
/// be read quickly.
const PRODUCT_PIECE: usize = 4 * PIECE;

/// Saved optimiser state does not fit the model or the optimiser.
#[derive(Debug, thiserror::Error)]
#[error(
    "optimiser state {name:?} {problem}; resume with the model and the optimiser that wrote it, or start the optimiser afresh"
)]
pub struct StateError {
    /// The tensor's name.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Per parameter, `B` tensors of its shape and a count of steps.
pub(super) struct State<T: Element, const B: usize> {
    /// The names of the optimiser and of its tensors.
    name: &'static str,
    quantities: [&'static str; B],
    /// In the model's declaration order, from the first step on.
    slots: Vec<Slot<T, B>>,
}

struct Slot<T: Element, const B: usize> {
    path: String,
    /// 0 until the parameter's first gradient; the tensors exist from then on.
    steps: u64,
    tensors: Option<[Tensor<T>; B]>,
}

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
    pub fn new(name: &'static str, quantities: [&'static str; B]) -> Self {
        Self { name, quantities, slots: Vec::new() }
    }

    /// The optimiser's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The step count of the parameter with the most steps.
    pub fn steps(&self) -> u64 {
        self.slots.iter().map(|slot| slot.steps).max().unwrap_or(0)
    }

    /// The state of every parameter of the last step's model, in declaration order.
    pub fn tensors(&self) -> impl Iterator<Item = Option<&[Tensor<T>; B]>> {
        self.slots.iter().map(|slot| slot.tensors.as_ref())
    }

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
                "{}: the gradient of {path} has shape {:?}, the parameter {shape:?}",
                self.name,
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
                    "{}: the values of {path} are shared with another tensor and cannot be changed in place; \
                     drop the tapes, contexts, clones and views that hold them before the step, or let \
                     `step(&mut model, &mut optimizer, |model, context| loss)` order it all",
                    self.name
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

    /// Puts the slots in the order of `paths`, with new ones where there are none.
    #[track_caller]
    fn arrange<'a>(&mut self, paths: impl Iterator<Item = &'a str>) {
        let mut known: BTreeMap<String, Slot<T, B>> =
            self.slots.drain(..).map(|slot| (slot.path.clone(), slot)).collect();
        let fresh = |path: &str| Slot { path: path.to_string(), steps: 0, tensors: None };
        self.slots = paths.map(|path| known.remove(path).unwrap_or_else(|| fresh(path))).collect();
        // Slots that never had a gradient hold no state, so nothing is lost.
        if let Some(path) = known.values().find(|slot| slot.steps > 0).map(|slot| &slot.path) {
            panic!(
                "{}: there is state for {path}, which this model does not have; it is of another model",
                self.name
            );
        }
    }

    /// The names and tensors of the whole state; step counts are tensors of rank 0.
    pub fn save(&self) -> Vec<(String, Tensor<T>)> {
        let mut all = Vec::new();
        for slot in &self.slots {
            let Some(tensors) = &slot.tensors else { continue };
            let entry = |quantity: &str| format!("{}.{quantity}.{}", self.name, slot.path);
            // Exact up to 2^24 steps in f32; by then no bias correction depends on the count.
            all.push((entry("step"), Tensor::scalar(T::from_f64(slot.steps as f64))));
            all.extend(
                self.quantities
                    .iter()
                    .zip(tensors)
                    .map(|(quantity, tensor)| (entry(quantity), tensor.clone())),
            );
        }
        all
    }

    /// See [`Optimizer::load_state`](super::Optimizer::load_state).
    pub fn load(
        &mut self,
        model: &dyn Module<T>,
        tensors: Vec<(String, Tensor<T>)>,
    ) -> Result<(), StateError> {
        let mut found: BTreeMap<String, Tensor<T>> = tensors.into_iter().collect();
        let mut slots = Vec::new();
        for (path, parameter) in model.parameters() {
            let name = |quantity: &str| format!("{}.{quantity}.{path}", self.name);
            let mut take = |quantity: &str, shape: &[usize]| match found.remove(&name(quantity)) {
                Some(tensor) if tensor.shape() == shape => Ok(Some(tensor)),
                Some(tensor) => {
                    let problem = format!("has shape {:?} where {shape:?} is needed", tensor.shape());
                    Err(StateError { name: name(quantity), problem })
                }
                None => Ok(None),
            };
            let steps = take("step", &[])?.map_or(0.0, |steps| steps.item().as_f64());
            if !(steps >= 0.0 && steps.fract() == 0.0) {
                return Err(StateError {
                    name: name("step"),
                    problem: format!("is {steps}, not a count of steps"),
                });
            }
            let mut slot = Slot { path: path.clone(), steps: steps as u64, tensors: None };
            if slot.steps > 0 {
                let mut tensors: [Tensor<T>; B] = std::array::from_fn(|_| Tensor::scalar(T::ZERO));
                for (tensor, quantity) in tensors.iter_mut().zip(self.quantities) {
                    let missing = || StateError { name: name(quantity), problem: "is missing".to_string() };
                    *tensor = take(quantity, parameter.value.shape())?.ok_or_else(missing)?;
                }
                slot.tensors = Some(tensors);
            }
            slots.push(slot);
        }
        if let Some(name) = found.into_keys().next() {
            let problem = format!("belongs to no parameter of this model under {}", self.name);
            return Err(StateError { name, problem });
        }
        self.slots = slots;
        Ok(())
    }
}
