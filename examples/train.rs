//! Trains one trunk with several heads and writes everything about the run into
//! a folder: configuration, metrics of every epoch, a summary on the test data,
//! checkpoints, and pictures.
//!
//! `cargo run --release --example train` trains on the embedded fashion scenes;
//! `--help` lists all options.

fn main() -> std::process::ExitCode {
    cerberus_cli::train::main()
}
