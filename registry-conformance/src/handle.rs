//! An open store, called from a thread that may block.

use std::sync::Arc;

use futures_lite::future::block_on;
use registry_core::limits::{CHANGES_PAGE_MAX, RANGE_PAGE_MAX};
use registry_core::{
    Capabilities, ChangePage, ChangesRequest, Committed, Head, Key, Kind, LogEntry, Note, Outcome,
    RangePage, RangeRequest, RegistryStore, RestorePage, Result, Revision, Transaction,
    TransactionId, VerifyReport, Versioned,
};

use crate::case::Failure;
use crate::fixture::key;

/// An open store.
#[derive(Debug, Clone)]
pub(crate) struct Handle(Arc<dyn RegistryStore>);

impl Handle {
    pub(crate) fn new(store: Arc<dyn RegistryStore>) -> Self {
        Self(store)
    }

    /// The store itself, for a case that needs its futures.
    pub(crate) fn store(&self) -> &Arc<dyn RegistryStore> {
        &self.0
    }

    pub(crate) fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    pub(crate) fn head(&self) -> Result<Head> {
        block_on(self.0.head())
    }

    pub(crate) fn revision(&self) -> Result<Revision> {
        Ok(self.head()?.revision())
    }

    /// A service.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Versioned>> {
        self.get_at(&key(name))
    }

    /// A record of any kind.
    pub(crate) fn get_at(&self, key: &Key) -> Result<Option<Versioned>> {
        block_on(self.0.get(key))
    }

    /// The version text of a service, or none where the service is not there.
    pub(crate) fn version(&self, name: &str) -> Result<Option<String>> {
        let record = self.get(name)?;
        let entry = record.as_ref().and_then(|record| record.image.as_service());
        Ok(entry.map(|entry| entry.version.clone()))
    }

    /// A page of services.
    pub(crate) fn range(&self, after: Option<&Key>, limit: usize) -> Result<RangePage> {
        self.range_of(Kind::Service, after, limit)
    }

    /// A page of records of one kind.
    pub(crate) fn range_of(
        &self,
        kind: Kind,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<RangePage> {
        block_on(self.0.range(RangeRequest {
            kind,
            after: after.cloned(),
            limit,
        }))
    }

    /// Every record of every kind, page by page.
    pub(crate) fn records(&self) -> Result<Vec<Versioned>> {
        self.records_by(RANGE_PAGE_MAX)
    }

    /// Every record of every kind, in pages of `limit`.
    pub(crate) fn records_by(&self, limit: usize) -> Result<Vec<Versioned>> {
        let mut records = Vec::new();
        for kind in Kind::ALL {
            records.extend(self.records_of(kind, limit)?);
        }
        Ok(records)
    }

    /// Every record of one kind, in pages of `limit`.
    pub(crate) fn records_of(&self, kind: Kind, limit: usize) -> Result<Vec<Versioned>> {
        let mut records: Vec<Versioned> = Vec::new();
        let mut after = None;
        loop {
            let page = self.range_of(kind, after.as_ref(), limit)?;
            let is_of_kind = |record: &Versioned| record.key().kind() == kind;
            assert!(
                page.records.iter().all(is_of_kind),
                "a page has another kind"
            );
            assert!(page.records.len() <= limit, "a page is over its limit");
            records.extend(page.records);
            let Some(next) = page.next else {
                return Ok(records);
            };
            assert!(after.as_ref() < Some(&next), "a page did not move on");
            after = Some(next);
        }
    }

    pub(crate) fn commit(&self, group: Vec<Transaction>) -> Result<Vec<Outcome>> {
        block_on(self.0.commit(group))
    }

    /// Commits one transaction and answers its outcome.
    pub(crate) fn try_apply(&self, transaction: Transaction) -> Result<Outcome> {
        let outcomes = self.commit(vec![transaction])?;
        let [outcome] = <[Outcome; 1]>::try_from(outcomes)
            .unwrap_or_else(|found| panic!("expected one outcome, found {found:?}"));
        Ok(outcome)
    }

    /// Commits one transaction, which must be applied, and answers its revision.
    pub(crate) fn apply(&self, transaction: Transaction) -> Result<Revision, Failure> {
        Ok(self.try_apply(transaction)??.revision)
    }

    pub(crate) fn find(&self, id: TransactionId) -> Result<Option<Committed>> {
        block_on(self.0.find(id))
    }

    pub(crate) fn changes(&self, after: Revision, limit: usize) -> Result<ChangePage> {
        self.changes_of(after, None, limit)
    }

    pub(crate) fn changes_of(
        &self,
        after: Revision,
        key: Option<&Key>,
        limit: usize,
    ) -> Result<ChangePage> {
        block_on(self.0.changes(ChangesRequest {
            after,
            key: key.cloned(),
            limit,
        }))
    }

    /// The whole log, page by page.
    pub(crate) fn log(&self) -> Result<Vec<Arc<LogEntry>>> {
        self.log_of(None, CHANGES_PAGE_MAX)
    }

    /// The log of one key or of all, in pages of `limit`.
    pub(crate) fn log_of(&self, key: Option<&Key>, limit: usize) -> Result<Vec<Arc<LogEntry>>> {
        let mut entries: Vec<Arc<LogEntry>> = Vec::new();
        let mut after = self.head()?.compacted.revision;
        loop {
            let page = self.changes_of(after, key, limit)?;
            assert!(page.entries.len() <= limit, "a page is over its limit");
            entries.extend(page.entries);
            if page.through >= page.head {
                return Ok(entries);
            }
            assert!(page.through > after, "a page did not move on");
            after = page.through;
        }
    }

    pub(crate) fn note(&self, name: &str, content: &[u8]) -> Result<()> {
        block_on(self.0.note(Note {
            name: name.to_owned(),
            content: content.to_vec(),
        }))
    }

    pub(crate) fn notes(&self) -> Result<Vec<Note>> {
        block_on(self.0.notes())
    }

    pub(crate) fn wait_for_change(&self, after: Revision) -> Result<Revision> {
        block_on(self.0.wait_for_change(after))
    }

    pub(crate) fn compact(&self, through: u64) -> Result<()> {
        block_on(self.0.compact(Revision(through)))
    }

    pub(crate) fn restore(&self, page: RestorePage) -> Result<()> {
        block_on(self.0.restore(page))
    }

    pub(crate) fn verify(&self) -> Result<VerifyReport> {
        block_on(self.0.verify())
    }

    /// Verifies, and fails where anything is wrong.
    pub(crate) fn verify_clean(&self) -> Result<(), Failure> {
        let report = self.verify()?;
        if report.is_clean() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "expected a clean report, found {:?}",
            report.findings
        )))
    }

    pub(crate) fn close(&self) -> Result<()> {
        block_on(self.0.close())
    }
}
