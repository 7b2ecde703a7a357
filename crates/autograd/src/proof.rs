//! What an operation must provide besides its rule: facts for the reference,
//! samples for the checks, and misuses that must be refused.
//!
//! Every operation and loss of this workspace implements [`Proof`] in its own
//! file: the list in [`ops`](crate::ops) requires it, so one without samples does
//! not compile in the suite. Operations that are compositions of others have no
//! rule of their own and implement [`Proof`] alone. The list is the input of every
//! check of the suite and of the page `docs/operations.md`.
//!
//! The implementations are compiled with the feature `proofs` only, which the
//! suite turns on: programs that train do not pay for the samples. An operation
//! of your own needs no [`Proof`]; [`prove!`](crate::prove!) checks it in one line.

use crate::gradcheck::Case;

/// The imports an operation's file needs for its proof.
pub mod prelude {
    pub use super::{ANY_SHAPE, BROADCAST, ErrorCase, Facts, Group, Proof};
    pub use crate::case;
    pub use crate::gradcheck::{Case, positive_sample, sample};
    pub use cerberus_tensor::Tensor;
    pub use cerberus_tensor::conv::Padding;
}

/// Which family an operation belongs to, in the order of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// One element of the result from one element of each input.
    Elementwise,
    /// Many elements to one.
    Reduction,
    /// The same elements at other positions.
    Shape,
    /// Products of matrices and vectors.
    Algebra,
    /// Windows over images.
    Vision,
    /// Mean and variance removed.
    Normalisation,
    /// From predictions and targets to one number.
    Loss,
}

/// What is known about an operation, as the reference prints it and the suite uses it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The operation's name, also on the tape; messages and cases begin with it.
    pub name: &'static str,
    /// Its family.
    pub group: Group,
    /// What it computes.
    pub formula: &'static str,
    /// Its vector-Jacobian product.
    pub gradient: &'static str,
    /// The shapes it takes and returns. With [`ANY_SHAPE`] it cannot be misused.
    pub shapes: &'static str,
    /// What PyTorch calls it.
    pub torch: &'static str,
    /// Positions of the inputs it is linear (or affine) in while the others are fixed.
    pub linear_in: &'static [usize],
    /// Whether gradients of gradients are offered.
    pub second_order: bool,
    /// Whether it is made of other operations and has no rule of its own.
    pub composed: bool,
    /// Where it has no derivative and what its rule returns there; empty if nowhere.
    pub kinks: &'static str,
    /// What happens to NaN; empty if inputs of only NaN give outputs of only NaN.
    pub nan: &'static str,
    /// Why no sample has an empty batch; empty if one has.
    pub never_empty: &'static str,
    /// Shapes of inputs with which the first sample is long enough for its work
    /// to be split among threads; empty if [`Proof::large_cases`] is written by hand.
    pub large: &'static [&'static [usize]],
}

/// The shapes of an operation that takes anything.
pub const ANY_SHAPE: &str = "any";

/// The shapes of an operation that broadcasts its inputs to a common shape.
pub const BROADCAST: &str = "any two that broadcast";

impl Facts {
    /// Facts about `name`: formula and gradient. By default it is smooth, not
    /// linear, of any shape, has a second order, and NaN in gives NaN out.
    pub const fn new(
        name: &'static str,
        group: Group,
        formula: &'static str,
        gradient: &'static str,
    ) -> Self {
        Self {
            name,
            group,
            formula,
            gradient,
            shapes: ANY_SHAPE,
            torch: "",
            linear_in: &[],
            second_order: true,
            composed: false,
            kinks: "",
            nan: "",
            never_empty: "",
            large: &[],
        }
    }

    /// The shapes in and out.
    pub const fn shapes(mut self, shapes: &'static str) -> Self {
        self.shapes = shapes;
        self
    }

    /// PyTorch's name.
    pub const fn torch(mut self, torch: &'static str) -> Self {
        self.torch = torch;
        self
    }

    /// Linear in these inputs.
    pub const fn linear(mut self, inputs: &'static [usize]) -> Self {
        self.linear_in = inputs;
        self
    }

    /// Made of other operations, without a rule of its own.
    pub const fn composed(mut self) -> Self {
        self.composed = true;
        self
    }

    /// Where it has kinks, and the subgradient there.
    pub const fn kinks(mut self, kinks: &'static str) -> Self {
        self.kinks = kinks;
        self
    }

    /// What happens to NaN, if it is not simply passed on.
    pub const fn nan(mut self, policy: &'static str) -> Self {
        self.nan = policy;
        self
    }

    /// Why it cannot be given an empty batch.
    pub const fn never_empty(mut self, reason: &'static str) -> Self {
        self.never_empty = reason;
        self
    }

    /// Shapes of inputs with which the first sample becomes the large one.
    pub const fn large(mut self, shapes: &'static [&'static [usize]]) -> Self {
        self.large = shapes;
        self
    }

    /// No gradients of gradients.
    pub const fn first_order_only(mut self) -> Self {
        self.second_order = false;
        self
    }
}

/// A misuse that must panic, and what the message must contain.
pub struct ErrorCase {
    /// Part of the message: its beginning with the operation's name, or what tells one rule from another.
    pub message: &'static str,
    /// The misuse.
    pub misuse: fn(),
}

impl ErrorCase {
    /// `misuse` panics with a message that contains `message`.
    pub const fn new(message: &'static str, misuse: fn()) -> Self {
        Self { message, misuse }
    }
}

/// What the suite knows about an operation.
pub trait Proof {
    /// Facts for the reference.
    fn facts() -> Facts
    where
        Self: Sized;

    /// Samples; they must include whatever could go wrong.
    fn cases() -> Vec<Case>
    where
        Self: Sized;

    /// Misuses with the messages they must give; empty only for [`ANY_SHAPE`].
    fn error_cases() -> Vec<ErrorCase>
    where
        Self: Sized;

    /// Samples long enough for the work to be split among threads: the first of
    /// [`cases`](Self::cases) with inputs of the shapes that [`Facts::large`] lists. The suite fails if
    /// there are none.
    fn large_cases() -> Vec<Case>
    where
        Self: Sized,
    {
        match Self::facts().large {
            [] => Vec::new(),
            shapes => vec![Self::cases().swap_remove(0).resized(shapes)],
        }
    }
}

/// Everything the suite runs for one operation, as PyTorch's `OpInfo`.
pub struct OpInfo {
    /// Its facts.
    pub facts: Facts,
    /// Its samples.
    pub cases: fn() -> Vec<Case>,
    /// Its misuses.
    pub error_cases: fn() -> Vec<ErrorCase>,
    /// Its large samples.
    pub large_cases: fn() -> Vec<Case>,
}

impl OpInfo {
    /// The information about `P`.
    pub fn of<P: Proof>() -> Self {
        Self { facts: P::facts(), cases: P::cases, error_cases: P::error_cases, large_cases: P::large_cases }
    }
}
