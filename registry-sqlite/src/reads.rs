//! Reads: each within one snapshot of the file, at the head of that snapshot.

use std::sync::Arc;

use registry_core::commit::{Recent, check_changes};
use registry_core::limits::PAGE_BYTES_MAX;
use registry_core::{
    ChangePage, ChangesRequest, Committed, ErrorKind, Head, Key, Kind, LogEntry, Note, RangePage,
    RangeRequest, Revision, TransactionId, Versioned,
};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::BACKEND;
use crate::error::Fault;
use crate::rows::{HeadRow, LogRow, ServiceRow, read_id, read_note, stored};

/// Reads in one snapshot.
///
/// # Errors
/// `Invalid` while somebody restores into the store.
pub(crate) fn snapshot<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection, &Head) -> Result<T, Fault>,
) -> Result<(T, Head), Fault> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
    let row = HeadRow::read(&transaction)?;
    check_ready(&row)?;
    let answer = read(&transaction, &row.head)?;
    // Nothing was written; the end of the snapshot is what counts.
    transaction.finish()?;
    Ok((answer, row.head))
}

/// # Errors
/// `Invalid` while somebody restores into the store.
pub(crate) fn check_ready(row: &HeadRow) -> Result<(), Fault> {
    if row.is_restoring {
        return Err(Fault::new(
            ErrorKind::Invalid,
            "a restore is not sealed yet",
        ));
    }
    Ok(())
}

/// The record at a key.
pub(crate) fn record(connection: &Connection, key: &Key) -> Result<Option<Versioned>, Fault> {
    let sql = ServiceRow::select("WHERE name = ?1");
    let mut select = connection.prepare_cached(&sql)?;
    let row = select
        .query_row([table_name(key)?], |row| Ok(ServiceRow::read(row)))
        .optional()?;
    row.map(|row| row?.record()).transpose()
}

/// The name of a service; other kinds have no table yet.
pub(crate) fn table_name(key: &Key) -> Result<&str, Fault> {
    match key.kind() {
        Kind::Service => Ok(key.name()),
        kind => Err(Fault::new(
            ErrorKind::Unsupported,
            format!("keep records of kind {kind}"),
        )),
    }
}

/// A page of the state.
pub(crate) fn range(
    connection: &Connection,
    head: &Head,
    request: &RangeRequest,
) -> Result<RangePage, Fault> {
    let after = request.after.as_ref().map(table_name).transpose()?;
    // No name is empty, so the empty text stands before the first.
    let sql = ServiceRow::select("WHERE name > ?1 ORDER BY name");
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query([after.unwrap_or_default()])?;
    let mut records: Vec<Versioned> = Vec::new();
    let mut bytes = 0;
    let mut next = None;
    while let Some(row) = rows.next()? {
        if records.len() == request.limit || bytes >= PAGE_BYTES_MAX {
            next = records.last().map(|record| record.key().clone());
            break;
        }
        let record = ServiceRow::read(row)?.record()?;
        bytes += record.image.body_bytes();
        records.push(record);
    }
    Ok(RangePage {
        records,
        next,
        revision: head.revision(),
    })
}

/// A page of the log.
pub(crate) fn changes(
    connection: &Connection,
    head: &Head,
    request: &ChangesRequest,
) -> Result<ChangePage, Fault> {
    check_changes(BACKEND, request, head)?;
    let (entries, is_whole) = match &request.key {
        Some(key) => entries_of(connection, key, request)?,
        None => entries(connection, head, request)?,
    };
    let through = match entries.last() {
        Some(last) if !is_whole => last.commit.revision,
        _ => head.revision().max(request.after),
    };
    Ok(ChangePage {
        entries,
        through,
        head: head.revision(),
    })
}

/// Log entries of a page, and whether there are no more.
type Entries = (Vec<Arc<LogEntry>>, bool);

fn entries(
    connection: &Connection,
    head: &Head,
    request: &ChangesRequest,
) -> Result<Entries, Fault> {
    let sql = LogRow::select("WHERE revision > ?1 ORDER BY revision");
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query([after(request.after)])?;
    let mut page = Page::new(request.limit);
    let mut expected = request.after.next();
    while expected <= head.revision() {
        if page.is_full() {
            return Ok((page.entries, false));
        }
        let row = rows.next()?.map(LogRow::read).transpose()?;
        let row = row.ok_or_else(|| missing(expected))?;
        let entry = page.add(row)?;
        if entry.commit.revision != expected {
            return Err(missing(expected));
        }
        expected = expected.next();
    }
    Ok((page.entries, true))
}

fn entries_of(
    connection: &Connection,
    key: &Key,
    request: &ChangesRequest,
) -> Result<Entries, Fault> {
    let sql = "SELECT revision FROM log_keys WHERE kind = ?1 AND name = ?2 AND revision > ?3 \
        ORDER BY revision";
    let mut select_keys = connection.prepare_cached(sql)?;
    let mut keys = select_keys.query(params![
        key.kind().as_str(),
        key.name().as_str(),
        after(request.after)
    ])?;
    let sql = LogRow::select("WHERE revision = ?1");
    let mut select = connection.prepare_cached(&sql)?;
    let mut page = Page::new(request.limit);
    while let Some(found) = keys.next()? {
        if page.is_full() {
            return Ok((page.entries, false));
        }
        let revision: i64 = found.get(0)?;
        let row = select
            .query_row([revision], |row| Ok(LogRow::read(row)))
            .optional()?;
        let place = format!("log entry {revision}");
        let row = row.ok_or_else(|| Fault::damaged(&place, "it is missing"))??;
        let entry = page.add(row)?;
        if !entry.commit.changes.iter().any(|change| change.key == *key) {
            let problem = format!("log_keys says that it changed {key}");
            return Err(Fault::damaged(place, problem));
        }
    }
    Ok((page.entries, true))
}

/// A cursor; one that SQLite cannot hold is after every entry.
fn after(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

fn missing(revision: Revision) -> Fault {
    Fault::damaged(format!("log entry {revision}"), "it is missing")
}

/// A page of the log under way.
struct Page {
    entries: Vec<Arc<LogEntry>>,
    limit: usize,
    bytes: usize,
}

impl Page {
    fn new(limit: usize) -> Self {
        Self {
            entries: Vec::new(),
            limit,
            bytes: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.entries.len() == self.limit || self.bytes >= PAGE_BYTES_MAX
    }

    fn add(&mut self, row: LogRow) -> Result<&LogEntry, Fault> {
        self.bytes += row.changes.len();
        self.entries.push(Arc::new(row.entry()?));
        Ok(self.entries.last().expect("one was just added"))
    }
}

/// The commit with an id, where it is in the log: reads every id. A store with a writer knows the recent ones.
pub(crate) fn find(
    connection: &Connection,
    head: &Head,
    id: TransactionId,
) -> Result<Option<Committed>, Fault> {
    let mut found = None;
    ids(
        connection,
        head.compacted.revision,
        head,
        |revision, other| {
            if other == id {
                found = Some(Committed { revision });
            }
        },
    )?;
    Ok(found)
}

/// Adds the commits after a revision to the window of recent ones.
pub(crate) fn extend_recent(
    connection: &Connection,
    recent: &mut Recent,
    known: Revision,
    head: &Head,
) -> Result<(), Fault> {
    let start = known
        .max(head.compacted.revision)
        .max(Recent::starts_after(head.revision()));
    ids(connection, start, head, |revision, id| {
        recent.add(id, revision);
    })
}

/// Reads the ids of the commits after a revision, of which none may be missing.
fn ids(
    connection: &Connection,
    after: Revision,
    head: &Head,
    mut take: impl FnMut(Revision, TransactionId),
) -> Result<(), Fault> {
    let sql = "SELECT revision, id, checksum FROM log_ids WHERE revision > ?1 ORDER BY revision";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([stored(after)?])?;
    let mut last = after;
    while let Some(row) = rows.next()? {
        let (revision, id) = read_id(row)?;
        if revision != last.next() {
            return Err(missing(last.next()));
        }
        take(revision, id);
        last = revision;
    }
    if last < head.revision() {
        return Err(missing(last.next()));
    }
    Ok(())
}

/// Every note, by name.
pub(crate) fn notes(connection: &Connection) -> Result<Vec<Note>, Fault> {
    let sql = "SELECT name, content, checksum FROM notes ORDER BY name";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([])?;
    let mut notes = Vec::new();
    while let Some(row) = rows.next()? {
        notes.push(read_note(row)?);
    }
    Ok(notes)
}
