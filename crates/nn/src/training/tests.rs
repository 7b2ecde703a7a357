//! A loop that stops and goes on against one that does not.

use super::*;
use crate::layers::{BatchNorm1d, Dropout, Linear, Sequential};
use crate::losses::cross_entropy;
use crate::{
    Adam, AdamOptions, Init, Layer, Lookahead, LookaheadOptions, Sgd, SgdOptions, StepOptions, step_with,
};

/// A loop with everything that has a state: batch norm, dropout, moments, a schedule and an average.
struct Loop {
    model: Sequential,
    optimizer: Box<dyn Optimizer>,
    average: WeightAverage,
    position: TrainingPosition,
}

impl Loop {
    fn new(seed: u64) -> Self {
        let mut init = Init::new(seed);
        let model = Sequential::new()
            .add("first", Linear::new(4, 8, &mut init))
            .add("norm", BatchNorm1d::new(8))
            .add("drop", Dropout::new(0.3))
            .add("last", Linear::new(8, 3, &mut init));
        let average = WeightAverage::new(0.9, &model);
        let adam = Adam::new(AdamOptions { learning_rate: 0.5, ..AdamOptions::default() });
        let optimizer = Box::new(Lookahead::new(adam, LookaheadOptions::default()));
        let schedule = Some(Schedule::one_cycle(0.02, 20));
        let position = TrainingPosition { seed, schedule, ..TrainingPosition::default() };
        Self { model, optimizer, average, position }
    }

    fn run_to(&mut self, end: u64) {
        let Self { model, optimizer, average, position } = self;
        while position.step < end {
            let TrainingPosition { step, seed, schedule, .. } = position;
            optimizer.set_learning_rate(schedule.as_ref().expect("a schedule").rate(*step as usize));
            let x: Tensor = Tensor::from_fn(&[6, 4], |i| ((i as u64 + 7 * *step) as f32).sin());
            let options = StepOptions { seed: *seed, ..StepOptions::default() };
            step_with(model, &mut **optimizer, options, |model, context| {
                cross_entropy(model.forward((&x).into(), context), &[0, 1, 2, 0, 1, 2])
            });
            average.update(model);
            position.step += 1;
        }
    }

    fn save(&self, path: &Path) {
        save_training(path, &self.model, &*self.optimizer, Some(&self.average), &self.position).unwrap();
    }

    fn load(&mut self, path: &Path) -> Result<(), CheckpointError> {
        let Self { model, optimizer, average, position } = self;
        *position = load_training(path, model, &mut **optimizer, Some(average))?;
        Ok(())
    }

    /// Every number of the state.
    fn bits(&self) -> Vec<(String, Vec<u32>)> {
        let tensors = training_tensors(&self.model, &*self.optimizer, Some(&self.average));
        let bits = |tensor: Tensor| tensor.to_vec().iter().map(|value| value.to_bits()).collect();
        tensors.into_iter().map(|(name, tensor)| (name, bits(tensor))).collect()
    }
}

fn in_a_file(test: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    test(&folder.path().join("training.safetensors"));
}

#[test]
fn a_loop_that_is_stopped_and_resumed_computes_the_bits_of_one_that_never_stopped() {
    let mut whole = Loop::new(5);
    whole.run_to(17);
    for stop in [0, 1, 5, 16] {
        in_a_file(|path| {
            let mut first = Loop::new(5);
            first.run_to(stop);
            first.position.notes.insert("epoch".into(), "3".into());
            first.save(path);
            // Other weights, another seed: all that counts comes from the file.
            let mut second = Loop::new(6);
            second.load(path).unwrap();
            assert_eq!(second.position, first.position);
            second.run_to(17);
            assert_eq!(second.bits(), whole.bits(), "stopped after {stop} steps");
        });
    }
}

#[test]
fn plain_descent_resumes_too_although_no_parameter_has_a_state() {
    let plain = || {
        let optimizer = Box::new(Sgd::new(SgdOptions::default()));
        Loop { optimizer, ..Loop::new(5) }
    };
    let (mut whole, mut first, mut second) = (plain(), plain(), plain());
    whole.run_to(9);
    first.run_to(4);
    in_a_file(|path| {
        first.save(path);
        second.load(path).unwrap();
        assert_eq!(second.optimizer.steps(), 4);
        second.run_to(9);
        // Dropout draws by the optimiser's count of steps.
        assert_eq!(second.bits(), whole.bits());
    });
}

#[test]
fn the_learning_rate_and_the_fall_on_a_plateau_come_back_without_a_schedule() {
    in_a_file(|path| {
        let mut state = Loop::new(1);
        let mut plateau = ReduceOnPlateau::new(0.1, Default::default()).unwrap();
        plateau.observe(2.0);
        state.position = TrainingPosition { plateau: Some(plateau), ..TrainingPosition::default() };
        state.optimizer.set_learning_rate(0.123);
        state.save(path);
        let mut other = Loop::new(2);
        other.load(path).unwrap();
        assert_eq!((other.optimizer.learning_rate(), &other.position), (0.123, &state.position));
    });
}

#[test]
fn files_that_do_not_fit_are_refused_and_change_nothing() {
    in_a_file(|path| {
        let mut state = Loop::new(5);
        state.run_to(3);
        state.save(path);
        let mut other = Loop::new(6);
        let before = other.bits();
        let refused = |other: &mut Loop, expected: &str| {
            let message = other.load(path).unwrap_err().to_string();
            assert!(message.contains("training.safetensors") && message.contains(expected), "{message}");
        };
        // Another optimiser.
        other.optimizer = Box::new(Sgd::new(SgdOptions { momentum: 0.9, ..SgdOptions::default() }));
        refused(&mut other, "optimiser state");
        // No average in the file.
        save_training(path, &state.model, &*state.optimizer, None, &state.position).unwrap();
        other.optimizer = Loop::new(6).optimizer;
        refused(&mut other, "no running mean of first.weight");
        // Another model.
        let small = Linear::new(4, 8, &mut Init::new(0));
        save_training(path, &small, &*Loop::new(1).optimizer, None, &state.position).unwrap();
        refused(&mut other, "first.weight, model.first.bias");
        // Another file.
        checkpoint::save(path, &training_tensors(&state.model, &*state.optimizer, None), &BTreeMap::new())
            .unwrap();
        refused(&mut other, "not a file of save_training");
        assert_eq!(other.bits(), before);
    });
}
