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
    let status = command(package, build, options)?
        .status()
        .context("run the rig")?;
    ensure!(status.success(), "{package} ended with {status}");
    Ok(())
}

/// As [`run`], and reads what the rig prints as JSON; none where it says that it cannot run here.
pub(crate) fn ask<T: DeserializeOwned>(
    package: &str,
    build: Build,
    options: &[&str],
) -> Result<Option<T>> {
    let output = command(package, build, options)?
        .arg("--json")
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .context("run the rig")?;
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

/// Builds the daemon that is measured, as it is shipped.
pub(crate) fn build_daemon() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--profile", "dist"])
        .args(["--package", "harness", "--bin", "harness"])
        .current_dir(root())
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "cargo build ended with {status}");
    Ok(())
}

/// The rig as a command, built. It runs in the workspace's folder.
fn command(package: &str, build: Build, options: &[&str]) -> Result<Command> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = match build {
        Build::Fast => {
            let mut command = Command::new(cargo);
            command.args(["run", "--quiet", "--release", "--package", package, "--"]);
            command
        }
        Build::AsTests => {
            // With the tests, so that every dependency has the features that it has for them.
            let status = Command::new(cargo)
                .args(["build", "--quiet", "--workspace", "--bins", "--tests"])
                .current_dir(root())
                .status()
                .context("run cargo")?;
            ensure!(status.success(), "cargo build ended with {status}");
            let this = std::env::current_exe().context("find the folder of the programs")?;
            Command::new(this.with_file_name(package))
        }
    };
    command.args(options).current_dir(root());
    Ok(command)
}
