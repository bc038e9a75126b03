//! Checks and generated files: `cargo xtask tidy`, `cargo xtask gen [--check]`, `cargo xtask conformance [--check]`,
//! `cargo xtask contract`; rigs: `cargo xtask fuzz [OPTIONS]`, `cargo xtask histories [OPTIONS]`, `cargo xtask powercut [OPTIONS]`.

mod arrows;
mod conformance;
mod contract;
mod functions;
mod generated;
mod rigs;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask tidy | gen [--check] | conformance [--check] | contract | fuzz [OPTIONS] | histories [OPTIONS] | powercut [OPTIONS]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["tidy"] => tidy::run(),
        ["gen"] => generated::write(),
        ["gen", "--check"] => generated::check(),
        ["conformance"] => conformance::write(),
        ["conformance", "--check"] => conformance::check(),
        ["contract"] => contract::run(),
        ["fuzz", options @ ..] => rigs::run("fuzz", options),
        ["histories", options @ ..] => rigs::run("histories", options),
        ["powercut", options @ ..] => rigs::run("powercut", options),
        _ => bail!(USAGE),
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
