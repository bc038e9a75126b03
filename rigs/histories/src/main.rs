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

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};
use harness::backends::Backend;
use serde_json::{Value, json};

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
    /// Daemons on the path; one alone is the crash loop.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    daemons: u8,
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
    let made = options.make_all()?;
    if options.json {
        print(&options.report(&made).to_string());
        return Ok(if made.finding.is_none() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let Made {
        operations,
        reopened,
        ..
    } = &made;
    let mut sum = format!(
        "{} histories with {operations} operations: no finding",
        options.histories
    );
    if let (Some(median), Some(max)) = (reopened.get(reopened.len() / 2), reopened.last()) {
        let (median, max) = (median.as_millis(), max.as_millis());
        let kills = reopened.len();
        // Writing to a string cannot fail.
        let _ = write!(
            sum,
            "; {kills} kills, ready again in {median} ms in the median, {max} ms at most"
        );
    }
    Ok(tell(made.finding.map_or(Ok(()), Err), &sum))
}

/// What came of all histories.
#[derive(Default)]
struct Made {
    operations: usize,
    finding: Option<String>,
    /// How long daemons took to be ready after a kill, the shortest time first.
    reopened: Vec<Duration>,
}

impl Options {
    /// Makes every history, up to the first with a finding.
    fn make_all(&self) -> Result<Made> {
        let mut made = Made::default();
        for number in 0..self.histories {
            let seed = self.seed.wrapping_add(number);
            let (history, took) = self.make(seed)?;
            made.reopened.extend(took);
            made.operations += history.operations.len();
            if let Err(problem) = check::check(&history) {
                let kept = keep(&history, seed)?;
                made.finding = Some(format!("seed {seed}: {problem}; kept in {kept}"));
                break;
            }
        }
        made.reopened.sort_unstable();
        Ok(made)
    }

    /// Makes a history, and answers how long daemons took to be ready after each kill.
    fn make(&self, seed: u64) -> Result<(History, Vec<Duration>)> {
        let plan = Plan {
            seed,
            clients: self.clients,
            operations: self.operations,
            keys: self.keys,
        };
        match self.subject {
            Subject::Engine => Ok((subject::engine(plan)?, Vec::new())),
            Subject::Attach => Ok((subject::attached(plan, self.backend)?, Vec::new())),
            Subject::Websocket => subject::daemons(plan, self.backend, usize::from(self.daemons)),
        }
    }

    fn report(&self, made: &Made) -> Value {
        let subject = self.subject.to_possible_value();
        let subject = subject.map(|value| value.get_name().to_owned());
        let reopened: Vec<_> = made.reopened.iter().map(Duration::as_millis).collect();
        json!({
            "subject": subject,
            "backend": self.backend.as_str(),
            "histories": self.histories,
            "operations": made.operations,
            "seed": self.seed,
            "finding": made.finding,
            "kills": reopened.len(),
            "reopened_ms_median": reopened.get(reopened.len() / 2),
            "reopened_ms_max": reopened.last(),
        })
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
