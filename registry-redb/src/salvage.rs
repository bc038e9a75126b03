//! What can still be read of a damaged file.

use std::path::Path;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable};
use registry_core::{Finding, PathLock, Result, Salvage, StoreError, contain};

use crate::error;
use crate::open::open_copy;
use crate::schema::{LOG, STATE};
use crate::store::BACKEND;
use crate::verify::told;
use crate::view::{read_group, read_record};

const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Reads every log entry and every record that can be read. Writes nothing beside the store: it reads a private copy.
///
/// The records are those of the last fold; the log entries after it tell the rest.
///
/// # Errors
/// `Locked` with the holder; `Corrupted` where redb cannot open the file at all; `Unavailable`.
pub fn salvage(path: &Path) -> Result<Salvage> {
    let _lock = PathLock::share(BACKEND, path)?;
    let (mut database, _folder) =
        contain(BACKEND, || open_copy(path, CACHE_BYTES)).map_err(|error| error.at_path(path))?;
    let transaction = database
        .begin_read()
        .map_err(|error| error::engine(path, "begin a read", error))?;
    let mut salvage = Salvage::default();
    for (place, read) in [("the log", read_log as Part), ("the records", read_state)] {
        let done = contain(BACKEND, || read(path, &transaction, &mut salvage));
        if let Err(error) = done {
            salvage.losses.push(loss(place, &error));
        }
    }
    drop(transaction);
    // Closing writes, and with a damaged list of free pages that aborts the process; this mends the list in the copy.
    drop(contain(BACKEND, || {
        let checked = database.check_integrity();
        checked.map_err(|error| error::engine(path, "check the copy", error))
    }));
    salvage.entries.sort_by_key(|entry| entry.commit.revision);
    salvage
        .records
        .sort_by(|one, other| one.key().cmp(other.key()));
    Ok(salvage)
}

type Part = fn(&Path, &ReadTransaction, &mut Salvage) -> Result<()>;

fn loss(place: impl Into<String>, error: &StoreError) -> Finding {
    Finding {
        place: place.into(),
        problem: told(error),
    }
}

fn read_log(path: &Path, transaction: &ReadTransaction, salvage: &mut Salvage) -> Result<()> {
    let unread = |error: redb::Error| error::engine(path, "read the log", error);
    let log = transaction
        .open_table(LOG)
        .map_err(|it| unread(it.into()))?;
    for group in log.iter().map_err(|error| unread(error.into()))? {
        let (first, stored) = group.map_err(|error| unread(error.into()))?;
        let first = first.value();
        match read_group(path, first, stored.value()) {
            Ok(entries) => salvage.entries.extend(entries),
            Err(error) => {
                let place = format!("log value {first}");
                salvage.losses.push(loss(place, &error));
            }
        }
    }
    Ok(())
}

fn read_state(path: &Path, transaction: &ReadTransaction, salvage: &mut Salvage) -> Result<()> {
    let unread = |error: redb::Error| error::engine(path, "read the records", error);
    let state = transaction
        .open_table(STATE)
        .map_err(|error| unread(error.into()))?;
    for row in state.iter().map_err(|error| unread(error.into()))? {
        let (key, value) = row.map_err(|error| unread(error.into()))?;
        match read_record(path, key.value(), value.value()) {
            Ok(record) => salvage.records.push(record),
            Err(error) => {
                let place = key.value().escape_ascii().to_string();
                salvage.losses.push(loss(place, &error));
            }
        }
    }
    Ok(())
}
