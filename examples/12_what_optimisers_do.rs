//! Lesson 12: what optimisers do.
//!
//! `cargo run --release --example 12_what_optimisers_do -- --out DIR`
//!
//! Every optimiser walks from the same place down the same landscape of two
//! parameters: a steep wall, a saddle, and a narrow valley that curves away from
//! it to the minimum. With `--out`, their paths are drawn over its contours. The
//! second half walks with noisy gradients, as batches give them: there the rate has
//! to fall, or the weights have to be averaged. The chapter `docs/optimisers.md`
//! explains what is seen.

#[path = "common/landscape.rs"]
mod landscape;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cerberus::nn::optim::Accumulated;
use cerberus::nn::step_with;
use cerberus::prelude::*;
use cerberus_cli::say;
use clap::Parser;
use landscape::{Picture, Walk};

/// Compare all optimisers on a landscape of two parameters.
#[derive(Parser)]
#[command(name = "12_what_optimisers_do")]
struct Options {
    /// The folder for the picture optimisers.svg [default: no picture]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A model with one parameter, a place in the plane. It is a matrix of one row, because Muon and LAMB leave vectors to
/// AdamW and Adam.
struct Point<T: Element> {
    place: Parameter<T>,
}

module!(Point { place });

/// On a wall, from which the way down leads to the saddle at (0, 1).
const START: [f64; 2] = [0.6, -1.0];
/// A walk has arrived when the loss is below this.
const BOUND: f64 = 0.05;
/// A walk ends after so many steps.
const STEPS: usize = 1000;

/// The loss at each row (x, y) of `places`: `(x² / 4 - 1)² + 5 (y - 1 - x² / 2)²`, shapes `[N, 2]` to `[N, 1]`. Its
/// minima are 0, at (2, 3) and (-2, 3).
fn loss(places: Var<f64>) -> Var<f64> {
    let (x, y) = (places.clone().narrow(1, 0, 1), places.narrow(1, 1, 1));
    let along = x.clone().square() / 4.0 - 1.0;
    let across = y - 1.0 - x.square() / 2.0;
    along.square() + across.square() * 5.0
}

fn loss_at(place: &Tensor<f64>) -> f64 {
    loss(Var::constant(place.clone())).value().item()
}

fn at_start() -> Point<f64> {
    Point { place: Parameter::new(Tensor::from_vec(START.to_vec(), &[1, 2])) }
}

fn main() -> ExitCode {
    let walks = every_optimiser();
    noise_and_what_helps();
    let Options { out: Some(folder) } = Options::parse() else { return ExitCode::SUCCESS };
    match draw(&folder, walks) {
        Ok(path) => {
            say!("\nwritten: {}", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
    }
}

/// Makes an optimiser that has this learning rate.
type Make = fn(f64) -> Box<dyn Optimizer<f64>>;

fn sgd(learning_rate: f64, momentum: f64, nesterov: bool) -> Box<dyn Optimizer<f64>> {
    Box::new(Sgd::new(SgdOptions { learning_rate, momentum, nesterov, ..SgdOptions::default() }))
}

fn adam_options(learning_rate: f64) -> AdamOptions {
    AdamOptions { learning_rate, ..AdamOptions::default() }
}

/// Name, panel of the picture, rate, optimiser. The last of a panel is drawn on top.
const OPTIMISERS: [(&str, usize, f64, Make); 13] = [
    ("Sgd", 0, 0.04, |rate| sgd(rate, 0.0, false)),
    ("Sgd, momentum", 1, 0.005, |rate| sgd(rate, 0.9, false)),
    ("Sgd, nesterov", 1, 0.005, |rate| sgd(rate, 0.9, true)),
    ("Sgd in sam_step", 0, 0.02, |rate| sgd(rate, 0.0, false)),
    ("Adagrad", 2, 1.0, |learning_rate| {
        Box::new(Adagrad::new(AdagradOptions { learning_rate, ..AdagradOptions::default() }))
    }),
    ("RmsProp", 2, 0.08, |learning_rate| {
        Box::new(RmsProp::new(RmsPropOptions { learning_rate, ..RmsPropOptions::default() }))
    }),
    ("Adadelta", 2, 1.0, |learning_rate| {
        Box::new(Adadelta::new(AdadeltaOptions { learning_rate, ..AdadeltaOptions::default() }))
    }),
    ("Adam", 3, 0.1, |rate| Box::new(Adam::new(adam_options(rate)))),
    ("AdamW, decay 0.1", 3, 0.1, |rate| {
        Box::new(AdamW::new(AdamOptions { weight_decay: 0.1, ..adam_options(rate) }))
    }),
    ("Lookahead of Adam", 3, 0.1, |rate| {
        Box::new(Lookahead::new(Adam::new(adam_options(rate)), LookaheadOptions::default()))
    }),
    ("Lamb", 4, 0.05, |learning_rate| {
        Box::new(Lamb::new(LambOptions { learning_rate, ..LambOptions::default() }))
    }),
    ("Lion", 4, 0.02, |learning_rate| {
        Box::new(Lion::new(LionOptions { learning_rate, ..LionOptions::default() }))
    }),
    ("Muon", 4, 0.05, |learning_rate| {
        Box::new(Muon::new(MuonOptions { learning_rate, weight_decay: 0.0, ..MuonOptions::default() }))
    }),
];

/// Prints a table of all walks; returns them with the numbers of their panels.
fn every_optimiser() -> Vec<(usize, Walk)> {
    say!("-- Steps until the loss is below {BOUND}, at a quarter of the rate, at it, and at four times it");
    say!("{:<17} {:>6} {:>5} {:>5} {:>5}  at the rate, the walk ends", "", "rate", "1/4", "1", "4");
    let mut walks = Vec::new();
    for (name, panel, rate, make) in OPTIMISERS {
        let [slow, path, fast] = [rate / 4.0, rate, rate * 4.0].map(|rate| walk(name, &mut *make(rate)));
        let [slow, steps, fast] = [&slow, &path, &fast].map(|path| steps_of(path));
        let [x, y] = path[path.len() - 1];
        let end = loss_at(&Tensor::from_vec(vec![x, y], &[1, 2]));
        say!("{name:<17} {rate:>6} {slow:>5} {steps:>5} {fast:>5}  at ({x:.2}, {y:.2}), loss {end:.3}");
        walks.push((panel, Walk { name: name.to_string(), note: in_words(&steps), path }));
    }
    // prints: Sgd                 0.04   699   202  away  at (1.77, 2.55), loss 0.049
    // prints: Sgd, momentum      0.005   412    44    34  at (-1.77, 2.57), loss 0.047
    // prints: Sgd, nesterov      0.005   443    62     9  at (-1.77, 2.54), loss 0.049
    // prints: Sgd in sam_step     0.02     -   362     -  at (1.77, 2.54), loss 0.050
    // prints: Adagrad                1     -   144     8  at (-1.77, 2.54), loss 0.050
    // prints: RmsProp             0.08   468   158     -  at (-1.77, 2.55), loss 0.049
    // prints: Adadelta               1     -     -     -  at (-1.78, 2.82), loss 0.318
    // prints: Adam                 0.1     -   216    27  at (-1.77, 2.54), loss 0.050
    // prints: AdamW, decay 0.1     0.1     -     -     -  at (-1.59, 2.23), loss 0.140
    // prints: Lookahead of Adam    0.1     -   457    93  at (-1.77, 2.54), loss 0.049
    // prints: Lamb                0.05   813   267     -  at (1.92, 2.89), loss 0.013
    // prints: Lion                0.02   785   185    47  at (1.82, 2.70), loss 0.039
    // prints: Muon                0.05   431   111     -  at (-1.79, 2.58), loss 0.044
    let arrived = |name: &str| walks.iter().any(|(_, walk)| walk.name == name && walk.path.len() <= STEPS);
    assert!(arrived("Sgd") && arrived("Adam") && !arrived("AdamW, decay 0.1"), "decay moves the minimum");
    let steps = |index: usize| walks[index].1.path.len();
    assert!(4 * steps(1) < steps(0), "momentum adds up the small steps along the valley");
    walks
}

fn in_words(steps: &str) -> String {
    match steps {
        "-" => format!("not in {STEPS} steps"),
        steps => format!("{steps} steps"),
    }
}

/// The places of a walk: until it has arrived, for [`STEPS`] steps, or until the loss has become huge.
fn walk(name: &str, optimizer: &mut dyn Optimizer<f64>) -> Vec<[f64; 2]> {
    let mut point = at_start();
    let mut path = vec![START];
    for _ in 0..STEPS {
        let there =
            |point: &Point<f64>, context: &mut Context<f64>| loss(context.parameter(&point.place)).sum_all();
        let value = if name.contains("sam_step") {
            let options = SamOptions { rho: 0.01, ..SamOptions::default() };
            sam_step(&mut point, optimizer, options, there)
        } else {
            step(&mut point, optimizer, there)
        };
        if !(BOUND..1e6).contains(&value) {
            break;
        }
        path.push([point.place.value.at(&[0, 0]), point.place.value.at(&[0, 1])]);
    }
    path
}

/// The number of steps of a walk that arrived; "away" if the loss has become huge, "-" otherwise.
fn steps_of(path: &[[f64; 2]]) -> String {
    let end = loss_at(&Tensor::from_vec(path[path.len() - 1].to_vec(), &[1, 2]));
    match end {
        end if end < BOUND => format!("{}", path.len() - 1),
        end if end < 1e6 => "-".into(),
        _ => "away".into(),
    }
}

/// Batches of a noisy walk.
const BATCHES: usize = 400;
/// Noisy walks, each with other noise, whose mean loss is printed.
const SEEDS: u64 = 50;

/// What is done about noise.
#[derive(Clone, Default)]
struct Remedy {
    /// The learning rate; 0.01 without it.
    schedule: Option<Schedule>,
    /// The largest norm of a gradient.
    clip_norm: Option<f64>,
    /// The average of the weights that is evaluated in place of the last weights.
    average: Option<Average>,
    /// Batches for one step, if not 1.
    accumulate: Option<usize>,
    /// One batch whose gradient is a thousand times as noisy.
    outlier: Option<usize>,
}

#[derive(Clone, Copy)]
enum Average {
    /// An exponential moving average with this decay.
    Exponential(f64),
    /// The equal average of the weights of this batch and all later ones.
    Equal(usize),
}

/// The mean loss at the end of walks with momentum whose gradients have noise with a standard deviation of 2.
fn noisy(remedy: &Remedy) -> f64 {
    (0..SEEDS).map(|seed| noisy_walk(remedy, seed)).sum::<f64>() / SEEDS as f64
}

fn noisy_walk(remedy: &Remedy, seed: u64) -> f64 {
    let mut point = at_start();
    let mut optimizer = sgd(0.01, 0.9, false);
    let mut noise = Init::new(seed);
    let mut sums = Accumulated::default();
    let mut average = None;
    for batch in 0..BATCHES {
        if let Some(schedule) = &remedy.schedule {
            optimizer.set_learning_rate(schedule.rate(batch));
        }
        let size = if remedy.outlier == Some(batch) { 2000.0 } else { 2.0 };
        let slope = noise.normal::<f64>(&[1, 2], size);
        let every = remedy.accumulate.unwrap_or(1);
        let mut through = sums.through(&mut *optimizer, (batch + 1) % every == 0);
        let options = StepOptions { clip_norm: remedy.clip_norm, ..StepOptions::default() };
        let value = step_with(&mut point, &mut through, options, |point, context| {
            let place = context.parameter(&point.place);
            (place.clone() * &slope).sum_all() + loss(place).sum_all()
        });
        if !value.is_finite() {
            return f64::INFINITY;
        }
        match (&mut average, remedy.average) {
            (Some(average), _) => WeightAverage::update(average, &point),
            (None, Some(Average::Exponential(decay))) => average = Some(WeightAverage::new(decay, &point)),
            (None, Some(Average::Equal(first))) if batch >= first => {
                average = Some(WeightAverage::equal(&point));
            }
            _ => {}
        }
    }
    if let Some(average) = &mut average {
        average.swap(&mut point);
    }
    loss_at(&point.place.value)
}

/// What [`noisy`] returns, in words.
fn shown(loss: f64) -> String {
    if loss.is_finite() { format!("{loss:.3}") } else { "away".into() }
}

fn noise_and_what_helps() {
    say!("\n-- Noisy gradients: the mean loss of {SEEDS} walks after {BATCHES} batches, momentum at 0.01");
    let none = Remedy::default();
    let with = |schedule: Schedule| Remedy { schedule: Some(schedule), ..none.clone() };
    let cosine = |peak, warmup_steps| {
        with(Schedule::WarmupCosine { peak, floor: 0.0, warmup_steps, total_steps: BATCHES })
    };
    let remedies = [
        ("nothing done", none.clone()),
        ("a fifth of the rate", with(Schedule::Constant { rate: 0.002 })),
        ("half a cosine to 0", cosine(0.01, 0)),
        ("average, decay 0.97", Remedy { average: Some(Average::Exponential(0.97)), ..none.clone() }),
        ("equal average from 300", Remedy { average: Some(Average::Equal(300)), ..none.clone() }),
        ("4 batches a step", Remedy { accumulate: Some(4), ..none.clone() }),
    ];
    let means = remedies.map(|(name, remedy)| {
        let mean = noisy(&remedy);
        say!("{name:<22} {}", shown(mean));
        mean
    });
    // prints: nothing done           0.287
    // prints: a fifth of the rate    0.049
    // prints: half a cosine to 0     0.035
    // prints: average, decay 0.97    0.128
    // prints: equal average from 300 0.132
    // prints: 4 batches a step       0.063
    assert!(means[1..].iter().all(|mean| *mean < means[0] / 2.0), "each of them helps");
    assert!(means[1..].iter().all(|mean| *mean >= means[2]), "and a rate that falls most");

    say!("\n-- One batch whose gradient is a thousand times as noisy");
    let outlier = |clip_norm| noisy(&Remedy { outlier: Some(200), clip_norm, ..none.clone() });
    let (free, clipped) = (outlier(None), outlier(Some(10.0)));
    say!("not clipped: {}, clipped to a norm of 10: {}", shown(free), shown(clipped));
    // prints: not clipped: away, clipped to a norm of 10: 0.300
    assert!(!free.is_finite() && clipped < 1.2 * means[0]);

    say!("\n-- Half a cosine from 0.03, a rate too high for the wall at the start");
    let (cold, warm) = (noisy(&cosine(0.03, 0)), noisy(&cosine(0.03, 50)));
    say!("at once: {}, after a climb of 50 steps: {}", shown(cold), shown(warm));
    // prints: at once: away, after a climb of 50 steps: 0.085
    assert!(!cold.is_finite() && warm < 0.2);
}

/// Writes the picture into the folder, which is made if it is not there; returns its path.
fn draw(folder: &Path, walks: Vec<(usize, Walk)>) -> Result<PathBuf, String> {
    let mut panels: Vec<Vec<Walk>> = Vec::new();
    for (panel, walk) in walks {
        panels.resize_with(panels.len().max(panel + 1), Vec::new);
        panels[panel].push(walk);
    }
    let heights = |places: &[[f64; 2]]| {
        let rows = Tensor::from_vec(places.concat(), &[places.len(), 2]);
        loss(Var::constant(rows)).value().to_vec()
    };
    let picture = Picture { x: [-2.6, 2.6], y: [-1.4, 4.2], minima: &[[2.0, 3.0], [-2.0, 3.0]] };
    let svg = picture.draw(&panels, &heights);
    std::fs::create_dir_all(folder).map_err(|error| {
        format!("{}: the folder cannot be made: {error}; choose another --out", folder.display())
    })?;
    let path = folder.join("optimisers.svg");
    cerberus::nn::files::write_atomically(&path, svg.as_bytes()).map_err(|error| error.to_string())?;
    Ok(path)
}
