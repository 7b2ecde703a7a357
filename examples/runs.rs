//! Lists the runs in a folder, and draws their curves in common charts:
//! `cargo run --release --example runs -- runs --out compared`.
//! The program itself is in `crates/cli/src/runs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cerberus_cli::runs::main()
}
