//! Rigs: programs of their own in `rigs`, built optimised and run with the options that were given.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::root;

/// Builds and runs a rig.
pub(crate) fn run(package: &str, options: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", package, "--"])
        .args(options)
        .current_dir(root())
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "{package}: {status}");
    Ok(())
}
