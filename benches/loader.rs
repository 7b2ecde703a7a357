//! Samples per second that the loader makes, on one thread: what part of a step
//! the data take, and what a change of a decoder or its build costs.
//! Photographs are 500x375 pixels, resized to 64x64, each read once.
//!
//! ```sh
//! cargo bench -p cerberus-data --bench loader
//! cargo bench -p cerberus-data --bench loader -- FOLDER-OF-PHOTOS
//! ```

use std::path::Path;
use std::time::Instant;

use cerberus_data::{Dataset, EpochPlan, Loader, PhotoOptions, Photos, Split, open};
use image::codecs::jpeg::JpegEncoder;

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

/// Photographs with edges, shades and grain, as cameras have them: about 50 kB each.
fn write_photographs(folder: &Path, count: u32) -> Result<(), Box<dyn std::error::Error>> {
    for number in 0..count {
        let class = folder.join(if number % 2 == 0 { "even" } else { "odd" });
        std::fs::create_dir_all(&class)?;
        let pixel = |x: u32, y: u32| {
            let grain =
                (x.wrapping_mul(7919) ^ y.wrapping_mul(104_729) ^ number).wrapping_mul(2_654_435_761) >> 28;
            let edge = if (x / 40 + y / 30 + number).is_multiple_of(3) { 90 } else { 0 };
            [x / 4, y / 3, (x + y) / 5].map(|shade| (shade + edge + grain).min(255) as u8).into()
        };
        let file = std::fs::File::create(class.join(format!("{number}.jpg")))?;
        let picture = image::RgbImage::from_fn(500, 375, pixel);
        JpegEncoder::new_with_quality(std::io::BufWriter::new(file), 90).encode_image(&picture)?;
    }
    Ok(())
}

/// Milliseconds that a training sample takes on one thread, its photograph read from the file.
fn milliseconds(folder: &Path, cache: Option<&Path>) -> Result<f64, Box<dyn std::error::Error>> {
    let cache = cache.map(Path::to_path_buf);
    let options = PhotoOptions { size: [64, 64], repeats: 1, cache, ..PhotoOptions::default() };
    let mut times = Vec::new();
    for _ in 0..RUNS {
        // Opened again, it has no photograph in memory.
        let photos = Photos::open(folder, 1, options.clone())?;
        let samples = photos.len(Split::Train);
        let start = Instant::now();
        for batch in Loader::new(photos, EpochPlan { workers: 0, ..EpochPlan::new(Split::Train) })? {
            batch?;
        }
        times.push(1e3 * start.elapsed().as_secs_f64() / samples as f64);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("fashion-scenes: {:.0} samples per second", rate("fashion-scenes", 2000)?);
    println!("multi-fashion: {:.0} samples per second", rate("multi-fashion", 4000)?);
    let folder = tempfile::tempdir()?;
    write_photographs(folder.path(), 200)?;
    println!("a JPEG of 500x375: {:.2} ms", milliseconds(folder.path(), None)?);
    let cache = tempfile::tempdir()?;
    println!("the same from a cache: {:.2} ms", milliseconds(folder.path(), Some(cache.path()))?);
    // Cargo adds options of its own, such as --bench.
    for folder in std::env::args().skip(1).filter(|argument| !argument.starts_with('-')) {
        println!("{folder}: {:.0} samples per second", rate(&folder, 200)?);
    }
    Ok(())
}
