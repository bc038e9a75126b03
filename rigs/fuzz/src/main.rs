//! Fuzzes every target, each in a process of its own: `cargo xtask fuzz`.

mod supervise;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use fuzz::{Campaign, Caught, TARGETS, Target, find, read_corpus};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Most memory of a process that fuzzes, in bytes: what asks for more on an input of 64 KiB is a finding.
const MEMORY_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Feeds hostile input to everything that reads bytes.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask fuzz")]
pub(crate) struct Options {
    /// How long each target is fuzzed.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,
    /// One target; without it all.
    #[arg(long, value_parser = parse_target)]
    pub(crate) target: Option<&'static Target>,
    /// The same seed makes the same inputs.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Runs the input in a file instead.
    #[arg(long, value_name = "FILE", requires = "target")]
    replay: Option<PathBuf>,
    /// Fuzzes in this process.
    #[arg(long, hide = true, requires = "target")]
    worker: bool,
    /// Where each input is written before it is run.
    #[arg(long, hide = true, value_name = "FILE")]
    journal: Option<PathBuf>,
}

fn parse_target(name: &str) -> Result<&'static Target, String> {
    find(name).ok_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        format!("expected one of {}", names.join(", "))
    })
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("fuzz: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode> {
    match (options.target, &options.replay) {
        (Some(target), Some(file)) => replay(target, file),
        (Some(target), None) if options.worker => work(target, options),
        (Some(target), None) => supervise::run(&[*target], options),
        (None, _) => supervise::run(TARGETS, options),
    }
}

fn replay(target: &Target, file: &PathBuf) -> Result<ExitCode> {
    let input = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    limit_memory()?;
    match target.check(&input) {
        Ok(()) => {
            eprintln!("{}: every promise was kept", target.name);
            Ok(ExitCode::SUCCESS)
        }
        Err(Caught(problem)) => {
            eprintln!("{}: {problem}", target.name);
            Ok(ExitCode::FAILURE)
        }
    }
}

fn work(target: &'static Target, options: &Options) -> Result<ExitCode> {
    limit_memory()?;
    let corpus = read_corpus(target.name).context("read the corpus")?;
    let campaign = Campaign {
        target,
        corpus: corpus.into_iter().map(|case| case.bytes).collect(),
        seed: options.seed,
        time: Some(Duration::from_secs(options.seconds)),
        journal: options.journal.clone(),
    };
    let tally = campaign.run()?;
    eprintln!("{}: {} executions", target.name, tally.executions);
    let Some(finding) = tally.finding else {
        return Ok(ExitCode::SUCCESS);
    };
    eprintln!("{}", finding.report());
    Ok(ExitCode::FAILURE)
}

fn limit_memory() -> Result<()> {
    let limit = Rlimit {
        current: Some(MEMORY_BYTES_MAX),
        maximum: Some(MEMORY_BYTES_MAX),
    };
    setrlimit(Resource::Data, limit).context("limit the memory of this process")
}
