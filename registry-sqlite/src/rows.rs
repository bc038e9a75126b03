//! Rows and what they stand for. Each row has a checksum over all of its other columns.

use registry_core::model::{ExecutionInfo, Location, ServiceEntry};
use registry_core::portable::{self, PortableChange, PortableEntry};
use registry_core::{
    Anchor, Counts, ErrorKind, Hash, Head, Image, Kind, LogEntry, Note, Revision, SCHEMA,
    SchemaVersion, Tally, TransactionId, Versioned,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Fault;

/// A checksum over columns, each with its length, so that no text can pass into the next.
struct Sum(crc32fast::Hasher);

impl Sum {
    fn new(table: &str) -> Self {
        Self(crc32fast::Hasher::new()).bytes(table.as_bytes())
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    fn texts<const N: usize>(self, texts: [&str; N]) -> Self {
        texts
            .into_iter()
            .fold(self, |sum, text| sum.bytes(text.as_bytes()))
    }

    fn maybe(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.bytes(b"+").bytes(text.as_bytes()),
            None => self.bytes(b"-"),
        }
    }

    fn number(self, number: i64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    fn check(self, place: impl FnOnce() -> String, stored: i64) -> Result<(), Fault> {
        let found = self.finish();
        if found == stored {
            return Ok(());
        }
        let problem = format!("expected checksum {stored:08x}, found {found:08x}");
        Err(Fault::damaged(place(), problem))
    }

    fn finish(self) -> i64 {
        i64::from(self.0.finalize())
    }
}

/// A revision as SQLite keeps it: signed.
pub(crate) fn stored(revision: Revision) -> Result<i64, Fault> {
    i64::try_from(revision.0).map_err(|_| {
        let detail = format!("expected a revision below 2^63, found {revision}");
        Fault::new(ErrorKind::Invalid, detail)
    })
}

fn revision(place: &str, stored: i64) -> Result<Revision, Fault> {
    u64::try_from(stored)
        .map(Revision)
        .map_err(|_| Fault::damaged(place, format!("expected a revision, found {stored}")))
}

fn hash(place: &str, text: &str) -> Result<Hash, Fault> {
    text.parse().map_err(|error| Fault::damaged(place, error))
}

fn schema(place: &str, text: &str) -> Result<SchemaVersion, Fault> {
    let (major, minor) = text.split_once('.').unwrap_or_default();
    match (major.parse(), minor.parse()) {
        (Ok(major), Ok(minor)) => Ok(SchemaVersion { major, minor }),
        _ => Err(Fault::damaged(
            place,
            format!("expected a schema such as {SCHEMA}, found {text:?}"),
        )),
    }
}

fn json<T: DeserializeOwned>(place: &str, text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::damaged(place, error))
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("values of the model have text keys and no failing parts")
}

/// A row of `services`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServiceRow {
    pub(crate) name: String,
    version: String,
    state: String,
    health: Option<String>,
    host: Option<String>,
    execution: String,
    created: i64,
    modified: i64,
    schema: String,
    hash: String,
    pub(crate) record: String,
}

impl ServiceRow {
    const COLUMNS: &str = "name, version, state, health, host, execution, created_revision, \
        modified_revision, schema, hash, record, checksum";

    /// The statement that reads rows, with the rest of it.
    pub(crate) fn select(rest: &str) -> String {
        format!("SELECT {} FROM services {rest}", Self::COLUMNS)
    }

    /// The row of a record.
    pub(crate) fn of(record: &Versioned) -> Result<Self, Fault> {
        let Some(entry) = record.image.as_service() else {
            let detail = format!("keep {} in a table", record.key());
            return Err(Fault::new(ErrorKind::Unsupported, detail));
        };
        let health = entry.last_health_check.as_ref();
        Ok(Self {
            name: entry.name.clone(),
            version: entry.version.clone(),
            state: entry.state.as_str().to_owned(),
            health: health.map(|health| health.status.as_str().to_owned()),
            host: host(entry),
            execution: execution(entry).to_owned(),
            created: stored(record.created)?,
            modified: stored(record.modified)?,
            schema: record.image.schema().to_string(),
            hash: record.image.hash().to_string(),
            record: to_json(entry),
        })
    }

    /// Reads the columns of [`ServiceRow::select`], and checks the checksum.
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let found = Self {
            name: row.get(0)?,
            version: row.get(1)?,
            state: row.get(2)?,
            health: row.get(3)?,
            host: row.get(4)?,
            execution: row.get(5)?,
            created: row.get(6)?,
            modified: row.get(7)?,
            schema: row.get(8)?,
            hash: row.get(9)?,
            record: row.get(10)?,
        };
        found.sum().check(|| found.place(), row.get(11)?)?;
        Ok(found)
    }

    /// The record that the row stands for.
    pub(crate) fn record(&self) -> Result<Versioned, Fault> {
        let place = self.place();
        let schema = schema(&place, &self.schema)?;
        let record = portable::read_record(Kind::Service, &self.record, schema)
            .map_err(|error| Fault::damaged(&place, error))?;
        let hash = hash(&place, &self.hash)?;
        let image = Image::from_stored(record, schema, hash)
            .map_err(|error| Fault::codec(&place, &error))?;
        if image.key().name().as_str() != self.name {
            let problem = format!("the record is named {:?}", image.key().name());
            return Err(Fault::damaged(place, problem));
        }
        Ok(Versioned {
            image,
            created: revision(&place, self.created)?,
            modified: revision(&place, self.modified)?,
        })
    }

    /// Puts the row where no other or an older one is.
    pub(crate) fn put(&self, connection: &Connection) -> Result<(), Fault> {
        let sql = format!(
            "REPLACE INTO services ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            Self::COLUMNS
        );
        let mut put = connection.prepare_cached(&sql)?;
        put.execute(params![
            self.name,
            self.version,
            self.state,
            self.health,
            self.host,
            self.execution,
            self.created,
            self.modified,
            self.schema,
            self.hash,
            self.record,
            self.sum().finish(),
        ])?;
        Ok(())
    }

    pub(crate) fn place(&self) -> String {
        format!("service {:?}", self.name)
    }

    fn sum(&self) -> Sum {
        Sum::new("services")
            .texts([&self.name, &self.version, &self.state, &self.execution])
            .maybe(self.health.as_deref())
            .maybe(self.host.as_deref())
            .number(self.created)
            .number(self.modified)
            .texts([&self.schema, &self.hash, &self.record])
    }
}

/// The host that a service runs on; none for the registry's own.
fn host(entry: &ServiceEntry) -> Option<String> {
    match &entry.location {
        Location::Remote { host, .. } => Some(host.clone()),
        _ => None,
    }
}

fn execution(entry: &ServiceEntry) -> &'static str {
    match &entry.execution {
        ExecutionInfo::ManagedProcess { .. } => "managed_process",
        ExecutionInfo::DockerContainer { .. } => "docker_container",
        ExecutionInfo::SystemdService { .. } => "systemd_service",
        _ => "unknown",
    }
}

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
        let portable = PortableEntry::from(entry);
        Ok(Self {
            revision: stored(portable.revision)?,
            id: portable.id.to_string(),
            time: portable.cause.time.to_string(),
            actor: portable.cause.actor,
            action: portable.cause.action,
            reason: portable.cause.reason,
            changes: to_json(&portable.changes),
            previous: portable.previous.to_string(),
            hash: portable.hash.to_string(),
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
        let changes: Vec<PortableChange> = json(&place, &self.changes)?;
        let damaged = |error: &dyn std::error::Error| Fault::damaged(&place, error);
        let portable = PortableEntry {
            revision: revision(&place, self.revision)?,
            id: id(&place, &self.id)?,
            cause: registry_core::Cause {
                time: self.time.parse().map_err(|error| damaged(&error))?,
                actor: self.actor,
                action: self.action,
                reason: self.reason,
            },
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

/// Puts a note where no other or an older one is.
pub(crate) fn put_note(connection: &Connection, note: &Note) -> Result<(), Fault> {
    let sql = "REPLACE INTO notes (name, content, checksum) VALUES (?1, ?2, ?3)";
    let mut put = connection.prepare_cached(sql)?;
    put.execute(params![note.name, note.content, note_sum(note).finish()])?;
    Ok(())
}

/// Reads name, content and checksum of a note.
pub(crate) fn read_note(row: &Row<'_>) -> Result<Note, Fault> {
    let note = Note {
        name: row.get(0)?,
        content: row.get(1)?,
    };
    note_sum(&note).check(|| format!("note {:?}", note.name), row.get(2)?)?;
    Ok(note)
}

fn note_sum(note: &Note) -> Sum {
    Sum::new("notes")
        .bytes(note.name.as_bytes())
        .bytes(&note.content)
}
