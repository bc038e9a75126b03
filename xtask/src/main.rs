//! Checks and generated files: `cargo xtask tidy`, `cargo xtask gen [--check]`, `cargo xtask conformance [--check]`,
//! `cargo xtask contract`, `cargo xtask autobahn [--all]`.
//!
//! Rigs: `cargo xtask fuzz`, `cargo xtask histories`, `cargo xtask powercut`, each with its options; `cargo xtask crash`,
//! the histories of one daemon that is killed; and all of them: `cargo xtask gate [--quick]`.
//! `cargo xtask gate --tools [NAME]` runs the tools of a release alone (coverage, mutants, dependencies, libFuzzer,
//! Autobahn), or those whose names begin so, and `cargo xtask gate --kept COMMIT` writes the page of what a gate that
//! was interrupted has found out so far.
//!
//! Figures: `cargo xtask bench [PART [OPTIONS] | --peers [OPTIONS] | --check]`.

mod arrows;
mod autobahn;
mod conformance;
mod contract;
mod functions;
mod gate;
mod generated;
mod rigs;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::rigs::Build;

const USAGE: &str = "usage: cargo xtask tidy | gen [--check] | conformance [--check] | contract | \
                     autobahn [--all] | fuzz [OPTIONS] | histories [OPTIONS] | powercut [OPTIONS] | \
                     crash [OPTIONS] | gate [--quick | --tools [NAME] | --kept COMMIT] | \
                     bench [PART [OPTIONS] | --peers [OPTIONS] | --check]";

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
        ["autobahn"] => autobahn::run(false),
        ["autobahn", "--all"] => autobahn::run(true),
        ["bench", options @ ..] => bench(options),
        ["fuzz" | "histories" | "powercut", ..] => {
            rigs::run(arguments[0], Build::Fast, &arguments[1..])
        }
        ["crash", options @ ..] => {
            let crash = [&["--subject", "websocket", "--daemons", "1"][..], options].concat();
            rigs::run("histories", Build::Fast, &crash)
        }
        ["gate"] => gate::run(gate::Size::Release),
        ["gate", "--quick"] => gate::run(gate::Size::Quick),
        ["gate", "--tools"] => gate::tools(""),
        ["gate", "--tools", name] => gate::tools(name),
        ["gate", "--kept", commit] => gate::write_kept(commit),
        _ => bail!(USAGE),
    }
}

/// Measures a part; all that needs nothing but the workspace where none is named.
fn bench(options: &[&str]) -> Result<()> {
    match options {
        [] => {
            bench(&["daemon", "--write"])?;
            bench(&["engine", "--write"])
        }
        ["--peers", rest @ ..] => bench(&[&["peers"], rest].concat()),
        ["--check"] => bench(&["count", "--check"]),
        _ => {
            if matches!(options, ["daemon" | "peers", ..]) {
                rigs::build_daemon()?;
            }
            rigs::run("bench", Build::Fast, options)
        }
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
