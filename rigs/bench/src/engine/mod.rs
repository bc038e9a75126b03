//! The registry in one process, without a socket: registrations, lookups and leases, and beside each backend the engine
//! below it alone.

mod commits;
mod cpu;
mod entries;
mod filled;
mod groups;
mod leases;
mod lookups;
mod raw;
mod steps;

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;
use harness::backends::{self, Backend, OpenOptions};

pub(crate) use self::commits::Committed;
pub(crate) use self::leases::{RENEWAL_SECONDS, TTL_SECONDS};
pub(crate) use self::lookups::{FACES, THREADS, sizes};
pub(crate) use self::raw::Replayed;
use crate::findings::{Figure, Findings, Point, Workload};
use crate::interrupt;
use crate::machine::Machine;
use crate::peers::{is_wanted, of_bound, place};
use crate::report::{Output, engine_text};
use crate::rounds::{Rounds, numbered};
use crate::session::Plan;

/// Name of the part, in files and on the page.
pub(crate) const PART: &str = "engine";
/// Those that keep something, and the one that does not, for comparison.
const BACKENDS: [Backend; 5] = [
    Backend::Json,
    Backend::Redb,
    Backend::Sled,
    Backend::Sqlite,
    Backend::Memory,
];
const LOOKUPS: &str = "lookups";
const LEASES: &str = "leases";
/// Callers that each have one registration under way.
const CALLERS: [usize; 3] = [1, 16, 64];
/// Callers whose registrations the engine alone writes again.
pub(crate) const REPLAYED: [usize; 2] = [1, 64];

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Backends to measure, by name; `lookups` and `leases` are of the store in memory
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,

    /// Length of a measurement
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,

    /// How often all of it is measured; the figures in the middle are told
    #[arg(long, default_value_t = 1)]
    rounds: usize,

    /// Services of the larger set of lookups, and instances with a lease
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,

    #[command(flatten)]
    output: Output,
}

/// Measures each backend in turn, then what happens in memory alone, round by round.
pub(crate) fn run(options: &Options) -> Result<()> {
    let plan = Plan::new(options.seconds, CALLERS.to_vec(), options.records)?;
    let place = place()?;
    let machine = Machine::look(place.path());
    let mut rounds = Rounds::new(PART);
    for _ in numbered(options.rounds)? {
        for backend in BACKENDS {
            if is_wanted(&options.only, backend.as_str(), backend != Backend::Memory) {
                let measure = |plan: &Plan, folder: &Path, findings: &mut Findings| {
                    of_backend(backend, plan, folder, findings)
                };
                rounds.add(of_bound(backend.as_str(), &plan, &machine, &place, measure))?;
            }
        }
        if is_wanted(&options.only, LOOKUPS, true) {
            rounds.add(of_bound(LOOKUPS, &plan, &machine, &place, lookups::measure))?;
        }
        if is_wanted(&options.only, LEASES, true) {
            rounds.add(of_bound(LEASES, &plan, &machine, &place, leases::measure))?;
        }
    }
    let all = rounds.middle();
    options.output.tell(PART, &all, &engine_text(&all))
}

/// Measures registrations over one backend, each number of callers on a store of its own, and right after it the engine
/// alone with what that store holds.
fn of_backend(backend: Backend, plan: &Plan, folder: &Path, findings: &mut Findings) -> Result<()> {
    for callers in plan.clients.iter().copied() {
        interrupt::check()?;
        let folder = folder.join(callers.to_string());
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("registry").with_extension(backend.extension());
        let store = backends::open(backend, &file, &OpenOptions::default())?;
        let committed = commits::measure(store, callers, plan.time)
            .with_context(|| format!("registrations of {callers} callers"))?;
        findings.points.push(point(
            Workload::Commit,
            callers,
            Figure::Committed(committed),
        ));
        if REPLAYED.contains(&callers)
            && let Some(replayed) = raw::measure(backend, &file, committed.group_commands)
                .with_context(|| format!("the engine alone, as for {callers} callers"))?
        {
            findings
                .points
                .push(point(Workload::Replay, callers, Figure::Replayed(replayed)));
        }
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

/// A measurement that has no protocol.
fn point(workload: Workload, clients: usize, figure: Figure) -> Point {
    Point {
        workload,
        face: String::new(),
        clients,
        figure,
    }
}
