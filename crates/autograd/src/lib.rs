//! Reverse-mode automatic differentiation: a tape, variables, one rule per
//! operation, and the checker that proves every rule. Knows nothing of layers.
//!
//! A training step in miniature:
//!
//! ```
//! use cerberus_autograd::{Tape, Var, backward};
//! use cerberus_tensor::Tensor;
//!
//! let x = Var::constant(Tensor::from_vec(vec![1.0f64, 2.0, 3.0, 4.0], &[2, 2]));
//! let tape = Tape::new();
//! let weight = tape.leaf(Tensor::from_vec(vec![0.5, -1.0], &[2, 1]));
//! let y = x.matmul(weight.clone()).relu();
//! let gradients = backward(y.sum_all());
//! assert_eq!(gradients.of(&weight).unwrap().to_vec(), [0.0, 0.0]); // both outputs were negative
//! ```
//!
//! - [`Tape`] and [`Var`]: recording (`tape.rs`);
//! - [`backward`], [`backward_into`], [`grad`], [`grad_each`], [`grad_with_graph`]: one reverse loop (`engine.rs`);
//! - [`Operation`]: what a rule is (`operation.rs`); the rules are in [`ops`];
//! - [`Rule`]: gradients replaced on the way back, to explain networks (`rules.rs`);
//! - [`Trace`]: what was computed, for programs that translate it (`trace.rs`);
//! - [`Proof`]: the samples and facts of every operation (`proof.rs`);
//! - [`gradcheck`]: finite differences against every rule.
#![forbid(unsafe_code)]

mod engine;
pub mod gradcheck;
mod gradients;
mod operation;
mod operators;
pub mod ops;
pub mod proof;
mod rules;
mod tape;
mod trace;

pub use engine::{backward, backward_into, depends_on, grad, grad_each, grad_each_by_rule, grad_with_graph};
pub use gradients::{GradientSink, Gradients, Leaf};
pub use operation::{Gradient, Inputs, Operation, Saved, SavedVars, Saves, one, one_var, two, two_vars};
pub use proof::{ErrorCase, Facts, Group, Proof};
pub use rules::{Answer, Refusal, Rule, Step};
pub use tape::{ParamId, Tape, Var};
pub use trace::{Source, Trace, TracedNode, TracedStep};

#[cfg(test)]
mod tests;
