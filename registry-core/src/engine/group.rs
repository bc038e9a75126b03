//! A group of commands: planned one after the other, committed together, settled together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::fast::RandomState;

use super::command::Reply;
use super::driver::{BoxedJob, CommandJob};
use super::error::RegistryError;
use super::lease::LeaseBook;
use super::plan::{Plan, plan};
use super::registry::Shared;
use super::view::View;
use crate::key::Key;
use crate::limits::GROUP_BYTES_MAX;
use crate::log::{Change, Commit};
use crate::record::{Image, Versioned};
use crate::revision::Revision;
use crate::time::Timestamp;
use crate::transaction::{Mutation, Outcome, Precondition, Rejection, Seen, Transaction};

/// Commands planned on a working view that already holds the plans before them.
#[derive(Debug)]
pub(super) struct Group {
    view: View,
    /// The last commit before the group, as the plan knows it.
    begun_at: Revision,
    /// What must hold for each of the commits.
    preconditions: Vec<Vec<Precondition>>,
    commits: Vec<Arc<Commit>>,
    planned: Vec<(BoxedJob, Decision)>,
    left_over: Vec<BoxedJob>,
    bytes: usize,
    /// Which transaction of the group last changed a record.
    changed_by: HashMap<Key, u32, RandomState>,
}

/// What the plan of a command came to, as of its place in the group.
#[derive(Debug)]
enum Decision {
    /// Its transaction, by index.
    Commit(usize, Reply),
    /// Nothing to commit.
    Reply(Reply, Sign),
    Refuse(RegistryError),
}

/// What a command that commits nothing shows.
#[derive(Debug, Clone, Copy)]
enum Sign {
    None,
    /// A health report says what is known, at that time.
    Confirmed(Timestamp),
    /// The instance lives.
    Renewed,
}

impl Group {
    pub(super) fn plan(view: &View, jobs: Vec<BoxedJob>) -> Self {
        let mut group = Self {
            view: view.clone(),
            begun_at: view.revision(),
            preconditions: Vec::with_capacity(jobs.len()),
            commits: Vec::with_capacity(jobs.len()),
            planned: Vec::with_capacity(jobs.len()),
            left_over: Vec::new(),
            bytes: 0,
            changed_by: HashMap::default(),
        };
        for job in jobs {
            group.add(job);
        }
        group
    }

    fn add(&mut self, job: BoxedJob) {
        let decision = match plan(&self.view, &job.command) {
            Err(error) => Decision::Refuse(error),
            Ok(Plan::Unchanged(key)) => self.reply(&key, Sign::None),
            Ok(Plan::Confirmed(key, at)) => self.reply(&key, Sign::Confirmed(at)),
            Ok(Plan::Renewed(key)) => self.reply(&key, Sign::Renewed),
            Ok(Plan::Put(image) | Plan::PutNext(image))
                if self.bytes + image.body_bytes() > GROUP_BYTES_MAX =>
            {
                self.left_over.push(job);
                return;
            }
            Ok(Plan::Put(image)) => self.change(&job, image.key().clone(), Some(image), false),
            Ok(Plan::PutNext(image)) => self.change(&job, image.key().clone(), Some(image), true),
            Ok(Plan::Delete(key)) => self.change(&job, key, None, false),
        };
        self.planned.push((job, decision));
    }

    fn reply(&self, key: &Key, sign: Sign) -> Decision {
        let reply = Reply::of(&self.view, key, self.view.revision(), false);
        Decision::Reply(reply, sign)
    }

    fn change(
        &mut self,
        job: &CommandJob,
        key: Key,
        after: Option<Arc<Image>>,
        is_next: bool,
    ) -> Decision {
        let index = self.commits.len();
        let seen = self.view.record(&key);
        let before = seen.as_ref().map(|record| Arc::clone(&record.image));
        let mut preconditions = vec![self.as_seen(&key, seen)];
        if is_next {
            // The record names its revision, which no other may get.
            preconditions.push(Precondition::HeadIs(self.view.revision()));
        }
        self.preconditions.push(preconditions);
        self.bytes += after.as_deref().map_or(0, Image::body_bytes);
        let change = Change {
            key: key.clone(),
            before,
            after,
        };
        self.apply(job, change);
        let reply = Reply::of(&self.view, &key, self.view.revision(), true);
        let place = u32::try_from(index).expect("a group is bounded");
        self.changed_by.insert(key, place);
        Decision::Commit(index, reply)
    }

    /// The record must be what the plan saw.
    fn as_seen(&self, key: &Key, record: Option<Versioned>) -> Precondition {
        let key = key.clone();
        match self.changed_by.get(&key) {
            Some(index) if record.is_some() => Precondition::ModifiedBy(key, *index),
            // One that the group deleted is absent like any other, whoever modified it last.
            Some(_) => Precondition::Absent(key),
            None => Precondition::AsSeen(Seen {
                key,
                record,
                at: self.begun_at,
            }),
        }
    }

    fn apply(&mut self, job: &CommandJob, change: Change) {
        let commit = Commit {
            revision: self.view.revision().next(),
            id: job.command.id,
            cause: Arc::clone(&job.command.cause),
            changes: vec![change],
        };
        self.view.apply(&commit);
        self.commits.push(Arc::new(commit));
    }

    /// Whether there is nothing to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    /// What the store is to commit, made anew for each attempt.
    pub(super) fn transactions(&self) -> Vec<Transaction> {
        let planned = self.commits.iter().zip(&self.preconditions);
        let transaction =
            |(commit, preconditions): (&Arc<Commit>, &Vec<Precondition>)| Transaction {
                id: commit.id,
                preconditions: preconditions.clone(),
                mutations: commit.changes.iter().map(mutation).collect(),
                cause: Arc::clone(&commit.cause),
            };
        planned.map(transaction).collect()
    }

    /// Jobs that did not fit, in order.
    pub(super) fn take_left_over(&mut self) -> Vec<BoxedJob> {
        std::mem::take(&mut self.left_over)
    }

    /// Whether every transaction got the revision it was planned for, so that nobody else committed between.
    pub(super) fn is_as_planned(&self, outcomes: &[Outcome]) -> bool {
        let planned = self.commits.iter().map(|commit| commit.revision);
        let found = outcomes
            .iter()
            .map(|outcome| outcome.as_ref().ok().map(|committed| committed.revision));
        outcomes.len() == self.commits.len()
            && planned
                .zip(found)
                .all(|(planned, found)| found == Some(planned))
    }

    /// Publishes the view, answers, then tells the watches.
    pub(super) fn publish(self, shared: &Shared, leases: &mut LeaseBook) {
        let Self {
            view,
            commits,
            planned,
            ..
        } = self;
        let changes = commits.iter().map(|commit| &**commit);
        leases.observe(&view, changes, &*shared.clock);
        shared.publish(view);
        settle(planned, shared, leases);
        shared.feed.publish(commits);
    }

    /// Answers a group without a commit as planned.
    pub(super) fn settle(self, shared: &Shared, leases: &mut LeaseBook) {
        settle(self.planned, shared, leases);
    }

    /// Answers a group that was not committed. What was planned before its first transaction stands.
    pub(super) fn fail(self, error: &RegistryError, shared: &Shared, leases: &mut LeaseBook) {
        let mut is_tentative = false;
        for (job, decision) in self.planned {
            is_tentative |= matches!(decision, Decision::Commit(..));
            match decision {
                Decision::Reply(reply, sign) if !is_tentative => {
                    answer(*job, reply, sign, shared, leases);
                }
                Decision::Refuse(refusal) if !is_tentative => job.answer(Err(refusal)),
                _ => job.answer(Err(error.clone())),
            }
        }
    }

    /// Answers what is settled although others committed between, and returns what must be planned again.
    pub(super) fn settle_outcomes(self, shared: &Shared, outcomes: Vec<Outcome>) -> Vec<BoxedJob> {
        let mut outcomes: Vec<Option<Outcome>> = outcomes.into_iter().map(Some).collect();
        let view = shared.view();
        let mut again = Vec::new();
        for (job, decision) in self.planned {
            let outcome = match decision {
                Decision::Commit(index, _) => outcomes.get_mut(index).and_then(Option::take),
                // It was decided on a view that never was.
                Decision::Reply(..) | Decision::Refuse(_) => None,
            };
            match outcome {
                Some(Ok(committed)) => {
                    let reply = job.reply_of(&view, committed.revision);
                    job.answer(reply);
                }
                Some(Err(rejection)) => match final_error(rejection) {
                    Some(error) => job.answer(Err(error)),
                    None => again.push(job),
                },
                None => again.push(job),
            }
        }
        let replans = again.len() as u64;
        shared
            .counters
            .replans
            .fetch_add(replans, Ordering::Relaxed);
        again
    }
}

fn mutation(change: &Change) -> Mutation {
    match &change.after {
        Some(image) => Mutation::Put(Arc::clone(image)),
        None => Mutation::Delete(change.key.clone()),
    }
}

/// Answers as planned.
fn settle(planned: Vec<(BoxedJob, Decision)>, shared: &Shared, leases: &mut LeaseBook) {
    for (job, decision) in planned {
        match decision {
            Decision::Commit(_, reply) => job.answer(Ok(reply)),
            Decision::Reply(reply, sign) => answer(*job, reply, sign, shared, leases),
            Decision::Refuse(error) => job.answer(Err(error)),
        }
    }
}

fn answer(job: CommandJob, reply: Reply, sign: Sign, shared: &Shared, leases: &mut LeaseBook) {
    match (sign, &reply.service, &reply.instance) {
        (Sign::Confirmed(at), Some(service), _) => {
            service.confirm(at);
            shared.confirmations.fetch_add(1, Ordering::Release);
        }
        (Sign::Confirmed(at), _, Some(instance)) => instance.confirm(at),
        (Sign::Renewed, _, Some(instance)) => leases.renew(instance),
        _ => {}
    }
    job.answer(Ok(reply));
}

/// What a rejection means to the caller; none where the command must be planned again.
fn final_error(rejection: Rejection) -> Option<RegistryError> {
    match rejection {
        Rejection::Precondition { .. } => None,
        Rejection::SchemaTooNew { key, found } => Some(RegistryError::SchemaTooNew { key, found }),
        Rejection::Invalid(error) => Some(RegistryError::Invalid(error)),
    }
}
