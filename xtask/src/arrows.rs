//! Arrows between crates point one way, and the embedded library stays small.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::root;

/// Crates that implement the contract.
pub(crate) const BACKENDS: &[&str] = &[
    "registry-json",
    "registry-redb",
    "registry-sled",
    "registry-sqlite",
];

/// What each crate may depend on, tests and benches included.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "bench",
        &[
            "harness",
            "registry-api",
            "registry-core",
            "registry-http",
            "registry-ws",
        ],
    ),
    ("registry-core", &[]),
    ("registry-conformance", &["registry-core"]),
    ("registry-json", &["registry-core", "registry-conformance"]),
    ("registry-redb", &["registry-core", "registry-conformance"]),
    ("registry-sled", &["registry-core", "registry-conformance"]),
    (
        "registry-sqlite",
        &["registry-core", "registry-conformance"],
    ),
    (
        "registry-attach",
        &[
            "registry-conformance",
            "registry-core",
            "registry-json",
            "registry-redb",
            "registry-sled",
        ],
    ),
    ("registry-api", &["registry-core"]),
    ("registry-ws", &["registry-api", "registry-core"]),
    (
        "registry-http",
        &["registry-api", "registry-core", "registry-ws"],
    ),
    (
        "harness",
        &[
            "registry-api",
            "registry-attach",
            "registry-core",
            "registry-http",
            "registry-json",
            "registry-redb",
            "registry-sled",
            "registry-sqlite",
            "registry-ws",
        ],
    ),
    (
        "fuzz",
        &[
            "harness",
            "registry-api",
            "registry-attach",
            "registry-core",
            "registry-http",
            "registry-json",
            "registry-ws",
        ],
    ),
    ("histories", &["harness", "registry-core"]),
    ("models", &[]),
    ("powercut", &["harness", "registry-core"]),
    ("xtask", &["harness", "registry-api", "registry-http"]),
];

/// What the core with one backend must not bring along.
const HEAVY: &[&str] = &["tokio", "axum", "hyper", "clap"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    path: Option<String>,
}

/// The workspace's crates.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let output = cargo(&["metadata", "--format-version", "1", "--no-deps"])?;
    let metadata: Metadata = serde_json::from_str(&output).context("read cargo's metadata")?;
    Ok(metadata.packages)
}

/// Adds what is wrong with the arrows.
pub(crate) fn check(problems: &mut Vec<String>) -> Result<()> {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for package in packages()? {
        let Some(allowed) = allowed.get(package.name.as_str()) else {
            problems.push(format!(
                "{} has no place in the table of arrows",
                package.name
            ));
            continue;
        };
        let ours = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.path.is_some());
        for dependency in ours.filter(|dependency| !allowed.contains(&dependency.name.as_str())) {
            problems.push(format!(
                "{} must not depend on {}",
                package.name, dependency.name
            ));
        }
    }
    for package in BACKENDS.iter().chain(&["registry-core"]) {
        let tree = cargo(&[
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])?;
        let names: BTreeSet<&str> = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        for heavy in HEAVY.iter().filter(|heavy| names.contains(**heavy)) {
            problems.push(format!("{package} brings {heavy} along"));
        }
    }
    Ok(())
}

/// Runs cargo in the workspace, and answers what it printed.
pub(crate) fn cargo(arguments: &[&str]) -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(root())
        .output()
        .context("run cargo")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "cargo {}: {stderr}",
        arguments.join(" ")
    );
    Ok(String::from_utf8(output.stdout)?)
}
