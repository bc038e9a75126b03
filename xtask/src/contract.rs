//! Holds the daemon to its OpenAPI document: schemathesis sends it thousands of requests, good and bad.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::root;

/// Fewest requests for the run to say anything.
const CASES_MIN: u64 = 2000;
/// Tells where schemathesis is, when it is not in `PATH`.
const PROGRAM_VARIABLE: &str = "HARNESS_SCHEMATHESIS";
/// How it asks.
const FOLDER: &str = "registry-http/contract";

/// A daemon on a store of its own, ended with this.
struct Daemon {
    child: Child,
    address: String,
}

impl Daemon {
    fn start(folder: &Path) -> Result<Self> {
        let store = folder.join("registry.redb");
        let mut child = Command::new(build()?)
            .args(["daemon", "start", "--bind", "127.0.0.1:0"])
            .args(["--log-level", "warn", "--registry-path"])
            .arg(store)
            .stdout(Stdio::piped())
            .spawn()
            .context("start the daemon")?;
        let stdout = child.stdout.take().context("the daemon's output")?;
        let mut ready = String::new();
        BufReader::new(stdout).read_line(&mut ready)?;
        let address = ready
            .strip_prefix("ready ws://")
            .and_then(|rest| rest.split_once("/ws"))
            .with_context(|| format!("expected a ready line, found {ready:?}"))?
            .0
            .to_owned();
        Ok(Self { child, address })
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // There is nothing to do about one that has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Builds the binary, and answers where it is.
fn build() -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--package", "harness", "--bin"])
        .args(["harness", "--message-format", "json"])
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .context("run cargo")?;
    ensure!(output.status.success(), "the daemon does not build");
    let built = String::from_utf8(output.stdout)?;
    let program = built
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.context("cargo names no executable")
}

/// Runs schemathesis against a daemon, and fails where an answer is not what the document says.
pub(crate) fn run() -> Result<()> {
    let program = env::var_os(PROGRAM_VARIABLE).unwrap_or_else(|| OsString::from("schemathesis"));
    let asks = fs::canonicalize(root().join(FOLDER))?;
    let folder = tempfile::tempdir()?;
    let mut daemon = Daemon::start(folder.path())?;
    let log = folder.path().join("schemathesis.log");
    let status = Command::new(&program)
        .arg("--config-file")
        .arg(asks.join("schemathesis.toml"))
        .args(["run", "--no-color"])
        .arg(format!("http://{}/openapi.json", daemon.address))
        // It leaves files where it runs.
        .current_dir(folder.path())
        .env("PYTHONPATH", &asks)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("COLUMNS", "100")
        .stdout(File::create(&log)?)
        .stderr(Stdio::inherit())
        .status()
        .with_context(|| {
            format!(
                "run {}: install it (pip install schemathesis), and name it in {PROGRAM_VARIABLE}",
                program.display()
            )
        })?;
    let told = fs::read_to_string(&log)?;
    ensure!(
        status.success(),
        "{told}\nschemathesis found what the document does not say"
    );
    ensure!(!daemon.has_ended()?, "{told}\nthe daemon ended");
    let cases = cases(&told).with_context(|| format!("{told}\nno number of cases"))?;
    ensure!(
        cases >= CASES_MIN,
        "{told}\nexpected at least {CASES_MIN} cases, found {cases}"
    );
    eprintln!("{cases} requests, every answer as documented");
    Ok(())
}

/// The number in `5811 generated, 5811 passed`.
fn cases(told: &str) -> Option<u64> {
    let line = told.lines().find(|line| line.contains(" generated, "))?;
    line.split_whitespace().next()?.parse().ok()
}
