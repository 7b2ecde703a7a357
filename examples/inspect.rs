//! Shows what a data set holds before time is spent on training:
//! `cargo run --release --example inspect -- --data FOLDER`.
//! The program itself is in `crates/cli/src/inspect.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cerberus_cli::inspect::main()
}
