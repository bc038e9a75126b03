//! What every backend does alike around its own storage: evaluate a group, remember recent ids, publish the head,
//! check a restore, verify.
//!
//! These are functions and values, no second trait: a backend calls them between its own reads and writes.

mod evaluate;
mod interval;
mod page;
mod recent;
mod replay;
mod restore;
mod slot;
mod tip;
mod verify;

pub use self::evaluate::{Evaluation, Lookup, Write, check_group, evaluate};
pub use self::interval::IntervalSync;
pub use self::page::{ChangeCollector, RangeCollector};
pub use self::recent::Recent;
pub use self::replay::replay;
pub use self::restore::Restoration;
pub use self::slot::{EngineRef, EngineSlot, Shared, WriterRef, WriterSlot};
pub use self::tip::Tip;
pub use self::verify::Verification;

use crate::error::StoreError;
use crate::limits::{CHANGES_PAGE_MAX, NAME_BYTES_MAX, NOTE_BYTES_MAX, NOTES_MAX, RANGE_PAGE_MAX};
use crate::revision::Revision;
use crate::store::{ChangesRequest, Note, RangeRequest, Result};
use crate::{ErrorKind, Head};

/// Checks the bounds of a range request.
///
/// # Errors
/// `LimitExceeded` for a limit of 0 or above [`RANGE_PAGE_MAX`]; `Invalid` for a cursor of another kind.
pub fn check_range(backend: &'static str, request: &RangeRequest) -> Result<()> {
    check_page(backend, "range_page_max", RANGE_PAGE_MAX, request.limit)?;
    match &request.after {
        Some(after) if after.kind() != request.kind => {
            let detail = format!(
                "expected a cursor of kind {}, found {}",
                request.kind,
                after.kind()
            );
            Err(StoreError::new(ErrorKind::Invalid, backend, detail).at_key(after))
        }
        _ => Ok(()),
    }
}

/// Checks the bounds of a changes request against the head.
///
/// # Errors
/// `LimitExceeded` for a limit of 0 or above [`CHANGES_PAGE_MAX`]; `Compacted` where the log begins later.
pub fn check_changes(backend: &'static str, request: &ChangesRequest, head: &Head) -> Result<()> {
    check_page(backend, "changes_page_max", CHANGES_PAGE_MAX, request.limit)?;
    let oldest = head.compacted.revision;
    if request.after < oldest {
        let detail = format!("the log after revision {} was asked for", request.after);
        return Err(StoreError::new(
            ErrorKind::Compacted { oldest },
            backend,
            detail,
        ));
    }
    Ok(())
}

/// Checks that a compaction ends within the log.
///
/// # Errors
/// `Invalid` for a revision after the head.
pub fn check_compact(backend: &'static str, through: Revision, head: &Head) -> Result<()> {
    if through <= head.revision() {
        return Ok(());
    }
    let detail = format!(
        "expected a revision up to the head {}, found {through}",
        head.revision()
    );
    Err(StoreError::new(ErrorKind::Invalid, backend, detail))
}

/// Checks a note against its limits; `count` is the number of notes there would be.
///
/// # Errors
/// `LimitExceeded` by name.
pub fn check_note(backend: &'static str, note: &Note, count: usize) -> Result<()> {
    let limits = [
        ("note_name_bytes_max", NAME_BYTES_MAX, note.name.len()),
        ("note_bytes_max", NOTE_BYTES_MAX, note.content.len()),
        ("notes_max", NOTES_MAX, count),
    ];
    match limits.into_iter().find(|(_, max, found)| found > max) {
        Some((name, max, found)) => Err(StoreError::limit(backend, name, max, found)),
        None => Ok(()),
    }
}

fn check_page(backend: &'static str, name: &'static str, max: usize, found: usize) -> Result<()> {
    if (1..=max).contains(&found) {
        Ok(())
    } else {
        Err(StoreError::limit(backend, name, max, found))
    }
}
