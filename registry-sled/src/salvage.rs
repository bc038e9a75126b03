//! What can still be read of a damaged store.

use std::path::Path;

use registry_core::{Finding, PathLock, Result, Revision, Salvage, StoreError, contain};

use crate::config::SledConfig;
use crate::disk::check_segments;
use crate::open::Engine;
use crate::schema::{Stamp, revision_in};
use crate::store::BACKEND;
use crate::trees::Trees;
use crate::verify::told;

/// Reads every log entry and every record that can be read. Writes nothing beside the store: it reads a private copy.
///
/// # Errors
/// `Locked` with the holder; `Corrupted` where sled cannot open the store at all; `Unavailable`.
pub fn salvage(path: &Path) -> Result<Salvage> {
    let lock = PathLock::share(BACKEND, path)?;
    let config = SledConfig::new(path);
    let engine = contain(BACKEND, || Engine::open_copy(&config, lock))
        .map_err(|error| error.at_path(path))?;
    let mut salvage = Salvage::default();
    for (place, read) in [
        ("the log", read_log as Part),
        ("the records", read_services),
    ] {
        let done = contain(BACKEND, || read(&engine.trees, &mut salvage));
        if let Err(error) = done {
            salvage.losses.push(loss(place, &error));
        }
    }
    if let Err(error) = check_segments(path) {
        salvage.losses.push(loss("sled's file", &error));
    }
    tell_cut(path, &mut salvage);
    Ok(salvage)
}

/// sled drops everything behind a damaged place and says nothing; the stamp knows where the log ended.
fn tell_cut(path: &Path, salvage: &mut Salvage) {
    let closed = match Stamp::read(path) {
        Ok(stamp) => stamp.closed.revision,
        Err(error) => return salvage.losses.push(loss("the stamp", &error)),
    };
    let last = salvage.entries.last();
    let last = last.map_or(Revision::ZERO, |entry| entry.commit.revision);
    if last < closed {
        salvage.losses.push(Finding {
            place: format!("log entries {} to {closed}", last.next()),
            problem: "sled no longer finds what was written after a damaged place".to_owned(),
        });
    }
}

type Part = fn(&Trees, &mut Salvage) -> Result<()>;

fn loss(place: impl Into<String>, error: &StoreError) -> Finding {
    Finding {
        place: place.into(),
        problem: told(error),
    }
}

fn read_log(trees: &Trees, salvage: &mut Salvage) -> Result<()> {
    for row in &trees.log {
        let (key, value) = row.map_err(|error| trees.unread(error))?;
        let revision = revision_in(&key).unwrap_or_default();
        match trees.read_entry(revision, &value) {
            Ok(entry) => salvage.entries.push(entry),
            Err(error) => {
                let place = format!("log entry {revision}");
                salvage.losses.push(loss(place, &error));
            }
        }
    }
    Ok(())
}

fn read_services(trees: &Trees, salvage: &mut Salvage) -> Result<()> {
    for row in &trees.services {
        // sled answers the same error for ever where it cannot go on.
        let (key, value) = row.map_err(|error| trees.unread(error))?;
        match trees.read_row(&key, &value) {
            Ok(record) => salvage.records.push(record),
            Err(error) => salvage.losses.push(loss("a record", &error)),
        }
    }
    Ok(())
}
