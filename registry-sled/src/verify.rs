//! Reads everything and compares everything.

use registry_core::commit::Verification;
use registry_core::{LogEntry, Result, StoreError, VerifyReport, contain};

use crate::schema::{place, revision_in};
use crate::store::BACKEND;
use crate::trees::{Published, Trees};

/// Verifies the trees against the published head. What cannot be read is a finding.
pub(crate) fn verify(trees: &Trees, published: &Published) -> VerifyReport {
    let mut verification = Verification::new(published.head.clone());
    let parts = [
        ("the head", verify_head as Part),
        ("the log", verify_log),
        ("the log's index", verify_index),
        ("the records", verify_services),
        ("the notes", |trees, _, _| trees.notes().map(drop)),
        ("the parts of long values", verify_parts),
    ];
    for (place, part) in parts {
        let read = contain(BACKEND, || part(trees, published, &mut verification));
        if let Err(error) = read {
            verification.find(place, told(&error));
        }
    }
    verification.finish()
}

type Part = fn(&Trees, &Published, &mut Verification) -> Result<()>;

/// An error with its cause.
pub(crate) fn told(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn verify_head(
    trees: &Trees,
    published: &Published,
    verification: &mut Verification,
) -> Result<()> {
    if trees.head()? != published.head {
        verification.find("the head", "the stored one is not the published one");
    }
    Ok(())
}

fn verify_log(trees: &Trees, published: &Published, verification: &mut Verification) -> Result<()> {
    for row in &trees.log {
        let (key, value) = row.map_err(|error| trees.unread(error))?;
        let Some(revision) = revision_in(&key) else {
            verification.find("the log", "a key is no revision");
            continue;
        };
        if revision <= published.head.compacted.revision {
            continue;
        }
        match trees.read_entry(revision, &value) {
            Ok(entry) => {
                verification.entry(&entry);
                verify_places(trees, &entry, verification)?;
            }
            Err(error) => verification.find(format_args!("log entry {revision}"), told(&error)),
        }
    }
    Ok(())
}

fn verify_places(trees: &Trees, entry: &LogEntry, verification: &mut Verification) -> Result<()> {
    let revision = entry.commit.revision;
    for change in &entry.commit.changes {
        let found = trees.log_keys.contains_key(place(&change.key, revision));
        if !found.map_err(|error| trees.unread(error))? {
            let problem = format!("the change of revision {revision} is not in the log's index");
            verification.find(&change.key, problem);
        }
    }
    Ok(())
}

/// Every place must lead to an entry that changed the key.
fn verify_index(
    trees: &Trees,
    published: &Published,
    verification: &mut Verification,
) -> Result<()> {
    for row in &trees.log_keys {
        let (found, _) = row.map_err(|error| trees.unread(error))?;
        let revision = revision_in(&found).unwrap_or_default();
        if revision <= published.head.compacted.revision && revision_in(&found).is_some() {
            continue;
        }
        let entry = trees.entry(revision);
        let is_right = entry.is_ok_and(|entry| {
            let mut changes = entry.commit.changes.iter();
            changes.any(|change| *place(&change.key, revision) == *found)
        });
        if !is_right {
            let place = found.escape_ascii().to_string();
            verification.find(place, "the log has no such change");
        }
    }
    Ok(())
}

fn verify_services(
    trees: &Trees,
    published: &Published,
    verification: &mut Verification,
) -> Result<()> {
    for row in &trees.services {
        // sled answers the same error for ever where it cannot go on.
        let (key, value) = row.map_err(|error| trees.unread(error))?;
        let record = match trees.read_row(&key, &value) {
            Ok(record) => record,
            Err(error) => {
                verification.find("a record", told(&error));
                continue;
            }
        };
        verification.record(&record);
        match trees.get(published, record.key()) {
            Ok(Some(found)) if found == record => {}
            Ok(_) => verification.find(record.key(), "a point read does not find it"),
            Err(error) => verification.find(record.key(), told(&error)),
        }
    }
    Ok(())
}

/// Every part must be one of a value that is there.
fn verify_parts(trees: &Trees, _: &Published, verification: &mut Verification) -> Result<()> {
    for row in &trees.parts {
        let (place, _) = row.map_err(|error| trees.unread(error))?;
        if !trees.is_in_use(&place)? {
            verification.find(place.escape_ascii(), "no value has such a part");
        }
    }
    Ok(())
}
