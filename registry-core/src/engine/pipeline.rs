//! How commands come to the store: in groups, each of them planned while the store writes the one before.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_channel::Receiver;
use futures_lite::future;

use super::driver::{CommandJob, Driver};
use super::error::RegistryError;
use super::group::Group;
use super::lease::is_still_due;
use super::registry::Shared;
use super::stats::count;
use crate::error::ErrorKind;
use crate::store::Result as StoreResult;
use crate::transaction::{Outcome, Transaction};

/// Closed when a group is written.
type Written = Receiver<Infallible>;

impl Driver {
    /// Commits what waits, and what comes meanwhile, until there is nothing to write or something else is due.
    ///
    /// While the store writes a group, the one before it is published and answered, and the next is planned as if what
    /// is being written were committed. Where that does not come out as planned, the next is planned anew: nobody is
    /// answered from a plan on commits that never were.
    pub(super) async fn commit_groups(&mut self, first: CommandJob) {
        let Some(mut group) = self.plan_waiting(Some(first)).await else {
            return;
        };
        let mut before: Option<Group> = None;
        while !group.is_empty() {
            let (outcomes, next) = self.write_and_plan(&group, before.take()).await;
            let is_as_planned = outcomes
                .as_ref()
                .is_ok_and(|outcomes| group.is_as_planned(outcomes));
            if !is_as_planned {
                self.put_back(next);
                let again = self.finish(group, outcomes).await;
                let attempts_left = self.shared.config.replan_max;
                return self.commit_jobs(again, attempts_left).await;
            }
            before = Some(group);
            if self.is_shared() {
                self.publish(before.take());
                if !self.is_fresh(&next).await {
                    return self.put_back(next);
                }
            }
            group = next;
        }
        self.publish(before);
        group.settle(&self.shared, &mut self.leases);
    }

    fn publish(&mut self, group: Option<Group>) {
        if let Some(group) = group {
            group.publish(&self.shared, &mut self.leases);
        }
    }

    /// Whether nobody else committed since the view that a group was planned on.
    async fn is_fresh(&mut self, group: &Group) -> bool {
        group.jobs() == 0
            || self.refresh().await.is_ok() && self.shared.view().revision() == group.base()
    }

    /// Commits one group of what waits.
    pub(super) async fn commit_group(&mut self, first: Option<CommandJob>) {
        let Some(group) = self.plan_waiting(first).await else {
            return;
        };
        let again = self.commit_planned(group).await;
        let attempts_left = self.shared.config.replan_max;
        self.commit_jobs(again, attempts_left).await;
    }

    /// Commits jobs that others overtook, as often as they do.
    async fn commit_jobs(&mut self, mut jobs: Vec<CommandJob>, attempts_left: u32) {
        for _ in 0..attempts_left {
            if jobs.is_empty() {
                return;
            }
            let mut group = Group::after(&self.shared.view());
            jobs.into_iter().for_each(|job| group.add(job));
            self.put_off(&mut group);
            jobs = self.commit_planned(group).await;
        }
        for job in jobs {
            let error = match job.command.action.key() {
                Ok(key) => RegistryError::Contended {
                    key,
                    attempts: self.shared.config.replan_max + 1,
                },
                Err(error) => error.into(),
            };
            job.answer(Err(error));
        }
    }

    /// Commits a group, and returns what must be planned again.
    async fn commit_planned(&mut self, group: Group) -> Vec<CommandJob> {
        if group.is_empty() {
            group.settle(&self.shared, &mut self.leases);
            return Vec::new();
        }
        let outcomes = write(&self.shared, &group).await;
        self.finish(group, outcomes).await
    }

    /// Publishes and answers what was written, and returns what must be planned again.
    async fn finish(
        &mut self,
        group: Group,
        outcomes: StoreResult<Vec<Outcome>>,
    ) -> Vec<CommandJob> {
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(error) => {
                if *error.kind() == ErrorKind::MaybeApplied
                    && let Err(error) = self.catch_up().await
                {
                    tracing::warn!(%error, "the view may be behind the store");
                }
                group.fail(&RegistryError::from(error), &self.shared, &mut self.leases);
                return Vec::new();
            }
        };
        if group.is_as_planned(&outcomes) {
            group.publish(&self.shared, &mut self.leases);
            return Vec::new();
        }
        if let Err(error) = self.catch_up().await {
            group.fail(&error, &self.shared, &mut self.leases);
            return Vec::new();
        }
        group.settle_outcomes(&self.shared, outcomes)
    }

    /// Writes a group. Meanwhile it publishes the one before and plans the next.
    async fn write_and_plan(
        &mut self,
        group: &Group,
        before: Option<Group>,
    ) -> (StoreResult<Vec<Outcome>>, Group) {
        let shared = Arc::clone(&self.shared);
        let (writing, written) = async_channel::bounded(1);
        let write = async move {
            let outcomes = write(&shared, group).await;
            drop(writing);
            outcomes
        };
        let plan = async {
            self.publish(before);
            self.plan_ahead(group, &written).await
        };
        // The store begins before anything is published.
        future::zip(write, plan).await
    }

    /// Plans what comes while a group is being written, as if that were committed.
    async fn plan_ahead(&mut self, writing: &Group, written: &Written) -> Group {
        let mut next = Group::after(writing.view());
        let mut twins = Vec::new();
        while !written.is_closed() && self.has_room(&next) && !self.is_wanted_elsewhere() {
            let Some(job) = self.next_job(written).await else {
                break;
            };
            twins.extend(self.admit(job, &mut next, Some(writing)).await);
        }
        self.put_off(&mut next);
        self.left_over.extend(twins);
        next
    }

    fn has_room(&self, group: &Group) -> bool {
        !group.is_full() && group.jobs() < self.group_commands_max
    }

    /// Whether there is more to do than commands.
    fn is_wanted_elsewhere(&self) -> bool {
        let now = self.shared.clock.monotonic();
        !self.compactions.is_empty() || self.next_tick().is_some_and(|due| due <= now)
    }

    /// The next command; none where the group is written before one comes.
    async fn next_job(&mut self, written: &Written) -> Option<CommandJob> {
        if let Some(job) = self.left_over.pop_front() {
            return Some(job);
        }
        let command = async {
            match self.commands.recv().await {
                Ok(job) => Some(job),
                // The queue is closed and empty: the group under way is the last.
                Err(_) => future::pending().await,
            }
        };
        let end = async {
            let nothing = written.recv().await;
            nothing.ok().map(|never| match never {})
        };
        future::or(command, end).await
    }

    /// Plans what waits; none where it cannot be told what others committed.
    async fn plan_waiting(&mut self, first: Option<CommandJob>) -> Option<Group> {
        let jobs = self.drain(first);
        if let Err(error) = self.refresh().await {
            for job in jobs {
                job.answer(Err(error.clone()));
            }
            return None;
        }
        let mut group = Group::after(&self.shared.view());
        let mut twins = Vec::new();
        for job in jobs {
            twins.extend(self.admit(job, &mut group, None).await);
        }
        self.put_off(&mut group);
        self.left_over.extend(twins);
        Some(group)
    }

    /// The jobs of the next group: those of the driver itself before the others, so that a lease that lapsed before a
    /// command came has lapsed for it; and no more than half of the group where others wait, so that many leases hold
    /// up no commands.
    fn drain(&mut self, first: Option<CommandJob>) -> Vec<CommandJob> {
        let is_alone = first.is_none() && self.left_over.is_empty() && self.commands.is_empty();
        let own_max = if is_alone {
            self.group_commands_max
        } else {
            (self.group_commands_max / 2).max(1)
        };
        let view = self.shared.view();
        let own = self.own.drain(..own_max.min(self.own.len()));
        let mut jobs: Vec<CommandJob> = own
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

    /// Adds a job to a group. One whose named transaction is in the log is answered instead; one whose twin is in this
    /// group, or in that which is being written, is returned: it is to wait until that is settled.
    async fn admit(
        &self,
        mut job: CommandJob,
        group: &mut Group,
        writing: Option<&Group>,
    ) -> Option<CommandJob> {
        if let Some(keeper) = self.leases.keeper() {
            job.command.keeper = keeper;
        }
        if !job.command.is_named {
            group.add(job);
            return None;
        }
        let id = job.command.id;
        if group.names(id) || writing.is_some_and(|writing| writing.names(id)) {
            return Some(job);
        }
        let view = self.shared.view();
        match self.shared.store.find(id).await {
            // Another process committed it just now.
            Ok(Some(committed)) if committed.revision > view.revision() => return Some(job),
            Ok(Some(committed)) => {
                let reply = job.reply_of(&view, committed.revision);
                job.answer(reply);
            }
            Ok(None) => group.add(job),
            Err(error) => job.answer(Err(error.into())),
        }
        None
    }

    /// Keeps the jobs that did not fit into a group for the next.
    fn put_off(&mut self, group: &mut Group) {
        let left_over = group.take_left_over();
        self.wait_first(left_over);
    }

    /// Keeps the jobs of a group that is not committed.
    fn put_back(&mut self, group: Group) {
        self.wait_first(group.into_jobs());
    }

    /// Keeps jobs, in their order, before the others that wait.
    fn wait_first(&mut self, jobs: Vec<CommandJob>) {
        for job in jobs.into_iter().rev() {
            let queue = if job.is_own {
                &mut self.own
            } else {
                &mut self.left_over
            };
            queue.push_front(job);
        }
    }
}

/// Has a group written; one whose outcome is unknown is sent again, which its transaction ids make harmless.
///
/// Whatever a later attempt answers, an outcome that was unknown stays so until the store tells it.
async fn write(shared: &Shared, group: &Group) -> StoreResult<Vec<Outcome>> {
    let mut unknown = None;
    for _ in 0..shared.config.resend_max {
        match flush(shared, group.transactions()).await {
            Err(error) if *error.kind() == ErrorKind::MaybeApplied => {
                unknown.get_or_insert(error);
                count(&shared.counters.resends);
            }
            Err(error) => return Err(unknown.unwrap_or(error)),
            outcomes => return outcomes,
        }
    }
    let outcomes = flush(shared, group.transactions()).await;
    outcomes.map_err(|error| unknown.unwrap_or(error))
}

async fn flush(shared: &Shared, transactions: Vec<Transaction>) -> StoreResult<Vec<Outcome>> {
    let Shared {
        store,
        clock,
        counters,
        ..
    } = shared;
    let begun = clock.monotonic();
    let commands = transactions.len() as u64;
    let outcomes = store.commit(transactions).await;
    let Ok(found) = &outcomes else {
        count(&counters.store_errors);
        return outcomes;
    };
    let took = clock.monotonic().saturating_sub(begun).as_micros();
    let micros = u64::try_from(took).unwrap_or(u64::MAX);
    counters.commit_micros.observe(micros);
    counters.group_commands.observe(commands);
    let commits = found.iter().filter(|outcome| outcome.is_ok()).count();
    let commits = u64::try_from(commits).unwrap_or(u64::MAX);
    counters.commits.fetch_add(commits, Ordering::Relaxed);
    count(&counters.groups);
    outcomes
}
