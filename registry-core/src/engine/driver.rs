//! The driver: the one task that changes anything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_channel::Receiver;
use futures_channel::oneshot;
use futures_lite::future;

use super::command::{Action, Command, Context, Reply};
use super::error::RegistryError;
use super::lease::LeaseBook;
use super::registry::Shared;
use super::stats::count;
use super::view::View;
use crate::capability::Writers;
use crate::error::StoreError;
use crate::limits::CHANGES_PAGE_MAX;
use crate::revision::Revision;
use crate::store::Result as StoreResult;

/// Who acts in the log when the driver ends leases.
const OWN_ACTOR: &str = "registry";

/// Plans, commits, publishes and answers. Runs until every [`Registry`](super::Registry) is dropped or closed.
///
/// Invariant: it awaits nothing but its queues and the store, so a slow reader cannot stop it.
#[derive(Debug)]
pub struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) commands: Receiver<CommandJob>,
    pub(super) compactions: Receiver<CompactJob>,
    pub(super) group_commands_max: usize,
    /// Jobs that were taken from the queue and have to wait for the next group.
    pub(super) left_over: VecDeque<CommandJob>,
    /// What the driver itself has to do about leases.
    pub(super) own: VecDeque<CommandJob>,
    pub(super) leases: LeaseBook,
    /// Until when the log of others is left alone, by the monotonic clock.
    pub(super) follows_from: Duration,
}

/// A command and where its answer goes.
#[derive(Debug)]
pub(super) struct CommandJob {
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Result<Reply, RegistryError>>,
    /// Whether the driver asks itself.
    pub(super) is_own: bool,
}

impl CommandJob {
    pub(super) fn answer(self, answer: Result<Reply, RegistryError>) {
        // Who no longer waits gets no answer.
        drop(self.reply.send(answer));
    }

    /// The answer to a command that came to a commit, from a view that has it.
    pub(super) fn reply_of(&self, view: &View, revision: Revision) -> Result<Reply, RegistryError> {
        let key = self.command.action.key()?;
        Ok(Reply::of(view, &key, revision, true))
    }
}

/// A compaction and where its answer goes.
#[derive(Debug)]
pub(super) struct CompactJob {
    pub(super) through: Revision,
    pub(super) reply: oneshot::Sender<Result<(), RegistryError>>,
}

/// What woke the driver.
#[expect(clippy::large_enum_variant, reason = "it is moved once and never kept")]
enum Wake {
    Command(CommandJob),
    Compact(CompactJob),
    Tick,
    ForeignCommit,
    StoreFailed(StoreError),
    Closed,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Whoever waits for an answer learns that there will be none.
        self.commands.close();
        self.compactions.close();
        while self.commands.try_recv().is_ok() {}
        while self.compactions.try_recv().is_ok() {}
        self.shared.end();
    }
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        commands: Receiver<CommandJob>,
        compactions: Receiver<CompactJob>,
        leases: LeaseBook,
    ) -> Self {
        let store_max = shared.store.capabilities().group_transactions_max;
        let group_commands_max = shared.config.group_commands_max.min(store_max).max(1);
        Self {
            shared,
            commands,
            compactions,
            group_commands_max,
            left_over: VecDeque::new(),
            own: VecDeque::new(),
            leases,
            follows_from: Duration::ZERO,
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared.store.capabilities().writers == Writers::Many
    }

    /// Runs until the registry is closed, answers what was handed over before, then closes the store.
    ///
    /// # Errors
    /// The failure to close the store, or of a shared store to tell of the commits of others.
    pub async fn run(mut self) -> Result<(), RegistryError> {
        loop {
            match self.wake().await {
                Wake::Command(job) => self.commit_groups(job).await,
                Wake::Tick => self.tick().await,
                Wake::Compact(job) => {
                    let done = self.compact(job.through).await;
                    drop(job.reply.send(done.map_err(RegistryError::from)));
                }
                Wake::ForeignCommit => self.follow().await?,
                Wake::StoreFailed(error) => return Err(error.into()),
                Wake::Closed => return self.close().await,
            }
        }
    }

    async fn close(&self) -> Result<(), RegistryError> {
        let store = &self.shared.store;
        if let Err(error) = self.leases.end(&**store).await {
            tracing::warn!(%error, "others wait for leases to be adopted that are free already");
        }
        Ok(store.close().await?)
    }

    async fn wake(&mut self) -> Wake {
        if let Some(job) = self.left_over.pop_front() {
            return Wake::Command(job);
        }
        // Leases are looked at in time, however many commands wait.
        let next_tick = self.next_tick();
        let now = self.shared.clock.monotonic();
        if next_tick.is_some_and(|due| due <= now) {
            return Wake::Tick;
        }
        let (commands, compactions) = (&self.commands, &self.compactions);
        let command = async { commands.recv().await.map_or(Wake::Closed, Wake::Command) };
        let compaction = async {
            match compactions.recv().await {
                Ok(job) => Wake::Compact(job),
                // The queue of commands says when it is over.
                Err(_) => future::pending().await,
            }
        };
        let tick = async {
            match next_tick {
                Some(due) => self.shared.clock.sleep_until(due).await,
                None => future::pending().await,
            }
            Wake::Tick
        };
        let own = future::or(future::or(compaction, command), tick);
        if !self.is_shared() {
            return own.await;
        }
        let foreign = async {
            let Shared { clock, store, .. } = &*self.shared;
            if now < self.follows_from {
                clock.sleep_until(self.follows_from).await;
            }
            match store.wait_for_change(self.shared.view().revision()).await {
                Ok(_) => Wake::ForeignCommit,
                Err(error) => Wake::StoreFailed(error),
            }
        };
        future::or(own, foreign).await
    }

    /// When leases are to be looked at; none while there is nothing to look at.
    pub(super) fn next_tick(&self) -> Option<Duration> {
        (!self.leases.is_idle()).then(|| self.shared.lease_clock.next_tick())
    }

    /// Moves the clock of the leases on, and does what is due. Commands that wait are committed with it.
    async fn tick(&mut self) {
        self.leases.tick(&*self.shared.clock);
        let due = self.leases.sweep(&self.shared.view());
        self.do_own(due).await;
        self.leases.settle(&self.shared.view());
        let view = self.shared.view();
        match self.leases.write_notes(&view, &*self.shared.store).await {
            Ok(due) => self.do_own(due).await,
            Err(error) => {
                count(&self.shared.counters.store_errors);
                tracing::warn!(%error, "notes of leases could not be written");
            }
        }
    }

    async fn do_own(&mut self, actions: Vec<Action>) {
        let time = self.shared.clock.now();
        let context = Context {
            actor: OWN_ACTOR.to_owned(),
            reason: None,
            idempotency_key: None,
        };
        let jobs = actions.into_iter().map(|action| CommandJob {
            command: Command::new(action, context.clone(), time),
            // Nobody waits: what came of it is in the view.
            reply: oneshot::channel().0,
            is_own: true,
        });
        self.own.extend(jobs);
        while !self.own.is_empty() {
            self.commit_group(None).await;
            self.leases.tick(&*self.shared.clock);
        }
    }

    /// Compacts in slices; commands that wait are committed between them.
    async fn compact(&mut self, through: Revision) -> StoreResult<()> {
        let slice = CHANGES_PAGE_MAX as u64;
        loop {
            let head = self.shared.store.head().await?;
            if through > head.revision() {
                // The store refuses it before a slice of it is gone.
                return self.shared.store.compact(through).await;
            }
            let compacted = head.compacted.revision;
            let next = Revision(compacted.0.saturating_add(slice)).min(through);
            self.shared.store.compact(next).await?;
            if next == through {
                return Ok(());
            }
            if let Ok(job) = self.commands.try_recv() {
                self.commit_group(Some(job)).await;
            }
        }
    }
}
