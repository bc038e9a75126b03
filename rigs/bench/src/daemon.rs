//! The daemon with every backend, side by side.

use anyhow::Result;

use crate::findings::keep;
use crate::interrupt;
use crate::machine::Machine;
use crate::peers::{Options, of_subject, place};
use crate::report::daemon_text;
use crate::subject::Harness;

/// Name of the part, in files and on the page.
pub(crate) const PART: &str = "daemon";
/// Those that keep something, and the one that does not, for comparison.
const BACKENDS: [&str; 5] = ["json", "redb", "sled", "sqlite", "memory"];

/// Measures each backend in turn.
pub(crate) fn run(options: &Options) -> Result<()> {
    let plan = options.plan()?;
    let place = place()?;
    let machine = Machine::look(place.path());
    let mut all = Vec::new();
    for backend in BACKENDS {
        if !options.wants(backend, backend != "memory") {
            continue;
        }
        let backend = backend.to_owned();
        let findings = of_subject(&Harness { backend }, &plan, &machine, &place);
        // One that was cut short is not kept.
        interrupt::check()?;
        keep(PART, &findings)?;
        all.push(findings);
    }
    options.output.tell(PART, &all, &daemon_text(&all))
}
