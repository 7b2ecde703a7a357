//! Writes the part of Fashion-MNIST that is embedded in the binary.
//!
//! ```text
//! cargo run -p cerberus-data --example embed_fashion_mnist -- OFFICIAL_FOLDER
//! ```
//!
//! It takes the first 1,000 and 200 garments of each class of the official
//! training and test files, in file order, and writes them in the same format,
//! as gzip, into `assets/fashion-mnist/`. The output depends on nothing else:
//! the gzip headers contain no name and no time. (The library that this example
//! is built with embeds these same files, so they must already exist; empty
//! ones are enough.)

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use cerberus_data::idx::{IdxImages, write_images, write_labels};
use cerberus_data::{FashionMnist, GARMENTS, Garments};
use flate2::{Compression, GzBuilder};

/// The size limit: it adds to every clone of the repository.
const LARGEST_TOTAL: usize = 6_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        return Err("give the folder that holds the four official files of Fashion-MNIST".into());
    };
    let official = FashionMnist::from_folder(Path::new(&folder))?;
    let out = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("assets/fashion-mnist");
    let mut files = Vec::new();
    for (prefix, garments, per_class) in [("train", &official.train, 1000), ("t10k", &official.test, 200)] {
        let (part, classes) = first_of_each_class(garments, per_class)?;
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        write_images(&part, &mut images)?;
        write_labels(&classes, &mut labels)?;
        files.push((format!("{prefix}-images-idx3-ubyte.gz"), gzip(&images)?));
        files.push((format!("{prefix}-labels-idx1-ubyte.gz"), gzip(&labels)?));
    }
    let total: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    if total > LARGEST_TOTAL {
        return Err(format!("{total} bytes in all, more than {LARGEST_TOTAL}").into());
    }
    fs::create_dir_all(&out)?;
    for (name, bytes) in files {
        println!("{name}: {} bytes", bytes.len());
        fs::write(out.join(name), bytes)?;
    }
    println!("{total} bytes in all, in {}", out.display());
    Ok(())
}

fn first_of_each_class(
    garments: &Garments,
    per_class: usize,
) -> Result<(IdxImages, Vec<u8>), Box<dyn Error>> {
    let mut taken = [0; GARMENTS.len()];
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (index, &label) in garments.labels().iter().enumerate() {
        let count = &mut taken[usize::from(label)];
        if *count < per_class {
            *count += 1;
            pixels.extend_from_slice(garments.pixels(index));
            labels.push(label);
        }
    }
    if let Some(class) = taken.iter().position(|&count| count < per_class) {
        return Err(format!("only {} garments of class {}", taken[class], GARMENTS[class]).into());
    }
    Ok((IdxImages { count: labels.len(), height: 28, width: 28, pixels }, labels))
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    std::io::Write::write_all(&mut encoder, bytes)?;
    encoder.finish()
}
