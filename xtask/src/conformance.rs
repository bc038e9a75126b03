//! Runs the suite on every backend and writes the table of `docs/backends.md`.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::generated::{expect, replace, table};
use crate::root;

const FILE: &str = "docs/backends.md";
const SUITES: &[(&str, &str)] = &[
    ("memory", "registry-conformance"),
    ("json", "registry-json"),
    ("sled", "registry-sled"),
    ("redb", "registry-redb"),
    ("sqlite", "registry-sqlite"),
];

#[derive(Deserialize)]
struct Report {
    backend: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    group: String,
    name: String,
    result: String,
    reason: Option<String>,
}

/// Runs everything and writes the table.
pub(crate) fn write() -> Result<()> {
    let reports = run_all()?;
    replace(FILE, "conformance", &summary(&reports))?;
    replace(FILE, "not applicable", &not_applicable(&reports))
}

/// Runs everything and fails where the table says something else.
pub(crate) fn check() -> Result<()> {
    let reports = run_all()?;
    expect(
        FILE,
        "conformance",
        &summary(&reports),
        "cargo xtask conformance",
    )?;
    expect(
        FILE,
        "not applicable",
        &not_applicable(&reports),
        "cargo xtask conformance",
    )
}

fn run_all() -> Result<Vec<Report>> {
    SUITES
        .iter()
        .map(|(backend, package)| run(backend, package))
        .collect()
}

fn run(backend: &str, package: &str) -> Result<Report> {
    let target = if backend == "memory" {
        "memory"
    } else {
        "conformance"
    };
    // Also where cargo builds elsewhere.
    let folder = fs::canonicalize(root())?.join("target");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("conformance-{backend}.json"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--quiet", "--package", package, "--test", target])
        .env("HARNESS_CONFORMANCE_REPORT", &path)
        .current_dir(root())
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "the suite fails on {backend}");
    let report: Report = serde_json::from_slice(&fs::read(&path)?).context("read the report")?;
    ensure!(
        report.backend == backend,
        "expected the report of {backend}, found that of {}",
        report.backend
    );
    Ok(report)
}

/// A row for each group: passed of applicable cases.
fn summary(reports: &[Report]) -> String {
    let mut head = vec!["group"];
    head.extend(reports.iter().map(|report| report.backend.as_str()));
    let mut groups: Vec<&str> = Vec::new();
    for case in reports.iter().flat_map(|report| &report.cases) {
        if !groups.contains(&case.group.as_str()) {
            groups.push(&case.group);
        }
    }
    let mut rows: Vec<Vec<String>> = groups
        .iter()
        .map(|group| {
            let cells = reports
                .iter()
                .map(|report| cell(report.cases.iter().filter(|case| case.group == *group)));
            std::iter::once((*group).to_owned()).chain(cells).collect()
        })
        .collect();
    let totals = reports
        .iter()
        .map(|report| format!("**{}**", cell(report.cases.iter())));
    rows.push(
        std::iter::once("**all**".to_owned())
            .chain(totals)
            .collect(),
    );
    table(&head, &rows)
}

fn cell<'a>(cases: impl Iterator<Item = &'a Case> + Clone) -> String {
    let passed = cases.clone().filter(|case| case.result == "passed").count();
    let applicable = cases.filter(|case| case.result != "unsupported").count();
    if applicable == 0 {
        "-".to_owned()
    } else {
        format!("{passed} / {applicable}")
    }
}

/// A row for each reason: which cases do not apply to which backend.
fn not_applicable(reports: &[Report]) -> String {
    let mut reasons: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for report in reports {
        for case in report
            .cases
            .iter()
            .filter(|case| case.result == "unsupported")
        {
            let reason = case.reason.as_deref().unwrap_or("no reason is given");
            let cases = reasons.entry((&report.backend, reason)).or_default();
            cases.push(format!("`{}::{}`", case.group, case.name));
        }
    }
    let rows: Vec<_> = reasons
        .into_iter()
        .map(|((backend, reason), cases)| {
            vec![backend.to_owned(), reason.to_owned(), cases.join(", ")]
        })
        .collect();
    table(&["backend", "why", "cases"], &rows)
}
