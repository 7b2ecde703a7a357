//! The self-normalising unit (Klambauer et al., 2017): a scaled ELU.

#[cfg(feature = "proofs")]
use crate::proof::prelude::*;
use crate::tape::Var;
use cerberus_tensor::Element;

/// `y = λ elu(x, α)` with the paper's constants `λ`, `α` (equation 2 and the
/// values after it); `dx = λ dy` or `λ α dy eˣ`.
pub struct Selu;

/// `α` of the paper.
const ALPHA: f64 = 1.673_263_242_354_377_2;
/// `λ` of the paper.
const LAMBDA: f64 = 1.050_700_987_355_480_5;

#[cfg(feature = "proofs")]
impl Proof for Selu {
    fn facts() -> Facts {
        Facts::new("selu", Group::Elementwise, "y = λ elu(x, α)", "dx = λ dy or λ α dy eˣ")
            .torch("F.selu(a)")
            .composed()
            .kinks("λ α at x = 0")
            .large(&[&[3, 11_001]])
    }

    fn cases() -> Vec<Case> {
        let case = |name: &str, x| case!(name, "F.selu(a)", [x], |x| x.selu());
        vec![
            case("selu", sample(1, &[2, 5])),
            case("selu: rank 0", sample(1, &[])),
            case("selu: empty batch", sample(1, &[0, 3])),
            case("selu: special values", super::special_values()).special(),
        ]
    }

    fn error_cases() -> Vec<ErrorCase> {
        Vec::new()
    }
}

impl<T: Element> Var<T> {
    /// The self-normalising unit; see [`Selu`].
    #[track_caller]
    pub fn selu(self) -> Var<T> {
        self.elu(ALPHA).scale(LAMBDA)
    }
}
