//! redb: each group a row of the log, and every so many commits their records and index in one transaction with it.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::{CACHE_BYTES, Recording};

// The tables of registry-redb.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
const LOG_KEYS: TableDefinition<(&[u8], u64), u64> = TableDefinition::new("log_keys");
const STATE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("state");
const NOTES: TableDefinition<&str, &[u8]> = TableDefinition::new("notes");
const HEAD: &str = "head";
/// As `FOLD_COMMITS_MAX` of registry-redb. Its bound in bytes is that of records thirty times as large.
const FOLD_COMMITS: usize = 1024;

/// The rows of all tables.
pub(super) struct Tables {
    groups: Vec<Group>,
    /// Of each commit, in order.
    changes: Vec<Change>,
    head: Vec<u8>,
}

struct Group {
    first: u64,
    value: Vec<u8>,
    commits: usize,
    /// What is folded before it, in the order of keys, as places among the changes.
    fold: Option<Vec<usize>>,
}

/// What a commit of one new record adds to the tables when it is folded.
struct Change {
    key: Vec<u8>,
    revision: u64,
    before: u64,
    record: Vec<u8>,
}

impl Recording for Tables {
    type Engine = Database;

    fn read(store: &Path, _mean: f64) -> Result<Self> {
        let database = Database::open(store)?;
        let transaction = database.begin_read()?;
        let mut changes = Vec::new();
        let state = transaction.open_table(STATE)?;
        for row in transaction.open_table(LOG_KEYS)?.iter()? {
            let (place, before) = row?;
            let (key, revision) = place.value();
            let record = state.get(key)?.context("a record of each key")?;
            changes.push(Change {
                key: key.to_vec(),
                revision,
                before: before.value(),
                record: record.value().to_vec(),
            });
        }
        changes.sort_unstable_by_key(|change| change.revision);
        let mut log = Vec::new();
        for row in transaction.open_table(LOG)?.iter()? {
            let (first, value) = row?;
            log.push((first.value(), value.value().to_vec()));
        }
        let meta = transaction.open_table(META)?;
        let head = meta.get(HEAD)?.context("a head")?;
        let firsts: Vec<u64> = log.iter().map(|(first, _)| *first).collect();
        let sizes = sizes(&firsts, changes.len())?;
        let folds = folds(&sizes, FOLD_COMMITS);
        let groups = log.into_iter().zip(sizes).zip(folds);
        let groups = groups.map(|(((first, value), commits), fold)| Group {
            first,
            value,
            commits,
            fold: fold.map(|fold| in_order(&changes, fold)),
        });
        Ok(Self {
            groups: groups.collect(),
            head: head.value().to_vec(),
            changes,
        })
    }

    fn sizes(&self) -> Vec<usize> {
        self.groups.iter().map(|group| group.commits).collect()
    }

    fn open(&self, folder: &Path) -> Result<Database> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = builder.create(folder.join("alone.redb"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(LOG)?;
        transaction.open_table(LOG_KEYS)?;
        transaction.open_table(STATE)?;
        transaction.open_table(NOTES)?;
        transaction.open_table(META)?;
        transaction.commit()?;
        Ok(database)
    }

    fn write(&self, engine: &mut Database, group: usize) -> Result<()> {
        let group = &self.groups[group];
        let transaction = engine.begin_write()?;
        if let Some(fold) = &group.fold {
            self.fold(&transaction, fold)?;
        }
        let mut log = transaction.open_table(LOG)?;
        log.insert(group.first, &group.value[..])?;
        drop(log);
        transaction.commit().context("commit a group")
    }
}

impl Tables {
    fn fold(&self, transaction: &redb::WriteTransaction, fold: &[usize]) -> Result<()> {
        let mut state = transaction.open_table(STATE)?;
        for place in fold {
            let change = &self.changes[*place];
            state.insert(&change.key[..], &change.record[..])?;
        }
        let mut log_keys = transaction.open_table(LOG_KEYS)?;
        for place in fold {
            let change = &self.changes[*place];
            log_keys.insert((&change.key[..], change.revision), change.before)?;
        }
        let mut meta = transaction.open_table(META)?;
        meta.insert(HEAD, &self.head[..])?;
        Ok(())
    }
}

/// Commits of each group, by the revision of its first.
fn sizes(firsts: &[u64], commits: usize) -> Result<Vec<usize>> {
    let ends = firsts.iter().skip(1).copied();
    let ends = ends.chain([commits as u64 + 1]);
    let sizes = firsts.iter().zip(ends).map(|(first, end)| {
        let size = end.checked_sub(*first).filter(|size| *size > 0);
        let size = size.with_context(|| format!("a group from revision {first} to {end}"))?;
        Ok(usize::try_from(size)?)
    });
    let sizes: Vec<usize> = sizes.collect::<Result<_>>()?;
    ensure!(
        sizes.iter().sum::<usize>() == commits,
        "expected {commits} commits in the log, found {sizes:?}"
    );
    Ok(sizes)
}

/// Before which groups the backend folds, and which commits: all that are not folded, where these are so many.
fn folds(sizes: &[usize], commits_max: usize) -> Vec<Option<Range<usize>>> {
    let (mut folded, mut written) = (0, 0);
    let folds = sizes.iter().map(|size| {
        let is_full = written - folded >= commits_max;
        let fold = is_full.then_some(folded..written);
        if is_full {
            folded = written;
        }
        written += size;
        fold
    });
    folds.collect()
}

/// Places of changes, in the order of their keys.
fn in_order(changes: &[Change], fold: Range<usize>) -> Vec<usize> {
    let mut places: Vec<usize> = fold.collect();
    places.sort_unstable_by_key(|place| &changes[*place].key);
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_of_a_group_is_told_by_the_next() {
        assert_eq!(sizes(&[1, 3, 4], 9).unwrap(), [2, 1, 6]);
        assert!(sizes(&[], 0).unwrap().is_empty());
        assert!(sizes(&[2, 3], 9).is_err());
        assert!(sizes(&[1, 1], 2).is_err());
    }

    #[test]
    fn fold_comes_before_the_group_that_finds_too_much() {
        let folds = folds(&[3, 3, 3, 8, 1], 6);
        assert_eq!(folds, [None, None, Some(0..6), None, Some(6..17)]);
    }
}
