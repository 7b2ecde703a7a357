//! The peak performance of this machine: the other benchmarks compare their
//! figures with it.
//!
//! `cargo bench -p cerberus-tensor --bench machine`. The file
//! `crates/tensor/src/machine.rs` explains how it is measured.

use cerberus_tensor::Isa;
use cerberus_tensor::machine::{Traffic, bandwidth, multiply_add_peak};

fn main() {
    let all = rayon::current_num_threads();
    let mut threads = vec![1, all];
    threads.dedup();
    print!("{:>34}", "");
    for threads in &threads {
        print!(" {:>12}", format!("{threads} thread{}", if *threads == 1 { "" } else { "s" }));
    }
    println!();
    let row = |name: &str, unit: &str, measure: &dyn Fn(usize) -> f64| {
        print!("{name:>34}");
        threads.iter().for_each(|&threads| print!(" {:>12.1}", measure(threads)));
        println!(" {unit}");
    };
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let name = format!("{} multiply-add, f32", isa.name());
        row(&name, "GFLOP/s", &|threads| multiply_add_peak(isa, threads));
    }
    // The size of a thread's arrays together: in the second-level cache, in a
    // large third-level one, and in no cache.
    for (place, bytes) in [("1 MiB", 1 << 20), ("64 MiB", 64 << 20), ("1.5 GiB", 3 << 29)] {
        for (traffic, arrays) in [(Traffic::Read, 1), (Traffic::Copy, 2), (Traffic::Triad, 3)] {
            let name = format!("{traffic:?}, {place} a thread");
            row(&name, "GB/s", &|threads| bandwidth(traffic, bytes / arrays, threads));
        }
    }
}
