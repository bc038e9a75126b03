//! Reads what can still be read of a damaged store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use registry_core::{Finding, Result, Salvage, contain};
use rusqlite::{Connection, OpenFlags, Row};

use crate::error::Fault;
use crate::rows::{HeadRow, LogRow};
use crate::tables::Table;
use crate::verify::place;
use crate::{BACKEND, copy, schema};

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
    let log = Scan {
        connection: &connection,
        table: "log",
        key: &["revision"],
    };
    let entries = log.run(LogRow::select, entry, &mut losses);
    let mut records = BTreeMap::new();
    for table in Table::ALL {
        if !schema::has_object(&connection, table.name)? {
            losses.extend(missing(&connection, &table)?);
            continue;
        }
        let scan = Scan {
            connection: &connection,
            table: table.name,
            key: table.key,
        };
        let record = |row: &Row<'_>| {
            let record = table.read(row)?.record;
            Ok((record.key().clone(), record))
        };
        records.extend(scan.run(|rest| table.select(rest), record, &mut losses));
    }
    Ok(Salvage {
        entries: entries.into_values().collect(),
        records: records.into_values().collect(),
        losses,
    })
}

/// A table that is not there, which a file of the first layout need not have.
fn missing(connection: &Connection, table: &Table) -> Result<Option<Finding>, Fault> {
    let is_older = schema::layout(connection)? < schema::LAYOUT && table.name != "services";
    Ok((!is_older).then(|| Finding {
        place: table.name.to_owned(),
        problem: "the table is missing".to_owned(),
    }))
}

fn loss(place: &str, fault: &Fault) -> Finding {
    Finding {
        place: place.to_owned(),
        problem: fault.problem(),
    }
}

/// A table to be read row by row.
struct Scan<'a> {
    connection: &'a Connection,
    table: &'a str,
    /// The columns that it is ordered by, which come first.
    key: &'a [&'a str],
}

impl Scan<'_> {
    /// Reads a table from both ends, since a damaged page stops either way at it.
    fn run<K: Ord, V>(
        &self,
        select: impl Fn(&str) -> String,
        read: impl Fn(&Row<'_>) -> Result<(K, V), Fault>,
        losses: &mut Vec<Finding>,
    ) -> BTreeMap<K, V> {
        let mut found = BTreeMap::new();
        for direction in ["", " DESC"] {
            let columns = self.key.iter().map(|column| format!("{column}{direction}"));
            let order = columns.collect::<Vec<_>>().join(", ");
            let mut seen = Vec::new();
            let end = self.run_once(&select(&format!("ORDER BY {order}")), |row| {
                match read(row) {
                    Ok((key, value)) => drop(found.insert(key, value)),
                    Err(fault) => seen.push(loss(&place(row, self.table, self.key), &fault)),
                }
            });
            for lost in seen {
                if !losses.contains(&lost) {
                    losses.push(lost);
                }
            }
            match end {
                Ok(()) => break,
                Err(fault) => {
                    let place = format!("rows of {} by {order}", self.table);
                    losses.push(loss(&place, &fault));
                }
            }
        }
        found
    }

    fn run_once(&self, sql: &str, mut take: impl FnMut(&Row<'_>)) -> Result<(), Fault> {
        let mut select = self.connection.prepare(sql)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            take(row);
        }
        Ok(())
    }
}
