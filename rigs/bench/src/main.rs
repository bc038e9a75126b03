//! What the registry costs.
//!
//! `bench daemon` measures the daemon with every backend, `bench peers` harness beside other servers, `bench engine` the
//! registry in one process and the engines of its backends alone, and `bench page` writes docs/benchmarks.md from what
//! was kept of these. `bench count` counts the instructions of each operation. `cargo xtask bench` builds what is
//! measured and starts it.

mod bounds;
mod count;
mod daemon;
mod engine;
mod findings;
mod interrupt;
mod load;
mod machine;
mod peers;
mod percentiles;
mod record;
mod report;
mod rounds;
mod session;
mod subject;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// As the binary's: what is counted in this process is what the daemon takes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the registry: side by side, beside its peers, and in instructions.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Options {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// The daemon with every backend, over WebSocket and HTTP
    Daemon(peers::Options),
    /// harness beside etcd, `ZooKeeper`, PostgreSQL, Redis and NATS, as far as they are installed
    Peers(peers::Options),
    /// The registry without a socket, and the engine of each backend alone beside it
    Engine(engine::Options),
    /// Instructions of each operation, compared with those of the committed file
    Count(count::Count),
    /// Writes docs/benchmarks.md from what was kept of the last runs
    Page,
    /// A bare handler, which `peers` starts
    #[command(hide = true)]
    Bare {
        #[arg(long)]
        bind: SocketAddr,
        #[arg(long)]
        answer_bytes: usize,
    },
}

fn main() -> ExitCode {
    let part = Options::parse().part;
    match run(part) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(part: Part) -> Result<()> {
    match part {
        Part::Daemon(options) => interrupt::catch().and_then(|()| daemon::run(&options)),
        Part::Peers(options) => interrupt::catch().and_then(|()| peers::run(&options)),
        Part::Engine(options) => interrupt::catch().and_then(|()| engine::run(&options)),
        Part::Count(count) => count::run(&count),
        Part::Page => report::page::write_all(),
        Part::Bare { bind, answer_bytes } => subject::serve_bare(bind, answer_bytes),
    }
}

#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
fn print(line: &str) {
    println!("{line}");
}
