//! How fast a workload runs with its data already in memory: whole training
//! steps (forward, backward, update), or forward passes alone. Prints one line
//! of JSON. `benches/peers` runs this beside the same work in PyTorch and Keras.
//!
//! `cargo run --release --example throughput -- --workload mtl64 --batch 32`

mod common;
mod workloads;

use std::process::ExitCode;
use std::time::Instant;

use cerberus::train::peak_rss_mb;
use cerberus_cli::say;
use clap::{Parser, ValueEnum};
use serde_json::json;

use workloads::{Failure, Workload};

/// Measure training steps, or predictions, on data in memory.
#[derive(Parser)]
#[command(name = "throughput")]
struct Options {
    /// What to run
    #[arg(long)]
    workload: Workload,
    /// Images per step
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Threads to compute on [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Steps to measure, after a few to warm up
    #[arg(long, default_value_t = 30)]
    steps: usize,
    /// Measure no more steps after this many seconds
    #[arg(long)]
    seconds: Option<f64>,
    /// Scale the images' values down to denormals, which slow down CPUs that are
    /// not told to take them for zero
    #[arg(long)]
    denormals: bool,
    /// Compute values inside blocks again in the backward pass instead of keeping them: less memory, more time
    #[arg(long)]
    recompute: bool,
}

fn main() -> ExitCode {
    let start = Instant::now();
    let options = Options::parse();
    let run = || -> Result<(), Failure> {
        if options.batch == 0 || options.steps == 0 {
            return Err("--batch and --steps must be at least 1".into());
        }
        if options.recompute && options.workload.only_predicts() {
            return Err(
                "--recompute is for workloads that train; without a backward pass nothing is kept".into()
            );
        }
        common::thread_pool(options.threads)?.install(|| measure(&options, start))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn measure(options: &Options, start: Instant) -> Result<(), Failure> {
    let scale = if options.denormals { 1e-39 } else { 1.0 };
    let mut workload = options.workload.prepare(options.batch, scale, options.recompute)?;
    let to_first_step = seconds_since_start().unwrap_or_else(|| start.elapsed().as_secs_f64());
    let mut step = || {
        let clock = Instant::now();
        let loss = (workload.step)();
        (clock.elapsed().as_secs_f64(), loss)
    };
    for _ in 0..options.steps.min(3) {
        step();
    }
    let clock = Instant::now();
    let mut seconds = Vec::new();
    while seconds.len() < options.steps
        && options.seconds.is_none_or(|limit| seconds.is_empty() || clock.elapsed().as_secs_f64() < limit)
    {
        let (time, loss) = step();
        if !loss.is_finite() {
            return Err(format!(
                "step {}: the loss is {loss}; the figures would mean nothing",
                seconds.len() + 1
            )
            .into());
        }
        seconds.push(time);
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let name = options.workload.to_possible_value().expect("no workload is hidden");
    let line = json!({
        "workload": name.get_name(),
        "batch": options.batch,
        "threads": rayon::current_num_threads(),
        "steps": seconds.len(),
        "ms_per_step": median * 1e3,
        "images_per_second": options.batch as f64 / median,
        "seconds_to_first_step": to_first_step,
        "peak_rss_mb": peak_rss_mb(),
        "parameters": workload.parameters,
    });
    say!("{line}");
    Ok(())
}

/// Seconds since the system made this process, to a hundredth, if Linux reports it.
fn seconds_since_start() -> Option<f64> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let now: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The 22nd field; counted after the program's name, which may hold spaces.
    let ticks: f64 = stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()?;
    // The kernel reports in hundredths of a second on every architecture that we build for.
    Some((now - ticks / 100.0).max(0.0))
}
