//! Strategies by name, with the constants of their papers, or of the reference
//! code where papers give none.

use std::marker::PhantomData;

use cerberus_tensor::random::stream;
use cerberus_tensor::{Element, PerElement};
use rand::RngExt;

use super::on_gramian::{
    AlignedScale, Normaliser, Orders, Rescale, aligned, ca_grad, con_fig, dual_projection, fair_grad, imtl_g,
    krum, mgda_normalised, pc_grad, up_grad,
};
use super::strategies::*;
use super::{BalanceError, Decision, Evidence, GradientNeed, Strategy};

/// All names, in the order of the documentation. `smooth-NAME` wraps any of those
/// that use the Gramian.
pub const NAMES: [&str; 42] = [
    "fixed",
    "equal",
    "si",
    "uw",
    "uw-so",
    "imtl-l",
    "dwa",
    "gls",
    "rlw",
    "dtp",
    "stch",
    "stch-plain",
    "cosmos",
    "pbi",
    "famo",
    "gradnorm",
    "excess-mtl",
    "auto-lambda",
    "mgda",
    "mgda-l2",
    "mgda-loss",
    "mgda-loss+",
    "pcgrad",
    "gradvac",
    "graddrop",
    "imtl-g",
    "cagrad",
    "nash",
    "fairgrad",
    "aligned",
    "aligned-median",
    "aligned-rmse",
    "upgrad",
    "dualproj",
    "config",
    "moco",
    "modo",
    "sdmgrad",
    "db-mtl",
    "pcd",
    "krum",
    "trimmed-mean",
];

/// The learning rate of learned weights, from the reference code of several papers.
const RATE: f64 = 0.025;

/// The strategy of that name for `tasks` tasks. `fixed` holds the weights of the
/// strategy `fixed`; `equal` uses ones.
///
/// # Errors
/// If there is no such strategy, or it needs more tasks.
pub fn by_name<T: Element>(
    name: &str,
    tasks: usize,
    fixed: &[f64],
) -> Result<Box<dyn Strategy<T>>, BalanceError> {
    T::choose(Named { name, tasks, fixed, element: PhantomData::<T> })
}

/// The strategy to build. Strategies for `f32` are compiled here; those for `f64`,
/// in the crate that uses them.
struct Named<'a, T> {
    name: &'a str,
    tasks: usize,
    fixed: &'a [f64],
    element: PhantomData<T>,
}

impl<U> PerElement for Named<'_, U> {
    type Output<T: Element> = Result<Box<dyn Strategy<T>>, BalanceError>;

    fn single(self) -> Self::Output<f32> {
        single(self.name, self.tasks, self.fixed)
    }

    fn double(self) -> Self::Output<f64> {
        make(self.name, self.tasks, self.fixed)
    }
}

#[inline(never)]
fn single(name: &str, tasks: usize, fixed: &[f64]) -> Result<Box<dyn Strategy<f32>>, BalanceError> {
    make(name, tasks, fixed)
}

fn make<T: Element>(name: &str, tasks: usize, fixed: &[f64]) -> Result<Box<dyn Strategy<T>>, BalanceError> {
    if let Some(inner) = name.strip_prefix("smooth-") {
        let inner = make::<T>(inner, tasks, fixed)?;
        if inner.needs().gradients != GradientNeed::Gramian {
            return Err(BalanceError::Option(format!(
                "the balance {name:?} would smooth weights that do not come from the Gramian; try smooth-mgda"
            )));
        }
        return Ok(Box::new(Smoothed::new(inner, 0.9)));
    }
    let least = if matches!(name, "krum" | "trimmed-mean") { 3 } else { 1 };
    if tasks < least && NAMES.contains(&name) {
        return Err(BalanceError::Option(format!(
            "the balance {name:?} needs at least {least} tasks and there are {tasks}; choose another or add tasks"
        )));
    }
    if let Some(rule) = rule_on_losses(name, fixed).or_else(|| rule_on_gradients(name)) {
        return Ok(Box::new(rule));
    }
    Ok(match name {
        "uw" => Box::new(Learned::new(LearnedForm::Uncertainty, tasks, RATE)),
        "imtl-l" => Box::new(Learned::new(LearnedForm::Impartial, tasks, RATE)),
        "dwa" => Box::new(Dwa::new(2.0)),
        "dtp" => Box::new(Dtp::new(1.0, 0.5)),
        "stch" => Box::new(Stch::new(1.0, 1)),
        "famo" => Box::new(Famo::new(tasks, RATE, 1e-3)),
        "gradnorm" => Box::new(GradNorm::new(tasks, 1.5, RATE)),
        "excess-mtl" => Box::new(ExcessMtl::new(tasks, 0.1)),
        "auto-lambda" => Box::new(AutoLambda::new(tasks, 0.1, 1e-4)),
        "gradvac" => Box::new(GradVac::new(tasks, 0.5)),
        "moco" => Box::new(MoCo::new(tasks)),
        "modo" => Box::new(MoDo::new(tasks, 0.1, 0.1)),
        "sdmgrad" => Box::new(SdmGrad::new(tasks)),
        "db-mtl" => Box::new(DbMtl::new(0.9, 0.0)),
        "pcd" => Box::new(Pcd::new(tasks, 0.02, 0.999)),
        _ => {
            let known = NAMES.join(", ");
            return Err(BalanceError::Option(format!(
                "there is no balance {name:?}; those known are {known}, and smooth-NAME"
            )));
        }
    })
}

fn rule_on_losses<T: Element>(name: &str, fixed: &[f64]) -> Option<Rule<T>> {
    let fixed = fixed.to_vec();
    let times_shares = |weights: Vec<f64>, evidence: &Evidence<T>| -> Vec<f64> {
        weights.iter().zip(evidence.shares()).map(|(w, share)| w * share).collect()
    };
    Some(match name {
        "fixed" => Rule::on_losses(move |e| times_shares(at(&fixed, e.tasks), e)).with_preference(),
        "equal" => Rule::on_losses(|e| e.shares()).with_preference(),
        "si" => Rule::on_losses(move |e| times_shares(scale_invariant(e.losses), e)).with_preference(),
        "gls" => Rule::on_losses(|e| geometric_mean(e.losses)),
        "uw-so" => Rule::on_losses(|e| uncertainty_optimum(e.losses, 1.0)),
        "rlw" => Rule::on_losses(|e| {
            // A standard normal by Box and Muller.
            let mut rng = stream(e.seed[0], "balance", e.seed[1], 0);
            let mut normal = || {
                let [u, v]: [f64; 2] = [1.0 - rng.random::<f64>(), rng.random()];
                (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
            };
            softmax(&(0..e.losses.len()).map(|_| normal()).collect::<Vec<_>>())
        }),
        "stch-plain" => {
            Rule::on_losses(|e| smooth_chebyshev(e.losses, e.preference, &[], 1.0)).with_preference()
        }
        "cosmos" => Rule::on_losses(|e| cosmos(e.losses, e.preference, 2.0)).with_preference(),
        "pbi" => Rule::on_losses(|e| pbi(e.losses, e.preference, 5.0)).with_preference(),
        _ => return None,
    })
}

fn rule_on_gradients<T: Element>(name: &str) -> Option<Rule<T>> {
    let mgda = |normaliser| Rule::on_gramian(move |e| mgda_normalised(e.gramian(), e.losses, normaliser));
    let align =
        |scale| Rule::on_gramian(move |e| aligned(e.gramian(), e.preference, scale)).with_preference();
    Some(match name {
        "mgda" => mgda(Normaliser::None),
        "mgda-l2" => mgda(Normaliser::Length),
        "mgda-loss" => mgda(Normaliser::Loss),
        "mgda-loss+" => mgda(Normaliser::LossAndLength),
        "imtl-g" => Rule::on_gramian(|e| imtl_g(e.gramian())),
        "cagrad" => {
            Rule::on_gramian(|e| ca_grad(e.gramian(), e.preference, 0.4, Rescale::None)).with_preference()
        }
        "nash" => Rule::on_gramian(|e| fair_grad(e.gramian(), &e.shares(), 1.0)).with_preference(),
        "fairgrad" => Rule::on_gramian(|e| fair_grad(e.gramian(), &e.shares(), 2.0)).with_preference(),
        "aligned" => align(AlignedScale::Min),
        "aligned-median" => align(AlignedScale::Median),
        "aligned-rmse" => align(AlignedScale::Rmse),
        "upgrad" => Rule::on_gramian(|e| up_grad(e.gramian(), e.preference)).with_preference(),
        "dualproj" => Rule::on_gramian(|e| dual_projection(e.gramian(), e.preference)).with_preference(),
        "config" => Rule::on_gramian(|e| con_fig(e.gramian(), e.preference)).with_preference(),
        // Between two tasks there is no nearer neighbour.
        "krum" => Rule::on_gramian(|e| match e.losses.len() {
            tasks @ ..=2 => vec![1.0 / tasks as f64; tasks],
            tasks => krum(e.gramian(), 0, tasks / 2),
        }),
        "pcgrad" => Rule::new(GradientNeed::Gramian, |e| {
            let [seed, step] = e.seed;
            let orders = Orders::random(e.losses.len(), &mut stream(seed, "balance", step, 0));
            let weights = pc_grad(e.gramian(), &e.shares(), &orders);
            Decision { order: Some(orders), ..Decision::weights(weights) }
        })
        .with_preference(),
        "graddrop" => Rule::new(GradientNeed::Rows, |e| {
            let key = stream(e.seed[0], "balance", e.seed[1], 0).random();
            let (direction, weights) = grad_drop(&e.gradients[0], |place| uniform(key, place as u64), &[]);
            Decision { weights, direction: Some(direction), order: None }
        }),
        "trimmed-mean" => Rule::new(GradientNeed::Rows, |e| {
            // With fewer than three tasks, trimming would leave none.
            let direction = Some(trimmed_mean(&e.gradients[0], usize::from(e.losses.len() > 2)));
            let share = 1.0 / e.losses.len() as f64;
            Decision { weights: vec![share; e.losses.len()], direction, order: None }
        }),
        _ => return None,
    })
}

/// A number from 0 to 1 for every place, in any order: SplitMix64 (Steele, Lea and
/// Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
fn uniform(key: u64, place: u64) -> f64 {
    let mut z = key.wrapping_add((place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}
