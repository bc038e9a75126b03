//! Rows and what they stand for. Each row has a checksum over all of its other columns.

mod head;
mod instance;
mod log;
mod note;
mod record;
mod service;
mod stamp;

use registry_core::{ErrorKind, Hash, Revision, SCHEMA, SchemaVersion, Versioned};
use rusqlite::{Connection, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use self::head::HeadRow;
pub(crate) use self::instance::InstanceRow;
pub(crate) use self::log::{LogRow, insert_id, read_id};
pub(crate) use self::note::{put_note, read_note};
pub(crate) use self::record::RecordRow;
pub(crate) use self::service::ServiceRow;
use crate::error::Fault;

/// A row of one of the tables of the state.
pub(crate) trait StateRow: PartialEq + Sized {
    /// Every column, the checksum last.
    const COLUMNS: &str;

    /// The row of a record.
    fn of(record: &Versioned) -> Result<Self, Fault>;

    /// Reads the columns, and checks the checksum.
    fn read(row: &Row<'_>) -> Result<Self, Fault>;

    /// The record that the row stands for.
    fn record(&self) -> Result<Versioned, Fault>;

    /// Puts the row where no other or an older one is.
    fn put(&self, connection: &Connection) -> Result<(), Fault>;

    /// What it is, for an error.
    fn place(&self) -> String;
}

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

/// A number as SQLite keeps it: the largest that it can where that is smaller. The record has the number itself.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
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
