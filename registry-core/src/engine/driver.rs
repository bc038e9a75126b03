//! The driver: the one task that changes anything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_channel::{Receiver, Sender};
use futures_lite::future;

use super::command::{Command, Reply};
use super::error::RegistryError;
use super::group::Group;
use super::load::load;
use super::registry::Shared;
use crate::capability::Writers;
use crate::error::{ErrorKind, StoreError};
use crate::limits::CHANGES_PAGE_MAX;
use crate::log::Commit;
use crate::revision::Revision;
use crate::store::{ChangesRequest, Result as StoreResult};
use crate::transaction::{Outcome, Transaction};

/// Plans, commits, publishes and answers. Runs until every [`Registry`](super::Registry) is dropped or closed.
///
/// Invariant: it awaits nothing but its queues and the store, so a slow reader cannot stop it.
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    commands: Receiver<CommandJob>,
    compactions: Receiver<CompactJob>,
    group_commands_max: usize,
    /// Jobs that were taken from the queue and have to wait for the next group.
    left_over: VecDeque<CommandJob>,
}

/// A command and where its answer goes.
#[derive(Debug)]
pub(super) struct CommandJob {
    pub(super) command: Command,
    pub(super) reply: Sender<Result<Reply, RegistryError>>,
}

impl CommandJob {
    pub(super) fn answer(self, answer: Result<Reply, RegistryError>) {
        // Who no longer waits gets no answer.
        drop(self.reply.try_send(answer));
    }
}

/// A compaction and where its answer goes.
#[derive(Debug)]
pub(super) struct CompactJob {
    pub(super) through: Revision,
    pub(super) reply: Sender<Result<(), RegistryError>>,
}

/// What woke the driver.
#[expect(clippy::large_enum_variant, reason = "it is moved once and never kept")]
enum Wake {
    Command(CommandJob),
    Compact(CompactJob),
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
    ) -> Self {
        let store_max = shared.store.capabilities().group_transactions_max;
        let group_commands_max = shared.config.group_commands_max.min(store_max).max(1);
        Self {
            shared,
            commands,
            compactions,
            group_commands_max,
            left_over: VecDeque::new(),
        }
    }

    /// Runs until the registry is closed, answers what was handed over before, then closes the store.
    ///
    /// # Errors
    /// The failure to close the store, or of a shared store to tell of the commits of others.
    pub async fn run(mut self) -> Result<(), RegistryError> {
        loop {
            match self.wake().await {
                Wake::Command(job) => self.commit_group(job).await,
                Wake::Compact(job) => {
                    let done = self.compact(job.through).await;
                    drop(job.reply.try_send(done.map_err(RegistryError::from)));
                }
                Wake::ForeignCommit => self.catch_up().await?,
                Wake::StoreFailed(error) => return Err(error.into()),
                Wake::Closed => return Ok(self.shared.store.close().await?),
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        if let Some(job) = self.left_over.pop_front() {
            return Wake::Command(job);
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
        let own = future::or(command, compaction);
        if self.shared.store.capabilities().writers == Writers::One {
            return own.await;
        }
        let foreign = async {
            match self
                .shared
                .store
                .wait_for_change(self.shared.view().revision())
                .await
            {
                Ok(_) => Wake::ForeignCommit,
                Err(error) => Wake::StoreFailed(error),
            }
        };
        future::or(own, foreign).await
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
                self.commit_group(job).await;
            }
        }
    }

    fn drain(&mut self, first: CommandJob) -> Vec<CommandJob> {
        let mut jobs = vec![first];
        jobs.extend(self.left_over.drain(..));
        while jobs.len() < self.group_commands_max
            && let Ok(job) = self.commands.try_recv()
        {
            jobs.push(job);
        }
        jobs
    }

    async fn commit_group(&mut self, first: CommandJob) {
        let drained = self.drain(first);
        if let Err(error) = self.refresh().await {
            for job in drained {
                job.answer(Err(error.clone()));
            }
            return;
        }
        let mut jobs = self.answer_known(drained).await;
        let attempts_max = self.shared.config.replan_max + 1;
        for _ in 0..attempts_max {
            let mut group = Group::plan(&self.shared.view(), jobs);
            self.left_over.extend(group.take_left_over());
            if group.transactions().is_empty() {
                return group.settle();
            }
            let outcomes = match self.commit(group.transactions()).await {
                Ok(outcomes) => outcomes,
                Err(error) => {
                    if *error.kind() == ErrorKind::MaybeApplied
                        && let Err(error) = self.catch_up().await
                    {
                        tracing::warn!(%error, "the view may be behind the store");
                    }
                    return group.fail(&RegistryError::from(error));
                }
            };
            self.count(&outcomes);
            if group.is_as_planned(&outcomes) {
                return group.publish(&self.shared);
            }
            if let Err(error) = self.catch_up().await {
                return group.fail(&error);
            }
            jobs = group.settle_outcomes(&self.shared, outcomes);
            if jobs.is_empty() {
                return;
            }
        }
        for job in jobs {
            let name = job.command.action.service().to_owned();
            job.answer(Err(RegistryError::Contended {
                name,
                attempts: attempts_max,
            }));
        }
    }

    /// Answers commands whose named transaction is in the log, and puts off those whose twin is in the same group.
    async fn answer_known(&mut self, jobs: Vec<CommandJob>) -> Vec<CommandJob> {
        let mut fresh: Vec<CommandJob> = Vec::with_capacity(jobs.len());
        for job in jobs {
            if job.command.context.idempotency_key.is_none() {
                fresh.push(job);
                continue;
            }
            let id = job.command.id;
            match self.shared.store.find(id).await {
                Ok(Some(committed)) => {
                    let service = self
                        .shared
                        .view()
                        .get(job.command.action.service())
                        .cloned();
                    job.answer(Ok(Reply {
                        revision: committed.revision,
                        is_changed: true,
                        service,
                    }));
                }
                Ok(None) if fresh.iter().any(|other| other.command.id == id) => {
                    self.left_over.push_back(job);
                }
                Ok(None) => fresh.push(job),
                Err(error) => job.answer(Err(error.into())),
            }
        }
        fresh
    }

    /// Brings the view up to the head where others write, too: a command that comes to no transaction is answered from
    /// the view, and must not be answered from one that was overtaken before the command came.
    async fn refresh(&self) -> Result<(), RegistryError> {
        if self.shared.store.capabilities().writers == Writers::One {
            return Ok(());
        }
        let head = self.shared.store.head().await?;
        if head.revision() > self.shared.view().revision() {
            self.catch_up().await?;
        }
        Ok(())
    }

    /// Commits a group; one whose outcome is unknown is sent again, which its transaction ids make harmless.
    ///
    /// Whatever a later attempt answers, an outcome that was unknown stays so until the store tells it.
    async fn commit(&self, transactions: &[Transaction]) -> StoreResult<Vec<Outcome>> {
        let mut unknown = None;
        for _ in 0..self.shared.config.resend_max {
            match self.shared.store.commit(transactions.to_vec()).await {
                Err(error) if *error.kind() == ErrorKind::MaybeApplied => {
                    unknown.get_or_insert(error);
                    self.shared.counters.resends.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => return Err(unknown.unwrap_or(error)),
                outcomes => return outcomes,
            }
        }
        let outcomes = self.shared.store.commit(transactions.to_vec()).await;
        outcomes.map_err(|error| unknown.unwrap_or(error))
    }

    fn count(&self, outcomes: &[Outcome]) {
        let commits = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        self.shared
            .counters
            .commits
            .fetch_add(commits as u64, Ordering::Relaxed);
        self.shared.counters.groups.fetch_add(1, Ordering::Relaxed);
    }

    /// Applies what the store has beyond the view: commits of other processes, and our own between them.
    async fn catch_up(&self) -> Result<(), RegistryError> {
        loop {
            let mut view = (*self.shared.view()).clone();
            let request = ChangesRequest {
                after: view.revision(),
                key: None,
                limit: CHANGES_PAGE_MAX,
            };
            let page = match self.shared.store.changes(request).await {
                Err(error) if matches!(error.kind(), ErrorKind::Compacted { .. }) => {
                    return self.reload().await;
                }
                page => page?,
            };
            let commits: Vec<Arc<Commit>> = page
                .entries
                .iter()
                .map(|entry| Arc::new(entry.commit.clone()))
                .collect();
            for commit in &commits {
                view.apply(commit);
            }
            let has_caught_up = view.revision() >= page.head;
            self.shared.publish(view);
            self.shared.feed.publish(commits);
            if has_caught_up {
                return Ok(());
            }
        }
    }

    /// Others compacted what the view did not see yet: it is loaded again, and the feed begins anew.
    async fn reload(&self) -> Result<(), RegistryError> {
        let view = load(&*self.shared.store).await?;
        let revision = view.revision();
        self.shared.publish(view);
        self.shared.feed.restart(revision);
        Ok(())
    }
}
