//! The command line.

use std::str::FromStr;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use harness::backends::Backend;

use crate::controls;
use crate::cuts::{Case, Starts, run_positions, run_series};
use crate::disk::{Model, Survival};
use crate::faults;
use crate::flips;
use crate::kills;
use crate::mount;
use crate::report::Report;
use crate::rig::Rig;
use crate::script::Scenario;

/// The backends that keep anything.
const BACKENDS: [Backend; 4] = [Backend::Json, Backend::Redb, Backend::Sled, Backend::Sqlite];
/// Cuts for each backend where nothing else is asked for.
const CUTS: u64 = 100;
/// Fewest cuts of a series, where there are so many: the second one is the first that lands in a recovery.
const SERIES_MIN: u64 = 4;

/// One of some values, or all of them.
#[derive(Debug, Clone)]
struct Choice<T>(Vec<T>);

impl<T: ValueEnum> FromStr for Choice<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(T::value_variants().to_vec()));
        }
        T::from_str(text, false).map(|value| Self(vec![value]))
    }
}

impl<T> Choice<T> {
    fn at(&self, index: u64) -> &T {
        let length = self.0.len() as u64;
        let index = usize::try_from(index % length).expect("an index is below a length");
        &self.0[index]
    }
}

fn backends(text: &str) -> Result<Choice<Backend>, String> {
    if text == "all" {
        return Ok(Choice(BACKENDS.to_vec()));
    }
    let backend: Backend = text.parse()?;
    if backend == Backend::Memory {
        return Err("memory survives nothing".to_owned());
    }
    Ok(Choice(vec![backend]))
}

/// Cuts the power under a store, and looks what is left.
#[derive(Debug, Parser)]
#[command(name = "powercut")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
struct Options {
    /// json, redb, sled, sqlite or all.
    #[arg(long, default_value = "all", value_parser = backends)]
    backend: Choice<Backend>,
    /// Cuts for each backend, over all scenarios, models and survivals asked for; 100 where nothing else is asked for.
    #[arg(long)]
    cuts: Option<u64>,
    /// Where cuts land: commit, create, recover, compact, migrate, takeover, rewrite or all.
    #[arg(long, default_value = "commit")]
    scenario: Choice<Scenario>,
    /// What a sync makes durable: ext4, strict, sfr or all.
    #[arg(long, default_value = "all")]
    model: Choice<Model>,
    /// What becomes of unsynced changes: drop, prefix, random or all.
    #[arg(long, default_value = "all")]
    survival: Choice<Survival>,
    /// Makes a run repeatable, as far as the threads of an engine allow.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Cuts once at each operation of a script of 200 commands.
    #[arg(long)]
    every_position: bool,
    /// Fails each operation of a script in each way that it can fail.
    #[arg(long)]
    faults: bool,
    /// Kills so many processes, on a real folder.
    #[arg(long, default_value_t = 0)]
    kills: u64,
    /// Flips so many bits in the files of a closed store, one at a time.
    #[arg(long, default_value_t = 0)]
    bit_flips: u64,
    /// Cuts with settings that are known to be bad, which must show.
    #[arg(long)]
    controls: bool,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Options {
    fn cuts(&self) -> u64 {
        let is_alone = !(self.every_position || self.faults || self.controls)
            && self.kills + self.bit_flips == 0;
        self.cuts.unwrap_or(if is_alone { CUTS } else { 0 })
    }

    fn needs_mount(&self) -> bool {
        self.cuts() > 0 || self.every_position || self.faults || self.controls
    }

    /// Combinations of a scenario, a model and a survival.
    fn combinations(&self) -> u64 {
        (self.scenario.0.len() * self.model.0.len() * self.survival.0.len()) as u64
    }

    /// Cuts of one series: where there are few in all, more combinations are better than long series.
    fn series_max(&self) -> u64 {
        (self.cuts() / self.combinations()).max(SERIES_MIN)
    }

    /// The circumstances of the n-th series. Every combination comes in turn.
    fn case(&self, backend: Backend, number: u64) -> Case {
        let (scenarios, models) = (self.scenario.0.len() as u64, self.model.0.len() as u64);
        let combination = scattered(number, self.combinations());
        Case {
            backend,
            scenario: *self.scenario.at(combination),
            model: *self.model.at(combination / scenarios),
            survival: *self.survival.at(combination / scenarios / models),
            seed: self.seed.wrapping_add(number),
        }
    }
}

/// The n-th of `count` numbers in an order of no rule, which is the same in each run; then all over again.
fn scattered(number: u64, count: u64) -> u64 {
    let mut order: Vec<u64> = (0..count).collect();
    fastrand::Rng::with_seed(count).shuffle(&mut order);
    let index = usize::try_from(number % count).expect("an index is below a length");
    order[index]
}

/// Does what the command line says. Answers whether every promise was kept.
pub(crate) fn run() -> Result<bool> {
    let options = Options::parse();
    let rig = Rig::new()?;
    if options.needs_mount()
        && let Err(reason) = mount::check_possible(&rig.point())
    {
        print(&format!("skipped: {reason}"));
        return Ok(true);
    }
    let mut report = Report::default();
    let mut starts = Starts::default();
    for backend in &options.backend.0 {
        run_backend(&options, &rig, &mut starts, *backend, &mut report)?;
    }
    if options.json {
        print(&report.to_json().to_string());
    } else {
        print(report.to_text().trim_end());
    }
    Ok(report.is_good())
}

#[expect(
    clippy::print_stdout,
    reason = "the report is what this program is for"
)]
fn print(text: &str) {
    println!("{text}");
}

fn run_backend(
    options: &Options,
    rig: &Rig,
    starts: &mut Starts,
    backend: Backend,
    report: &mut Report,
) -> Result<()> {
    let seed = options.seed;
    let mut left = options.cuts();
    let mut number = 0;
    while left > 0 {
        let case = options.case(backend, number);
        let most = left.min(options.series_max());
        left -= run_series(rig, starts, case, most, report)?;
        number += 1;
    }
    if options.every_position {
        let case = |number| options.case(backend, number);
        run_positions(rig, case, backend, report)?;
    }
    if options.faults {
        faults::run(rig, backend, seed, report)?;
    }
    kills::run(rig, backend, options.kills, seed, report)?;
    if options.bit_flips > 0 {
        flips::run(rig, backend, options.bit_flips, seed, report)?;
    }
    if options.controls {
        controls::run(rig, starts, backend, seed, report)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_comes_once_in_turn() {
        for count in 1..60 {
            let mut all: Vec<u64> = (0..count).map(|number| scattered(number, count)).collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..count), "{count}");
        }
    }
}
