//! Loads the view from a store, also from one that others write to meanwhile.

use super::error::RegistryError;
use super::view::View;
use crate::error::{ErrorKind, StoreError};
use crate::head::Head;
use crate::pages::{LogPages, RecordPages};
use crate::store::RegistryStore;

/// Attempts to read the whole state before the log that it needs is compacted.
const ATTEMPTS_MAX: u32 = 16;

/// Reads the whole state and checks that it adds up to the store's head at one moment; others may commit on.
///
/// # Errors
/// `Corrupted` where it does not: a record that is missing is found here, before anything is answered from the view;
/// `Unavailable` where others compact faster than it can be read.
pub(super) async fn load(store: &dyn RegistryStore) -> Result<View, RegistryError> {
    for _ in 0..ATTEMPTS_MAX {
        let (view, head) = match load_once(store).await {
            Err(error) if matches!(error.kind(), ErrorKind::Compacted { .. }) => continue,
            loaded => loaded?,
        };
        return match view.compare(head.last, &head.tally) {
            Ok(()) => Ok(view),
            Err(problem) => Err(failure(store, ErrorKind::Corrupted, &problem)),
        };
    }
    let problem = format!("others kept compacting during {ATTEMPTS_MAX} attempts");
    Err(failure(store, ErrorKind::Unavailable, &problem))
}

fn failure(store: &dyn RegistryStore, kind: ErrorKind, problem: &str) -> RegistryError {
    let backend = store.capabilities().backend;
    StoreError::new(kind, backend, format!("load the records: {problem}")).into()
}

/// The records, brought by the log to the revision of a head that was read after them.
async fn load_once(store: &dyn RegistryStore) -> Result<(View, Head), StoreError> {
    let mut view = View::default();
    let mut first_revision = None;
    let mut pages = RecordPages::new(store);
    while let Some(page) = pages.next().await? {
        first_revision.get_or_insert(page.revision);
        for record in page.records {
            view.load(record);
        }
    }
    let first_revision = first_revision.unwrap_or_default();
    view.loaded_at(first_revision);
    let head = store.head().await?;
    let mut pages = LogPages::new(store, first_revision, head.revision());
    while let Some(page) = pages.next().await? {
        let commits = page.entries.iter().map(|entry| &entry.commit);
        commits
            .take_while(|commit| commit.revision <= head.revision())
            .for_each(|commit| view.catch_up(commit));
    }
    Ok((view, head))
}
