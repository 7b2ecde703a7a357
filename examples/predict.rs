//! Runs a trained model on pictures: one JSON line per picture on standard
//! output, and with `--out` the same as files, with a picture of what was found
//! and everything together as COCO writes annotations.
//!
//! `cargo run --release --example predict -- --model runs/train-1/checkpoints/best.safetensors photo.jpg`

fn main() -> std::process::ExitCode {
    cerberus_cli::predict::main()
}
