//! The command line: noun, verb.

#![expect(
    clippy::doc_markdown,
    reason = "the comments are help texts, which a terminal shows as they are"
)]

mod ask;
mod audit;
mod client;
mod config;
mod daemon;
mod doctor;
mod entry;
mod exit;
mod instance;
mod output;
mod reconnect;
mod registry;
mod resolve;
mod service;
mod wait;
mod watch;
mod workers;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use self::output::Format;

/// A service registry: in your process, or as one binary.
#[derive(Debug, Parser)]
#[command(
    name = "harness",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
struct Cli {
    /// How data is printed.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    output: Format,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// The daemon.
    #[command(subcommand)]
    Daemon(daemon::Verb),
    /// Stores: migrate, export, import, verify, info, compact, repair.
    #[command(subcommand)]
    Registry(registry::Verb),
    /// Services, of a running daemon or straight on a path.
    #[command(subcommand)]
    Service(service::Verb),
    /// Instances: what runs of a service, and its leases.
    #[command(subcommand)]
    Instance(instance::Verb),
    /// The log: who changed what, when and why.
    #[command(subcommand)]
    Audit(audit::Verb),
    /// What would keep a daemon from running well here: evidence, and a fix, for each check.
    Doctor(doctor::DoctorArgs),
    /// The daemon's configuration.
    #[command(subcommand)]
    Config(config::Verb),
}

/// Runs the command line, and answers the exit code of `docs/operations.md`.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            // A reader that went away, such as `head`, is no failure of ours to report.
            if !exit::is_broken_pipe(&error) {
                eprintln!("harness: {}", exit::describe(&error));
            }
            exit::code_of(&error)
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let output = cli.output;
    runtime.block_on(async {
        match cli.noun {
            Noun::Daemon(verb) => daemon::run(verb).await,
            Noun::Registry(verb) => registry::run(verb, output).await,
            Noun::Service(verb) => service::run(verb, output).await,
            Noun::Instance(verb) => instance::run(verb, output).await,
            Noun::Audit(verb) => audit::run(verb, output).await,
            Noun::Doctor(args) => doctor::run(&args, output).await,
            Noun::Config(verb) => config::run(&verb, output),
        }
    })
}
