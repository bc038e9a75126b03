//! Reads everything and compares everything.

use std::path::Path;

use redb::{ReadableTable, ReadableTableMetadata};
use registry_core::commit::{Verification, Write};
use registry_core::{LogEntry, Result, StoreError, VerifyReport, contain};

use crate::store::BACKEND;
use crate::view::{View, read_group, read_record};

/// Verifies what a view sees. What cannot be read is a finding.
pub(crate) fn verify(path: &Path, view: &View<'_>) -> VerifyReport {
    let snapshot = &view.snapshot;
    let mut verification = Verification::new(snapshot.head.clone());
    let parts = [
        ("the head", verify_head as Part),
        ("the log", verify_log),
        ("the records", verify_state),
        ("the notes", |_, view, _| view.notes().map(drop)),
    ];
    for (place, part) in parts {
        let read = contain(BACKEND, || part(path, view, &mut verification));
        if let Err(error) = read {
            verification.find(place, told(&error));
        }
    }
    verification.finish()
}

type Part = fn(&Path, &View<'_>, &mut Verification) -> Result<()>;

/// An error with its cause.
pub(crate) fn told(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn verify_head(_: &Path, view: &View<'_>, verification: &mut Verification) -> Result<()> {
    let (stored, known) = (view.folded_head()?, &view.snapshot.head);
    if stored.compacted != known.compacted {
        let problem = format!(
            "expected the log to begin after {:?}, found {:?}",
            known.compacted, stored.compacted
        );
        verification.find("the head", problem);
    }
    if view.snapshot.entries.is_empty() && stored != *known {
        verification.find("the head", "the stored one is not the one that was opened");
    }
    Ok(())
}

fn verify_log(path: &Path, view: &View<'_>, verification: &mut Verification) -> Result<()> {
    let head = view.snapshot.head.revision();
    let mut indexed = 0;
    for group in view.log.iter().map_err(|error| view.unread(error))? {
        let (first, stored) = group.map_err(|error| view.unread(error))?;
        let first = first.value();
        match read_group(path, first, stored.value()) {
            Ok(entries) => {
                let entries = entries.iter().filter(|entry| entry.commit.revision <= head);
                for entry in entries {
                    verification.entry(entry);
                    if entry.commit.revision <= view.snapshot.folded {
                        indexed += entry.commit.changes.len() as u64;
                        verify_index(view, entry, verification)?;
                    }
                }
            }
            Err(error) => verification.find(format_args!("log value {first}"), told(&error)),
        }
    }
    let found = view.log_keys.len().map_err(|error| view.unread(error))?;
    if found != indexed {
        let problem = format!("expected {indexed} places, found {found}");
        verification.find("the log's index", problem);
    }
    Ok(())
}

fn verify_index(view: &View<'_>, entry: &LogEntry, verification: &mut Verification) -> Result<()> {
    let revision = entry.commit.revision;
    for change in &entry.commit.changes {
        let place = (&change.key.to_bytes()[..], revision.0);
        let found = view.log_keys.get(place);
        if found.map_err(|error| view.unread(error))?.is_none() {
            let problem = format!("the change of revision {revision} is not in the log's index");
            verification.find(&change.key, problem);
        }
    }
    Ok(())
}

fn verify_state(path: &Path, view: &View<'_>, verification: &mut Verification) -> Result<()> {
    let mut overlay = view.snapshot.writes.iter().peekable();
    for row in view.state.iter().map_err(|error| view.unread(error))? {
        let (key, value) = row.map_err(|error| view.unread(error))?;
        let record = match read_record(path, key.value(), value.value()) {
            Ok(record) => record,
            Err(error) => {
                let place = key.value().escape_ascii().to_string();
                verification.find(place, told(&error));
                continue;
            }
        };
        while let Some((_, write)) = overlay.next_if(|(key, _)| *key < record.key()) {
            take(verification, write);
        }
        match overlay.next_if(|(key, _)| *key == record.key()) {
            Some((_, write)) => take(verification, write),
            None => verify_found(view, &record, verification),
        }
    }
    for (_, write) in overlay {
        take(verification, write);
    }
    Ok(())
}

fn take(verification: &mut Verification, write: &Write) {
    if let Some(record) = write {
        verification.record(record);
    }
}

/// A point read takes another way through the pages than the scan that found the record.
fn verify_found(
    view: &View<'_>,
    record: &registry_core::Versioned,
    verification: &mut Verification,
) {
    verification.record(record);
    match view.get(record.key()) {
        Ok(Some(found)) if found == *record => {}
        Ok(_) => verification.find(record.key(), "a point read does not find it"),
        Err(error) => verification.find(record.key(), told(&error)),
    }
}
