//! What one call of a reader sees: the tables and the overlay, as of one published head.

use std::path::Path;
use std::sync::Arc;

use imbl::{OrdMap, Vector};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata};
use registry_core::codec::{decode_log_value, decode_meta, decode_value, unseal_bytes};
use registry_core::commit::{ChangeCollector, RangeCollector, Write, check_changes};
use registry_core::{
    ChangePage, ChangesRequest, Head, Key, LogEntry, Note, RangePage, RangeRequest, Result,
    Revision, StoreError, Versioned,
};

use crate::error;
use crate::schema::{HEAD, LOG, LOG_KEYS, META, NOTES, STATE, group_of};
use crate::store::BACKEND;

/// The published head and what of it is not folded into the tables yet. A clone costs a few reference counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) head: Head,
    /// The tables are as of this revision, or of a later one up to the head.
    pub(crate) folded: Revision,
    /// What the entries after `folded` wrote.
    pub(crate) writes: OrdMap<Key, Write>,
    /// The entries after `folded`.
    pub(crate) entries: Vector<Arc<LogEntry>>,
    /// Size of the records in `entries`.
    pub(crate) bytes: usize,
}

impl Snapshot {
    /// The snapshot of a store whose tables are as of its head.
    pub(crate) fn folded(head: Head) -> Self {
        Self {
            folded: head.revision(),
            head,
            ..Self::default()
        }
    }

    /// The snapshot after more entries, which wrote `writes` and led to `head`.
    pub(crate) fn push(
        &mut self,
        entries: impl IntoIterator<Item = Arc<LogEntry>>,
        writes: impl IntoIterator<Item = (Key, Write)>,
        head: Head,
    ) {
        for entry in entries {
            self.bytes += entry.body_bytes();
            self.entries.push_back(entry);
        }
        self.writes.extend(writes);
        self.head = head;
    }
}

/// The tables in one read transaction, with the snapshot that overlays them.
pub(crate) struct View<'a> {
    path: &'a Path,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) transaction: ReadTransaction,
    pub(crate) log: ReadOnlyTable<u64, &'static [u8]>,
    pub(crate) log_keys: ReadOnlyTable<(&'static [u8], u64), u64>,
    pub(crate) state: ReadOnlyTable<&'static [u8], &'static [u8]>,
}

impl<'a> View<'a> {
    pub(crate) fn new(
        path: &'a Path,
        snapshot: Arc<Snapshot>,
        transaction: ReadTransaction,
    ) -> Result<Self> {
        let table = |error: redb::TableError| error::engine(path, "open a table", error);
        Ok(Self {
            path,
            snapshot,
            log: transaction.open_table(LOG).map_err(table)?,
            log_keys: transaction.open_table(LOG_KEYS).map_err(table)?,
            state: transaction.open_table(STATE).map_err(table)?,
            transaction,
        })
    }

    /// What the tables say the folded state adds up to.
    pub(crate) fn folded_head(&self) -> Result<Head> {
        let table = self.transaction.open_table(META);
        let table = table.map_err(|error| error::engine(self.path, "open a table", error))?;
        let stored = table.get(HEAD).map_err(|error| self.unread(error))?;
        let stored = stored.ok_or_else(|| self.damaged("the head is missing"))?;
        decode_meta(HEAD, stored.value())
            .map_err(|error| error::codec(self.path, "read the head", error))
    }

    /// The record at a key as of the snapshot's head.
    pub(crate) fn get(&self, key: &Key) -> Result<Option<Versioned>> {
        match self.snapshot.writes.get(key) {
            Some(write) => Ok(write.clone()),
            None => self.get_folded(key),
        }
    }

    /// The record in the table, which must be what the log's index says of the key.
    fn get_folded(&self, key: &Key) -> Result<Option<Versioned>> {
        let bytes = key.to_bytes();
        let stored = self
            .state
            .get(&bytes[..])
            .map_err(|error| self.unread(error))?;
        let record = stored.map(|stored| decode_value(key, stored.value()));
        let record = record
            .transpose()
            .map_err(|error| StoreError::codec(BACKEND, key, error).at_path(self.path))?;
        self.check_folded(key, &bytes, record.as_ref())?;
        Ok(record)
    }

    /// A damaged inner page of a table leads past a record, or to an older one, and redb does not tell.
    fn check_folded(&self, key: &Key, bytes: &[u8], record: Option<&Versioned>) -> Result<()> {
        let last = self.last_change(bytes, Revision(u64::MAX))?;
        let found = record.map(|record| record.modified);
        if last == found {
            return Ok(());
        }
        let is_explained = match (last, found) {
            (None, Some(modified)) => modified <= self.folded_head()?.compacted.revision,
            (Some(last), None) => {
                let entry = self.entry(last)?;
                let change = entry.commit.changes.iter().find(|it| it.key == *key);
                change.is_some_and(|change| change.after.is_none())
            }
            _ => false,
        };
        if is_explained {
            return Ok(());
        }
        let show = |revision: Option<Revision>| {
            revision.map_or_else(|| "none".to_owned(), |it| it.to_string())
        };
        let detail = format!(
            "the log last changed it at revision {}, the record says {}",
            show(last),
            show(found)
        );
        Err(self.damaged(detail).at_key(key))
    }

    /// The log entry of a revision, from the table.
    fn entry(&self, revision: Revision) -> Result<Arc<LogEntry>> {
        let group = self.group(revision)?;
        let found = group.iter().find(|it| it.commit.revision == revision);
        found.cloned().ok_or_else(|| {
            self.damaged(format!("log entry {revision} is missing in its log value"))
        })
    }

    /// The group that holds a revision, from the table.
    fn group(&self, revision: Revision) -> Result<Vec<Arc<LogEntry>>> {
        let missing = || self.damaged(format!("the log value with revision {revision} is missing"));
        let first = group_of(&self.log, revision).map_err(|error| self.unread(error))?;
        let first = first.ok_or_else(missing)?;
        let stored = self.log.get(first).map_err(|error| self.unread(error))?;
        read_group(self.path, first, stored.ok_or_else(missing)?.value())
    }

    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangePage> {
        let start = match &request.after {
            Some(after) => [after.to_bytes(), vec![0]].concat(),
            None => vec![request.kind as u8],
        };
        let end = [request.kind as u8 + 1];
        let stored = self
            .state
            .range::<&[u8]>(&start[..]..&end[..])
            .map_err(|error| self.unread(error))?
            .map(|row| self.read_row(row));
        let start = request
            .after
            .as_ref()
            .map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let overlay = self
            .snapshot
            .writes
            .range::<_, Key>((start, std::ops::Bound::Unbounded))
            .skip_while(|(key, _)| key.kind() < request.kind)
            .take_while(|(key, _)| key.kind() == request.kind);
        let mut page = RangeCollector::new(BACKEND, request);
        page.take_merged(stored, overlay)?;
        Ok(page.finish(self.snapshot.head.revision()))
    }

    fn read_row(&self, row: StateRow<'_>) -> Result<Versioned> {
        let (key, value) = row.map_err(|error| self.unread(error))?;
        read_record(self.path, key.value(), value.value())
    }

    pub(crate) fn changes(&self, request: &ChangesRequest) -> Result<ChangePage> {
        // A compaction is in the tables shortly before it is in the snapshot.
        let mut head = self.snapshot.head.clone();
        head.compacted = self.folded_head()?.compacted;
        check_changes(BACKEND, request, &head)?;
        let mut page = ChangeCollector::new(BACKEND, request, &head);
        match &request.key {
            Some(key) => self.collect_of_key(key, request.after, &mut page)?,
            None => self.collect(&mut page)?,
        }
        let key = page.key();
        let entries = self.snapshot.entries.iter();
        for entry in entries.filter(|entry| key.is_none_or(|key| entry.touches(key))) {
            page.take(entry)?;
        }
        page.finish()
    }

    fn collect(&self, page: &mut ChangeCollector<'_>) -> Result<()> {
        let folded = self.snapshot.folded;
        if page.is_done() || page.next() > folded {
            return Ok(());
        }
        let first = group_of(&self.log, page.next()).map_err(|error| self.unread(error))?;
        let groups = self.log.range(first.unwrap_or(0)..=folded.0);
        for group in groups.map_err(|error| self.unread(error))? {
            let (first, stored) = group.map_err(|error| self.unread(error))?;
            for entry in read_group(self.path, first.value(), stored.value())? {
                if entry.commit.revision <= folded {
                    page.take(&entry)?;
                }
            }
            if page.is_done() {
                break;
            }
        }
        Ok(())
    }

    fn collect_of_key(
        &self,
        key: &Key,
        after: Revision,
        page: &mut ChangeCollector<'_>,
    ) -> Result<()> {
        let bytes = key.to_bytes();
        let folded = self.snapshot.folded;
        if after >= folded {
            return Ok(());
        }
        let places = self
            .log_keys
            .range((&bytes[..], after.next().0)..=(&bytes[..], folded.0));
        let mut group: Vec<Arc<LogEntry>> = Vec::new();
        let mut last = after;
        for place in places.map_err(|error| self.unread(error))? {
            let (place, before) = place.map_err(|error| self.unread(error))?;
            let revision = Revision(place.value().1);
            if before.value() != last.0 && (last != after || before.value() > last.0) {
                let detail = format!("the change before revision {revision} is not in the index");
                return Err(self.damaged(detail).at_key(key));
            }
            last = revision;
            if group
                .last()
                .is_none_or(|last| last.commit.revision < revision)
            {
                group = self.group(revision)?;
            }
            let entry = group.iter().find(|it| it.commit.revision == revision);
            let missing = || self.damaged(format!("log entry {revision} is missing"));
            page.take(entry.ok_or_else(missing)?)?;
            if page.is_done() {
                return Ok(());
            }
        }
        // The end of the key's history must be what a search from behind finds, and what the state says it is.
        let end = self.last_change(&bytes, folded)?.unwrap_or_default();
        if end > last {
            let detail = format!("the change of revision {end} is not in the index");
            return Err(self.damaged(detail).at_key(key));
        }
        self.get_folded(key).map(drop)
    }

    /// The last change of a key in the index up to a revision, where there is one.
    fn last_change(&self, bytes: &[u8], through: Revision) -> Result<Option<Revision>> {
        let range = (bytes, 0)..=(bytes, through.0);
        let mut places = self
            .log_keys
            .range(range)
            .map_err(|error| self.unread(error))?;
        let last = places.next_back().transpose();
        let last = last.map_err(|error| self.unread(error))?;
        Ok(last.map(|(place, _)| Revision(place.value().1)))
    }

    fn notes_table(&self) -> Result<ReadOnlyTable<&'static str, &'static [u8]>> {
        let table = self.transaction.open_table(NOTES);
        table.map_err(|error| error::engine(self.path, "open a table", error))
    }

    /// The number of notes that there would be with one of this name.
    pub(crate) fn notes_with(&self, name: &str) -> Result<usize> {
        let table = self.notes_table()?;
        let is_new = table
            .get(name)
            .map_err(|error| self.unread(error))?
            .is_none();
        let count = table.len().map_err(|error| self.unread(error))?;
        Ok(usize::try_from(count)
            .unwrap_or(usize::MAX)
            .saturating_add(usize::from(is_new)))
    }

    pub(crate) fn notes(&self) -> Result<Vec<Note>> {
        let table = self.notes_table()?;
        let rows = table.iter().map_err(|error| self.unread(error))?;
        rows.map(|row| {
            let (name, content) = row.map_err(|error| self.unread(error))?;
            let name = name.value().to_owned();
            let content = unseal_bytes(&name, content.value()).map_err(|error| {
                error::codec(self.path, format!("read the note {name:?}"), error)
            })?;
            Ok(Note {
                content: content.to_vec(),
                name,
            })
        })
        .collect()
    }

    pub(crate) fn unread(&self, error: redb::StorageError) -> StoreError {
        error::engine(self.path, "read the store", error)
    }

    fn damaged(&self, detail: impl Into<String>) -> StoreError {
        error::damaged(self.path, detail)
    }
}

type StateRow<'a> = std::result::Result<
    (
        redb::AccessGuard<'a, &'static [u8]>,
        redb::AccessGuard<'a, &'static [u8]>,
    ),
    redb::StorageError,
>;

/// Reads a row of the state table.
pub(crate) fn read_record(path: &Path, key: &[u8], value: &[u8]) -> Result<Versioned> {
    let key = Key::from_bytes(key).map_err(|error| {
        error::damaged(path, "expected a key in the state table").caused_by(error)
    })?;
    decode_value(&key, value).map_err(|error| StoreError::codec(BACKEND, &key, error).at_path(path))
}

/// Reads a row of the log table.
pub(crate) fn read_group(path: &Path, first: u64, value: &[u8]) -> Result<Vec<Arc<LogEntry>>> {
    let place = || format!("read the log value of revision {first}");
    let entries = decode_log_value(value).map_err(|error| error::codec(path, place(), error))?;
    match entries.first() {
        Some(entry) if entry.commit.revision.0 == first => Ok(entries),
        _ => Err(error::damaged(
            path,
            format!("the log value of revision {first} begins with another"),
        )),
    }
}
