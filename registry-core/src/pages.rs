//! Reads a whole store page by page, through the methods that every store has.

use std::slice;

use crate::key::{Key, Kind};
use crate::limits::{CHANGES_PAGE_MAX, RANGE_PAGE_MAX};
use crate::revision::Revision;
use crate::store::{ChangePage, ChangesRequest, RangePage, RangeRequest, RegistryStore, Result};

/// Every record, kind by kind and in key order, as pages. Each page is of one revision; two may be of different ones.
#[derive(Debug)]
pub struct RecordPages<'a> {
    store: &'a dyn RegistryStore,
    kinds: slice::Iter<'static, Kind>,
    next: Option<(Kind, Option<Key>)>,
}

impl<'a> RecordPages<'a> {
    /// Begins with the first record.
    pub fn new(store: &'a dyn RegistryStore) -> Self {
        let mut kinds = Kind::ALL.iter();
        let next = kinds.next().map(|kind| (*kind, None));
        Self { store, kinds, next }
    }

    /// The next page; none after the last. A page may be empty.
    ///
    /// # Errors
    /// The store's.
    pub async fn next(&mut self) -> Result<Option<RangePage>> {
        let Some((kind, after)) = self.next.take() else {
            return Ok(None);
        };
        let page = self
            .store
            .range(RangeRequest {
                kind,
                after,
                limit: RANGE_PAGE_MAX,
            })
            .await?;
        self.next = match &page.next {
            Some(after) => Some((kind, Some(after.clone()))),
            None => self.kinds.next().map(|kind| (*kind, None)),
        };
        Ok(Some(page))
    }
}

/// The log entries between two revisions, oldest first, as pages.
#[derive(Debug)]
pub struct LogPages<'a> {
    store: &'a dyn RegistryStore,
    after: Revision,
    through: Revision,
}

impl<'a> LogPages<'a> {
    /// Begins with the entry after `after`, and ends with that of `through`, which must be committed.
    pub fn new(store: &'a dyn RegistryStore, after: Revision, through: Revision) -> Self {
        Self {
            store,
            after,
            through,
        }
    }

    /// The next page; none after the last.
    ///
    /// # Errors
    /// The store's.
    pub async fn next(&mut self) -> Result<Option<ChangePage>> {
        if self.after >= self.through {
            return Ok(None);
        }
        // Revisions have no gaps: so many entries are left.
        let left = usize::try_from(self.through.0 - self.after.0).unwrap_or(usize::MAX);
        let request = ChangesRequest {
            after: self.after,
            key: None,
            limit: left.min(CHANGES_PAGE_MAX),
        };
        let page = self.store.changes(request).await?;
        self.after = page.through;
        Ok(Some(page))
    }
}
