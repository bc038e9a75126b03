//! Instructions an operation takes: repeatable where time is not.
//!
//! Each case runs under cachegrind twice, with fewer and with more operations; the difference is what the operations
//! took, without the setting up. The counts are compared with those of a file that is a part of the repository.

mod baseline;
mod cases;
mod entry;
mod faces;
mod stores;

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use self::baseline::{Baseline, Comparison};
use self::cases::{CASES, Case};

/// Counts instructions.
#[derive(Debug, Args)]
pub(crate) struct Count {
    /// Fails where a case takes more instructions than the committed file says, beyond its tolerance.
    #[arg(long, conflicts_with_all = ["write", "operations"])]
    check: bool,
    /// Writes the committed file.
    #[arg(long, conflicts_with = "operations")]
    write: bool,
    /// Only cases whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
    /// Runs the cases that many operations in this process and counts nothing: what runs under cachegrind, or a
    /// profiler.
    #[arg(long)]
    operations: Option<u64>,
}

/// Does what the command line says.
///
/// # Errors
/// With `--check`, where a case is beyond its bound.
pub(crate) fn run(count: &Count) -> Result<()> {
    let cases: Vec<&Case> = CASES
        .iter()
        .filter(|case| case.name.contains(&count.only))
        .collect();
    ensure!(
        !cases.is_empty(),
        "no case has {:?} in its name",
        count.only
    );
    if let Some(operations) = count.operations {
        for case in cases {
            (case.run)(operations).with_context(|| case.name)?;
        }
        return Ok(());
    }
    if let Err(error) = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
    {
        crate::print(&format!("skipped: valgrind cannot be started: {error}"));
        return Ok(());
    }
    let mut baseline = Baseline::read()?;
    let mut comparisons = Vec::new();
    for case in cases {
        let found = measure(case)?;
        let comparison = Comparison::of(case.name, baseline.of(case.name), found);
        crate::print(&comparison.to_string());
        comparisons.push(comparison);
    }
    if count.write {
        for comparison in &comparisons {
            baseline.set(comparison.case, comparison.found);
        }
        baseline.write()?;
        return Ok(());
    }
    let failed = comparisons.iter().filter(|it| it.is_beyond()).count();
    crate::print(&format!(
        "{} passed, {failed} failed",
        comparisons.len() - failed
    ));
    ensure!(
        !count.check || failed == 0,
        "{failed} cases take more instructions than they may"
    );
    Ok(())
}

/// Instructions of one operation of a case.
fn measure(case: &Case) -> Result<u64> {
    let (few, many) = (case.operations, case.operations * 3);
    let (with_few, with_many) = (instructions(case, few)?, instructions(case, many)?);
    let Some(difference) = with_many.checked_sub(with_few) else {
        bail!(
            "{}: {many} operations took {with_many} instructions, {few} took {with_few}",
            case.name
        );
    };
    Ok(difference / (many - few))
}

/// Instructions of a process that runs so many operations.
fn instructions(case: &Case, operations: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args([
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ])
        .arg(std::env::current_exe()?)
        .args([
            "count",
            "--only",
            case.name,
            "--operations",
            &operations.to_string(),
        ])
        .output()
        .context("run valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}: valgrind ended with {}:\n{said}",
        case.name,
        output.status
    );
    counted(&said)
        .with_context(|| format!("{}: no count in what valgrind said:\n{said}", case.name))
}

/// The count in what cachegrind says at its end.
fn counted(said: &str) -> Option<u64> {
    let line = said
        .lines()
        .find(|line| line.contains("I   refs:") || line.contains("I refs:"))?;
    line.rsplit(':')
        .next()?
        .trim()
        .replace(',', "")
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_with_its_commas() {
        let said = "==12== Cachegrind\n==12== \n==12== I   refs:      1,234,567\n";
        assert_eq!(counted(said), Some(1_234_567));
        assert_eq!(counted("==12== I refs: 7"), Some(7));
        assert_eq!(counted("==12== D refs: 7"), None);
    }

    #[test]
    fn no_name_of_a_case_is_a_part_of_another() {
        for case in CASES {
            let found = CASES.iter().filter(|other| other.name.contains(case.name));
            assert_eq!(found.count(), 1, "{}", case.name);
        }
    }
}
