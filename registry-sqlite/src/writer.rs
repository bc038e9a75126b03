//! The one writer of this process: groups, notes, compaction, restore.

use registry_core::commit::{
    Evaluation, Recent, Restoration, Write, check_compact, check_note, evaluate,
};
use registry_core::{
    Anchor, Change, Committed, Durability, ErrorKind, Head, Key, LogEntry, Note, Outcome,
    RestorePage, Revision, Seen, Transaction, TransactionId,
};
use rusqlite::{Connection, TransactionBehavior};

use crate::BACKEND;
use crate::error::Fault;
use crate::reads;
use crate::rows::{HeadRow, LogRow, insert_id, put_note, stored};
use crate::tables::{LogKeys, Table};

/// The writing connections and what only a writer needs.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Syncs every commit.
    synced: Connection,
    /// Syncs at checkpoints: for notes, and for commits where the user asked for an interval.
    relaxed: Connection,
    durability: Durability,
    recent: Recent,
    /// The last commit in `recent`.
    known: Revision,
    restoration: Option<Restoration>,
}

/// A write that failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Nothing was applied.
    Before(Fault),
    /// SQLite was asked to commit and could not say that it did.
    AtCommit(Fault),
}

impl<F: Into<Fault>> From<F> for Failed {
    fn from(fault: F) -> Self {
        Self::Before(fault.into())
    }
}

impl Writer {
    /// A writer, and the head that it knows.
    pub(crate) fn new(
        synced: Connection,
        relaxed: Connection,
        durability: Durability,
    ) -> Result<(Self, Head), Fault> {
        let mut recent = Recent::default();
        // The head of the same snapshot: others may compact what an earlier one speaks of.
        let ((), head) = reads::snapshot(&synced, |connection, head| {
            reads::extend_recent(connection, &mut recent, Revision::ZERO, head)
        })?;
        let writer = Self {
            synced,
            relaxed,
            durability,
            recent,
            known: head.revision(),
            restoration: None,
        };
        Ok((writer, head))
    }

    /// Runs a write in one transaction that begins with the head as it is now, whoever committed last.
    fn transact<T>(
        &mut self,
        write: impl FnOnce(&Connection, HeadRow, &mut Recent) -> Result<T, Fault>,
    ) -> Result<T, Failed> {
        let connection = match self.durability {
            Durability::Interval(_) => &mut self.relaxed,
            _ => &mut self.synced,
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let row = HeadRow::read(&transaction)?;
        catch_up(&transaction, &row.head, &mut self.recent, &mut self.known)?;
        let answer = write(&transaction, row, &mut self.recent)?;
        transaction
            .commit()
            .map_err(|error| Failed::AtCommit(error.into()))?;
        Ok(answer)
    }

    /// Applies a group. Answers the outcomes and the head after it.
    pub(crate) fn commit(
        &mut self,
        path: &std::path::Path,
        group: Vec<Transaction>,
    ) -> Result<(Vec<Outcome>, Head), Failed> {
        let evaluation = self.transact(|connection, mut row, recent| {
            reads::check_ready(&row)?;
            let mut lookup = |key: &Key, seen: Option<&Seen>| match seen {
                Some(seen) => Ok(seen.record.clone()),
                None => {
                    reads::record(connection, key).map_err(|fault| fault.at(path, "read a record"))
                }
            };
            let evaluation = evaluate(&row.head, recent, group, &mut lookup)?;
            if !evaluation.entries.is_empty() {
                store(connection, &evaluation)?;
                row.head = evaluation.head.clone();
                row.update(connection)?;
            }
            Ok(evaluation)
        })?;
        let Evaluation {
            outcomes,
            entries,
            head,
            ..
        } = evaluation;
        self.recent.extend(entries.iter().map(|entry| &**entry));
        self.known = head.revision();
        Ok((outcomes, head))
    }

    /// The commit with an id, where it is recent.
    pub(crate) fn find(&mut self, id: TransactionId) -> Result<Option<Committed>, Fault> {
        let (recent, known) = (&mut self.recent, &mut self.known);
        reads::snapshot(&self.synced, |connection, head| {
            catch_up(connection, head, recent, known)
        })?;
        Ok(self.recent.find(id))
    }

    /// Keeps or deletes a note, unsynced.
    pub(crate) fn note(&mut self, note: &Note) -> Result<(), Failed> {
        let transaction = self
            .relaxed
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        reads::check_ready(&HeadRow::read(&transaction)?)?;
        let sql = "SELECT count(*) FROM notes WHERE name <> ?1";
        let others: usize = transaction
            .prepare_cached(sql)?
            .query_row([&note.name], |row| row.get(0))?;
        // One that deletes adds none.
        let count = others + usize::from(!note.content.is_empty());
        check_note(BACKEND, note, count)?;
        if note.content.is_empty() {
            let sql = "DELETE FROM notes WHERE name = ?1";
            transaction.prepare_cached(sql)?.execute([&note.name])?;
        } else {
            put_note(&transaction, note)?;
        }
        transaction
            .commit()
            .map_err(|error| Failed::AtCommit(error.into()))
    }

    /// Cuts the log, and answers the head after it.
    pub(crate) fn compact(&mut self, through: Revision) -> Result<Head, Failed> {
        self.transact(|connection, mut row, _| {
            reads::check_ready(&row)?;
            check_compact(BACKEND, through, &row.head)?;
            if through > row.head.compacted.revision {
                row.head.compacted = cut(connection, through)?;
                row.update(connection)?;
            }
            Ok(row.head)
        })
    }

    /// Takes a page of another store. Answers the head where the page sealed it.
    pub(crate) fn restore(&mut self, page: &RestorePage) -> Result<Option<Head>, Failed> {
        let mut restoration = self.restoration.take();
        let mut is_accepted = false;
        let sealed = self.transact(|connection, mut row, recent| {
            check_empty(&row, restoration.is_some())?;
            let seal = restoration.get_or_insert_default().accept(BACKEND, page)?;
            is_accepted = true;
            for entry in &page.entries {
                append(connection, entry)?;
            }
            for record in &page.records {
                Table::of(record.key().kind()).put(connection, record)?;
            }
            row.is_restoring = seal.is_none();
            let head = seal.map(|seal| {
                row.schema = seal.schema;
                row.head = seal.head;
                row.head.clone()
            });
            row.update(connection)?;
            recent.extend(page.entries.iter().map(|entry| &**entry));
            Ok(head)
        });
        match &sealed {
            Ok(Some(head)) => self.known = head.revision(),
            // What was accepted so far goes on, and what was refused stays refused.
            _ => self.restoration = restoration,
        }
        match sealed {
            // A page that was accepted and not stored would be missing for good.
            Err(Failed::Before(fault)) if is_accepted => Err(Failed::AtCommit(fault)),
            sealed => sealed,
        }
    }

    /// Syncs what was committed without a sync: a synced commit syncs all before it.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        let transaction = self
            .synced
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Writes the page again, since a transaction without a page would sync nothing.
        transaction.execute("UPDATE head SET id = id", [])?;
        transaction.commit()?;
        Ok(())
    }

    /// Closes both connections.
    pub(crate) fn close(self) -> Result<(), Fault> {
        for connection in [self.relaxed, self.synced] {
            connection.close().map_err(|(_, error)| error)?;
        }
        Ok(())
    }
}

/// Adds what others committed to the window of recent commits.
fn catch_up(
    connection: &Connection,
    head: &Head,
    recent: &mut Recent,
    known: &mut Revision,
) -> Result<(), Fault> {
    if head.revision() > *known {
        reads::extend_recent(connection, recent, *known, head)?;
        *known = head.revision();
    }
    Ok(())
}

fn check_empty(row: &HeadRow, is_ours: bool) -> Result<(), Fault> {
    let found = row.head.revision();
    let problem = if found > Revision::ZERO {
        format!("found revision {found}")
    } else if row.is_restoring && !is_ours {
        "found the restore of another process".to_owned()
    } else {
        return Ok(());
    };
    Err(Fault::new(
        ErrorKind::Invalid,
        format!("expected an empty store, {problem}"),
    ))
}

fn store(connection: &Connection, evaluation: &Evaluation) -> Result<(), Fault> {
    for entry in &evaluation.entries {
        append(connection, entry)?;
    }
    for (key, write) in &evaluation.writes {
        put(connection, key, write)?;
    }
    Ok(())
}

fn append(connection: &Connection, entry: &LogEntry) -> Result<(), Fault> {
    LogRow::of(entry)?.insert(connection)?;
    insert_id(connection, entry.commit.id, entry.commit.revision)?;
    let revision = stored(entry.commit.revision)?;
    for Change { key, .. } in &entry.commit.changes {
        LogKeys::of(key.kind()).insert(connection, key, revision)?;
    }
    Ok(())
}

fn put(connection: &Connection, key: &Key, write: &Write) -> Result<(), Fault> {
    let table = Table::of(key.kind());
    match write {
        Some(record) => table.put(connection, record),
        None => table.delete(connection, key),
    }
}

/// Removes the log through a revision, and answers the last entry removed.
fn cut(connection: &Connection, through: Revision) -> Result<Anchor, Fault> {
    let through = stored(through)?;
    let select = LogRow::select("WHERE revision <= ?1 ORDER BY revision");
    let mut select = connection.prepare_cached(&select)?;
    let mut rows = select.query([through])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let row = LogRow::read(row)?;
        let revision = row.revision;
        let entry = row.entry()?;
        for Change { key, .. } in &entry.commit.changes {
            LogKeys::of(key.kind()).delete(connection, key, revision)?;
        }
        last = Some(Anchor {
            revision: entry.commit.revision,
            hash: entry.hash,
        });
    }
    for table in ["log", "log_ids"] {
        let sql = format!("DELETE FROM {table} WHERE revision <= ?1");
        connection.prepare_cached(&sql)?.execute([through])?;
    }
    let last = last.filter(|last| stored(last.revision).is_ok_and(|last| last == through));
    last.ok_or_else(|| Fault::damaged(format!("log entry {through}"), "it is missing"))
}
