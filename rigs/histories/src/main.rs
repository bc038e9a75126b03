//! Histories: what concurrent clients did and saw, recorded and checked (`cargo xtask histories`).
//!
//! [`subject`] runs clients and watchers against the engine, against openers that share a path, and against daemons that
//! are killed; [`check`] says whether what they were answered could be.

mod check;
mod history;
mod recorder;
mod schedule;
mod subject;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};
use harness::backends::Backend;
use serde_json::json;

use crate::history::History;
use crate::workload::Plan;

/// Records what concurrent clients of the registry did and saw, and checks that it could be.
#[derive(Debug, Parser)]
#[command(name = "histories", args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// What the clients talk to.
    #[arg(long, value_enum, default_value = "engine")]
    subject: Subject,
    /// The store below openers and daemons: json, redb, sled or sqlite.
    #[arg(long, default_value = "redb")]
    backend: Backend,
    /// Histories to make.
    #[arg(long, default_value_t = 10)]
    histories: u64,
    /// Operations of each.
    #[arg(long, default_value_t = 2000)]
    operations: usize,
    /// Clients at a time.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Keys that they share.
    #[arg(long, default_value_t = 24)]
    keys: usize,
    /// Seed of the first history; each one after it has the next. The engine's are the same every time.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Checks a history that was kept instead.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Plays a daemon.
    #[command(hide = true)]
    Serve {
        #[arg(long)]
        path: PathBuf,
        #[arg(long)]
        address: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// The engine on a store in memory, every step chosen by the seed.
    Engine,
    /// Openers that share a path and are closed in turn.
    Attach,
    /// Daemons that share a path and are killed in turn, over WebSocket.
    Websocket,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if let Some(Part::Serve { path, address }) = &options.part {
        subject::serve(path, address)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(path) = &options.replay {
        let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let history: History = serde_json::from_slice(&text)?;
        return Ok(tell(check::check(&history), "the history could be"));
    }
    let mut checked = 0;
    let mut finding = None;
    for number in 0..options.histories {
        let seed = options.seed.wrapping_add(number);
        let history = options.make(seed)?;
        checked += history.operations.len();
        if let Err(problem) = check::check(&history) {
            finding = Some(format!(
                "seed {seed}: {problem}; kept in {}",
                keep(&history, seed)?
            ));
            break;
        }
    }
    let name = options
        .subject
        .to_possible_value()
        .map(|it| it.get_name().to_owned());
    if options.json {
        let report = json!({
            "subject": name, "backend": options.backend.as_str(), "histories": options.histories,
            "operations": checked, "seed": options.seed, "finding": finding,
        });
        print(&report.to_string());
        return Ok(if finding.is_none() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let sum = format!(
        "{} histories with {checked} operations: no finding",
        options.histories
    );
    Ok(tell(finding.map_or(Ok(()), Err), &sum))
}

impl Options {
    fn make(&self, seed: u64) -> Result<History> {
        let plan = Plan {
            seed,
            clients: self.clients,
            operations: self.operations,
            keys: self.keys,
        };
        match self.subject {
            Subject::Engine => subject::engine(plan),
            Subject::Attach => subject::attached(plan, self.backend),
            Subject::Websocket => subject::daemons(plan, self.backend),
        }
    }
}

fn keep(history: &History, seed: u64) -> Result<String> {
    let path = std::env::temp_dir().join(format!("history-{seed}.json"));
    std::fs::write(&path, serde_json::to_vec(history)?)?;
    Ok(path.display().to_string())
}

fn tell(checked: Result<(), String>, good: &str) -> ExitCode {
    match checked {
        Ok(()) => {
            print(good);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            print(&format!("FOUND: {problem}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the result is what this program is for"
)]
fn print(text: &str) {
    println!("{text}");
}
