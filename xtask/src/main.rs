//! `cargo xtask tidy` checks the walls of the house; `cargo xtask codegen` writes what is generated.

mod codegen;
mod tidy;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let outcome = match task.as_str() {
        "tidy" => tidy::run(&root),
        "codegen" => codegen::run(&root),
        _ => Err("usage: cargo xtask tidy | codegen\n".to_owned()),
    };
    let (text, code) = match outcome {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(text) => (text, ExitCode::FAILURE),
    };
    // Nobody is left to tell when this fails.
    let _ = std::io::stderr().write_all(text.as_bytes());
    code
}
