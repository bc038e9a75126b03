//! Reads what can still be read of a damaged store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use registry_core::{Finding, Result, Salvage, contain};
use rusqlite::{Connection, OpenFlags, Row};

use crate::error::Fault;
use crate::rows::{HeadRow, LogRow, ServiceRow};
use crate::{BACKEND, copy};

/// Reads whatever can still be read of a damaged store, from a private copy: nothing is written beside it.
///
/// # Errors
/// `NotFound`; `Locked` where this process has the store open; `Corrupted` where SQLite cannot read anything.
pub fn salvage(path: &Path) -> Result<Salvage> {
    contain(BACKEND, || {
        let copy = copy::copy(path)?;
        read(&copy.path).map_err(|fault| fault.at(path, "salvage the store"))
    })
}

fn read(path: &Path) -> Result<Salvage, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Fails where the file is no database at all.
    let _objects: u64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let mut losses = Vec::new();
    if let Err(fault) = HeadRow::read(&connection) {
        losses.push(loss("head", &fault));
    }
    let entry = |row: &Row<'_>| {
        let entry = LogRow::read(row)?.entry()?;
        Ok((entry.commit.revision, Arc::new(entry)))
    };
    let entries = scan(&connection, LogRow::select, "revision", entry, &mut losses);
    let record = |row: &Row<'_>| {
        let record = ServiceRow::read(row)?.record()?;
        Ok((record.key().clone(), record))
    };
    let records = scan(&connection, ServiceRow::select, "name", record, &mut losses);
    Ok(Salvage {
        entries: entries.into_values().collect(),
        records: records.into_values().collect(),
        losses,
    })
}

fn loss(place: &str, fault: &Fault) -> Finding {
    Finding {
        place: place.to_owned(),
        problem: fault.problem(),
    }
}

/// Reads a table from both ends, since a damaged page stops either way at it.
fn scan<K: Ord, V>(
    connection: &Connection,
    select: impl Fn(&str) -> String,
    column: &str,
    read: impl Fn(&Row<'_>) -> Result<(K, V), Fault>,
    losses: &mut Vec<Finding>,
) -> BTreeMap<K, V> {
    let mut found = BTreeMap::new();
    for direction in ["", " DESC"] {
        let sql = select(&format!("ORDER BY {column}{direction}"));
        let mut seen = Vec::new();
        let end = scan_one(connection, &sql, |row| match read(row) {
            Ok((key, value)) => drop(found.insert(key, value)),
            Err(fault) => seen.push(loss(&place(row, column), &fault)),
        });
        for lost in seen {
            if !losses.contains(&lost) {
                losses.push(lost);
            }
        }
        match end {
            Ok(()) => break,
            Err(fault) => losses.push(loss(&format!("rows by {column}{direction}"), &fault)),
        }
    }
    found
}

fn scan_one(
    connection: &Connection,
    sql: &str,
    mut take: impl FnMut(&Row<'_>),
) -> Result<(), Fault> {
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        take(row);
    }
    Ok(())
}

fn place(row: &Row<'_>, column: &str) -> String {
    use rusqlite::types::ValueRef;

    match row.get_ref(0) {
        Ok(ValueRef::Integer(number)) => format!("{column} {number}"),
        Ok(ValueRef::Text(text)) => format!("{column} {:?}", String::from_utf8_lossy(text)),
        _ => format!("a row by {column}"),
    }
}
