//! The Autobahn test suite against an echo on the WebSocket face's own connections.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::json;

use crate::root;

/// The suite, which needs Python 2.7.
const SUITE: &str = "autobahntestsuite";
const VERSION: &str = "25.10.1";
/// Names a Python 2.7 that is not found otherwise.
const PYTHON_VARIABLE: &str = "HARNESS_PYTHON2";
/// Large messages, and compression, which no connection offers.
const LONG_CASES: [&str; 3] = ["9.*", "12.*", "13.*"];
/// Fewer cases mean that the suite did not run.
const CASES_MIN: usize = 240;
/// Name of the echo in the report.
const AGENT: &str = "harness";
/// Starts the suite from a folder that Python does not know.
const START: &str = "import site, sys; site.addsitedir(sys.argv.pop(1)); \
                     from autobahntestsuite.wstest import run; run()";
/// What is no failure: a limit that is stricter or looser than need be, and what the suite only tells.
const KEPT: [&str; 4] = ["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"];

/// What the suite found in one case.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    behavior: String,
    behavior_close: String,
}

/// The echo, ended when it is dropped.
struct Echo {
    process: Child,
    address: String,
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Runs the suite, and fails where a case does. Without Python 2.7 or the suite it says so, and is content unless all
/// cases are asked for, as a release does.
pub(crate) fn run(is_all: bool) -> Result<()> {
    let folder = root().join("target/autobahn");
    fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let installed = find_python().and_then(|python| {
        let site = install(&python, &folder)?;
        Ok((python, site))
    });
    let (python, site) = match installed {
        Ok(installed) => installed,
        Err(reason) if is_all => return Err(reason),
        Err(reason) => {
            eprintln!("skipped: {reason:#}");
            return Ok(());
        }
    };
    let echo = Echo::start()?;
    let excluded: &[&str] = if is_all { &[] } else { &LONG_CASES };
    let asked = json!({
        "outdir": "reports",
        "servers": [{ "agent": AGENT, "url": format!("ws://{}", echo.address) }],
        "cases": ["*"],
        "exclude-cases": excluded,
        "exclude-agent-cases": {},
    });
    fs::write(folder.join("asked.json"), asked.to_string())?;
    let reports = folder.join("reports");
    if reports.exists() {
        fs::remove_dir_all(&reports)?;
    }
    let log = folder.join("log");
    let status = Command::new(python)
        .args(["-c", START])
        .arg(site)
        .args(["--mode", "fuzzingclient", "--spec", "asked.json"])
        .current_dir(&folder)
        .stdout(File::create(&log)?)
        .stderr(Stdio::inherit())
        .status()
        .context("run the suite")?;
    ensure!(status.success(), "{SUITE}: {status}, see {}", log.display());
    judge(&reports.join("index.json"))
}

/// A program that is Python 2.7.
fn find_python() -> Result<PathBuf> {
    let mut candidates: Vec<PathBuf> = env::var_os(PYTHON_VARIABLE)
        .into_iter()
        .map(PathBuf::from)
        .collect();
    candidates.extend(["python2.7", "python2", "pypy"].map(PathBuf::from));
    candidates.extend(pyenv());
    let found = candidates
        .into_iter()
        .find(|program| is_python_2_7(program));
    found.with_context(|| format!("there is no Python 2.7; {PYTHON_VARIABLE} can name one"))
}

/// Those that pyenv keeps beside the one in use.
fn pyenv() -> Vec<PathBuf> {
    let Ok(output) = Command::new("pyenv").arg("root").output() else {
        return Vec::new();
    };
    let versions = Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("versions");
    let Ok(versions) = fs::read_dir(versions) else {
        return Vec::new();
    };
    let programs = versions
        .flatten()
        .map(|version| version.path().join("bin/python2.7"));
    programs.filter(|program| program.is_file()).collect()
}

fn is_python_2_7(program: &Path) -> bool {
    let version = "import sys; sys.exit(sys.version_info[:2] != (2, 7))";
    let run = Command::new(program)
        .args(["-c", version])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    run.is_ok_and(|status| status.success())
}

/// Installs the suite into a folder of its own, whole or not at all, and answers where it is.
fn install(python: &Path, folder: &Path) -> Result<PathBuf> {
    let site = folder.join(VERSION);
    if site.is_dir() {
        return Ok(site);
    }
    let unfinished = folder.join("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    let status = Command::new(python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--target",
        ])
        .arg(&unfinished)
        .arg(format!("{SUITE}=={VERSION}"))
        .status()
        .context("run pip")?;
    ensure!(status.success(), "{SUITE} {VERSION} cannot be installed");
    fs::rename(&unfinished, &site)?;
    Ok(site)
}

impl Echo {
    /// Builds and starts it on a free port.
    fn start() -> Result<Self> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = ["--quiet", "--package", "registry-ws", "--example", "echo"];
        let status = Command::new(&cargo)
            .arg("build")
            .args(build)
            .current_dir(root())
            .status()
            .context("run cargo")?;
        ensure!(status.success(), "the echo does not build");
        let mut process = Command::new(&cargo)
            .arg("run")
            .args(build)
            .current_dir(root())
            .stdout(Stdio::piped())
            // It tells of every violation, and the suite commits many.
            .stderr(Stdio::null())
            .spawn()
            .context("start the echo")?;
        let stdout = process.stdout.take().context("the echo prints nothing")?;
        let mut echo = Self {
            process,
            address: String::new(),
        };
        BufReader::new(stdout).read_line(&mut echo.address)?;
        echo.address.truncate(echo.address.trim_end().len());
        ensure!(!echo.address.is_empty(), "the echo ended");
        Ok(echo)
    }
}

/// Counts what was found, and fails where a case did or a connection did not end as it should.
fn judge(index: &Path) -> Result<()> {
    let text = fs::read_to_string(index).context("read the report")?;
    let mut by_agent: BTreeMap<String, BTreeMap<String, Found>> = serde_json::from_str(&text)?;
    let cases = by_agent.remove(AGENT).unwrap_or_default();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for (case, found) in &cases {
        let Found {
            behavior,
            behavior_close,
        } = found;
        *counts.entry(behavior).or_default() += 1;
        let is_kept = [behavior, behavior_close]
            .iter()
            .all(|found| KEPT.contains(&found.as_str()));
        if !is_kept {
            failed.push(format!("{case}: {behavior}, its close {behavior_close}"));
        }
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(found, count)| format!("{count} {found}"))
        .collect();
    eprintln!("{} cases: {}", cases.len(), counts.join(", "));
    ensure!(
        cases.len() >= CASES_MIN,
        "expected at least {CASES_MIN} cases"
    );
    if failed.is_empty() {
        return Ok(());
    }
    bail!("{} cases failed:\n  {}", failed.len(), failed.join("\n  "))
}
