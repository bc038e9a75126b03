//! The table of cases: one file for each group.

mod atomicity;
mod chain;
mod changes;
mod closed;
mod compaction;
mod concurrency;
mod damage;
mod domain;
mod faults;
mod files;
mod groups;
mod histories;
mod idempotency;
mod keys;
mod leases;
mod limits;
mod notes;
mod openers;
mod preconditions;
mod processes;
mod range;
mod reopen;
mod restore;
mod schema;
mod wait;
mod writing;

use crate::case::{Case, Group};

const fn group(name: &'static str, cases: &'static [Case]) -> Group {
    Group { name, cases }
}

/// Every case, in the order of the report.
pub(crate) const GROUPS: &[Group] = &[
    group("atomicity", atomicity::CASES),
    group("preconditions", preconditions::CASES),
    group("groups", groups::CASES),
    group("concurrency", concurrency::CASES),
    group("idempotency", idempotency::CASES),
    group("range", range::CASES),
    group("changes", changes::CASES),
    group("compaction", compaction::CASES),
    group("chain", chain::CASES),
    group("wait", wait::CASES),
    group("limits", limits::CASES),
    group("keys", keys::CASES),
    group("notes", notes::CASES),
    group("closed", closed::CASES),
    group("reopen", reopen::CASES),
    group("openers", openers::CASES),
    group("processes", processes::CASES),
    group("files", files::CASES),
    group("damage", damage::CASES),
    group("restore", restore::CASES),
    group("schema", schema::CASES),
    group("faults", faults::CASES),
    group("histories", histories::CASES),
    group("domain", domain::CASES),
    group("writing", writing::CASES),
    group("leases", leases::CASES),
];
