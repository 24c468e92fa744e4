//! Files that are made from the code and committed. A test beside each source refuses a stale one.

use std::path::Path;
use std::process::Command;

/// Writes every generated file; the answer says what was done or what failed.
pub(crate) fn run(root: &Path) -> Result<String, String> {
    let reference = stdout_of(Command::new(env!("CARGO")).current_dir(root).args([
        "run",
        "--quiet",
        "--package=thingport",
        "--",
        "check",
        "--reference",
    ]))?;
    std::fs::write(root.join(CONFIG_REFERENCE), reference)
        .map_err(|error| format!("{CONFIG_REFERENCE} cannot be written: {error}\n"))?;
    Ok(format!("wrote {CONFIG_REFERENCE}\n"))
}

/// What `command` printed, or a sentence saying how it failed.
pub(crate) fn stdout_of(command: &mut Command) -> Result<String, String> {
    let output =
        command.output().map_err(|error| format!("{command:?} cannot start: {error}\n"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?} failed, {}:\n{told}\n", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{command:?} did not print UTF-8\n"))
}

const CONFIG_REFERENCE: &str = "docs/config.md";
