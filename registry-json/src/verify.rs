//! Reads every file again and compares everything.

use std::path::Path;

use registry_core::commit::Verification;
use registry_core::{Result, StoreError, VerifyReport};

use crate::facts::Facts;
use crate::log::Index;
use crate::notes::Notes;
use crate::open::Files;
use crate::snapshot::{self, State};

/// Verifies the files against what is in memory.
pub(crate) fn verify(folder: &Path, state: &State, index: &Index) -> VerifyReport {
    let mut verification = Verification::new(state.head.clone());
    index.each_group(|first, group| match group {
        Ok(entries) => entries.iter().for_each(|entry| verification.entry(entry)),
        Err(error) => {
            verification.find(format_args!("the group of revision {first}"), told(&error));
        }
    });
    for entry in &index.pending {
        verification.entry(entry);
    }
    for record in state.records.values() {
        verification.record(record);
    }
    let parts = [
        ("the facts", verify_facts as Part),
        ("the snapshot", verify_snapshot),
        ("the notes", |folder, _| {
            Notes::read(folder)?.all().map(drop)
        }),
    ];
    for (place, part) in parts {
        if let Err(error) = part(folder, state) {
            verification.find(place, told(&error));
        }
    }
    verification.finish()
}

type Part = fn(&Path, &State) -> Result<()>;

fn verify_facts(folder: &Path, state: &State) -> Result<()> {
    let facts = Facts::read(folder)?;
    if facts.compacted == state.head.compacted {
        return Ok(());
    }
    let detail = format!(
        "expected the log to begin after {:?}, found {:?}",
        state.head.compacted, facts.compacted
    );
    Err(crate::error::damaged(folder, detail))
}

fn verify_snapshot(folder: &Path, _: &State) -> Result<()> {
    let files = Files::list(folder)?;
    let newest = files.snapshots.last();
    let newest = newest.ok_or_else(|| crate::error::damaged(folder, "the snapshot is missing"))?;
    snapshot::read(folder, *newest).map(drop)
}

/// An error with its cause.
pub(crate) fn told(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
