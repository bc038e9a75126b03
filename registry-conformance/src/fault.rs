//! A store that fails on purpose, or that somebody else keeps writing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use event_listener::{Event, listener};
use registry_core::{
    Capabilities, ChangePage, ChangesRequest, Committed, ErrorKind, Head, Key, Note, Outcome,
    RangePage, RangeRequest, RegistryStore, RestorePage, Result, Revision, StoreError, Transaction,
    TransactionId, VerifyReport, Versioned,
};

use crate::fixture::put;

/// How the chosen write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not applied and answers `Unavailable`; later writes succeed.
    Refused,
    /// It is applied and answers `MaybeApplied`; later writes succeed.
    AnswerLost,
    /// It is not applied and answers `MaybeApplied`; later writes succeed.
    RequestLost,
    /// It is not applied and answers `MaybeApplied`; later writes answer `Poisoned`.
    SyncFailed,
}

/// Wraps a store and fails its n-th write: `commit`, `note`, `compact` or `restore`. Reads and `close` go through; before
/// each of the first ones a [rival](Self::with_rival) may commit. Commits can be [held](Self::hold) before they are made.
///
/// ```
/// use std::sync::Arc;
///
/// use registry_conformance::{Fault, FaultStore};
/// use registry_core::{MemoryStore, RegistryStore as _, Revision};
///
/// let store = FaultStore::new(Arc::new(MemoryStore::new()), 1, Fault::Refused);
/// futures_lite::future::block_on(async {
///     assert!(store.compact(Revision(0)).await.is_err());
///     assert!(store.compact(Revision(0)).await.is_ok());
/// });
/// ```
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn RegistryStore>,
    fault: Fault,
    nth: u64,
    writes: AtomicU64,
    is_poisoned: AtomicBool,
    rival_left: AtomicU64,
    refusals_left: AtomicU64,
    is_holding: AtomicBool,
    has_held: AtomicBool,
    hold_changed: Event,
}

enum Turn {
    Through,
    LoseAnswer,
}

impl FaultStore {
    /// Fails the `nth` write from now on; the first is 1, and 0 fails none.
    pub fn new(inner: Arc<dyn RegistryStore>, nth: u64, fault: Fault) -> Self {
        Self {
            inner,
            fault,
            nth,
            writes: AtomicU64::new(0),
            is_poisoned: AtomicBool::new(false),
            rival_left: AtomicU64::new(0),
            refusals_left: AtomicU64::new(0),
            is_holding: AtomicBool::new(false),
            has_held: AtomicBool::new(false),
            hold_changed: Event::new(),
        }
    }

    /// Fails no write; somebody else commits before each of so many reads, however close one follows the other.
    pub fn with_rival(inner: Arc<dyn RegistryStore>, commits: u64) -> Self {
        let mut store = Self::new(inner, 0, Fault::Refused);
        store.rival_left = AtomicU64::new(commits);
        store
    }

    async fn let_rival_commit(&self) -> Result<()> {
        if let Some(left) = take_one(&self.rival_left) {
            let transaction = put("rival", &left.to_string());
            self.inner.commit(vec![transaction]).await?;
        }
        Ok(())
    }

    /// Answers `Unavailable` to so many of the next reads of the log.
    pub fn refuse_changes(&self, times: u64) {
        self.refusals_left.store(times, Ordering::SeqCst);
    }

    /// How many reads of the log are still to be refused.
    pub fn refusals_left(&self) -> u64 {
        self.refusals_left.load(Ordering::SeqCst)
    }

    /// Lets the commits that come from now on wait.
    pub fn hold(&self) {
        self.is_holding.store(true, Ordering::SeqCst);
    }

    /// Lets the commits that wait go on, and holds no more.
    pub fn release(&self) {
        self.is_holding.store(false, Ordering::SeqCst);
        self.hold_changed.notify(usize::MAX);
    }

    /// Returns once a commit was held.
    pub async fn until_held(&self) {
        self.until(|| self.has_held.load(Ordering::SeqCst)).await;
    }

    async fn wait_while_held(&self) {
        if !self.is_holding.load(Ordering::SeqCst) {
            return;
        }
        self.has_held.store(true, Ordering::SeqCst);
        self.hold_changed.notify(usize::MAX);
        self.until(|| !self.is_holding.load(Ordering::SeqCst)).await;
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        loop {
            listener!(self.hold_changed => changed);
            if is_so() {
                return;
            }
            changed.await;
        }
    }

    /// The wrapped store.
    pub fn inner(&self) -> &Arc<dyn RegistryStore> {
        &self.inner
    }

    /// Number of writes so far, the failed ones included.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    fn turn(&self) -> Result<Turn> {
        if self.is_poisoned.load(Ordering::SeqCst) {
            return Err(self.error(ErrorKind::Poisoned));
        }
        if self.writes.fetch_add(1, Ordering::SeqCst) + 1 != self.nth {
            return Ok(Turn::Through);
        }
        match self.fault {
            Fault::Refused => Err(self.error(ErrorKind::Unavailable)),
            Fault::AnswerLost => Ok(Turn::LoseAnswer),
            Fault::RequestLost => Err(self.error(ErrorKind::MaybeApplied)),
            Fault::SyncFailed => {
                self.is_poisoned.store(true, Ordering::SeqCst);
                Err(self.error(ErrorKind::MaybeApplied))
            }
        }
    }

    fn answer<T>(&self, turn: &Turn, answer: T) -> Result<T> {
        match turn {
            Turn::Through => Ok(answer),
            Turn::LoseAnswer => Err(self.error(ErrorKind::MaybeApplied)),
        }
    }

    fn error(&self, kind: ErrorKind) -> StoreError {
        StoreError::new(
            kind,
            self.inner.capabilities().backend,
            "a fault on purpose",
        )
    }
}

/// Takes one of what is left, and answers how many there were.
fn take_one(left: &AtomicU64) -> Option<u64> {
    let less = |left: u64| left.checked_sub(1);
    let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
    taken.ok()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl RegistryStore for FaultStore {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn latest(&self) -> Option<Revision> {
        self.inner.latest()
    }

    async fn head(&self) -> Result<Head> {
        self.let_rival_commit().await?;
        self.inner.head().await
    }

    async fn get(&self, key: &Key) -> Result<Option<Versioned>> {
        self.inner.get(key).await
    }

    async fn range(&self, request: RangeRequest) -> Result<RangePage> {
        self.let_rival_commit().await?;
        self.inner.range(request).await
    }

    async fn commit(&self, group: Vec<Transaction>) -> Result<Vec<Outcome>> {
        self.wait_while_held().await;
        let turn = self.turn()?;
        let outcomes = self.inner.commit(group).await?;
        self.answer(&turn, outcomes)
    }

    async fn find(&self, id: TransactionId) -> Result<Option<Committed>> {
        self.inner.find(id).await
    }

    async fn changes(&self, request: ChangesRequest) -> Result<ChangePage> {
        if take_one(&self.refusals_left).is_some() {
            return Err(self.error(ErrorKind::Unavailable));
        }
        self.let_rival_commit().await?;
        self.inner.changes(request).await
    }

    async fn wait_for_change(&self, after: Revision) -> Result<Revision> {
        self.inner.wait_for_change(after).await
    }

    async fn note(&self, note: Note) -> Result<()> {
        let turn = self.turn()?;
        self.inner.note(note).await?;
        self.answer(&turn, ())
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        self.inner.notes().await
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        let turn = self.turn()?;
        self.inner.compact(through).await?;
        self.answer(&turn, ())
    }

    async fn restore(&self, page: RestorePage) -> Result<()> {
        let turn = self.turn()?;
        self.inner.restore(page).await?;
        self.answer(&turn, ())
    }

    async fn verify(&self) -> Result<VerifyReport> {
        self.inner.verify().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
