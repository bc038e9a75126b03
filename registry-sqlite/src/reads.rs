//! Reads: each within one snapshot of the file, at the head of that snapshot.

use std::sync::Arc;

use registry_core::commit::{Recent, check_changes};
use registry_core::limits::PAGE_BYTES_MAX;
use registry_core::{
    ChangePage, ChangesRequest, Committed, ErrorKind, Head, Key, LogEntry, Note, RangePage,
    RangeRequest, Revision, TransactionId, Versioned,
};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use crate::BACKEND;
use crate::error::Fault;
use crate::rows::{HeadRow, LogRow, read_id, read_note, stored};
use crate::tables::{LogKeys, Table};

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
    Table::of(key.kind()).get(connection, key)
}

/// A page of the state.
pub(crate) fn range(
    connection: &Connection,
    head: &Head,
    request: &RangeRequest,
) -> Result<RangePage, Fault> {
    let RangeRequest { kind, after, limit } = request;
    let mut records: Vec<Versioned> = Vec::new();
    let mut bytes = 0;
    let mut next = None;
    Table::of(*kind).after(connection, *kind, after.as_ref(), |record| {
        if records.len() == *limit || bytes >= PAGE_BYTES_MAX {
            next = records.last().map(|record| record.key().clone());
            return false;
        }
        bytes += record.image.body_bytes();
        records.push(record);
        true
    })?;
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
    let sql = LogRow::select("WHERE revision = ?1");
    let mut select = connection.prepare_cached(&sql)?;
    let mut page = Page::new(request.limit);
    let mut is_whole = true;
    let take = |revision: i64| {
        if page.is_full() {
            is_whole = false;
            return Ok(false);
        }
        let row = select
            .query_row([revision], |row| Ok(LogRow::read(row)))
            .optional()?;
        let place = format!("log entry {revision}");
        let row = row.ok_or_else(|| Fault::damaged(&place, "it is missing"))??;
        let entry = page.add(row)?;
        if !entry.touches(key) {
            let problem = format!("the keys of the log say that it changed {key}");
            return Err(Fault::damaged(place, problem));
        }
        Ok(true)
    };
    LogKeys::of(key.kind()).after(connection, key, after(request.after), take)?;
    Ok((page.entries, is_whole))
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
