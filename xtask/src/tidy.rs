//! What holds for the whole tree and no compiler checks.

use std::fs;

use anyhow::{Result, bail};

use crate::arrows::{self, BACKENDS};
use crate::{functions, generated, root};

/// Files that every backend's crate has.
const BACKEND_FILES: &[&str] = &[
    "src/lib.rs",
    "src/config.rs",
    "src/store.rs",
    "src/schema.rs",
    "src/error.rs",
    "tests/conformance.rs",
    "benches/store.rs",
];
/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &[
    "utils.rs",
    "util.rs",
    "helpers.rs",
    "helper.rs",
    "manager.rs",
    "common.rs",
    "misc.rs",
];

/// Runs every check, and fails with all that is wrong.
pub(crate) fn run() -> Result<()> {
    let mut problems = Vec::new();
    arrows::check(&mut problems)?;
    functions::check(&mut problems)?;
    check_backends(&mut problems);
    check_manifests(&mut problems)?;
    check_names(&mut problems)?;
    if let Err(stale) = generated::check() {
        problems.push(format!("{stale:#}"));
    }
    if problems.is_empty() {
        eprintln!("tidy");
        return Ok(());
    }
    bail!("{} problems:\n  {}", problems.len(), problems.join("\n  "))
}

fn check_backends(problems: &mut Vec<String>) {
    for backend in BACKENDS {
        for file in BACKEND_FILES {
            if !root().join(backend).join(file).is_file() {
                problems.push(format!("{backend} has no {file}"));
            }
        }
    }
}

fn check_manifests(problems: &mut Vec<String>) -> Result<()> {
    let workspace = fs::read_to_string(root().join("Cargo.toml"))?;
    let members: Vec<&str> = workspace
        .lines()
        .skip_while(|line| *line != "members = [")
        .skip(1)
        .take_while(|line| *line != "]")
        .collect();
    if !members.is_sorted() {
        problems.push("Cargo.toml: the members are not sorted".to_owned());
    }
    let names = members.iter().filter_map(|line| line.split('"').nth(1));
    for name in names.filter(|name| name.starts_with("registry-")) {
        let is_for_speed = workspace.contains(&format!("\n{name}.opt-level = 3\n"));
        if !is_for_speed && name != "registry-conformance" {
            let problem =
                "expected `opt-level = 3` in the profile dist, which builds for size otherwise";
            problems.push(format!("Cargo.toml: {name}: {problem}"));
        }
    }
    for package in arrows::packages()? {
        let manifest = fs::read_to_string(&package.manifest_path)?;
        if !manifest.contains("[lints]\nworkspace = true") {
            problems.push(format!(
                "{} does not take the workspace's lints",
                package.manifest_path.display()
            ));
        }
    }
    Ok(())
}

fn check_names(problems: &mut Vec<String>) -> Result<()> {
    for file in functions::rust_files(&root())? {
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if EMPTY_NAMES.contains(&name.as_str()) {
            problems.push(format!("{}: the name says nothing", file.display()));
        }
    }
    Ok(())
}
