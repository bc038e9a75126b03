//! Rows of `log` and of `log_ids`.

use std::borrow::Cow;

use registry_core::portable::{PortableChange, PortableEntry};
use registry_core::{LogEntry, Revision, TransactionId};
use rusqlite::{Connection, Row, params};

use super::{Sum, hash, json, revision, stored, to_json};
use crate::error::Fault;

/// A row of `log`.
#[derive(Debug)]
pub(crate) struct LogRow {
    pub(crate) revision: i64,
    id: String,
    time: String,
    actor: String,
    action: String,
    reason: Option<String>,
    pub(crate) changes: String,
    previous: String,
    hash: String,
}

impl LogRow {
    const COLUMNS: &str =
        "revision, id, time, actor, action, reason, changes, previous, hash, checksum";

    /// The statement that reads rows, with the rest of it.
    pub(crate) fn select(rest: &str) -> String {
        format!("SELECT {} FROM log {rest}", Self::COLUMNS)
    }

    /// The row of an entry.
    pub(crate) fn of(entry: &LogEntry) -> Result<Self, Fault> {
        let commit = &entry.commit;
        let cause = &commit.cause;
        let changes = commit.changes.iter().map(PortableChange::from);
        Ok(Self {
            revision: stored(commit.revision)?,
            id: commit.id.to_string(),
            time: cause.time.to_string(),
            actor: cause.actor.clone(),
            action: cause.action.to_string(),
            reason: cause.reason.clone(),
            changes: to_json(&changes.collect::<Vec<_>>()),
            previous: entry.previous.to_string(),
            hash: entry.hash.to_string(),
        })
    }

    /// Reads the columns of [`LogRow::select`], and checks the checksum.
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let found = Self {
            revision: row.get(0)?,
            id: row.get(1)?,
            time: row.get(2)?,
            actor: row.get(3)?,
            action: row.get(4)?,
            reason: row.get(5)?,
            changes: row.get(6)?,
            previous: row.get(7)?,
            hash: row.get(8)?,
        };
        found.sum().check(|| found.place(), row.get(9)?)?;
        Ok(found)
    }

    /// The entry that the row stands for.
    pub(crate) fn entry(self) -> Result<LogEntry, Fault> {
        let place = self.place();
        let changes: Vec<PortableChange<'_>> = json(&place, &self.changes)?;
        let damaged = |error: &dyn std::error::Error| Fault::damaged(&place, error);
        let portable = PortableEntry {
            revision: revision(&place, self.revision)?,
            id: id(&place, &self.id)?,
            cause: Cow::Owned(registry_core::Cause {
                time: self.time.parse().map_err(|error| damaged(&error))?,
                actor: self.actor,
                action: self.action.into(),
                reason: self.reason,
            }),
            changes,
            previous: hash(&place, &self.previous)?,
            hash: hash(&place, &self.hash)?,
        };
        portable
            .try_into()
            .map_err(|error| Fault::codec(&place, &error))
    }

    /// Appends the row.
    pub(crate) fn insert(&self, connection: &Connection) -> Result<(), Fault> {
        let sql = format!(
            "INSERT INTO log ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            Self::COLUMNS
        );
        let mut insert = connection.prepare_cached(&sql)?;
        insert.execute(params![
            self.revision,
            self.id,
            self.time,
            self.actor,
            self.action,
            self.reason,
            self.changes,
            self.previous,
            self.hash,
            self.sum().finish(),
        ])?;
        Ok(())
    }

    pub(crate) fn place(&self) -> String {
        format!("log entry {}", self.revision)
    }

    fn sum(&self) -> Sum {
        Sum::new("log")
            .number(self.revision)
            .texts([&self.id, &self.time, &self.actor, &self.action])
            .maybe(self.reason.as_deref())
            .texts([&self.changes, &self.previous, &self.hash])
    }
}

fn id(place: &str, text: &str) -> Result<TransactionId, Fault> {
    text.parse().map_err(|error| Fault::damaged(place, error))
}

/// Adds the id of a commit.
pub(crate) fn insert_id(
    connection: &Connection,
    id: TransactionId,
    revision: Revision,
) -> Result<(), Fault> {
    let sql = "INSERT INTO log_ids (revision, id, checksum) VALUES (?1, ?2, ?3)";
    let (number, text) = (stored(revision)?, id.to_string());
    let sum = id_sum(number, &text).finish();
    connection
        .prepare_cached(sql)?
        .execute(params![number, text, sum])?;
    Ok(())
}

/// Reads revision, id and checksum of a commit.
pub(crate) fn read_id(row: &Row<'_>) -> Result<(Revision, TransactionId), Fault> {
    let (number, text): (i64, String) = (row.get(0)?, row.get(1)?);
    let place = format!("id of log entry {number}");
    id_sum(number, &text).check(|| place.clone(), row.get(2)?)?;
    Ok((revision(&place, number)?, id(&place, &text)?))
}

fn id_sum(revision: i64, id: &str) -> Sum {
    Sum::new("log_ids").number(revision).bytes(id.as_bytes())
}
