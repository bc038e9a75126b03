//! The columns that every row of the state has: the record itself, and what it was committed with.

use registry_core::portable;
use registry_core::{Image, Key, Kind, Versioned};
use rusqlite::Row;

use super::{Sum, hash, revision, schema, stored};
use crate::error::Fault;

/// `created_revision`, `modified_revision`, `schema`, `hash` and `record`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) created: i64,
    pub(super) modified: i64,
    pub(super) schema: String,
    pub(super) hash: String,
    pub(super) record: String,
}

impl Stamp {
    pub(super) fn of(record: &Versioned) -> Result<Self, Fault> {
        Ok(Self {
            created: stored(record.created)?,
            modified: stored(record.modified)?,
            schema: record.image.schema().to_string(),
            hash: record.image.hash().to_string(),
            record: portable::write_record(record.image.record()),
        })
    }

    /// Reads the columns, which stand together from `first` on.
    pub(super) fn read(row: &Row<'_>, first: usize) -> Result<Self, Fault> {
        Ok(Self {
            created: row.get(first)?,
            modified: row.get(first + 1)?,
            schema: row.get(first + 2)?,
            hash: row.get(first + 3)?,
            record: row.get(first + 4)?,
        })
    }

    /// The record, which must belong into its row.
    pub(super) fn record(
        &self,
        kind: Kind,
        place: String,
        is_here: impl FnOnce(&Key) -> bool,
    ) -> Result<Versioned, Fault> {
        let schema = schema(&place, &self.schema)?;
        let record = portable::read_record(kind, &self.record, schema)
            .map_err(|error| Fault::damaged(&place, error))?;
        let hash = hash(&place, &self.hash)?;
        let image = Image::from_stored(record, schema, hash)
            .map_err(|error| Fault::codec(&place, &error))?;
        if !is_here(image.key()) {
            return Err(Fault::damaged(
                place,
                format!("the record is {}", image.key()),
            ));
        }
        Ok(Versioned {
            created: revision(&place, self.created)?,
            modified: revision(&place, self.modified)?,
            image,
        })
    }

    pub(super) fn add_to(&self, sum: Sum) -> Sum {
        sum.number(self.created).number(self.modified).texts([
            &self.schema,
            &self.hash,
            &self.record,
        ])
    }
}
