//! Rows of `records`: the kinds that nobody queries by their fields.

use registry_core::{Key, Kind, Versioned};
use rusqlite::{Connection, Row, params};

use super::stamp::Stamp;
use super::{StateRow, Sum};
use crate::error::Fault;

/// A row of `records`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RecordRow {
    kind: String,
    name: String,
    stamp: Stamp,
}

impl StateRow for RecordRow {
    const COLUMNS: &str =
        "kind, name, created_revision, modified_revision, schema, hash, record, checksum";

    fn of(record: &Versioned) -> Result<Self, Fault> {
        Ok(Self {
            kind: record.key().kind().as_str().to_owned(),
            name: record.key().name().to_string(),
            stamp: Stamp::of(record)?,
        })
    }

    fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let found = Self {
            kind: row.get(0)?,
            name: row.get(1)?,
            stamp: Stamp::read(row, 2)?,
        };
        found.sum().check(|| found.place(), row.get(7)?)?;
        Ok(found)
    }

    fn record(&self) -> Result<Versioned, Fault> {
        let mut kinds = Kind::ALL.into_iter();
        let kind = kinds.find(|kind| kind.as_str() == self.kind);
        let kind = kind.ok_or_else(|| Fault::damaged(self.place(), "there is no such kind"))?;
        let is_here = |key: &Key| key.name().as_str() == self.name;
        self.stamp.record(kind, self.place(), is_here)
    }

    fn put(&self, connection: &Connection) -> Result<(), Fault> {
        let sql = format!(
            "REPLACE INTO records ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            Self::COLUMNS
        );
        connection.prepare_cached(&sql)?.execute(params![
            self.kind,
            self.name,
            self.stamp.created,
            self.stamp.modified,
            self.stamp.schema,
            self.stamp.hash,
            self.stamp.record,
            self.sum().finish(),
        ])?;
        Ok(())
    }

    fn place(&self) -> String {
        format!("{} {:?}", self.kind, self.name)
    }
}

impl RecordRow {
    fn sum(&self) -> Sum {
        let sum = Sum::new("records").texts([&self.kind, &self.name]);
        self.stamp.add_to(sum)
    }
}
