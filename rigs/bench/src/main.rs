//! What the registry costs.

mod count;
mod entry;
#[expect(dead_code, reason = "its parts come next")]
mod percentiles;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures the registry: side by side, beside its peers, and in instructions.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Options {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Instructions of each operation, compared with those of the committed file.
    Count(count::Count),
}

fn main() -> ExitCode {
    match run(&Options::parse().part) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Answers whether everything is within its bound.
fn run(part: &Part) -> Result<bool> {
    match part {
        Part::Count(count) => count::run(count),
    }
}

#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
fn print(line: &str) {
    println!("{line}");
}
