//! How much sled may have written that is not durable.
//!
//! sled takes for durable what `sync_file_range` wrote, but a file's growth is not made durable by that. Segments claim in
//! their headers up to where the log is stable, recovery looks for tears behind that claim alone, and a segment whose
//! pages have moved on is written over. So after a power cut a claim may be there without what it speaks of, and the
//! store does not open any more. While less than a segment is unsynced, every claim that outlives the cut lies in
//! what we synced or in the segment after it, and recovery finds the tear.

use registry_core::{Mutation, Result, StoreError, Transaction};

use crate::store::BACKEND;

/// So many bytes of ours are synced before more is written. sled writes whole pages beside them, 16 rows of 4 KiB at
/// most: a segment of 8 MiB leaves sixteen times as much.
const UNSYNCED_BYTES_MAX: usize = 512 * 1024;
/// Largest sum of the records of one transaction, which sled writes twice, in the log and in the state.
const TRANSACTION_BYTES_MAX: usize = 1024 * 1024;
/// What a row costs beside its value: its key, its place in the log's index, and a part of its page.
const ROW_BYTES: usize = 512;

/// Counts what is not synced.
#[derive(Debug, Default)]
pub(crate) struct Span(usize);

impl Span {
    /// Counts a write of so many rows with so many bytes in all. Says whether it must be synced now.
    pub(crate) fn add(&mut self, rows: usize, bytes: usize) -> bool {
        self.0 += rows * ROW_BYTES + bytes;
        self.0 >= UNSYNCED_BYTES_MAX
    }

    /// Everything is synced.
    pub(crate) fn reset(&mut self) {
        self.0 = 0;
    }
}

fn size(transaction: &Transaction) -> usize {
    let sizes = transaction.mutations.iter().map(|mutation| match mutation {
        Mutation::Put(image) => image.body_bytes(),
        Mutation::Delete(_) => 0,
    });
    sizes.sum()
}

/// Splits a group where sled must sync in between.
///
/// # Errors
/// `LimitExceeded` for a transaction that is too large for one span.
pub(crate) fn split(group: Vec<Transaction>) -> Result<Vec<Vec<Transaction>>> {
    let mut parts = vec![Vec::new()];
    let mut span = Span::default();
    for transaction in group {
        let bytes = size(&transaction);
        if bytes > TRANSACTION_BYTES_MAX {
            let limit = "sled_transaction_bytes_max";
            return Err(StoreError::limit(
                BACKEND,
                limit,
                TRANSACTION_BYTES_MAX,
                bytes,
            ));
        }
        let part = parts.last_mut().expect("there is one from the start");
        // Once in the log and once in the state.
        let is_full = span.add(2 * transaction.mutations.len(), 2 * bytes);
        if is_full && !part.is_empty() {
            span.reset();
            span.add(2 * transaction.mutations.len(), 2 * bytes);
            parts.push(vec![transaction]);
        } else {
            part.push(transaction);
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use registry_core::model::ServiceEntry;
    use registry_core::{Cause, Image, Record, Timestamp, TransactionId};

    use super::*;

    fn transaction(dependencies: usize) -> Transaction {
        let mut entry = ServiceEntry::new("api", "1");
        entry.depends_on = (0..dependencies).map(|it| format!("{it:0>200}")).collect();
        let image = Image::new(Record::Service(entry)).expect("the entry is legal");
        Transaction {
            id: TransactionId::fresh(),
            preconditions: Vec::new(),
            mutations: vec![Mutation::Put(image)],
            cause: Cause {
                actor: "test".into(),
                action: "put".into(),
                reason: None,
                time: Timestamp::default(),
            }
            .into(),
        }
    }

    #[test]
    fn group_of_small_transactions_stays_together() {
        let parts = split((0..200).map(|_| transaction(1)).collect()).expect("it is legal");
        assert_eq!(parts.len(), 1);
    }

    #[test]
    fn large_transactions_are_synced_one_by_one_in_order() {
        let group: Vec<_> = [1000, 1000, 1, 1].map(transaction).to_vec();
        let parts = split(group.clone()).expect("it is legal");
        let sizes: Vec<_> = parts.iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 3]);
        assert_eq!(parts.concat(), group);
    }
}
