//! Everything that is written: groups, folding, compaction, restore.

use std::path::Path;
use std::sync::Arc;

use redb::{ReadableTable, WriteTransaction};
use registry_core::codec::{
    CodecId, decode_meta, encode_log_values, encode_meta, encode_value, seal_bytes,
};
use registry_core::{
    Anchor, ErrorKind, Head, LogEntry, Note, RestorePage, Result, Revision, Seal, StoreError,
};

use crate::error;
use crate::schema::{
    CLOSED, HEAD, LOG, LOG_KEYS, META, NOTES, STAMP, STATE, Stamp, group_of, log_bounds,
};
use crate::store::BACKEND;
use crate::view::{Snapshot, read_group};

/// How a transaction becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyncMode {
    /// With the next one that is synced.
    Later,
    /// By one sync. Until the allocator's state is written again, an open walks the file to find it.
    Once,
    /// By two, with the state of redb's allocator, which the next open reads instead ("quick repair").
    WithAllocator,
}

/// One write transaction of redb, with errors that name the file.
pub(crate) struct Batch<'a> {
    path: &'a Path,
    transaction: WriteTransaction,
}

impl<'a> Batch<'a> {
    /// Begins a transaction.
    pub(crate) fn begin(path: &'a Path, database: &redb::Database, sync: SyncMode) -> Result<Self> {
        let refused = |error| error::engine(path, "begin a write", error);
        let mut transaction = database
            .begin_write()
            .map_err(|error| refused(redb::Error::from(error)))?;
        match sync {
            SyncMode::Later => transaction
                .set_durability(redb::Durability::None)
                .map_err(|error| refused(error.into()))?,
            SyncMode::Once => {}
            SyncMode::WithAllocator => transaction.set_quick_repair(true),
        }
        Ok(Self { path, transaction })
    }

    /// # Errors
    /// `MaybeApplied`: redb does not tell.
    pub(crate) fn commit(self) -> Result<()> {
        let Self { path, transaction } = self;
        transaction.commit().map_err(|error| {
            StoreError::new(ErrorKind::MaybeApplied, BACKEND, "commit to the file")
                .at_path(path)
                .caused_by(redb::Error::from(error))
        })
    }

    /// Appends a group to the log.
    pub(crate) fn append(&self, values: &[(Revision, Vec<u8>)]) -> Result<()> {
        let mut log = self.open(LOG)?;
        for (first, value) in values {
            let old = log.insert(first.0, &value[..]);
            let old = old.map_err(|error| self.unwritten(error))?;
            if old.is_some() {
                let detail = format!("the log already has a value of revision {first}");
                return Err(error::damaged(self.path, detail));
            }
        }
        Ok(())
    }

    /// Moves what overlays the tables into them.
    pub(crate) fn fold(&self, snapshot: &Snapshot) -> Result<()> {
        let mut state = self.open(STATE)?;
        for (key, write) in &snapshot.writes {
            let bytes = key.to_bytes();
            let done = match write {
                Some(record) => state
                    .insert(&bytes[..], &encode_value(CodecId::Fcode, record)[..])
                    .map(drop),
                None => state.remove(&bytes[..]).map(drop),
            };
            done.map_err(|error| self.unwritten(error))?;
        }
        self.index(&snapshot.entries)?;
        self.put_meta(HEAD, &snapshot.head)
    }

    fn index<'e>(&self, entries: impl IntoIterator<Item = &'e Arc<LogEntry>>) -> Result<()> {
        let mut log_keys = self.open(LOG_KEYS)?;
        let mut last: Option<(Vec<u8>, u64)> = None;
        for (key, revision) in sorted_places(entries) {
            let before = match last {
                Some((same, revision)) if same == key => revision,
                _ => last_change(&log_keys, &key).map_err(|error| self.unwritten(error))?,
            };
            log_keys
                .insert((&key[..], revision), before)
                .map_err(|error| self.unwritten(error))?;
            last = Some((key, revision));
        }
        Ok(())
    }

    /// Removes the log up to a revision, and answers the head with the anchor that stays in its place.
    pub(crate) fn compact(&self, head: &Head, through: Revision) -> Result<Head> {
        let mut head = head.clone();
        let mut removed = Head {
            last: head.compacted,
            ..Head::default()
        };
        let mut log = self.open(LOG)?;
        let mut rest = Vec::new();
        while removed.last.revision < through {
            let group = self.take_group(&mut log, removed.last.revision.next())?;
            let (gone, kept): (Vec<_>, Vec<_>) = group
                .into_iter()
                .partition(|entry| entry.commit.revision <= through);
            for entry in &gone {
                removed
                    .follow(entry)
                    .map_err(|detail| error::damaged(self.path, detail))?;
            }
            self.unindex(&gone)?;
            rest = kept;
        }
        let values = encode_log_values(&rest)
            .map_err(|error| error::codec(self.path, "split a log value", error))?;
        drop(log);
        self.append(&values)?;
        head.compacted = removed.last;
        self.put_meta(HEAD, &head)?;
        Ok(head)
    }

    fn take_group(
        &self,
        log: &mut redb::Table<'_, u64, &'static [u8]>,
        revision: Revision,
    ) -> Result<Vec<Arc<LogEntry>>> {
        let missing = || {
            error::damaged(
                self.path,
                format!("the log value with revision {revision} is missing"),
            )
        };
        let first = group_of(log, revision).map_err(|error| self.unwritten(error))?;
        let first = first.ok_or_else(missing)?;
        let value = log.remove(first).map_err(|error| self.unwritten(error))?;
        read_group(self.path, first, value.ok_or_else(missing)?.value())
    }

    fn unindex(&self, entries: &[Arc<LogEntry>]) -> Result<()> {
        let mut log_keys = self.open(LOG_KEYS)?;
        for (key, revision) in sorted_places(entries) {
            let found = log_keys.remove((&key[..], revision));
            let found = found.map_err(|error| self.unwritten(error))?;
            if found.is_none() {
                let detail = format!("the change of revision {revision} is not in the index");
                return Err(error::damaged(self.path, detail));
            }
        }
        Ok(())
    }

    /// Stores a page of a restore that was accepted.
    pub(crate) fn restore(&self, page: &RestorePage, seal: Option<&Seal>) -> Result<()> {
        let values = encode_log_values(&page.entries)
            .map_err(|error| error::codec(self.path, "write log entries", error))?;
        self.append(&values)?;
        self.index(&page.entries)?;
        let mut state = self.open(STATE)?;
        for record in &page.records {
            let key = record.key().to_bytes();
            state
                .insert(&key[..], &encode_value(CodecId::Fcode, record)[..])
                .map_err(|error| self.unwritten(error))?;
        }
        match seal {
            Some(seal) => {
                self.put_meta(HEAD, &seal.head)?;
                self.put_meta(STAMP, &Stamp::new(seal.schema, true))
            }
            None => self.put_meta(STAMP, &Stamp::new(registry_core::SCHEMA, false)),
        }
    }

    /// Keeps a note, or deletes it where it has no content.
    pub(crate) fn note(&self, note: &Note) -> Result<()> {
        let mut notes = self.open(NOTES)?;
        let done = if note.content.is_empty() {
            notes.remove(&note.name[..]).map(drop)
        } else {
            let content = seal_bytes(&note.name, &note.content);
            notes.insert(&note.name[..], &content[..]).map(drop)
        };
        done.map_err(|error| self.unwritten(error))
    }

    /// Makes every table, empty.
    pub(crate) fn create(&self) -> Result<()> {
        drop(self.open(LOG)?);
        drop(self.open(LOG_KEYS)?);
        drop(self.open(STATE)?);
        drop(self.open(NOTES)?);
        self.put_meta(STAMP, &Stamp::fresh())?;
        self.put_meta(HEAD, &Head::default())
    }

    /// Counts a clean close.
    pub(crate) fn count_close(&self) -> Result<()> {
        let count = {
            let meta = self.open(META)?;
            let stored = meta.get(CLOSED).map_err(|error| self.unwritten(error))?;
            let count = stored.map(|stored| decode_meta::<u64>(CLOSED, stored.value()));
            count
                .transpose()
                .map_err(|error| error::codec(self.path, "read the count of closes", error))?
        };
        self.put_meta(CLOSED, &count.unwrap_or(0).wrapping_add(1))
    }

    fn put_meta<T: serde::Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let mut meta = self.open(META)?;
        meta.insert(name, &encode_meta(name, value)[..])
            .map(drop)
            .map_err(|error| self.unwritten(error))
    }

    fn open<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        table: redb::TableDefinition<'_, K, V>,
    ) -> Result<redb::Table<'_, K, V>> {
        let table = self.transaction.open_table(table);
        table.map_err(|error| error::engine(self.path, "open a table", error))
    }

    fn unwritten(&self, error: redb::StorageError) -> StoreError {
        error::engine(self.path, "write to the file", error)
    }
}

/// The last change of a key in the index; 0 where none is known.
fn last_change(
    log_keys: &impl ReadableTable<(&'static [u8], u64), u64>,
    key: &[u8],
) -> std::result::Result<u64, redb::StorageError> {
    let mut places = log_keys.range((key, 0)..=(key, u64::MAX))?;
    let last = places.next_back().transpose()?;
    Ok(last.map_or(0, |(place, _)| place.value().1))
}

/// The rows of the log's index for some entries, in the order of the table.
fn sorted_places<'e>(entries: impl IntoIterator<Item = &'e Arc<LogEntry>>) -> Vec<(Vec<u8>, u64)> {
    let places = entries.into_iter().flat_map(|entry| {
        let revision = entry.commit.revision.0;
        let changes = entry.commit.changes.iter();
        changes.map(move |change| (change.key.to_bytes(), revision))
    });
    let mut places: Vec<_> = places.collect();
    places.sort_unstable();
    places
}

/// Checks that a log which begins and ends at `first` and `last` is the whole one of a head.
pub(crate) fn check_bounds(path: &Path, head: &Head, found: Option<(u64, Anchor)>) -> Result<()> {
    let bounds = log_bounds(head);
    let is_whole = match found {
        Some((first, last)) => first == *bounds.start() && last == head.last,
        None => bounds.is_empty(),
    };
    if is_whole {
        return Ok(());
    }
    let detail = format!(
        "expected a log of the revisions {} to {}, found {found:?}",
        bounds.start(),
        bounds.end()
    );
    Err(error::damaged(path, detail))
}
