//! A group of commands: planned one after the other, committed together, settled together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::command::Reply;
use super::driver::CommandJob;
use super::error::RegistryError;
use super::plan::{Plan, plan};
use super::registry::Shared;
use super::view::View;
use crate::key::Key;
use crate::limits::GROUP_BYTES_MAX;
use crate::log::{Change, Commit};
use crate::model::Name;
use crate::record::Image;
use crate::time::Timestamp;
use crate::transaction::{Mutation, Outcome, Precondition, Rejection, Transaction};

/// Commands planned on a working view that already holds the plans before them.
#[derive(Debug)]
pub(super) struct Group {
    view: View,
    transactions: Vec<Transaction>,
    commits: Vec<Arc<Commit>>,
    planned: Vec<(CommandJob, Decision)>,
    left_over: Vec<CommandJob>,
    bytes: usize,
    /// Which transaction of the group last changed a service.
    changed_by: HashMap<Name, u32>,
}

/// What the plan of a command came to, as of its place in the group.
#[derive(Debug)]
enum Decision {
    /// Its transaction, by index.
    Commit(usize, Reply),
    /// Nothing to commit; with the time of a health report that said nothing new.
    Reply(Reply, Option<Timestamp>),
    Refuse(RegistryError),
}

impl Group {
    pub(super) fn plan(view: &View, jobs: Vec<CommandJob>) -> Self {
        let mut group = Self {
            view: view.clone(),
            transactions: Vec::with_capacity(jobs.len()),
            commits: Vec::with_capacity(jobs.len()),
            planned: Vec::with_capacity(jobs.len()),
            left_over: Vec::new(),
            bytes: 0,
            changed_by: HashMap::new(),
        };
        for job in jobs {
            group.add(job);
        }
        group
    }

    fn add(&mut self, job: CommandJob) {
        let decision = match plan(&self.view, &job.command) {
            Err(error) => Decision::Refuse(error),
            Ok(Plan::Unchanged(name)) => Decision::Reply(self.reply(&name, false), None),
            Ok(Plan::Confirmed(name, at)) => Decision::Reply(self.reply(&name, false), Some(at)),
            Ok(Plan::Put(_, image)) if self.bytes + image.body_bytes() > GROUP_BYTES_MAX => {
                self.left_over.push(job);
                return;
            }
            Ok(Plan::Put(name, image)) => self.change(&job, &name, Some(image)),
            Ok(Plan::Delete(name)) => self.change(&job, &name, None),
        };
        self.planned.push((job, decision));
    }

    fn reply(&self, name: &Name, is_changed: bool) -> Reply {
        Reply {
            revision: self.view.revision(),
            is_changed,
            service: self.view.get(name).cloned(),
        }
    }

    fn change(&mut self, job: &CommandJob, name: &Name, after: Option<Arc<Image>>) -> Decision {
        let index = self.transactions.len();
        let change = self.view.change_to(name, after);
        let mutation = match &change.after {
            Some(image) => Mutation::Put(Arc::clone(image)),
            None => Mutation::Delete(change.key.clone()),
        };
        self.bytes += change.after.as_deref().map_or(0, Image::body_bytes);
        self.transactions.push(Transaction {
            id: job.command.id,
            preconditions: vec![self.as_seen(name, &change.key)],
            mutations: vec![mutation],
            cause: job.command.cause(),
        });
        self.apply(job, change);
        self.changed_by.insert(
            name.clone(),
            u32::try_from(index).expect("a group is bounded"),
        );
        Decision::Commit(index, self.reply(name, true))
    }

    /// The record must be what the plan saw.
    fn as_seen(&self, name: &Name, key: &Key) -> Precondition {
        // One that the group deleted is absent like any other, whoever modified it last.
        let Some(service) = self.view.get(name) else {
            return Precondition::Absent(key.clone());
        };
        match self.changed_by.get(name) {
            Some(index) => Precondition::ModifiedBy(key.clone(), *index),
            None => Precondition::ModifiedAt(key.clone(), service.modified()),
        }
    }

    fn apply(&mut self, job: &CommandJob, change: Change) {
        let commit = Commit {
            revision: self.view.revision().next(),
            id: job.command.id,
            cause: job.command.cause(),
            changes: vec![change],
        };
        self.view.apply(&commit);
        self.commits.push(Arc::new(commit));
    }

    pub(super) fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// Jobs that did not fit, in order.
    pub(super) fn take_left_over(&mut self) -> Vec<CommandJob> {
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
    pub(super) fn publish(mut self, shared: &Shared) {
        shared.publish(std::mem::take(&mut self.view));
        let commits = std::mem::take(&mut self.commits);
        self.settle();
        shared.feed.publish(commits);
    }

    /// Answers as planned.
    pub(super) fn settle(self) {
        for (job, decision) in self.planned {
            match decision {
                Decision::Commit(_, reply) => job.answer(Ok(reply)),
                Decision::Reply(reply, confirmed_at) => answer_confirmed(job, reply, confirmed_at),
                Decision::Refuse(error) => job.answer(Err(error)),
            }
        }
    }

    /// Answers a group that was not committed. What was planned before its first transaction stands.
    pub(super) fn fail(self, error: &RegistryError) {
        let mut is_tentative = false;
        for (job, decision) in self.planned {
            is_tentative |= matches!(decision, Decision::Commit(..));
            match decision {
                Decision::Reply(reply, confirmed_at) if !is_tentative => {
                    answer_confirmed(job, reply, confirmed_at);
                }
                Decision::Refuse(refusal) if !is_tentative => job.answer(Err(refusal)),
                _ => job.answer(Err(error.clone())),
            }
        }
    }

    /// Answers what is settled although others committed between, and returns what must be planned again.
    pub(super) fn settle_outcomes(
        self,
        shared: &Shared,
        outcomes: Vec<Outcome>,
    ) -> Vec<CommandJob> {
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
                    let service = view.get(job.command.action.service()).cloned();
                    job.answer(Ok(Reply {
                        revision: committed.revision,
                        is_changed: true,
                        service,
                    }));
                }
                Some(Err(rejection)) => {
                    match final_error(job.command.action.service(), rejection) {
                        Some(error) => job.answer(Err(error)),
                        None => again.push(job),
                    }
                }
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

fn answer_confirmed(job: CommandJob, reply: Reply, confirmed_at: Option<Timestamp>) {
    if let (Some(service), Some(at)) = (&reply.service, confirmed_at) {
        service.confirm(at);
    }
    job.answer(Ok(reply));
}

/// What a rejection means to the caller; none where the command must be planned again.
fn final_error(name: &str, rejection: Rejection) -> Option<RegistryError> {
    match rejection {
        Rejection::Precondition { .. } => None,
        Rejection::SchemaTooNew { found, .. } => Some(RegistryError::SchemaTooNew {
            name: name.to_owned(),
            found,
        }),
        Rejection::Invalid(error) => Some(RegistryError::Invalid(error)),
    }
}
