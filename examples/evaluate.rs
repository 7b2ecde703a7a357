//! Scores a trained model on the test part of a data set and prints every
//! metric as one line of JSON: the figures, and under `per_class` those of every
//! class. `--curves FILE` writes precision against recall as well.
//!
//! For tasks that give each image one class, calibration is also scored after
//! temperature scaling. The temperature is fitted on the validation part of the
//! data. Without one, it is fitted on each half of the images for the other half,
//! so that it never comes from the images it is scored on.
//!
//! `cargo run --release --example evaluate -- --model runs/train-1/checkpoints/best.safetensors`

fn main() -> std::process::ExitCode {
    cerberus_cli::evaluate::main()
}
