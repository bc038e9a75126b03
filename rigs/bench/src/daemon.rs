//! The daemon with every backend, side by side.

use anyhow::Result;

use crate::machine::Machine;
use crate::peers::{Options, of_subject, place};
use crate::report::daemon_text;
use crate::rounds::{Rounds, numbered};
use crate::subject::Harness;

/// Name of the part, in files and on the page.
pub(crate) const PART: &str = "daemon";
/// Those that keep something, and the one that does not, for comparison.
const BACKENDS: [&str; 5] = ["json", "redb", "sled", "sqlite", "memory"];

/// Measures each backend in turn, round by round.
pub(crate) fn run(options: &Options) -> Result<()> {
    let plan = options.plan()?;
    let place = place()?;
    let machine = Machine::look(place.path());
    let mut rounds = Rounds::new(PART);
    for _ in numbered(options.rounds)? {
        for backend in BACKENDS {
            if options.wants(backend, backend != "memory") {
                let backend = backend.to_owned();
                rounds.add(of_subject(&Harness { backend }, &plan, &machine, &place))?;
            }
        }
    }
    let all = rounds.middle();
    options.output.tell(PART, &all, &daemon_text(&all))
}
