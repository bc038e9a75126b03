//! Evaluates a group of transactions against the state, in order, without touching the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::recent::Recent;
use crate::error::StoreError;
use crate::head::Head;
use crate::key::Key;
use crate::limits::{
    GROUP_BYTES_MAX, GROUP_TRANSACTIONS_MAX, TEXT_BYTES_MAX, TRANSACTION_MUTATIONS_MAX,
    TRANSACTION_PRECONDITIONS_MAX,
};
use crate::log::{Change, Commit, LogEntry};
use crate::model::ModelError;
use crate::record::{Image, Versioned};
use crate::revision::Revision;
use crate::store::Result;
use crate::transaction::{
    Committed, Mutation, Outcome, Precondition, Rejection, Seen, Transaction,
};

/// What a group adds up to: a backend makes all of it durable with one flush, or none of it.
#[derive(Debug)]
pub struct Evaluation {
    /// One outcome for each transaction, in order.
    pub outcomes: Vec<Outcome>,
    /// The new log entries, oldest first. Empty where nothing was applied.
    pub entries: Vec<Arc<LogEntry>>,
    /// The new state of every key that the group changed, in key order.
    pub writes: BTreeMap<Key, Write>,
    /// The head after the group.
    pub head: Head,
}

/// The new state of a key: a record, or none where the group deleted it.
pub type Write = Option<Versioned>;

/// Checks the limits of a group, before anything is read.
///
/// # Errors
/// `LimitExceeded` by name.
pub fn check_group(backend: &'static str, group: &[Transaction]) -> Result<()> {
    if group.len() > GROUP_TRANSACTIONS_MAX {
        return Err(StoreError::limit(
            backend,
            "group_transactions_max",
            GROUP_TRANSACTIONS_MAX,
            group.len(),
        ));
    }
    let bytes = group
        .iter()
        .flat_map(|transaction| &transaction.mutations)
        .map(mutation_bytes)
        .sum();
    if bytes > GROUP_BYTES_MAX {
        return Err(StoreError::limit(
            backend,
            "group_bytes_max",
            GROUP_BYTES_MAX,
            bytes,
        ));
    }
    Ok(())
}

fn mutation_bytes(mutation: &Mutation) -> usize {
    match mutation {
        Mutation::Put(image) => image.body_bytes(),
        Mutation::Delete(_) => 0,
    }
}

/// Answers the stored record at a key, as of the head. What a transaction saw there at that very head comes with the key,
/// and need not be read again.
pub type Lookup<'a> = dyn FnMut(&Key, Option<&Seen>) -> Result<Option<Versioned>> + 'a;

/// Evaluates a group.
///
/// # Errors
/// Only those of `lookup`: what is wrong with one transaction is its outcome.
pub fn evaluate(
    head: &Head,
    recent: &Recent,
    group: Vec<Transaction>,
    lookup: &mut Lookup<'_>,
) -> Result<Evaluation> {
    let mut state = State {
        lookup,
        begun_at: head.revision(),
        last_found: None,
        group: Vec::with_capacity(group.len()),
        evaluation: Evaluation {
            outcomes: Vec::with_capacity(group.len()),
            entries: Vec::with_capacity(group.len()),
            writes: BTreeMap::new(),
            head: head.clone(),
        },
    };
    for transaction in group {
        let id = transaction.id;
        let known = recent.find(id).or_else(|| state.in_group(&transaction));
        let outcome = match known {
            Some(committed) => Ok(committed),
            None => state.apply(transaction)?,
        };
        state.group.push((id, outcome.as_ref().ok().copied()));
        state.evaluation.outcomes.push(outcome);
    }
    Ok(state.evaluation)
}

struct State<'a, 'l> {
    lookup: &'a mut Lookup<'l>,
    /// The head before the group.
    begun_at: Revision,
    /// What the store answered last: a mutation mostly follows a precondition of the same key, and a read of an engine
    /// costs more than the rest of an evaluation.
    last_found: Option<(Key, Option<Versioned>)>,
    group: Vec<(crate::TransactionId, Option<Committed>)>,
    evaluation: Evaluation,
}

impl State<'_, '_> {
    fn in_group(&self, transaction: &Transaction) -> Option<Committed> {
        self.group
            .iter()
            .find(|(id, _)| *id == transaction.id)
            .and_then(|(_, committed)| *committed)
    }

    fn current(&mut self, key: &Key, seen: Option<&Seen>) -> Result<Option<Versioned>> {
        if let Some(write) = self.evaluation.writes.get(key) {
            return Ok(write.clone());
        }
        if let Some((last, found)) = &self.last_found
            && last == key
        {
            return Ok(found.clone());
        }
        let seen = seen.filter(|seen| seen.at == self.begun_at);
        let found = (self.lookup)(key, seen)?;
        debug_assert!(
            seen.is_none() || found == (self.lookup)(key, None)?,
            "at {key} is not what was seen there"
        );
        self.last_found = Some((key.clone(), found.clone()));
        Ok(found)
    }

    fn apply(&mut self, transaction: Transaction) -> Result<Outcome> {
        if let Err(error) = check_form(&transaction) {
            return Ok(Err(Rejection::Invalid(error)));
        }
        for (index, precondition) in transaction.preconditions.iter().enumerate() {
            if let Some(rejection) = self.broken(index, precondition)? {
                return Ok(Err(rejection));
            }
        }
        let mut changes = Vec::with_capacity(transaction.mutations.len());
        let mut writes = Vec::with_capacity(transaction.mutations.len());
        let revision = self.evaluation.head.revision().next();
        for mutation in &transaction.mutations {
            let before = self.current(mutation.key(), None)?;
            if let Some(rejection) = forbidden(&transaction, mutation, before.as_ref()) {
                return Ok(Err(rejection));
            }
            let after = changed(mutation, before.as_ref(), revision);
            changes.push(Change {
                key: mutation.key().clone(),
                before: before.as_ref().map(|record| Arc::clone(&record.image)),
                after: after.as_ref().map(|record| Arc::clone(&record.image)),
            });
            writes.push((before, after));
        }
        self.append(transaction, revision, changes, writes);
        Ok(Ok(Committed { revision }))
    }

    fn append(
        &mut self,
        transaction: Transaction,
        revision: Revision,
        changes: Vec<Change>,
        writes: Vec<(Option<Versioned>, Option<Versioned>)>,
    ) {
        let Evaluation {
            entries,
            writes: state,
            head,
            ..
        } = &mut self.evaluation;
        for ((before, after), mutation) in writes.into_iter().zip(&transaction.mutations) {
            if let Some(before) = &before {
                head.tally.remove(before);
            }
            if let Some(after) = &after {
                head.tally.add(after);
            }
            state.insert(mutation.key().clone(), after);
        }
        let commit = Commit {
            revision,
            id: transaction.id,
            cause: transaction.cause,
            changes,
        };
        let entry = LogEntry::chain(head.last.hash, commit);
        head.last.revision = revision;
        head.last.hash = entry.hash;
        entries.push(Arc::new(entry));
    }

    fn broken(&mut self, index: usize, precondition: &Precondition) -> Result<Option<Rejection>> {
        let mut seen = None;
        let (key, expected) = match precondition {
            Precondition::HeadIs(expected) => {
                let found = self.evaluation.head.revision();
                let rejection = Rejection::Precondition {
                    index,
                    key: None,
                    found: Some(found),
                };
                return Ok((found != *expected).then_some(rejection));
            }
            Precondition::Absent(key) => (key, Expected::Revision(Revision::ZERO)),
            Precondition::Present(key) => (key, Expected::Any),
            Precondition::ModifiedAt(key, revision) => (key, Expected::Revision(*revision)),
            Precondition::AsSeen(what) => {
                seen = Some(what);
                (&what.key, Expected::Revision(what.modified()))
            }
            Precondition::ModifiedBy(key, position) => (key, self.expected_of(*position)),
        };
        let found = self.current(key, seen)?.map(|record| record.modified);
        let holds = match expected {
            Expected::Any => found.is_some(),
            Expected::Revision(revision) => found.unwrap_or(Revision::ZERO) == revision,
            Expected::Never => false,
        };
        Ok((!holds).then(|| Rejection::Precondition {
            index,
            key: Some(key.clone()),
            found,
        }))
    }

    fn expected_of(&self, position: u32) -> Expected {
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        match self.group.get(position) {
            Some((_, Some(committed))) => Expected::Revision(committed.revision),
            _ => Expected::Never,
        }
    }
}

enum Expected {
    Any,
    Revision(Revision),
    /// The transaction that was to modify the key failed, or comes later.
    Never,
}

fn changed(
    mutation: &Mutation,
    before: Option<&Versioned>,
    revision: Revision,
) -> Option<Versioned> {
    match mutation {
        Mutation::Put(image) => Some(Versioned {
            image: Arc::clone(image),
            created: before.map_or(revision, |record| record.created),
            modified: revision,
        }),
        Mutation::Delete(_) => None,
    }
}

fn forbidden(
    transaction: &Transaction,
    mutation: &Mutation,
    before: Option<&Versioned>,
) -> Option<Rejection> {
    match before {
        Some(before) if !before.image.schema().is_known() => Some(Rejection::SchemaTooNew {
            key: before.key().clone(),
            found: before.image.schema(),
        }),
        None if matches!(mutation, Mutation::Delete(_)) => Some(Rejection::Precondition {
            index: transaction.preconditions.len(),
            key: Some(mutation.key().clone()),
            found: None,
        }),
        _ => None,
    }
}

fn check_form(transaction: &Transaction) -> Result<(), ModelError> {
    let Transaction {
        preconditions,
        mutations,
        cause,
        ..
    } = transaction;
    if mutations.is_empty() || mutations.len() > TRANSACTION_MUTATIONS_MAX {
        let expected = format!("1 to {TRANSACTION_MUTATIONS_MAX}");
        return Err(ModelError::new(
            "mutations",
            expected,
            mutations.len().to_string(),
        ));
    }
    crate::model::check_count(
        "preconditions",
        preconditions.len(),
        TRANSACTION_PRECONDITIONS_MAX,
    )?;
    if let Some(key) = doubled(mutations) {
        let found = format!("two of {key}");
        return Err(ModelError::new("mutations", "one for each key", found));
    }
    if let Some(image) = mutations.iter().find_map(newer_image) {
        let found = format!("schema {} at {}", image.schema(), image.key());
        return Err(ModelError::new(
            "mutations",
            "records of a schema that this program writes",
            found,
        ));
    }
    crate::model::check_text("cause.actor", &cause.actor, TEXT_BYTES_MAX)?;
    crate::model::check_text("cause.action", &cause.action, TEXT_BYTES_MAX)?;
    crate::model::check_text(
        "cause.reason",
        cause.reason.as_deref().unwrap_or_default(),
        TEXT_BYTES_MAX,
    )
}

/// A key that two of the mutations have.
fn doubled(mutations: &[Mutation]) -> Option<&Key> {
    // Nearly all transactions have one.
    if mutations.len() < 2 {
        return None;
    }
    let mut keys: Vec<&Key> = mutations.iter().map(Mutation::key).collect();
    keys.sort_unstable();
    let mut neighbours = keys.windows(2);
    neighbours
        .find(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
}

fn newer_image(mutation: &Mutation) -> Option<&Image> {
    match mutation {
        Mutation::Put(image) if !image.schema().is_known() => Some(image),
        _ => None,
    }
}
