//! The cost of balancing: microseconds that the strategies on the Gramian take to
//! choose weights, for two to eight tasks, and milliseconds of a whole training step
//! of the default three-headed network under some of them, with the peak of the
//! bytes that a step adds to the tensors and buffers kept between steps.
//!
//! `cargo bench -p cerberus-multitask --bench balance`, and with `-- steps` for the
//! second table. Each figure of the first is the median over 200 random Jacobians of
//! the mean of 100 calls; computing the Gramian is not included. The same work in
//! TorchJD: `benches/peers/torchjd_solvers.py`.

use std::hint::black_box;
use std::time::Instant;

use cerberus_balance::Gramian;
use cerberus_balance::on_gramian::*;
use cerberus_data::{Batch, Split};
use cerberus_multitask::MultiTaskModel;
use cerberus_multitask::{StepInput, train_step};
use cerberus_nn::optim::{AdamOptions, AdamW};
use cerberus_tensor::pool::{live_bytes, take_peak_bytes};
use cerberus_tensor::random::stream;
use cerberus_train::TrainConfig;
use rand::RngExt;

type Rule = fn(&Gramian, &[f64]) -> Vec<f64>;

const RULES: [(&str, Rule); 9] = [
    ("MGDA", |g, _| mgda(g)),
    ("UPGrad", up_grad),
    ("DualProj", dual_projection),
    ("CAGrad c=0.4", |g, p| ca_grad(g, p, 0.4, Rescale::None)),
    ("Nash-MTL", |g, p| fair_grad(g, p, 1.0)),
    ("FairGrad a=2", |g, p| fair_grad(g, p, 2.0)),
    ("Aligned-MTL", |g, p| aligned(g, p, AlignedScale::Min)),
    ("IMTL-G", |g, _| imtl_g(g)),
    ("ConFIG", con_fig),
];

fn main() {
    if std::env::args().any(|argument| argument == "steps") {
        return steps();
    }
    println!("{:<14} {:>8} {:>8} {:>8} {:>8}  microseconds", "tasks", 2, 3, 4, 8);
    for (name, rule) in RULES {
        let cells = [2, 3, 4, 8].map(|tasks| format!("{:>8.2}", median_microseconds(tasks, rule)));
        println!("{name:<14} {}", cells.join(" "));
    }
}

fn median_microseconds(tasks: usize, rule: Rule) -> f64 {
    let preference = vec![1.0 / tasks as f64; tasks];
    let mut times: Vec<f64> = (0..200)
        .map(|index| {
            let mut rng = stream(1, "bench", tasks as u64, index);
            let mut row = || (0..32).map(|_| rng.random::<f64>() - 0.5).collect::<Vec<f64>>();
            let rows: Vec<Vec<f64>> = (0..tasks).map(|_| row()).collect();
            let gramian = Gramian::of_rows(&rows).expect("finite rows");
            let clock = Instant::now();
            for _ in 0..100 {
                black_box(rule(black_box(&gramian), &preference));
            }
            clock.elapsed().as_secs_f64() * 1e4
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// One line per strategy and place of gradients: the median of 12 steps, each
/// strategy's steps spread over the whole measurement.
fn steps() {
    let scenes = cerberus_data::open("fashion-scenes", 1).expect("embedded data");
    let samples: Vec<_> = (0..32).map(|i| scenes.sample(Split::Train, 0, i).expect("a scene")).collect();
    let batch = Batch::assemble(&samples, (0..32).collect()).expect("scenes of one size");
    let kinds = [
        ("equal", "parameters"),
        ("mgda", "features"),
        ("mgda", "summed-features"),
        ("mgda", "parameters"),
        ("mgda", "streamed-parameters"),
        ("graddrop", "features"),
        ("famo", "parameters"),
    ];
    let mut runs: Vec<_> = kinds
        .iter()
        .map(|(name, place)| {
            let mut config = TrainConfig::for_data("fashion-scenes", scenes.info());
            config.set_balance(name).expect("a known name");
            config.gradients = place.parse().expect("a known place");
            let balancing = config.balancing().expect("a strategy for three tasks");
            let model = MultiTaskModel::new(&config.model, 1);
            (balancing, model, AdamW::new(AdamOptions::default()), Vec::new(), 0)
        })
        .collect();
    for round in 0..13 {
        for (balancing, model, optimizer, times, bytes) in &mut runs {
            let input = StepInput { clip_norm: 10.0, seed: [1, round], ..StepInput::new(&batch) };
            take_peak_bytes();
            let between = live_bytes();
            let clock = Instant::now();
            train_step(model, optimizer, balancing, &input).expect("a step");
            // The first one fills pools and caches.
            if round > 0 {
                times.push(clock.elapsed().as_secs_f64() * 1e3);
                *bytes = take_peak_bytes() - between;
            }
        }
    }
    println!("{} threads; mtl64, batch 32, 3 tasks", cerberus_tensor::parallel::threads());
    let mut plain = 0.0;
    for ((name, place), (.., times, bytes)) in kinds.iter().zip(&mut runs) {
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        plain = if plain == 0.0 { median } else { plain };
        println!(
            "{name:<10} {place:<20} {median:>8.1} ms  {:>5.2} of equal weights {:>8.1} MiB",
            median / plain,
            *bytes as f64 / (1 << 20) as f64
        );
    }
}
