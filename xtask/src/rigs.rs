//! The rigs: programs of the workspace that put the registry to the test, too long for `cargo test`.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::root;

/// Builds the rig of that package for speed, and runs it with the options as they are.
pub(crate) fn run(package: &str, options: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", package, "--"])
        .args(options)
        .current_dir(root())
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "{package} ended with {status}");
    Ok(())
}
