//! The row of `head`.

use registry_core::{Anchor, Counts, Head, SCHEMA, SchemaVersion, Tally};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Sum, hash, json, revision, schema, stored, to_json};
use crate::error::Fault;

/// The row of `head`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeadRow {
    pub(crate) head: Head,
    /// The stamp of what is stored.
    pub(crate) schema: SchemaVersion,
    /// Whether a restore was begun that is not sealed.
    pub(crate) is_restoring: bool,
}

impl HeadRow {
    /// The head of a store where nothing was committed.
    pub(crate) fn empty() -> Self {
        Self {
            head: Head::default(),
            schema: SCHEMA,
            is_restoring: false,
        }
    }

    /// Reads the row.
    pub(crate) fn read(connection: &Connection) -> Result<Self, Fault> {
        let sql = "SELECT state, schema, revision, hash, compacted_revision, compacted_hash, \
            counts, digest, checksum FROM head WHERE id = 1";
        let mut select = connection.prepare_cached(sql)?;
        let found = select
            .query_row([], |row| Ok(HeadColumns::read(row)))
            .optional()?;
        found
            .ok_or_else(|| Fault::damaged("head", "the row is missing"))??
            .head()
    }

    /// Makes the row in a new file.
    pub(crate) fn insert(&self, connection: &Connection) -> Result<(), Fault> {
        let columns = HeadColumns::of(self)?;
        columns.write(
            connection,
            "INSERT INTO head (id, state, schema, revision, hash, compacted_revision, \
            compacted_hash, counts, digest, checksum) \
            VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )
    }

    /// Changes the row.
    pub(crate) fn update(&self, connection: &Connection) -> Result<(), Fault> {
        let columns = HeadColumns::of(self)?;
        columns.write(
            connection,
            "UPDATE head SET state = ?1, schema = ?2, revision = ?3, hash = ?4, \
            compacted_revision = ?5, compacted_hash = ?6, counts = ?7, digest = ?8, \
            checksum = ?9 WHERE id = 1",
        )
    }
}

struct HeadColumns {
    state: String,
    schema: String,
    revision: i64,
    hash: String,
    compacted_revision: i64,
    compacted_hash: String,
    counts: String,
    digest: String,
}

impl HeadColumns {
    fn of(row: &HeadRow) -> Result<Self, Fault> {
        let Head {
            last,
            compacted,
            tally,
        } = &row.head;
        Ok(Self {
            state: if row.is_restoring {
                "restoring"
            } else {
                "ready"
            }
            .to_owned(),
            schema: row.schema.to_string(),
            revision: stored(last.revision)?,
            hash: last.hash.to_string(),
            compacted_revision: stored(compacted.revision)?,
            compacted_hash: compacted.hash.to_string(),
            counts: to_json(&tally.counts),
            digest: tally.digest.to_string(),
        })
    }

    fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let found = Self {
            state: row.get(0)?,
            schema: row.get(1)?,
            revision: row.get(2)?,
            hash: row.get(3)?,
            compacted_revision: row.get(4)?,
            compacted_hash: row.get(5)?,
            counts: row.get(6)?,
            digest: row.get(7)?,
        };
        found.sum().check(|| "head".to_owned(), row.get(8)?)?;
        Ok(found)
    }

    fn head(&self) -> Result<HeadRow, Fault> {
        let place = "head";
        let counts: Counts = json(place, &self.counts)?;
        Ok(HeadRow {
            head: Head {
                last: Anchor {
                    revision: revision(place, self.revision)?,
                    hash: hash(place, &self.hash)?,
                },
                compacted: Anchor {
                    revision: revision(place, self.compacted_revision)?,
                    hash: hash(place, &self.compacted_hash)?,
                },
                tally: Tally {
                    counts,
                    digest: json(place, &to_json(&self.digest))?,
                },
            },
            schema: schema(place, &self.schema)?,
            is_restoring: self.state != "ready",
        })
    }

    fn write(&self, connection: &Connection, sql: &str) -> Result<(), Fault> {
        let changed = connection.prepare_cached(sql)?.execute(params![
            self.state,
            self.schema,
            self.revision,
            self.hash,
            self.compacted_revision,
            self.compacted_hash,
            self.counts,
            self.digest,
            self.sum().finish(),
        ])?;
        if changed == 1 {
            return Ok(());
        }
        Err(Fault::damaged("head", format!("it has {changed} rows")))
    }

    fn sum(&self) -> Sum {
        Sum::new("head")
            .texts([&self.state, &self.schema, &self.hash, &self.compacted_hash])
            .number(self.revision)
            .number(self.compacted_revision)
            .texts([&self.counts, &self.digest])
    }
}
