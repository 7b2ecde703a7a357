//! One base model, many people: teaches it a person's own things from a few pictures, into a folder of their own.
//! `docs/personal.md` tells what is learned, and what the folder reveals.
//!
//! `cargo run --release --example personal -- --model BASE --user DIR teach --class "my mug" a.jpg b.jpg`

fn main() -> std::process::ExitCode {
    cerberus_cli::personal::main()
}
