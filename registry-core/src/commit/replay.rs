//! Applies log entries that are not yet in the state that an engine stored.

use std::sync::Arc;

use super::evaluate::Write;
use crate::error::{ErrorKind, StoreError};
use crate::head::Head;
use crate::key::Key;
use crate::log::{Change, LogEntry};
use crate::record::{Image, Versioned};
use crate::revision::Revision;
use crate::store::Result;

/// Moves a head over the next log entry and answers what the entry wrote. `lookup` answers the record as of `head`.
///
/// # Errors
/// `Corrupted` where the entry is not the next one of the chain, or where it changed another record than the stored
/// one; those of `lookup`.
pub fn replay(
    backend: &'static str,
    head: &mut Head,
    entry: &LogEntry,
    lookup: &mut dyn FnMut(&Key) -> Result<Option<Versioned>>,
) -> Result<Vec<(Key, Write)>> {
    head.follow(entry)
        .map_err(|detail| StoreError::new(ErrorKind::Corrupted, backend, detail))?;
    let revision = entry.commit.revision;
    let mut writes = Vec::with_capacity(entry.commit.changes.len());
    for change in &entry.commit.changes {
        let before = lookup(&change.key)?;
        check_before(backend, revision, change, before.as_ref())?;
        let after = change.after.as_ref().map(|image| Versioned {
            image: Arc::clone(image),
            created: before.as_ref().map_or(revision, |record| record.created),
            modified: revision,
        });
        if let Some(before) = &before {
            head.tally.remove(before);
        }
        if let Some(after) = &after {
            head.tally.add(after);
        }
        writes.push((change.key.clone(), after));
    }
    Ok(writes)
}

fn check_before(
    backend: &'static str,
    revision: Revision,
    change: &Change,
    found: Option<&Versioned>,
) -> Result<()> {
    let expected = change.before.as_deref().map(Image::hash);
    let found = found.map(|record| record.image.hash());
    if expected == found {
        return Ok(());
    }
    let detail = format!("log entry {revision} changed another record than the stored one");
    Err(StoreError::new(ErrorKind::Corrupted, backend, detail).at_key(&change.key))
}
