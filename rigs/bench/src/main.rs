//! What the registry costs.

#[expect(dead_code, reason = "its parts come next")]
mod percentiles;

use std::process::ExitCode;

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
    /// Nothing yet.
    None,
}

fn main() -> ExitCode {
    match Options::parse().part {
        Part::None => ExitCode::SUCCESS,
    }
}
