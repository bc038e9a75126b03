//! What readers see: the trees, and what they held before a group that is not durable yet.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use registry_core::codec::{decode_log_value, decode_meta, decode_value, unseal_bytes};
use registry_core::commit::{ChangeCollector, RangeCollector, Write, check_changes};
use registry_core::{
    ChangePage, ChangesRequest, Head, Key, LogEntry, Note, RangePage, RangeRequest, Result,
    Revision, StoreError, Versioned,
};
use sled::{IVec, Tree};

use crate::error;
use crate::parts::Of;
use crate::schema::{HEAD, log_key, place_prefix, revision_in};
use crate::store::BACKEND;

/// The published head, and what the keys of a group held that sled has and the disk has not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Published {
    pub(crate) head: Head,
    /// Invariant: while it is not empty, the trees are one group ahead of the head.
    pub(crate) shadow: BTreeMap<Key, Write>,
}

/// The open trees.
#[derive(Debug, Clone)]
pub(crate) struct Trees {
    pub(crate) path: PathBuf,
    pub(crate) services: Tree,
    pub(crate) log: Tree,
    pub(crate) log_keys: Tree,
    pub(crate) meta: Tree,
    pub(crate) notes: Tree,
    pub(crate) parts: Tree,
}

impl Trees {
    pub(crate) fn open(path: &Path, database: &sled::Db) -> Result<Self> {
        let tree = |name: &str| {
            let tree = database.open_tree(name);
            tree.map_err(|error| error::engine(path, format!("open the tree {name}"), error))
        };
        Ok(Self {
            path: path.to_path_buf(),
            services: tree("services")?,
            log: tree("log")?,
            log_keys: tree("log_keys")?,
            meta: tree("meta")?,
            notes: tree("notes")?,
            parts: tree("parts")?,
        })
    }

    /// The stored head.
    pub(crate) fn head(&self) -> Result<Head> {
        let stored = self.meta.get(HEAD).map_err(|error| self.unread(error))?;
        let stored = stored.ok_or_else(|| self.damaged("the head is missing"))?;
        decode_meta(HEAD, &stored).map_err(|error| error::codec(&self.path, "read the head", error))
    }

    /// The record at a key as of the published head.
    pub(crate) fn get(&self, published: &Published, key: &Key) -> Result<Option<Versioned>> {
        match published.shadow.get(key) {
            Some(write) => Ok(write.clone()),
            None => self.get_stored(&published.head, key),
        }
    }

    /// The stored record, which must be what the log's index says of the key: sled drops what it cannot read.
    fn get_stored(&self, head: &Head, key: &Key) -> Result<Option<Versioned>> {
        let place = key.to_bytes();
        let row = self.services.get(&place);
        let row = row.map_err(|error| self.unread(error))?;
        let record = row.map(|row| self.read_record(key, &place, &row));
        let record = record.transpose()?;
        self.check_stored(head, key, record.as_ref())?;
        Ok(record)
    }

    fn check_stored(&self, head: &Head, key: &Key, record: Option<&Versioned>) -> Result<()> {
        let last = self.last_change(key, Revision(u64::MAX))?;
        let found = record.map(|record| record.modified);
        let is_explained = match (last, found) {
            (None, None) => true,
            (None, Some(modified)) => modified <= head.compacted.revision,
            (Some(last), Some(modified)) => last == modified,
            (Some(last), None) => last <= head.compacted.revision || self.is_deleted(key, last)?,
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

    fn is_deleted(&self, key: &Key, revision: Revision) -> Result<bool> {
        let entry = self.entry(revision)?;
        let change = entry.commit.changes.iter().find(|it| it.key == *key);
        Ok(change.is_some_and(|change| change.after.is_none()))
    }

    /// The last change of a key in the index up to a revision, where there is one.
    pub(crate) fn last_change(&self, key: &Key, through: Revision) -> Result<Option<Revision>> {
        let prefix = place_prefix(key);
        let end = [&prefix[..], &log_key(through)].concat();
        let last = self.log_keys.range(prefix..=end).next_back();
        let last = last.transpose().map_err(|error| self.unread(error))?;
        last.map(|(place, _)| self.revision_of(&place)).transpose()
    }

    fn revision_of(&self, bytes: &[u8]) -> Result<Revision> {
        revision_in(bytes).ok_or_else(|| self.damaged("expected a revision in the log's index"))
    }

    /// The log entry of a revision.
    pub(crate) fn entry(&self, revision: Revision) -> Result<Arc<LogEntry>> {
        let stored = self.log.get(log_key(revision));
        let stored = stored.map_err(|error| self.unread(error))?;
        let stored =
            stored.ok_or_else(|| self.damaged(format!("log entry {revision} is missing")))?;
        self.read_entry(revision, &stored)
    }

    /// Reads a row of the log.
    pub(crate) fn read_entry(&self, revision: Revision, row: &IVec) -> Result<Arc<LogEntry>> {
        let value = self.whole(Of::Log, &log_key(revision), row)?;
        let place = || format!("read log entry {revision}");
        let entries =
            decode_log_value(&value).map_err(|error| error::codec(&self.path, place(), error))?;
        match <[Arc<LogEntry>; 1]>::try_from(entries) {
            Ok([entry]) if entry.commit.revision == revision => Ok(entry),
            _ => Err(self.damaged(format!("log entry {revision} has another revision"))),
        }
    }

    pub(crate) fn range(&self, published: &Published, request: &RangeRequest) -> Result<RangePage> {
        let start = match &request.after {
            Some(after) => [after.to_bytes(), vec![0]].concat(),
            None => vec![request.kind as u8],
        };
        let end = vec![request.kind as u8 + 1];
        let stored = self.services.range(start..end);
        let stored = stored.map(|row| {
            let (key, value) = row.map_err(|error| self.unread(error))?;
            self.read_row(&key, &value)
        });
        let start = request
            .after
            .as_ref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let overlay = published.shadow.range::<Key, _>((start, Bound::Unbounded));
        let overlay = overlay
            .skip_while(|(key, _)| key.kind() < request.kind)
            .take_while(|(key, _)| key.kind() == request.kind);
        let mut page = RangeCollector::new(BACKEND, request);
        page.take_merged(stored, overlay)?;
        Ok(page.finish(published.head.revision()))
    }

    /// Reads a row of the state.
    pub(crate) fn read_row(&self, place: &[u8], row: &IVec) -> Result<Versioned> {
        let key = Key::from_bytes(place)
            .map_err(|error| self.damaged("expected a key of a record").caused_by(error))?;
        self.read_record(&key, place, row)
    }

    fn read_record(&self, key: &Key, place: &[u8], row: &IVec) -> Result<Versioned> {
        let value = self.whole(Of::Services, place, row)?;
        decode_value(key, &value)
            .map_err(|error| StoreError::codec(BACKEND, key, error).at_path(&self.path))
    }

    pub(crate) fn changes(
        &self,
        published: &Published,
        request: &ChangesRequest,
    ) -> Result<ChangePage> {
        let head = &published.head;
        check_changes(BACKEND, request, head)?;
        let mut page = ChangeCollector::new(BACKEND, request, head);
        match &request.key {
            Some(key) => self.collect_of_key(published, key, request.after, &mut page)?,
            None if request.after < head.revision() => {
                let start = log_key(request.after.next());
                for row in self.log.range(start..=log_key(head.revision())) {
                    let (place, value) = row.map_err(|error| self.unread(error))?;
                    page.take(&self.read_entry(self.revision_of(&place)?, &value)?)?;
                    if page.is_done() {
                        break;
                    }
                }
            }
            None => {}
        }
        page.finish()
    }

    fn collect_of_key(
        &self,
        published: &Published,
        key: &Key,
        after: Revision,
        page: &mut ChangeCollector<'_>,
    ) -> Result<()> {
        let head = published.head.revision();
        if after >= head {
            return Ok(());
        }
        let prefix = place_prefix(key);
        let [start, end] =
            [after.next(), head].map(|bound| [&prefix[..], &log_key(bound)].concat());
        let mut last = after;
        for row in self.log_keys.range(start..=end) {
            let (place, before) = row.map_err(|error| self.unread(error))?;
            let revision = self.revision_of(&place)?;
            let before = self.revision_of(&before)?;
            if before != last && (last != after || before > last) {
                let detail = format!("the change before revision {revision} is not in the index");
                return Err(self.damaged(detail).at_key(key));
            }
            last = revision;
            page.take(&self.entry(revision)?)?;
            if page.is_done() {
                return Ok(());
            }
        }
        // The end of the key's history must be what a search from behind finds, and what the state says it is.
        let end = self.last_change(key, head)?.unwrap_or_default();
        if end > last {
            let detail = format!("the change of revision {end} is not in the index");
            return Err(self.damaged(detail).at_key(key));
        }
        self.get(published, key).map(drop)
    }

    pub(crate) fn notes(&self) -> Result<Vec<Note>> {
        let notes = self.notes.iter().map(|row| {
            let (name, content) = row.map_err(|error| self.unread(error))?;
            let name = String::from_utf8(name.to_vec())
                .map_err(|error| self.damaged("expected a name of a note").caused_by(error))?;
            let content = self.whole(Of::Notes, name.as_bytes(), &content)?;
            let content = unseal_bytes(&name, &content).map_err(|error| {
                error::codec(&self.path, format!("read the note {name:?}"), error)
            })?;
            Ok(Note {
                content: content.to_vec(),
                name,
            })
        });
        notes.collect()
    }

    pub(crate) fn unread(&self, error: sled::Error) -> StoreError {
        error::engine(&self.path, "read the store", error)
    }

    pub(crate) fn damaged(&self, detail: impl Into<String>) -> StoreError {
        error::damaged(&self.path, detail)
    }
}
