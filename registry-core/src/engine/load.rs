//! Loads the view from a store, also from one that others write to meanwhile.

use super::error::RegistryError;
use super::view::View;
use crate::error::{ErrorKind, StoreError};
use crate::limits::CHANGES_PAGE_MAX;
use crate::pages::RecordPages;
use crate::store::{ChangesRequest, RegistryStore};

/// Attempts to reach a point at which the store stands still long enough to be compared.
const ATTEMPTS_MAX: u32 = 16;

/// Reads the whole state and checks that it adds up to the store's head.
///
/// # Errors
/// `Corrupted` where it does not: a record that is missing is found here, before anything is answered from the view;
/// `Unavailable` where others commit faster than it can be read.
pub(super) async fn load(store: &dyn RegistryStore) -> Result<View, RegistryError> {
    for _ in 0..ATTEMPTS_MAX {
        let view = match load_once(store).await {
            Err(error) if matches!(error.kind(), ErrorKind::Compacted { .. }) => continue,
            loaded => loaded?,
        };
        let head = store.head().await?;
        match view.compare(head.last, &head.tally) {
            Ok(()) => return Ok(view),
            Err(problem) if head.revision() == view.revision() => {
                return Err(failure(store, ErrorKind::Corrupted, &problem));
            }
            Err(_) => {}
        }
    }
    let problem = format!("others kept committing during {ATTEMPTS_MAX} attempts");
    Err(failure(store, ErrorKind::Unavailable, &problem))
}

fn failure(store: &dyn RegistryStore, kind: ErrorKind, problem: &str) -> RegistryError {
    let backend = store.capabilities().backend;
    StoreError::new(kind, backend, format!("load the records: {problem}")).into()
}

async fn load_once(store: &dyn RegistryStore) -> Result<View, StoreError> {
    let mut view = View::default();
    let mut first_revision = None;
    let mut pages = RecordPages::new(store);
    while let Some(page) = pages.next().await? {
        first_revision.get_or_insert(page.revision);
        for record in page.records {
            view.load(record);
        }
    }
    view.loaded_at(first_revision.unwrap_or_default());
    replay(store, &mut view).await?;
    Ok(view)
}

async fn replay(store: &dyn RegistryStore, view: &mut View) -> Result<(), StoreError> {
    loop {
        let request = ChangesRequest {
            after: view.revision(),
            key: None,
            limit: CHANGES_PAGE_MAX,
        };
        let page = store.changes(request).await?;
        page.entries
            .iter()
            .for_each(|entry| view.catch_up(&entry.commit));
        if view.revision() >= page.head {
            return Ok(());
        }
    }
}
