//! Explains a trained model's answers: for each picture, head and method a map of what in the picture the answer rests
//! on. `docs/explain.md` tells what the methods can and cannot say.
//!
//! `cargo run --release --example explain -- --model runs/train-1/checkpoints/best.safetensors --out explained photo.jpg`

fn main() -> std::process::ExitCode {
    cerberus_cli::explain::main()
}
