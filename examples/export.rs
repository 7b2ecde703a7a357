//! Writes a trained model as an ONNX file, for programs that run it elsewhere.
//! `docs/onnx.md` tells what is in the file and how to run it.
//!
//! `cargo run --release --example export -- --model runs/train-1/checkpoints/best.safetensors --out exported`

fn main() -> std::process::ExitCode {
    cerberus_cli::export::main()
}
