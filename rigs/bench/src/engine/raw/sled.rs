//! sled: each group one transaction over all trees, then a flush and a sync of its file.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sled::transaction::{ConflictableTransactionError, TransactionError};
use sled::{IVec, Transactional as _, Tree};

use super::super::groups::bounds;
use super::{CACHE_BYTES, Recording};

/// As registry-sled has it.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;
const HEAD: &str = "head";
/// sled lets go of its file some time after its last handle was dropped.
const RELEASE_TRIES: u32 = 500;
const RELEASE_WAIT: Duration = Duration::from_millis(10);

/// The rows of all trees, each in the order of revisions.
pub(super) struct Trees {
    services: Vec<Row>,
    log: Vec<Row>,
    log_keys: Vec<Row>,
    head: IVec,
    groups: Vec<Range<usize>>,
}

type Row = (IVec, IVec);

pub(super) struct Open {
    trees: [Tree; 5],
    database: sled::Db,
    file: File,
}

impl Recording for Trees {
    type Engine = Open;

    fn read(store: &Path, mean: f64) -> Result<Self> {
        let database = open(store)?;
        let rows = |name: &str| -> Result<Vec<Row>> {
            let tree = database.open_tree(name)?;
            let rows = tree.iter().collect::<sled::Result<_>>();
            rows.with_context(|| format!("read the tree {name}"))
        };
        let log = rows("log")?;
        let mut log_keys = rows("log_keys")?;
        log_keys.sort_by(|(one, _), (other, _)| revision_of(one).cmp(revision_of(other)));
        let services = database.open_tree("services")?;
        let services = log_keys.iter().map(|(place, _)| {
            let key = key_of(place)?;
            let record = services.get(key)?.context("a record of each key")?;
            Ok((IVec::from(key), record))
        });
        let services: Vec<Row> = services.collect::<Result<_>>()?;
        ensure!(
            log.len() == log_keys.len(),
            "expected one change a commit, found {} of {}",
            log_keys.len(),
            log.len()
        );
        let head = database.open_tree("meta")?.get(HEAD)?;
        Ok(Self {
            groups: bounds(log.len(), mean),
            services,
            log,
            log_keys,
            head: head.context("a head")?,
        })
    }

    fn sizes(&self) -> Vec<usize> {
        self.groups.iter().map(ExactSizeIterator::len).collect()
    }

    fn open(&self, folder: &Path) -> Result<Open> {
        let folder = folder.join("alone.sled");
        let database = open(&folder)?;
        let tree = |name: &str| database.open_tree(name);
        // The notes stay empty.
        tree("notes")?;
        let trees = [
            tree("services")?,
            tree("log")?,
            tree("log_keys")?,
            tree("meta")?,
            tree("parts")?,
        ];
        let file = File::options()
            .read(true)
            .write(true)
            .open(folder.join("db"))?;
        database.flush()?;
        file.sync_all()?;
        Ok(Open {
            trees,
            database,
            file,
        })
    }

    fn write(&self, engine: &mut Open, group: usize) -> Result<()> {
        let group = self.groups[group].clone();
        let [services, log, log_keys, meta, parts] = &engine.trees;
        let written = (services, log, log_keys, meta, parts).transaction(
            |(services, log, log_keys, meta, _parts)| {
                for (tree, rows) in [
                    (services, &self.services),
                    (log, &self.log),
                    (log_keys, &self.log_keys),
                ] {
                    for (key, value) in &rows[group.clone()] {
                        tree.insert(&key[..], &value[..])?;
                    }
                }
                meta.insert(HEAD, &self.head[..])?;
                Ok::<(), ConflictableTransactionError<()>>(())
            },
        );
        written.map_err(|error| match error {
            TransactionError::Storage(error) => anyhow::Error::new(error).context("apply a group"),
            TransactionError::Abort(()) => anyhow::anyhow!("a group was given up"),
        })?;
        engine.database.flush().context("flush a group")?;
        engine.file.sync_data().context("sync a group")
    }
}

/// The revision at the end of a place in the index.
fn revision_of(place: &[u8]) -> &[u8] {
    &place[place.len().saturating_sub(8)..]
}

/// What is before that: the bytes of the key, and a 0.
fn key_of(place: &[u8]) -> Result<&[u8]> {
    let end = place.len().checked_sub(9).context("a place of a key")?;
    Ok(&place[..end])
}

/// Opens a folder as registry-sled does, once nobody else has it open.
fn open(folder: &Path) -> Result<sled::Db> {
    let config = sled::Config::new()
        .path(folder)
        .segment_size(SEGMENT_BYTES)
        .mode(sled::Mode::HighThroughput)
        .cache_capacity(CACHE_BYTES as u64)
        .flush_every_ms(None);
    let mut tries = 0;
    loop {
        match config.open() {
            Ok(database) => return Ok(database),
            Err(sled::Error::Io(_)) if tries < RELEASE_TRIES => {
                tries += 1;
                thread::sleep(RELEASE_WAIT);
            }
            Err(error) => {
                return Err(error).with_context(|| format!("open {}", folder.display()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_cut_into_key_and_revision() {
        let place = [&b"\x01api\0"[..], &7u64.to_be_bytes()].concat();
        assert_eq!(key_of(&place).unwrap(), b"\x01api");
        assert_eq!(revision_of(&place), 7u64.to_be_bytes());
        assert!(key_of(b"short").is_err());
    }
}
