//! A store that another process commits to at every moment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_lite::future::block_on;
use registry_core::engine::{EngineConfig, Registry};
use registry_core::model::ServiceEntry;
use registry_core::{
    Capabilities, Cause, ChangePage, ChangesRequest, Committed, Head, Key, ManualClock,
    MemoryStore, Mutation, Note, Outcome, RangePage, RangeRequest, RegistryStore, RestorePage,
    Result, Revision, Transaction, TransactionId, VerifyReport, Versioned,
};

use crate::fixture::{TIME, image};

/// Names of which the other process changes one with each commit.
const NAMES: u64 = 3;

/// Before it answers a read, another process has committed.
#[derive(Debug, Default)]
struct BusyStore {
    inner: MemoryStore,
    commits: AtomicU64,
}

impl BusyStore {
    async fn is_overtaken(&self) -> Result<()> {
        let number = self.commits.fetch_add(1, Ordering::SeqCst);
        let name = format!("other-{}", number % NAMES);
        let entry = ServiceEntry::new(name, number.to_string());
        let transaction = Transaction {
            id: TransactionId::fresh(),
            preconditions: Vec::new(),
            mutations: vec![Mutation::Put(image(entry))],
            cause: Cause {
                actor: "other".to_owned(),
                action: "register_service".to_owned(),
                reason: None,
                time: TIME,
            },
        };
        self.inner.commit(vec![transaction]).await.map(drop)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl RegistryStore for BusyStore {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn latest(&self) -> Option<Revision> {
        self.inner.latest()
    }

    async fn head(&self) -> Result<Head> {
        self.is_overtaken().await?;
        self.inner.head().await
    }

    async fn get(&self, key: &Key) -> Result<Option<Versioned>> {
        self.is_overtaken().await?;
        self.inner.get(key).await
    }

    async fn range(&self, request: RangeRequest) -> Result<RangePage> {
        self.is_overtaken().await?;
        self.inner.range(request).await
    }

    async fn commit(&self, group: Vec<Transaction>) -> Result<Vec<Outcome>> {
        self.inner.commit(group).await
    }

    async fn find(&self, id: TransactionId) -> Result<Option<Committed>> {
        self.inner.find(id).await
    }

    async fn changes(&self, request: ChangesRequest) -> Result<ChangePage> {
        self.is_overtaken().await?;
        self.inner.changes(request).await
    }

    async fn wait_for_change(&self, after: Revision) -> Result<Revision> {
        self.inner.wait_for_change(after).await
    }

    async fn note(&self, note: Note) -> Result<()> {
        self.inner.note(note).await
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        self.inner.notes().await
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        self.inner.compact(through).await
    }

    async fn restore(&self, page: RestorePage) -> Result<()> {
        self.inner.restore(page).await
    }

    async fn verify(&self) -> Result<VerifyReport> {
        self.inner.verify().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[test]
fn registry_opens_while_others_commit_without_pause() {
    let store = Arc::new(BusyStore::default());
    let clock = Arc::new(ManualClock::at(TIME));
    let opened = Registry::open(Arc::clone(&store) as _, EngineConfig::default(), clock);
    let (registry, _driver) = block_on(opened).unwrap();
    let view = registry.stale_view();
    let through = view.revision();
    let names = (0..NAMES).map(|number| format!("other-{number}"));
    let found = names.map(|name| view.get(&name).unwrap().record().modified);
    // The last commits up to the view's revision, one for each name.
    let last: BTreeSet<Revision> = (0..NAMES).map(|back| Revision(through.0 - back)).collect();
    assert_eq!(found.collect::<BTreeSet<_>>(), last);
    assert!(through < block_on(store.inner.head()).unwrap().revision());
}
