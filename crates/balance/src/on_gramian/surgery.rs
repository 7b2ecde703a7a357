//! Gradients edited pair by pair, in a given order.
//!
//! An edited gradient is still a combination of the rows, so only its
//! coefficients are computed, never a vector of the network's size.

use rand::RngExt;

use crate::Gramian;
use crate::solvers::{Matrix, dot};

/// For each task, the others in the order in which it is compared with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orders(pub Vec<Vec<usize>>);

impl Orders {
    /// For every task the others, shuffled.
    pub fn random(tasks: usize, rng: &mut impl RngExt) -> Self {
        let order = |task: usize| {
            let mut others: Vec<usize> = (0..tasks).filter(|&other| other != task).collect();
            for last in (1..others.len()).rev() {
                others.swap(last, rng.random_range(0..=last));
            }
            others
        };
        Self((0..tasks).map(order).collect())
    }
}

impl std::fmt::Display for Orders {
    /// `1-2|0-2|0-1`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let order = |order: &Vec<usize>| order.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
        f.write_str(&self.0.iter().map(order).collect::<Vec<_>>().join("|"))
    }
}

/// PCGrad: removes from each gradient, one after the other, its component along
/// every gradient it conflicts with, and sums the results (Yu et al., "Gradient
/// Surgery for Multi-Task Learning", 2020, algorithm 1). `preference` scales each
/// task's edited gradient; ones give the paper's rule.
///
/// A zero gradient conflicts with nothing and keeps its preference.
pub fn pc_grad(gramian: &Gramian, preference: &[f64], orders: &Orders) -> Vec<f64> {
    let c = gramian.cosines();
    sum_of_edited(gramian, preference, |task| {
        let mut h = unit(gramian.tasks(), task);
        for &other in &orders.0[task] {
            let overlap = dot(c.row(other), &h);
            if overlap < 0.0 {
                h[other] -= overlap;
            }
        }
        h
    })
}

/// GradVac's constants and memory: the similarity it expects of every pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Vaccine {
    /// The rate of the expectation's running mean, 0.5 in the paper's reference code.
    pub rate: f64,
    /// `expected[i * T + j]`, between what is left of gradient `i` and gradient `j`.
    pub expected: Vec<f64>,
}

/// GradVac: like PCGrad, but a gradient that is less similar to another than
/// expected is turned until it has the expected similarity (Wang et al.,
/// "Gradient Vaccine", 2021). The expectation is updated at every pair,
/// edited or not.
///
/// Zero gradients are skipped and keep their preference. An expectation of exactly ±1
/// cannot be reached by adding a multiple of the other gradient, and is skipped.
pub fn grad_vac(gramian: &Gramian, preference: &[f64], orders: &Orders, vaccine: &mut Vaccine) -> Vec<f64> {
    let tasks = gramian.tasks();
    let c: &Matrix = gramian.cosines();
    let norms = gramian.norms();
    sum_of_edited(gramian, preference, |task| {
        let mut h = unit(tasks, task);
        for &other in &orders.0[task] {
            let length = c.quadratic(&h).max(0.0).sqrt();
            if norms[task] == 0.0 || norms[other] == 0.0 || length == 0.0 {
                continue;
            }
            let expected = &mut vaccine.expected[task * tasks + other];
            let similarity = (dot(c.row(other), &h) / length).clamp(-1.0, 1.0);
            let slack = (1.0 - *expected * *expected).sqrt();
            if similarity < *expected && slack > 0.0 {
                let turn = *expected * (1.0 - similarity * similarity).sqrt() - similarity * slack;
                h[other] += length * turn / slack;
            }
            *expected += vaccine.rate * (similarity - *expected);
        }
        h
    })
}

/// Σ over the tasks of their preference and length times the edited unit gradient.
fn sum_of_edited(gramian: &Gramian, preference: &[f64], mut edit: impl FnMut(usize) -> Vec<f64>) -> Vec<f64> {
    let mut lengths = vec![0.0; gramian.tasks()];
    for (task, (share, norm)) in preference.iter().zip(gramian.norms()).enumerate() {
        lengths.iter_mut().zip(edit(task)).for_each(|(sum, h)| *sum += share * norm * h);
    }
    let mut weights = gramian.weights_of(&lengths);
    for ((weight, share), norm) in weights.iter_mut().zip(preference).zip(gramian.norms()) {
        if *norm == 0.0 {
            *weight = *share;
        }
    }
    weights
}

fn unit(size: usize, place: usize) -> Vec<f64> {
    let mut h = vec![0.0; size];
    h[place] = 1.0;
    h
}
