//! Runs each target in a process of its own, so that one that dies tells its input and does not take the others along.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context as _, Result};
use fuzz::{Finding, Target};

use crate::Options;

/// A folder in memory, for the targets that write files.
const MEMORY_FOLDER: &str = "/dev/shm";
/// A process that writes each input down is slower, and is given so many times the time to die once more.
const PATIENCE: u64 = 4;

/// Fuzzes targets one after the other, and answers whether every promise was kept.
pub(crate) fn run(targets: &[Target], options: &Options) -> Result<ExitCode> {
    let mut broken = Vec::new();
    for target in targets {
        let status = spawn(target, options, None)?;
        if status.code().is_none() {
            explain_death(target, options, status)?;
        }
        if !status.success() {
            broken.push(target.name);
        }
    }
    if broken.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("broken: {}", broken.join(", "));
    Ok(ExitCode::FAILURE)
}

fn spawn(target: &Target, options: &Options, journal: Option<&Path>) -> Result<ExitStatus> {
    let program = std::env::current_exe().context("find this program")?;
    let patience = if journal.is_some() { PATIENCE } else { 1 };
    let mut command = Command::new(program);
    command
        .args(["--worker", "--target", target.name])
        .args(["--seed", &options.seed.to_string()])
        .args(["--seconds", &(options.seconds * patience).to_string()]);
    if let Some(journal) = journal {
        command.arg("--journal").arg(journal);
    }
    if std::env::var_os("TMPDIR").is_none() && Path::new(MEMORY_FOLDER).is_dir() {
        command.env("TMPDIR", MEMORY_FOLDER);
    }
    command.status().context("start a process that fuzzes")
}

/// Finds the input that ended a process: the same seed makes the same inputs, and this time each is written first.
fn explain_death(target: &Target, options: &Options, died: ExitStatus) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let journal = folder.path().join("input");
    let status = spawn(target, options, Some(&journal))?;
    if status.code().is_some() {
        eprintln!("{}: {died}, and not once more", target.name);
        return Ok(());
    }
    let finding = Finding {
        target: target.name,
        input: fs::read(&journal).context("read the input that ended the process")?,
        problem: status.to_string(),
    };
    eprintln!("{}", finding.report());
    Ok(())
}
