//! Verification: SQLite's own, every checksum, the chain, the log against the state, the columns against the records.

use registry_core::commit::Verification;
use registry_core::limits::FINDINGS_MAX;
use registry_core::{Head, LogEntry, VerifyReport};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::Fault;
use crate::rows::{LogRow, ServiceRow, read_id, read_note, stored};

/// Reads everything in one snapshot.
pub(crate) fn verify(connection: &Connection, head: &Head) -> Result<VerifyReport, Fault> {
    let mut verification = Verification::new(head.clone());
    structure(connection, &mut verification)?;
    log(connection, &mut verification)?;
    services(connection, &mut verification)?;
    notes(connection, &mut verification)?;
    Ok(verification.finish())
}

fn structure(connection: &Connection, verification: &mut Verification) -> Result<(), Fault> {
    let sql = format!("PRAGMA integrity_check({FINDINGS_MAX})");
    let mut check = connection.prepare(&sql)?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            verification.find("the database file", line);
        }
    }
    Ok(())
}

fn log(connection: &Connection, verification: &mut Verification) -> Result<(), Fault> {
    let mut select = connection.prepare(&LogRow::select("ORDER BY revision"))?;
    let mut rows = select.query([])?;
    let mut beside = Beside::new(connection)?;
    while let Some(row) = rows.next()? {
        let place: i64 = row.get(0)?;
        match LogRow::read(row).and_then(LogRow::entry) {
            Ok(entry) => {
                verification.entry(&entry);
                beside.expect(&entry, verification)?;
            }
            Err(fault) => verification.find(format_args!("log entry {place}"), fault.problem()),
        }
    }
    beside.finish(verification)
}

/// What stands beside the log must say the same as the log: the keys and the ids.
struct Beside<'c> {
    connection: &'c Connection,
    select_key: rusqlite::Statement<'c>,
    select_id: rusqlite::Statement<'c>,
    keys: u64,
    entries: u64,
}

impl<'c> Beside<'c> {
    fn new(connection: &'c Connection) -> Result<Self, Fault> {
        let key = "SELECT 1 FROM log_keys WHERE kind = ?1 AND name = ?2 AND revision = ?3";
        let id = "SELECT revision, id, checksum FROM log_ids WHERE revision = ?1";
        Ok(Self {
            connection,
            select_key: connection.prepare(key)?,
            select_id: connection.prepare(id)?,
            keys: 0,
            entries: 0,
        })
    }

    fn expect(&mut self, entry: &LogEntry, verification: &mut Verification) -> Result<(), Fault> {
        self.entries += 1;
        let revision = stored(entry.commit.revision)?;
        for change in &entry.commit.changes {
            self.keys += 1;
            let key = &change.key;
            let columns = params![key.kind().as_str(), key.name().as_str(), revision];
            if !self.select_key.exists(columns)? {
                verification.find(key, format!("log_keys lacks it at revision {revision}"));
            }
        }
        let found = self
            .select_id
            .query_row([revision], |row| Ok(read_id(row)))
            .optional()?;
        let problem = match found {
            Some(Ok((_, id))) if id == entry.commit.id => return Ok(()),
            Some(Ok((_, id))) => format!("log_ids has {id}, the log has {}", entry.commit.id),
            Some(Err(fault)) => fault.problem(),
            None => "log_ids lacks it".to_owned(),
        };
        verification.find(format_args!("the id of log entry {revision}"), problem);
        Ok(())
    }

    fn finish(self, verification: &mut Verification) -> Result<(), Fault> {
        for (table, expected) in [("log_keys", self.keys), ("log_ids", self.entries)] {
            let sql = format!("SELECT count(*) FROM {table}");
            let found: u64 = self.connection.query_row(&sql, [], |row| row.get(0))?;
            if found != expected {
                verification.find(table, format!("expected {expected} rows, found {found}"));
            }
        }
        Ok(())
    }
}

fn services(connection: &Connection, verification: &mut Verification) -> Result<(), Fault> {
    let mut select = connection.prepare(&ServiceRow::select("ORDER BY name"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let found = ServiceRow::read(row).and_then(|row| {
            let record = row.record()?;
            Ok((row, record))
        });
        match found {
            Ok((row, record)) => {
                verification.record(&record);
                // What a newer program takes from its records may differ.
                if record.image.schema().is_known() && ServiceRow::of(&record)? != row {
                    verification.find(row.place(), "the columns are not those of the record");
                }
            }
            Err(fault) => verification.find(format_args!("service {name:?}"), fault.problem()),
        }
    }
    Ok(())
}

fn notes(connection: &Connection, verification: &mut Verification) -> Result<(), Fault> {
    let mut select = connection.prepare("SELECT name, content, checksum FROM notes")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        if let Err(fault) = read_note(row) {
            verification.find("a note", fault.problem());
        }
    }
    Ok(())
}
