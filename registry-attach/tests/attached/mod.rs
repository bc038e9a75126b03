//! The suite's store as seen by an opener that is attached to the owner, through the socket.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use futures_lite::future::block_on;
use registry_attach::{AttachConfig, OpenStore, SharedStore};
use registry_core::{
    Capabilities, ChangePage, ChangesRequest, Committed, Head, Key, Note, OpenMode, Outcome,
    RangePage, RangeRequest, RegistryStore, RestorePage, Result, Revision, Transaction,
    TransactionId, VerifyReport, Versioned,
};

/// Opens a path twice, and answers the second opener; the first one owns the store as long as the second is there.
pub(crate) fn open<S: RegistryStore>(
    backend: &'static str,
    path: &Path,
    open: impl Fn(&Path, OpenMode) -> Result<S> + Send + Sync + 'static,
) -> Result<Attached> {
    let place = path.to_path_buf();
    let opener: OpenStore = Arc::new(move |mode| Ok(Arc::new(open(&place, mode)?)));
    let share = || {
        let config = AttachConfig::new(backend, path, Arc::clone(&opener));
        let (store, service) = block_on(SharedStore::open(config))?;
        thread::spawn(|| block_on(service.run()));
        Ok(store)
    };
    let owner = share()?;
    Ok(Attached {
        store: share()?,
        owner,
    })
}

#[derive(Debug)]
pub(crate) struct Attached {
    store: SharedStore,
    owner: SharedStore,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl RegistryStore for Attached {
    fn capabilities(&self) -> &Capabilities {
        self.store.capabilities()
    }

    fn latest(&self) -> Option<Revision> {
        self.store.latest()
    }

    async fn head(&self) -> Result<Head> {
        self.store.head().await
    }

    async fn get(&self, key: &Key) -> Result<Option<Versioned>> {
        self.store.get(key).await
    }

    async fn range(&self, request: RangeRequest) -> Result<RangePage> {
        self.store.range(request).await
    }

    async fn commit(&self, group: Vec<Transaction>) -> Result<Vec<Outcome>> {
        self.store.commit(group).await
    }

    async fn find(&self, id: TransactionId) -> Result<Option<Committed>> {
        self.store.find(id).await
    }

    async fn changes(&self, request: ChangesRequest) -> Result<ChangePage> {
        self.store.changes(request).await
    }

    async fn wait_for_change(&self, after: Revision) -> Result<Revision> {
        self.store.wait_for_change(after).await
    }

    async fn note(&self, note: Note) -> Result<()> {
        self.store.note(note).await
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        self.store.notes().await
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        self.store.compact(through).await
    }

    async fn restore(&self, page: RestorePage) -> Result<()> {
        self.store.restore(page).await
    }

    async fn verify(&self) -> Result<VerifyReport> {
        self.store.verify().await
    }

    async fn close(&self) -> Result<()> {
        self.store.close().await?;
        self.owner.close().await
    }
}
