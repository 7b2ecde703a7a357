//! Runs a trained model on pictures: prints one JSON line per picture, and with
//! `--out` writes the same as files, with a picture of the predictions, and all
//! predictions together in COCO's annotation format.
//!
//! `cargo run --release --example predict -- --model runs/train-1/checkpoints/best.safetensors photo.jpg`

fn main() -> std::process::ExitCode {
    cerberus_cli::predict::main()
}
