//! Microseconds that the strategies on the Gramian take to choose weights, for two
//! to eight tasks.
//!
//! `cargo bench -p cerberus-multitask --bench balance`. Each figure is the median
//! over 200 random Jacobians of the mean of 100 calls, the Gramian given. The same
//! Jacobians' worth of work in TorchJD: `benches/peers/torchjd_solvers.py`.

use std::hint::black_box;
use std::time::Instant;

use cerberus_multitask::balance::Gramian;
use cerberus_multitask::balance::on_gramian::*;
use cerberus_tensor::random::stream;
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
            let mut chance = stream(1, "bench", tasks as u64, index);
            let mut row = || (0..32).map(|_| chance.random::<f64>() - 0.5).collect::<Vec<f64>>();
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
