//! Where findings go.

use anyhow::Result;
use clap::Args;

use super::page;
use crate::findings::{Findings, kept};

/// Options of every part whose findings are kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct Output {
    /// Prints the findings as JSON
    #[arg(long)]
    json: bool,

    /// Writes the tables and charts of docs/benchmarks.md
    #[arg(long)]
    write: bool,
}

impl Output {
    /// Prints the findings, and writes the page where that was asked for.
    pub(crate) fn tell(&self, part: &str, all: &[Findings], text: &str) -> Result<()> {
        if self.json {
            crate::print(&serde_json::to_string_pretty(all)?);
        } else {
            crate::print(text);
        }
        if self.write {
            page::write(part, &kept(part)?)?;
        }
        Ok(())
    }
}
