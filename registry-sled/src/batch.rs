//! Everything that is written: one transaction of sled over all trees.

use std::collections::BTreeMap;

use registry_core::codec::{CodecId, encode_log_values, encode_meta, encode_value, seal_bytes};
use registry_core::commit::Write;
use registry_core::limits::LOG_VALUE_BYTES_MAX;
use registry_core::{
    ErrorKind, Head, Key, LogEntry, Note, RestorePage, Result, Revision, Seal, StoreError,
};
use sled::Transactional as _;
use sled::transaction::{ConflictableTransactionError, TransactionError};

use crate::error;
use crate::parts::{self, Of};
use crate::schema::{HEAD, log_key, place};
use crate::store::BACKEND;
use crate::trees::Trees;

/// Entries that one transaction of a compaction removes.
const SWEEP_ENTRIES: usize = 256;

type Row = (Vec<u8>, Vec<u8>);

/// What one transaction writes. It is applied by sled at once, and durable after a flush and a sync.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    services: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    log: Vec<Row>,
    log_keys: Vec<Row>,
    head: Option<Vec<u8>>,
    gone: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
    /// The last change of each key that was indexed here.
    changed: BTreeMap<Key, Revision>,
}

impl Batch {
    /// Adds log entries with their places in the index.
    ///
    /// # Errors
    /// `LimitExceeded` for an entry that no reader would take.
    pub(crate) fn append<'e>(
        &mut self,
        trees: &Trees,
        entries: impl IntoIterator<Item = &'e std::sync::Arc<LogEntry>>,
    ) -> Result<()> {
        for entry in entries {
            let revision = entry.commit.revision;
            let values = encode_log_values(std::slice::from_ref(entry));
            let values = values.map_err(|_| {
                let found = entry.body_bytes();
                StoreError::limit(BACKEND, "log_value_bytes_max", LOG_VALUE_BYTES_MAX, found)
            })?;
            let values = values.into_iter();
            self.log
                .extend(values.map(|(first, value)| (log_key(first).to_vec(), value)));
            for change in &entry.commit.changes {
                let before = match self.changed.insert(change.key.clone(), revision) {
                    Some(before) => before,
                    None => trees
                        .last_change(&change.key, Revision(u64::MAX))?
                        .unwrap_or_default(),
                };
                let row = (place(&change.key, revision), log_key(before).to_vec());
                self.log_keys.push(row);
            }
        }
        Ok(())
    }

    /// Adds the new state of keys.
    pub(crate) fn write<'w>(&mut self, writes: impl IntoIterator<Item = (&'w Key, &'w Write)>) {
        for (key, write) in writes {
            let value = write.as_ref();
            let value = value.map(|record| encode_value(CodecId::Fcode, record));
            self.services.push((key.to_bytes(), value));
        }
    }

    /// Adds the head after all of it.
    pub(crate) fn put_head(&mut self, head: &Head) {
        self.head = Some(encode_meta(HEAD, head));
    }

    /// Adds an accepted page of a restore.
    pub(crate) fn restore(
        &mut self,
        trees: &Trees,
        page: &RestorePage,
        seal: Option<&Seal>,
    ) -> Result<()> {
        self.append(trees, &page.entries)?;
        for record in &page.records {
            let value = encode_value(CodecId::Fcode, record);
            self.services.push((record.key().to_bytes(), Some(value)));
        }
        if let Some(seal) = seal {
            self.put_head(&seal.head);
        }
        Ok(())
    }

    /// Number of the rows that it writes, and of their bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        let services = self.services.iter();
        let services = services.map(|(_, value)| value.as_ref().map_or(0, Vec::len));
        let log = self.log.iter().map(|(_, value)| value.len());
        let rows = self.services.len() + self.log.len() + self.log_keys.len();
        (rows, services.chain(log).sum())
    }

    /// Gives it to sled, whole or not at all. Readers of the trees see it from now on.
    pub(crate) fn apply(&self, trees: &Trees) -> Result<()> {
        let Trees {
            services,
            log,
            log_keys,
            meta,
            parts,
            ..
        } = trees;
        let all = (services, log, log_keys, meta, parts);
        let done = all.transaction(|(services, log, log_keys, meta, parts)| {
            for (key, value) in &self.services {
                parts::put((services, parts), Of::Services, key, value.as_deref())?;
            }
            for (key, value) in &self.log {
                parts::put((log, parts), Of::Log, key, Some(value))?;
            }
            for (key, value) in &self.log_keys {
                log_keys.insert(&key[..], &value[..])?;
            }
            for (entry, places) in &self.gone {
                parts::put((log, parts), Of::Log, entry, None)?;
                for place in places {
                    log_keys.remove(&place[..])?;
                }
            }
            if let Some(head) = &self.head {
                meta.insert(HEAD, &head[..])?;
            }
            Ok::<(), ConflictableTransactionError<()>>(())
        });
        done.map_err(|error| {
            StoreError::new(ErrorKind::MaybeApplied, BACKEND, "apply a transaction")
                .at_path(&trees.path)
                .caused_by(cause_of(trees, error))
        })
    }
}

fn cause_of(trees: &Trees, error: TransactionError<()>) -> StoreError {
    match error {
        TransactionError::Storage(cause) => error::engine(&trees.path, "write to sled", cause),
        TransactionError::Abort(()) => StoreError::new(
            ErrorKind::Unavailable,
            BACKEND,
            "a transaction was given up",
        ),
    }
}

/// Removes what a head's anchor says was compacted. Stops and starts again anywhere.
pub(crate) fn sweep(
    trees: &Trees,
    head: &Head,
    mut sync: impl FnMut() -> Result<()>,
) -> Result<()> {
    loop {
        let mut batch = Batch::default();
        let rows = trees.log.range(..=log_key(head.compacted.revision));
        for row in rows.take(SWEEP_ENTRIES) {
            let (key, value) = row.map_err(|error| trees.unread(error))?;
            let revision = crate::schema::revision_in(&key)
                .ok_or_else(|| trees.damaged("expected a revision as the key of a log entry"))?;
            let entry = trees.read_entry(revision, &value)?;
            let changes = entry.commit.changes.iter();
            let places = changes.map(|change| place(&change.key, revision)).collect();
            batch.gone.push((key.to_vec(), places));
        }
        if batch.gone.is_empty() {
            return Ok(());
        }
        batch.apply(trees)?;
        sync()?;
    }
}

/// Keeps a note, or deletes it where it has no content. Not synced.
pub(crate) fn put_note(trees: &Trees, note: &Note) -> Result<()> {
    let content = (!note.content.is_empty()).then(|| seal_bytes(&note.name, &note.content));
    let all = (&trees.notes, &trees.parts);
    let done = all.transaction(|(notes, parts)| {
        let (name, content) = (note.name.as_bytes(), content.as_deref());
        parts::put((notes, parts), Of::Notes, name, content)?;
        Ok::<(), ConflictableTransactionError<()>>(())
    });
    done.map_err(|error| cause_of(trees, error))
}
