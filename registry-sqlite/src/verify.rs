//! Verification: SQLite's own, every checksum, the chain, the log against the state, the columns against the records.

use registry_core::commit::Verification;
use registry_core::limits::FINDINGS_MAX;
use registry_core::{Head, LogEntry, VerifyReport};
use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::rows::{LogRow, ServiceRow, read_note};

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
    let mut keys = Keys::new(connection)?;
    while let Some(row) = rows.next()? {
        let place: i64 = row.get(0)?;
        match LogRow::read(row).and_then(LogRow::entry) {
            Ok(entry) => {
                verification.entry(&entry);
                keys.expect(&entry, verification)?;
            }
            Err(fault) => verification.find(format_args!("log entry {place}"), fault.problem()),
        }
    }
    let count: u64 = connection.query_row("SELECT count(*) FROM log_keys", [], |row| row.get(0))?;
    if count != keys.count {
        let problem = format!("expected {} keys of the log, found {count}", keys.count);
        verification.find("log_keys", problem);
    }
    Ok(())
}

/// The keys that the log says there are.
struct Keys<'c> {
    select: rusqlite::Statement<'c>,
    count: u64,
}

impl<'c> Keys<'c> {
    fn new(connection: &'c Connection) -> Result<Self, Fault> {
        let sql = "SELECT 1 FROM log_keys WHERE kind = ?1 AND name = ?2 AND revision = ?3";
        Ok(Self {
            select: connection.prepare(sql)?,
            count: 0,
        })
    }

    fn expect(&mut self, entry: &LogEntry, verification: &mut Verification) -> Result<(), Fault> {
        let revision = crate::rows::stored(entry.commit.revision)?;
        for change in &entry.commit.changes {
            self.count += 1;
            let key = &change.key;
            let columns = params![key.kind().as_str(), key.name().as_str(), revision];
            if !self.select.exists(columns)? {
                verification.find(key, format!("log_keys lacks it at revision {revision}"));
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
