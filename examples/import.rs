//! Makes a model of the weights of a published network in a file of PyTorch: a classifier that `predict` and `evaluate`
//! run, and a trunk that `train --init-from` begins with.
//!
//! `cargo run --release --example import -- --model resnet18.safetensors --classes names.txt --out imported`

fn main() -> std::process::ExitCode {
    cerberus_cli::import::main()
}
