//! Loads the view from a store, also from one that others write to meanwhile.

use futures_lite::future;

use super::error::RegistryError;
use super::view::View;
use crate::error::{ErrorKind, StoreError};
use crate::head::{Head, Tally};
use crate::key::Kind;
use crate::pages::{LogPages, RecordPages};
use crate::revision::Revision;
use crate::store::RegistryStore;

/// Times that a load begins anew because others compacted the log away under it.
const ATTEMPTS_MAX: u32 = 16;
/// Services that room is made for before they are read: a damaged head may tell any number.
const SERVICES_RESERVED_MAX: usize = 1 << 20;

/// Reads the whole state and checks that it adds up to the store's head.
///
/// Others may commit meanwhile, however fast: the view ends at a head that was asked for once, after the last record.
///
/// # Errors
/// `Corrupted` where it does not: a record that is missing is found here, before anything is answered from the view;
/// `Unavailable` where others compact the log faster than it can be read.
pub(super) async fn load(store: &dyn RegistryStore) -> Result<View, RegistryError> {
    for _ in 0..ATTEMPTS_MAX {
        match load_once(store).await {
            Err(error) if matches!(error.kind(), ErrorKind::Compacted { .. }) => {}
            loaded => return Ok(loaded?),
        }
    }
    let problem = format!("others compacted the log under each of {ATTEMPTS_MAX} attempts");
    Err(failure(store, ErrorKind::Unavailable, &problem).into())
}

fn failure(store: &dyn RegistryStore, kind: ErrorKind, problem: &str) -> StoreError {
    let backend = store.capabilities().backend;
    StoreError::new(kind, backend, format!("load the records: {problem}"))
}

/// Checks that what was loaded adds up to what the store says.
fn check(head: &Head, revision: Revision, tally: &Tally) -> Result<(), String> {
    let expected = head.revision();
    if revision != expected {
        return Err(format!("expected revision {expected}, found {revision}"));
    }
    tally.compare(&head.tally)
}

async fn load_once(store: &dyn RegistryStore) -> Result<View, StoreError> {
    let mut view = View::default();
    let expected = store.head().await?.tally.counts.of(Kind::Service);
    view.reserve(
        usize::try_from(expected).map_or(SERVICES_RESERVED_MAX, |it| it.min(SERVICES_RESERVED_MAX)),
    );
    let mut tally = Tally::default();
    let mut first_revision = None;
    let mut pages = RecordPages::new(store);
    let mut next = pages.next().await?;
    while let Some(page) = next {
        first_revision.get_or_insert(page.revision);
        // Most stores read on a thread of their own: the next page, while this one is put into the view.
        let put = async {
            page.records.iter().for_each(|record| tally.add(record));
            view.load(page.records);
        };
        let (read, ()) = future::zip(pages.next(), put).await;
        next = read?;
    }
    let begun = first_revision.unwrap_or_default();
    view.loaded_at(begun);
    let head = store.head().await?;
    let mut log = LogPages::new(store, view.revision(), head.revision());
    while let Some(page) = log.next().await? {
        for entry in &page.entries {
            view.catch_up(&entry.commit);
        }
    }
    if view.revision() > begun {
        // What was read is not what it was when it was added up.
        tally = view.tally();
    }
    view.index();
    check(&head, view.revision(), &tally)
        .map_err(|problem| failure(store, ErrorKind::Corrupted, &problem))?;
    Ok(view)
}
