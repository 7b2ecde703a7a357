//! Memory does not grow with the number of photos that were read: at the end of an epoch over many photos it is no
//! larger than shortly after the beginning.
//!
//! `PHOTOS=20000 cargo test --release -p cerberus-data --test memory -- --nocapture` reads that many photos.

use std::io::BufWriter;

use cerberus_data::{EpochPlan, Loader, PhotoOptions, Photos, Split};
use image::codecs::jpeg::JpegEncoder;

/// The random difference: the two workers may have six batches of 2.4 MB waiting, or none.
const SLACK: usize = 20 << 20;

/// The peak resident set size in bytes, if the system reports it.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<usize>().ok().map(|kilobytes| kilobytes << 10)
}

#[test]
fn an_epoch_over_many_photos_takes_no_more_memory_at_its_end_than_after_a_fifth_of_it() {
    let count: u32 =
        std::env::var("PHOTOS").map_or(400, |count| count.parse().expect("PHOTOS must be a number"));
    let folder = tempfile::tempdir().unwrap();
    for number in 0..count {
        let class = folder.path().join(["even", "odd"][number as usize % 2]);
        std::fs::create_dir_all(&class).unwrap();
        let pixel = |x: u32, y: u32| [x as u8, (x + y) as u8, number as u8].into();
        let file = std::fs::File::create(class.join(format!("{number}.jpg"))).unwrap();
        JpegEncoder::new(BufWriter::new(file))
            .encode_image(&image::RgbImage::from_fn(256, 192, pixel))
            .unwrap();
    }
    // For samples this large, photos are not kept in memory, even if they would fit.
    let cache = tempfile::tempdir().unwrap();
    let cache = Some(cache.path().to_path_buf());
    let options = PhotoOptions { size: [448, 448], repeats: 1, cache, ..PhotoOptions::default() };
    let photos = Photos::open(folder.path(), 1, options).unwrap();
    let plan = EpochPlan { batch_size: 1, workers: 2, ..EpochPlan::new(Split::Train) };
    let loader = Loader::new(photos, plan).unwrap();
    let (batches, mut early) = (loader.batches(), None);
    for (number, batch) in loader.enumerate() {
        assert_eq!(batch.unwrap().images.shape()[1..], [448, 448, 3]);
        if number == batches / 5 {
            early = peak();
        }
    }
    if let Some((early, late)) = early.zip(peak()) {
        println!("{count} photos: {} MB after a fifth, {} MB at the end", early >> 20, late >> 20);
        assert!(late <= early + SLACK, "{} MB became {} MB", early >> 20, late >> 20);
    }
}
