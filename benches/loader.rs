//! Samples per second that the loader makes, on one thread: how much of a step
//! is left to the data, and what a change of a decoder or its build costs.
//!
//! ```sh
//! cargo bench -p cerberus-data --bench loader
//! cargo bench -p cerberus-data --bench loader -- FOLDER-OF-PHOTOS
//! ```

use std::time::Instant;

use cerberus_data::{EpochPlan, Loader, Split, open};

const RUNS: usize = 5;

/// Samples per second, the median of [`RUNS`] passes over `limit` training samples.
fn rate(name: &str, limit: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let data = open(name, 1)?;
    let mut rates = Vec::new();
    for epoch in 0..RUNS as u64 {
        let plan = EpochPlan { epoch, limit: Some(limit), ..EpochPlan::new(Split::Train) };
        let start = Instant::now();
        let mut samples = 0;
        for batch in Loader::new(data.clone(), plan)? {
            samples += batch?.len();
        }
        rates.push(samples as f64 / start.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates[RUNS / 2])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("fashion-scenes: {:.0} samples per second", rate("fashion-scenes", 2000)?);
    println!("multi-fashion: {:.0} samples per second", rate("multi-fashion", 4000)?);
    // Cargo adds options of its own, such as --bench.
    for folder in std::env::args().skip(1).filter(|argument| !argument.starts_with('-')) {
        println!("{folder}: {:.0} samples per second", rate(&folder, 200)?);
    }
    Ok(())
}
