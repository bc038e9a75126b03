//! Stores in memory that are full before anything is measured.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use futures_lite::future::block_on;
use registry_core::{
    Cause, Image, MemoryStore, Mutation, Record, RegistryStore as _, Timestamp, Transaction,
    TransactionId,
};

use crate::interrupt;

/// Transactions of one commit.
const GROUP_TRANSACTIONS: usize = 512;

/// A store with these records, each put by a transaction of its own: the first one by revision 1.
///
/// # Errors
/// A record that is not legal.
pub(super) fn filled(records: impl Iterator<Item = Result<Record>>) -> Result<Arc<MemoryStore>> {
    let store = MemoryStore::new();
    let mut group = Vec::with_capacity(GROUP_TRANSACTIONS);
    for record in records {
        group.push(transaction(record?)?);
        if group.len() == GROUP_TRANSACTIONS {
            interrupt::check()?;
            commit(&store, std::mem::take(&mut group))?;
        }
    }
    commit(&store, group)?;
    Ok(Arc::new(store))
}

fn transaction(record: Record) -> Result<Transaction> {
    Ok(Transaction {
        id: TransactionId::fresh(),
        preconditions: Vec::new(),
        mutations: vec![Mutation::Put(Image::new(record)?)],
        cause: Cause {
            actor: "bench".to_owned(),
            action: "fill".into(),
            reason: None,
            time: Timestamp::default(),
        }
        .into(),
    })
}

fn commit(store: &MemoryStore, group: Vec<Transaction>) -> Result<()> {
    let outcomes = block_on(store.commit(group)).context("fill the store")?;
    for outcome in outcomes {
        outcome.map_err(|rejection| anyhow!("fill the store: {rejection}"))?;
    }
    Ok(())
}
