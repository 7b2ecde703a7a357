//! Integrated gradients, and the rules by which an integral becomes a sum.

use cerberus_tensor::{Element, Tensor};

use crate::baseline::Baseline;
use crate::error::ExplainError;
use crate::explainer::{Attribution, Explainer, Pictures, Sums};

/// Where on the path the gradient is taken, and how much each place counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quadrature {
    /// The places and weights that integrate polynomials of degree `2 n - 1` exactly.
    #[default]
    GaussLegendre,
    /// `0, 1/n .. (n - 1)/n`.
    Left,
    /// `1/n .. 1`.
    Right,
    /// `1/2n, 3/2n .. (2n - 1)/2n`.
    Middle,
    /// `n` places from 0 to 1, both ends with half the weight. As in captum the weights are `1/n`, where `1/(n
    /// - 1)` would be right: sums are too small by a factor of `(n - 1)/n`.
    Trapezoid,
}

impl Quadrature {
    /// The `n` places between 0 and 1, and their weights.
    ///
    /// # Errors
    /// If `n` is 0, or 1 for the trapezoid rule.
    pub fn nodes(self, n: usize) -> Result<Vec<(f64, f64)>, ExplainError> {
        let least = if self == Self::Trapezoid { 2 } else { 1 };
        if n < least {
            return Err(ExplainError::Option(format!(
                "{n} steps are too few for {self:?}; at least {least}"
            )));
        }
        let count = n as f64;
        let even = |offset: f64| (0..n).map(|i| ((i as f64 + offset) / count, 1.0 / count)).collect();
        Ok(match self {
            Self::GaussLegendre => gauss_legendre(n),
            Self::Left => even(0.0),
            Self::Right => even(1.0),
            Self::Middle => even(0.5),
            Self::Trapezoid => {
                let end = |i: usize| if i == 0 || i + 1 == n { 0.5 } else { 1.0 };
                (0..n).map(|i| (i as f64 / (count - 1.0), end(i) / count)).collect()
            }
        })
    }
}

/// The roots of the Legendre polynomial of degree `n` by Newton's method, moved to 0..1, and the weights `w = 2
/// / ((1 - r²) P'(r)²)`, halved (Abramowitz and Stegun, 25.4.29 and 25.4.30).
fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let node = |i: usize| {
        let mut root = (std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
        let mut slope = 0.0;
        for _ in 0..100 {
            // P_k by its recurrence (k + 1) P_{k+1} = (2 k + 1) r P_k - k P_{k-1}.
            let (mut before, mut p) = (1.0, root);
            for k in 1..n {
                let k = k as f64;
                (before, p) = (p, ((2.0 * k + 1.0) * root * p - k * before) / (k + 1.0));
            }
            slope = n as f64 * (root * p - before) / (root * root - 1.0);
            let step = p / slope;
            root -= step;
            if step.abs() < 1e-16 {
                break;
            }
        }
        ((1.0 - root) / 2.0, 1.0 / ((1.0 - root * root) * slope * slope))
    };
    (0..n).map(node).collect()
}

/// The options of [`Explainer::integrated_gradients`].
#[derive(Clone, Debug)]
pub struct IntegratedGradients<T: Element = f32> {
    /// Where the path starts.
    pub baseline: Baseline<T>,
    /// How the integral becomes a sum.
    pub quadrature: Quadrature,
    /// The number of places.
    pub steps: usize,
}

impl<T: Element> Default for IntegratedGradients<T> {
    /// From zeros, by 50 steps of Gauss and Legendre.
    fn default() -> Self {
        Self { baseline: Baseline::Zero, quadrature: Quadrature::GaussLegendre, steps: 50 }
    }
}

impl<T: Element> Explainer<'_, T> {
    /// `(x - b) ∫ df/dx(b + a (x - b)) da` over `a` from 0 to 1 (Sundararajan, Taly and Yan, "Axiomatic Attribution for
    /// Deep Networks", 2017, equation 1), with its gap: the sum is `f(x) - f(b)` but for the error of the
    /// quadrature (proposition 1). As many forward and backward passes as there are steps.
    ///
    /// # Errors
    /// If the baseline does not fit or there are too few steps.
    pub fn integrated_gradients(
        &self,
        x: &Tensor<T>,
        options: &IntegratedGradients<T>,
    ) -> Result<Vec<Attribution<T>>, ExplainError> {
        let baseline = options.baseline.of(x)?;
        let nodes = options.quadrature.nodes(options.steps)?;
        let (pictures, from) = (Pictures::of(x), Pictures::of(&baseline));
        let mut sums = Sums::new(pictures.count, x.len() / pictures.count.max(1));
        self.gradients_at(
            &pictures.shape,
            pictures.count * nodes.len(),
            &mut |i, into| {
                let (picture, place) = (i / nodes.len(), T::from_f64(nodes[i % nodes.len()].0));
                let ends = from.one(picture).iter().zip(pictures.one(picture));
                into.iter_mut().zip(ends).for_each(|(p, (&b, &x))| *p = b + place * (x - b));
            },
            &mut |i, answer, gradient| {
                let weight = T::from_f64(nodes[i % nodes.len()].1);
                sums.add(answer, i / nodes.len(), weight, gradient);
            },
        );
        let difference = x.clone() - baseline.clone();
        let values = sums.into_tensors(&pictures.shape).into_iter().map(|sum| sum * difference.clone());
        Ok(self.with_gaps(values.collect(), x, &baseline))
    }

    /// The attributions with their gaps: for each picture the sum less the difference of the answers for `x`
    /// and the baseline.
    pub(crate) fn with_gaps(
        &self,
        values: Vec<Tensor<T>>,
        x: &Tensor<T>,
        baseline: &Tensor<T>,
    ) -> Vec<Attribution<T>> {
        let (end, start) = (self.answers(x), self.answers(baseline));
        let ends = end.into_iter().zip(start);
        let with_gap = |(values, (end, start)): (Tensor<T>, (Vec<f64>, Vec<f64>))| {
            let gap = totals(&values).into_iter().zip(end.iter().zip(&start));
            let gap = gap.map(|(total, (end, start))| total - (end - start)).collect();
            Attribution { values, gap: Some(gap) }
        };
        values.into_iter().zip(ends).map(with_gap).collect()
    }
}

/// The sum of each picture's values.
pub(crate) fn totals<T: Element>(values: &Tensor<T>) -> Vec<f64> {
    let pictures = Pictures::of(values);
    (0..pictures.count).map(|i| pictures.one(i).iter().map(|v| v.as_f64()).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integral(nodes: &[(f64, f64)], power: i32) -> f64 {
        nodes.iter().map(|(place, weight)| weight * place.powi(power)).sum()
    }

    #[test]
    fn gauss_and_legendre_integrate_polynomials_of_degree_2n_minus_1_exactly_and_no_more() {
        for n in [1, 2, 3, 8, 50] {
            let nodes = Quadrature::GaussLegendre.nodes(n).unwrap();
            for power in 0..2 * n as i32 {
                let exact = 1.0 / (f64::from(power) + 1.0);
                assert!((integral(&nodes, power) - exact).abs() < 1e-14, "{n} {power}");
            }
        }
        let nodes = Quadrature::GaussLegendre.nodes(2).unwrap();
        assert!((integral(&nodes, 4) - 0.2).abs() > 1e-3);
    }

    #[test]
    fn rules_of_equal_steps_have_the_places_of_their_names() {
        let places = |rule: Quadrature| -> Vec<f64> {
            rule.nodes(4).unwrap().into_iter().map(|(place, _)| place).collect()
        };
        assert_eq!(places(Quadrature::Left), [0.0, 0.25, 0.5, 0.75]);
        assert_eq!(places(Quadrature::Right), [0.25, 0.5, 0.75, 1.0]);
        assert_eq!(places(Quadrature::Middle), [0.125, 0.375, 0.625, 0.875]);
        assert_eq!(places(Quadrature::Trapezoid)[3], 1.0);
        let total = integral(&Quadrature::Trapezoid.nodes(4).unwrap(), 0);
        assert!((total - 0.75).abs() < 1e-15, "captum's weights add up to (n - 1) / n, not {total}");
        assert!(Quadrature::Trapezoid.nodes(1).is_err() && Quadrature::Left.nodes(0).is_err());
    }
}
