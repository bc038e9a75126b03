//! Verification: SQLite's own, every checksum, the chain, the log against the state, the columns against the records.

use registry_core::commit::Verification;
use registry_core::limits::FINDINGS_MAX;
use registry_core::{Change, Head, LogEntry, VerifyReport};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::error::Fault;
use crate::rows::{LogRow, read_id, read_note, stored};
use crate::tables::{LogKeys, Table};

/// Reads everything in one snapshot.
pub(crate) fn verify(connection: &Connection, head: &Head) -> Result<VerifyReport, Fault> {
    let mut verification = Verification::new(head.clone());
    structure(connection, &mut verification)?;
    log(connection, &mut verification)?;
    for table in Table::ALL {
        records(connection, &table, &mut verification)?;
    }
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
    select_id: rusqlite::Statement<'c>,
    /// Rows that each table of keys must have.
    keys: [(LogKeys, u64); 2],
    entries: u64,
}

impl<'c> Beside<'c> {
    fn new(connection: &'c Connection) -> Result<Self, Fault> {
        let id = "SELECT revision, id, checksum FROM log_ids WHERE revision = ?1";
        Ok(Self {
            connection,
            select_id: connection.prepare(id)?,
            keys: LogKeys::ALL.map(|table| (table, 0)),
            entries: 0,
        })
    }

    fn expect(&mut self, entry: &LogEntry, verification: &mut Verification) -> Result<(), Fault> {
        self.entries += 1;
        let revision = stored(entry.commit.revision)?;
        for Change { key, .. } in &entry.commit.changes {
            let table = LogKeys::of(key.kind());
            let mut counts = self.keys.iter_mut();
            if let Some((_, count)) = counts.find(|(counted, _)| *counted == table) {
                *count += 1;
            }
            if !table.has(self.connection, key, revision)? {
                let problem = format!("{} lacks it at revision {revision}", table.name);
                verification.find(key, problem);
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
        let keys = self.keys.map(|(table, count)| (table.name, count));
        for (table, expected) in keys.into_iter().chain([("log_ids", self.entries)]) {
            let sql = format!("SELECT count(*) FROM {table}");
            let found: u64 = self.connection.query_row(&sql, [], |row| row.get(0))?;
            if found != expected {
                verification.find(table, format!("expected {expected} rows, found {found}"));
            }
        }
        Ok(())
    }
}

fn records(
    connection: &Connection,
    table: &Table,
    verification: &mut Verification,
) -> Result<(), Fault> {
    let mut select = connection.prepare(&table.select(&table.order()))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        match table.read(row) {
            Ok(read) => {
                verification.record(&read.record);
                if !read.is_faithful {
                    let problem = "the columns are not those of the record";
                    verification.find(read.record.key(), problem);
                }
            }
            Err(fault) => verification.find(place(row, table.name, table.key), fault.problem()),
        }
    }
    Ok(())
}

/// A row that cannot be read, by the columns that it begins with.
pub(crate) fn place(row: &Row<'_>, table: &str, key: &[&str]) -> String {
    let column = |(index, name): (usize, &&str)| match row.get_ref(index) {
        Ok(ValueRef::Integer(number)) => format!("{name} {number}"),
        Ok(ValueRef::Text(text)) => format!("{name} {:?}", String::from_utf8_lossy(text)),
        _ => format!("an unreadable {name}"),
    };
    let columns: Vec<_> = key.iter().enumerate().map(column).collect();
    format!("{table}: {}", columns.join(", "))
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
