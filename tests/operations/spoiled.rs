//! A test of the tests: gradients are spoiled on purpose, and the gradient check
//! and the comparison with reference values must each notice.
//!
//! A spoiler stands between an input and the function: it passes the value on
//! and spoils the gradient that comes back. If a spoiler would change nothing,
//! the sample declares it: a gradient that is zero, or the same along an axis.
//! The declarations are checked, too: such a spoiler must change nothing.

use std::rc::Rc;

use cerberus_autograd::gradcheck::{Case, errors};
use cerberus_autograd::{
    ErrorCase, Facts, Gradient, Group, Inputs, Operation, Proof, Saved, Saves, Var, one,
};
use cerberus_tensor::Tensor;

use crate::gradients::LIMIT;
use crate::{all_cases, distance, parity, value_and_gradients};

/// What is done to a gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Spoiler {
    Negated,
    Zeroed,
    /// Times 1.001.
    Scaled,
    /// Moved by one position along an axis, around the end.
    Shifted(usize),
}

/// `y = x`, with a spoiled gradient.
struct Spoil(Spoiler);

impl Operation<f64> for Spoil {
    fn name(&self) -> &'static str {
        "spoil"
    }

    fn saves(&self) -> Saves {
        Saves::NOTHING
    }

    fn forward(&mut self, inputs: Inputs<f64>) -> Tensor<f64> {
        let [x] = inputs.take();
        x
    }

    fn backward(&self, _: Saved<f64>, dy: Tensor<f64>, _: &[bool]) -> Vec<Option<Gradient<f64>>> {
        one(match self.0 {
            Spoiler::Negated => -dy,
            Spoiler::Zeroed => dy.scale(0.0),
            Spoiler::Scaled => dy.scale(1.001),
            Spoiler::Shifted(axis) => Var::constant(dy).roll(1, axis).into_value(),
        })
    }
}

impl Proof for Spoil {
    fn facts() -> Facts {
        Facts::new("spoil", Group::Elementwise, "y = x", "wrong on purpose")
    }

    fn cases() -> Vec<Case> {
        Vec::new()
    }

    fn error_cases() -> Vec<ErrorCase> {
        Vec::new()
    }
}

/// All spoilers of an input of this shape.
fn spoilers(shape: &[usize]) -> Vec<Spoiler> {
    let shifts = (0..shape.len()).filter(|&axis| shape[axis] > 1).map(Spoiler::Shifted);
    [Spoiler::Negated, Spoiler::Zeroed, Spoiler::Scaled].into_iter().chain(shifts).collect()
}

type Function = Rc<dyn Fn(Vec<Var<f64>>) -> Var<f64>>;

/// `function` with a spoiler in front of input `which`.
fn spoiled(
    function: &Function,
    which: usize,
    spoiler: Spoiler,
) -> impl Fn(Vec<Var<f64>>) -> Var<f64> + 'static {
    let function = Rc::clone(function);
    move |mut inputs| {
        inputs[which] = Var::apply(Spoil(spoiler), vec![inputs[which].clone()]);
        function(inputs)
    }
}

/// `function` used twice, without the first use's gradient of input `which`:
/// the result of an engine that overwrites instead of accumulating.
fn overwriting(function: &Function, which: usize) -> impl Fn(Vec<Var<f64>>) -> Var<f64> + 'static {
    let function = Rc::clone(function);
    move |inputs| {
        let mut lost = inputs.clone();
        lost[which] = Var::apply(Spoil(Spoiler::Zeroed), vec![inputs[which].clone()]);
        function(lost) + function(inputs)
    }
}

/// The results of the two tests for a gradient: the error the check finds, and
/// the distance from the reference.
#[derive(Debug)]
struct Verdict {
    check: f64,
    parity: f64,
}

impl Verdict {
    /// On the gradient of input `which` of `function`, which should be `times` the reference.
    fn on(
        function: impl Fn(Vec<Var<f64>>) -> Var<f64> + 'static,
        inputs: &[Tensor<f64>],
        which: usize,
        expected: &Tensor<f64>,
    ) -> Self {
        let parity = distance(&value_and_gradients(&function, inputs)[1 + which], expected);
        let check = errors(&Case::new("spoiled", inputs.to_vec(), function))[which];
        Self { check, parity }
    }

    fn caught_by_both(&self) -> bool {
        self.check > 10.0 * LIMIT && self.parity > 10.0 * parity::LIMIT
    }

    fn nothing_wrong(&self) -> bool {
        self.check < LIMIT && self.parity <= parity::LIMIT
    }
}

#[test]
fn every_spoiled_gradient_is_caught_by_the_check_and_by_the_reference_values() {
    let reference = parity::Reference::read();
    let (mut caught, mut unchanged, mut unseen) = (0, 0, Vec::new());
    for (_, mut case) in all_cases().filter(|(_, case)| !case.special) {
        let function: Function =
            Rc::from(std::mem::replace(&mut case.function, Box::new(|_| unreachable!())));
        let expected = reference.of(&case.name);
        for which in (0..case.inputs.len()).filter(|&which| !case.inputs[which].is_empty()) {
            let expected = &expected[1 + which];
            let zero = case.zero_gradient.contains(&which);
            for spoiler in spoilers(case.inputs[which].shape()) {
                let spoiled = spoiled(&function, which, spoiler);
                let verdict = Verdict::on(spoiled, &case.inputs, which, expected);
                let alike =
                    matches!(spoiler, Spoiler::Shifted(axis) if case.constant_along.contains(&(which, axis)));
                if alike || zero {
                    unchanged += 1;
                    assert!(
                        verdict.nothing_wrong(),
                        "{}: input {which}: {spoiler:?} was declared to change nothing: {verdict:?}",
                        case.name
                    );
                } else if verdict.caught_by_both() {
                    caught += 1;
                } else {
                    unseen.push(format!("{}: input {which}: {spoiler:?}: {verdict:?}", case.name));
                }
            }
            if !zero {
                let verdict = Verdict::on(
                    overwriting(&function, which),
                    &case.inputs,
                    which,
                    &expected.clone().scale(2.0),
                );
                if verdict.caught_by_both() {
                    caught += 1;
                } else {
                    unseen.push(format!("{}: input {which}: overwriting: {verdict:?}", case.name));
                }
            }
        }
    }
    println!("{caught} spoiled gradients caught, {unchanged} that change nothing, as declared");
    assert!(unseen.is_empty(), "not caught by both: {unseen:#?}");
}
