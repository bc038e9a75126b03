//! The driver: the one task that changes anything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_channel::Receiver;
use futures_channel::oneshot;
use futures_lite::future;

use super::command::{Action, Command, Context, Reply};
use super::error::RegistryError;
use super::group::Group;
use super::lease::{LeaseBook, is_still_due};
use super::load::load;
use super::registry::Shared;
use super::stats::count;
use super::view::View;
use crate::capability::Writers;
use crate::error::{ErrorKind, StoreError};
use crate::limits::CHANGES_PAGE_MAX;
use crate::log::Commit;
use crate::offload::block_on_alone;
use crate::revision::Revision;
use crate::store::{ChangesRequest, Result as StoreResult};
use crate::transaction::{Outcome, Transaction};

/// Who acts in the log when the driver ends leases.
const OWN_ACTOR: &str = "registry";
/// How long the driver waits before it reads a log again that could not be read: no load for a store that refuses at
/// once, and short beside the time that a new owner needs to open one.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);

/// Plans, commits, publishes and answers. Runs until every [`Registry`](super::Registry) is dropped or closed.
///
/// Invariant: it awaits nothing but its queues and the store, so a slow reader cannot stop it.
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    commands: Receiver<BoxedJob>,
    compactions: Receiver<CompactJob>,
    group_commands_max: usize,
    /// Jobs that were taken from the queue and have to wait for the next group.
    left_over: VecDeque<BoxedJob>,
    /// What the driver itself has to do about leases.
    own: VecDeque<BoxedJob>,
    leases: LeaseBook,
    /// Until when the log of others is left alone, by the monotonic clock.
    follows_from: Duration,
}

/// A command and where its answer goes.
#[derive(Debug)]
pub(super) struct CommandJob {
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Result<Reply, RegistryError>>,
    /// Whether the driver asks itself.
    pub(super) is_own: bool,
}

/// As it is passed on: a job is large, and each place of the queue takes the room of one whether it is used or not.
pub(super) type BoxedJob = Box<CommandJob>;

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
enum Wake {
    Command(BoxedJob),
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
        commands: Receiver<BoxedJob>,
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

    fn is_shared(&self) -> bool {
        self.shared.store.capabilities().writers == Writers::Many
    }

    /// Runs until the registry is closed, answers what was handed over before, then closes the store.
    ///
    /// # Errors
    /// The failure to close the store, or of a shared store to tell of the commits of others.
    pub async fn run(mut self) -> Result<(), RegistryError> {
        loop {
            match self.wake().await {
                Wake::Command(job) => self.commit_group(Some(job)).await,
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

    /// As [`run`](Self::run), on this thread, which it has to itself until the registry is closed: what blocks in an
    /// engine blocks here, and no call of one waits for another thread to be woken.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_blocking(self) -> Result<(), RegistryError> {
        block_on_alone(self.run())
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
        // A compaction gives way between its slices; commands that keep coming would hold it up for good.
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
    fn next_tick(&self) -> Option<Duration> {
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
        let jobs = actions.into_iter().map(|action| {
            Box::new(CommandJob {
                command: Command::new(action, context.clone(), time),
                // Nobody waits: what came of it is in the view.
                reply: oneshot::channel().0,
                is_own: true,
            })
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

    /// Keeps jobs for the next group.
    fn put_off(&mut self, jobs: Vec<BoxedJob>) {
        let (own, others): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.is_own);
        self.left_over.extend(others);
        own.into_iter()
            .rev()
            .for_each(|job| self.own.push_front(job));
    }

    /// The jobs of the next group: those of the driver itself before the others, so that a lease that lapsed before a
    /// command came has lapsed for it; and no more than half of the group where others wait, so that many leases hold
    /// up no commands.
    fn drain(&mut self, first: Option<BoxedJob>) -> Vec<BoxedJob> {
        let is_alone = first.is_none() && self.left_over.is_empty() && self.commands.is_empty();
        let own_max = if is_alone {
            self.group_commands_max
        } else {
            (self.group_commands_max / 2).max(1)
        };
        let view = self.shared.view();
        let own = self.own.drain(..own_max.min(self.own.len()));
        let mut jobs: Vec<BoxedJob> = own
            .filter(|job| is_still_due(&view, &job.command.action))
            .collect();
        jobs.extend(first);
        let rest_max = self.group_commands_max.saturating_sub(jobs.len());
        jobs.extend(self.left_over.drain(..rest_max.min(self.left_over.len())));
        while self.left_over.is_empty()
            && jobs.len() < self.group_commands_max
            && let Ok(job) = self.commands.try_recv()
        {
            jobs.push(job);
        }
        jobs
    }

    async fn commit_group(&mut self, first: Option<BoxedJob>) {
        let mut drained = self.drain(first);
        let keeper = self.leases.keeper();
        for job in &mut drained {
            job.command.keeper = Arc::clone(&keeper);
        }
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
            self.put_off(group.take_left_over());
            if group.is_empty() {
                return group.settle(&self.shared, &mut self.leases);
            }
            let outcomes = match self.commit(&group).await {
                Ok(outcomes) => outcomes,
                Err(error) => {
                    if *error.kind() == ErrorKind::MaybeApplied
                        && let Err(error) = self.catch_up().await
                    {
                        tracing::warn!(%error, "the view may be behind the store");
                    }
                    return group.fail(&RegistryError::from(error), &self.shared, &mut self.leases);
                }
            };
            self.count(&outcomes);
            if group.is_as_planned(&outcomes) {
                return group.publish(&self.shared, &mut self.leases);
            }
            if let Err(error) = self.catch_up().await {
                return group.fail(&error, &self.shared, &mut self.leases);
            }
            jobs = group.settle_outcomes(&self.shared, outcomes);
            if jobs.is_empty() {
                return;
            }
        }
        for job in jobs {
            let error = match job.command.action.key() {
                Ok(key) => RegistryError::Contended {
                    key,
                    attempts: attempts_max,
                },
                Err(error) => error.into(),
            };
            job.answer(Err(error));
        }
    }

    /// Answers commands whose named transaction is in the log, and puts off those whose twin is in the same group.
    async fn answer_known(&mut self, jobs: Vec<BoxedJob>) -> Vec<BoxedJob> {
        let mut fresh: Vec<BoxedJob> = Vec::with_capacity(jobs.len());
        for job in jobs {
            if !job.command.is_named {
                fresh.push(job);
                continue;
            }
            let id = job.command.id;
            match self.shared.store.find(id).await {
                Ok(Some(committed)) => {
                    let reply = job.reply_of(&self.shared.view(), committed.revision);
                    job.answer(reply);
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
    async fn refresh(&mut self) -> Result<(), RegistryError> {
        if !self.is_shared() {
            return Ok(());
        }
        let latest = match self.shared.store.latest() {
            Some(latest) => latest,
            None => self.shared.store.head().await?.revision(),
        };
        if latest > self.shared.view().revision() {
            self.catch_up().await?;
        }
        Ok(())
    }

    /// Commits a group; one whose outcome is unknown is sent again, which its transaction ids make harmless.
    ///
    /// Whatever a later attempt answers, an outcome that was unknown stays so until the store tells it.
    async fn commit(&self, group: &Group) -> StoreResult<Vec<Outcome>> {
        let mut unknown = None;
        for _ in 0..self.shared.config.resend_max {
            match self.flush(group.transactions()).await {
                Err(error) if *error.kind() == ErrorKind::MaybeApplied => {
                    unknown.get_or_insert(error);
                    count(&self.shared.counters.resends);
                }
                Err(error) => return Err(unknown.unwrap_or(error)),
                outcomes => return outcomes,
            }
        }
        let outcomes = self.flush(group.transactions()).await;
        outcomes.map_err(|error| unknown.unwrap_or(error))
    }

    async fn flush(&self, transactions: Vec<Transaction>) -> StoreResult<Vec<Outcome>> {
        let Shared {
            store,
            clock,
            counters,
            ..
        } = &*self.shared;
        let begun = clock.monotonic();
        let commands = transactions.len() as u64;
        let outcomes = store.commit(transactions).await;
        match &outcomes {
            Ok(_) => {
                let took = clock.monotonic().saturating_sub(begun).as_micros();
                let micros = u64::try_from(took).unwrap_or(u64::MAX);
                counters.commit_micros.observe(micros);
                counters.group_commands.observe(commands);
            }
            Err(_) => count(&counters.store_errors),
        }
        outcomes
    }

    fn count(&self, outcomes: &[Outcome]) {
        let commits = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        self.shared
            .counters
            .commits
            .fetch_add(commits as u64, Ordering::Relaxed);
        count(&self.shared.counters.groups);
    }

    /// Catches up with others. A store that cannot be read for a while, as one whose owner is silent or is being replaced,
    /// ends nothing: what is missing still wakes the driver after a pause, and is read then.
    async fn follow(&mut self) -> Result<(), RegistryError> {
        match self.catch_up().await {
            Err(error) if error.is_retryable() => {
                self.follows_from = self.shared.clock.monotonic() + FOLLOW_PAUSE;
                count(&self.shared.counters.store_errors);
                tracing::warn!(%error, "the view is behind the store");
                Ok(())
            }
            followed => followed,
        }
    }

    /// Applies what the store has beyond the view: commits of other processes, and our own between them.
    async fn catch_up(&mut self) -> Result<(), RegistryError> {
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
            let changes = commits.iter().map(|commit| &**commit);
            self.leases.observe(&view, changes, &*self.shared.clock);
            self.shared.publish(view);
            self.shared.feed.publish(commits);
            if has_caught_up {
                return Ok(());
            }
        }
    }

    /// Others compacted what the view did not see yet: it is loaded again, and the feed begins anew.
    async fn reload(&mut self) -> Result<(), RegistryError> {
        let view = load(&*self.shared.store).await?;
        let revision = view.revision();
        self.leases.load(&view, &self.shared.store.notes().await?);
        self.shared.publish(view);
        self.shared.feed.restart(revision);
        Ok(())
    }
}
