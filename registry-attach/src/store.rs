//! The store: the contract on top of whatever role this opener has at the moment.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_lite::future;
use registry_core::{
    Capabilities, ChangePage, ChangesRequest, Committed, Durability, ErrorKind, Head, Key, Note,
    Outcome, RangePage, RangeRequest, RegistryStore, RestorePage, Result, Revision, StoreError,
    Transaction, TransactionId, VerifyReport, Versioned, Writers,
};

use crate::config::AttachConfig;
use crate::core::Core;
use crate::limits::{FRAME_BYTES_MAX, SILENCE_MAX};
use crate::link::{Move, Unanswered};
use crate::perform::perform;
use crate::role::Role;
use crate::seek::{Bounds, Found, Search, seek};
use crate::service::Service;
use crate::wire::{Answer, Request, Sharing};

/// A store that several openers of a path share. A clone is another handle of the same opener; when the last one is
/// dropped, the service closes what this opener has of the store.
#[derive(Debug, Clone)]
pub struct SharedStore(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    core: Arc<Core>,
    capabilities: Capabilities,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.closing.raise();
    }
}

/// What is known of a request whose answer did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It changed nothing.
    Nothing,
    /// It may have been applied.
    Unknown,
}

impl SharedStore {
    /// Owns the store at a path or attaches to its owner. The service must be run for it to work.
    ///
    /// # Errors
    /// Those of the backend; `Locked` where the holder cannot be attached to; `Unsupported` for a store that is not
    /// synced, or a holder that speaks another protocol.
    pub async fn open(config: AttachConfig) -> Result<(Self, Service)> {
        let core = Arc::new(Core::new(config));
        let found = seek(&core, Search::first(&core)).await?;
        let closed = || core.error(ErrorKind::Closed, "the store was closed");
        let found = found.ok_or_else(closed)?;
        let (role, bounds) = match &found {
            Found::Seat(seat) => {
                let capabilities = seat.store.capabilities();
                let bounds = Bounds {
                    group_transactions_max: capabilities.group_transactions_max,
                    record_bytes_max: capabilities.record_bytes_max,
                };
                (Role::Owner(Arc::clone(seat)), bounds)
            }
            Found::Line(line, bounds) => (Role::Attached(Arc::clone(line.link())), *bounds),
        };
        core.become_role(role);
        let capabilities = Capabilities {
            backend: core.config.backend,
            durability: Durability::Synced,
            writers: Writers::Many,
            is_persistent: true,
            group_transactions_max: bounds.group_transactions_max,
            record_bytes_max: bounds.record_bytes_max,
        };
        let handle = Handle {
            core: Arc::clone(&core),
            capabilities,
        };
        Ok((Self(Arc::new(handle)), Service::new(core, found)))
    }

    /// Who owns the store and who is attached to it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sharing(&self) -> Result<Sharing> {
        match self.call(Request::Sharing).await? {
            Answer::Sharing(sharing) => Ok(sharing),
            _ => Err(self.misread()),
        }
    }

    /// The path of the store.
    pub fn path(&self) -> &Path {
        &self.core().config.path
    }

    fn core(&self) -> &Core {
        &self.0.core
    }

    fn misread(&self) -> StoreError {
        let detail = "the owner of the store answered something else than was asked";
        self.core().error(ErrorKind::Invalid, detail)
    }

    /// Carries a request out, by whoever owns the store: over again where the owner goes before it answered.
    async fn call(&self, request: Request) -> Result<Answer> {
        let core = self.core();
        let mut fate = Fate::Nothing;
        let mut until = core.after(SILENCE_MAX);
        loop {
            let role = core.settled(until).await;
            let role = role.map_err(|error| self.unanswered(fate, error))?;
            match &*role {
                Role::Owner(seat) => match perform(seat, request.clone()).await {
                    // Handed over under the request, which changed nothing then.
                    Err(error) if *error.kind() == ErrorKind::Closed && !core.is_closed() => {}
                    answer => return answer,
                },
                Role::Attached(link) => match link.ask(&request).await {
                    Ok(answer) => {
                        return answer.map_err(|failure| failure.into_error(core.config.backend));
                    }
                    Err(Unanswered::TooLarge(too_large)) => {
                        let (backend, found) = (core.config.backend, too_large.found);
                        let limit = "frame_bytes_max";
                        return Err(StoreError::limit(backend, limit, FRAME_BYTES_MAX, found));
                    }
                    Err(Unanswered::Silent) => {
                        let fate = if request.is_write() {
                            Fate::Unknown
                        } else {
                            fate
                        };
                        let detail =
                            format!("the owner of the store did not answer within {SILENCE_MAX:?}");
                        let error = core.error(ErrorKind::Unavailable, detail);
                        return Err(self.unanswered(fate, error));
                    }
                    Err(Unanswered::Lost) if request.is_write() => fate = Fate::Unknown,
                    Err(Unanswered::Lost) => {}
                },
                Role::Seeking | Role::Failed { .. } | Role::Closed => {}
            }
            if fate == Fate::Unknown && !request.is_repeatable() {
                let error = core.error(ErrorKind::Unavailable, "the owner of the store went away");
                return Err(self.unanswered(fate, error));
            }
            until = core.after(SILENCE_MAX);
            if core.within(until, core.left(&role)).await.is_none() {
                let error = core.error(
                    ErrorKind::Unavailable,
                    "the service of the store does not run",
                );
                return Err(self.unanswered(fate, error));
            }
        }
    }

    /// What an error of the way means to a request that may have been applied before.
    fn unanswered(&self, fate: Fate, error: StoreError) -> StoreError {
        if fate == Fate::Nothing {
            return error;
        }
        let detail = format!("{}, after the request was sent", error.detail());
        self.core().error(ErrorKind::MaybeApplied, detail)
    }

    async fn done(&self, request: Request) -> Result<()> {
        match self.call(request).await? {
            Answer::Done => Ok(()),
            _ => Err(self.misread()),
        }
    }
}

/// Asks, and takes the one answer that fits.
macro_rules! ask {
    ($store:expr, $request:expr, $answer:ident) => {
        match $store.call($request).await? {
            Answer::$answer(answer) => Ok(answer),
            _ => Err($store.misread()),
        }
    };
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl RegistryStore for SharedStore {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    fn latest(&self) -> Option<Revision> {
        match &*self.core().role() {
            Role::Owner(seat) => seat.store.latest(),
            _ => None,
        }
    }

    async fn head(&self) -> Result<Head> {
        let head: Result<Head> = ask!(self, Request::Head, Head);
        if let Ok(head) = &head {
            self.core().see(head.last);
        }
        head
    }

    async fn get(&self, key: &Key) -> Result<Option<Versioned>> {
        ask!(self, Request::Get(key.clone()), Record)
    }

    async fn range(&self, request: RangeRequest) -> Result<RangePage> {
        ask!(self, Request::Range(request), Range)
    }

    async fn commit(&self, group: Vec<Transaction>) -> Result<Vec<Outcome>> {
        ask!(self, Request::Commit(group), Outcomes)
    }

    async fn find(&self, id: TransactionId) -> Result<Option<Committed>> {
        ask!(self, Request::Find(id), Found)
    }

    async fn changes(&self, request: ChangesRequest) -> Result<ChangePage> {
        ask!(self, Request::Changes(request), Changes)
    }

    async fn wait_for_change(&self, after: Revision) -> Result<Revision> {
        let core = self.core();
        loop {
            let role = core.role();
            let moved = async {
                match &*role {
                    Role::Owner(seat) => match seat.store.wait_for_change(after).await {
                        Err(error) if *error.kind() == ErrorKind::Closed => None,
                        moved => Some(moved),
                    },
                    Role::Attached(link) => match link.moved_past(after).await {
                        Ok(Move::To(head)) => Some(Ok(head)),
                        Ok(Move::Restoring) => {
                            let detail = "a restore is not sealed yet";
                            Some(Err(core.error(ErrorKind::Invalid, detail)))
                        }
                        Err(_) => None,
                    },
                    Role::Seeking => None,
                    Role::Failed { kind, detail } => Some(Err(core.error(kind.clone(), detail))),
                    Role::Closed => {
                        Some(Err(core.error(ErrorKind::Closed, "the store was closed")))
                    }
                }
            };
            let left = async {
                core.left(&role).await;
                None
            };
            if let Some(moved) = future::or(left, moved).await {
                return moved;
            }
            core.left(&role).await;
        }
    }

    async fn note(&self, note: Note) -> Result<()> {
        self.done(Request::Note(note)).await
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        ask!(self, Request::Notes, Notes)
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        self.done(Request::Compact(through)).await
    }

    async fn restore(&self, page: RestorePage) -> Result<()> {
        self.done(Request::Restore(page)).await
    }

    async fn verify(&self) -> Result<VerifyReport> {
        ask!(self, Request::Verify, Report)
    }

    async fn close(&self) -> Result<()> {
        self.core().close().await
    }
}
