//! The rigs: programs of the workspace that put the registry to the test, too long for `cargo test`.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;

use crate::root;

/// How a rig is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// As the tests are, so that little has to be compiled again.
    AsTests,
    /// Optimised.
    Fast,
}

/// Builds the rig of that package, and runs it with the options as they are.
pub(crate) fn run(package: &str, build: Build, options: &[&str]) -> Result<()> {
    let status = command(package, build, options)
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "{package} ended with {status}");
    Ok(())
}

/// As [`run`], and reads what the rig prints as JSON; none where it says that it cannot run here.
pub(crate) fn ask<T: DeserializeOwned>(
    package: &str,
    build: Build,
    options: &[&str],
) -> Result<Option<T>> {
    let output = command(package, build, options)
        .arg("--json")
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .context("run cargo")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    if printed.starts_with("skipped:") {
        eprint!("{package}: {printed}");
        return Ok(None);
    }
    let read = serde_json::from_str(&printed);
    read.map(Some).with_context(|| {
        format!(
            "{package} ended with {}, and said {printed:?}",
            output.status
        )
    })
}

fn command(package: &str, build: Build, options: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--package", package]);
    if build == Build::Fast {
        command.arg("--release");
    }
    command.arg("--").args(options).current_dir(root());
    command
}
