//! Scores a trained model on the test part of a data set and prints every
//! metric as one line of JSON: the figures, and under `per_class` those of every
//! class. `--curves FILE` writes precision against recall as well.
//!
//! Where a task gives each image one class, calibration is also scored after
//! temperature scaling. The temperature is fitted on the validation part of the
//! data; where there is none, on every second image for the others, so that it
//! never comes from the images it is reported on.
//!
//! `cargo run --release --example evaluate -- --model runs/train-1/checkpoints/best.safetensors`

fn main() -> std::process::ExitCode {
    cerberus_cli::evaluate::main()
}
