//! Random histories, on the store and on the store in memory, which is the model.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any as anything, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use registry_core::{
    Key, MemoryStore, Mutation, Precondition, Revision, Transaction, TransactionId,
};

use crate::case::{Case, Failure, Verdict, any, case};
use crate::fixture::{cause, image_at, instance_key, keeper_key, key, policy_key};
use crate::handle::Handle;
use crate::picture::Picture;
use crate::settings;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[case!(any, random_histories_equal_the_model)];

/// Few names, so that transactions meet.
const NAMES: [&str; 6] = ["a", "a/b", "b", "é", "\u{1F600}", "z"];

/// Few keys of every kind, some with names of others.
fn keys() -> Vec<Key> {
    let mut keys = NAMES.map(key).to_vec();
    for (service, id) in [
        ("a", "b"),
        ("a", "b/a"),
        ("a/b", "a"),
        ("a\u{1}", "b"),
        ("é", "z"),
    ] {
        keys.push(instance_key(service, id));
    }
    keys.extend([policy_key("a"), policy_key("é"), keeper_key("a")]);
    keys
}

/// One step of a history. Printed as the code that makes it.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Plan>),
    /// Compacts through that many percent of the log.
    Compact(u8),
    Note(u8, u8),
    Reopen,
}

/// A transaction to be made when its turn comes.
#[derive(Debug, Clone)]
struct Plan {
    /// Sends the transaction that was sent so many before this one again, id and all.
    again: Option<u8>,
    conditions: Vec<Condition>,
    changes: Vec<Change>,
}

/// A precondition on the n-th key.
#[derive(Debug, Clone)]
enum Condition {
    Absent(u8),
    Present(u8),
    /// Its revision as the model has it, plus so many.
    Modified(u8, u8),
    By(u8, u8),
    /// The model's head, plus so many.
    Head(u8),
}

/// A change of the n-th key.
#[derive(Debug, Clone)]
enum Change {
    Put(u8, u8),
    Delete(u8),
}

fn name() -> impl Strategy<Value = u8> {
    0..u8::try_from(keys().len()).expect("there are few keys")
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        3 => name().prop_map(Condition::Absent),
        3 => name().prop_map(Condition::Present),
        2 => (name(), 0..2_u8).prop_map(|(name, more)| Condition::Modified(name, more)),
        2 => (name(), 0..5_u8).prop_map(|(name, index)| Condition::By(name, index)),
        1 => (0..4_u8).prop_map(Condition::Head),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (name(), anything::<u8>()).prop_map(|(name, version)| Change::Put(name, version)),
        1 => name().prop_map(Change::Delete),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let again = prop_oneof![8 => Just(None), 1 => (0..8_u8).prop_map(Some)];
    let conditions = prop_oneof![2 => Just(Vec::new()), 1 => vec(condition(), 1..3)];
    (again, conditions, vec(change(), 0..4)).prop_map(|(again, conditions, changes)| Plan {
        again,
        conditions,
        changes,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => vec(plan(), 0..6).prop_map(Step::Commit),
        1 => (0..=110_u8).prop_map(Step::Compact),
        1 => (0..4_u8, 0..3_u8).prop_map(|(name, content)| Step::Note(name, content)),
        2 => Just(Step::Reopen),
    ]
}

/// A history under way, on both stores.
struct Play<'a> {
    subject: &'a Subject,
    store: Handle,
    model: Handle,
    sent: Vec<Transaction>,
}

impl Play<'_> {
    fn step(mut self, step: &Step) -> Result<Self, Failure> {
        match step {
            Step::Commit(plans) => self.commit(plans)?,
            Step::Compact(percent) => self.compact(*percent)?,
            Step::Note(name, content) => {
                let content = vec![*content; usize::from(*content)];
                for store in [&self.store, &self.model] {
                    store.note(NAMES[usize::from(*name)], &content)?;
                }
            }
            Step::Reopen if self.store.capabilities().is_persistent => {
                self.store = self.subject.reopen(self.store)?;
            }
            Step::Reopen => {}
        }
        Picture::of(&self.store)?.assert_is(&Picture::of(&self.model)?);
        assert_eq!(self.store.notes()?, self.model.notes()?, "the notes differ");
        Ok(self)
    }

    fn commit(&mut self, plans: &[Plan]) -> Verdict {
        let mut group = Vec::new();
        for plan in plans {
            let transaction = self.transaction(plan)?;
            self.sent.push(transaction.clone());
            group.push(transaction);
        }
        let expected = self.model.commit(group.clone())?;
        let found = self.store.commit(group)?;
        assert_eq!(found, expected, "the outcomes differ");
        for transaction in &self.sent {
            if self.is_known(transaction.id)? {
                let expected = self.model.find(transaction.id)?;
                assert_eq!(self.store.find(transaction.id)?, expected);
            }
        }
        Ok(())
    }

    fn compact(&self, percent: u8) -> Verdict {
        let head = self.model.revision()?.0;
        let through = head * u64::from(percent) / 100;
        let expected = self.model.compact(through);
        let found = self.store.compact(through);
        let kind = |answer: registry_core::Result<()>| answer.map_err(|error| error.kind().clone());
        assert_eq!(kind(found), kind(expected), "compacting through {through}");
        Ok(())
    }

    /// An id whose commit was compacted may be forgotten at reopening.
    fn is_known(&self, id: TransactionId) -> Result<bool, Failure> {
        let cut = self.model.head()?.compacted.revision;
        let found = self.model.find(id)?;
        Ok(found.is_none_or(|commit| commit.revision > cut))
    }

    fn transaction(&self, plan: &Plan) -> Result<Transaction, Failure> {
        if let Some(back) = plan.again {
            let sent = self.sent.iter().rev().nth(usize::from(back));
            if let Some(sent) = sent
                && self.is_known(sent.id)?
            {
                return Ok(sent.clone());
            }
        }
        let number = self.sent.len().to_string();
        let conditions = plan.conditions.iter();
        Ok(Transaction {
            id: TransactionId::from_idempotency_key("history", &number),
            preconditions: conditions
                .map(|condition| self.precondition(condition))
                .collect::<Result<_, _>>()?,
            mutations: plan.changes.iter().map(mutation).collect(),
            cause: cause(&number).into(),
        })
    }

    fn precondition(&self, condition: &Condition) -> Result<Precondition, Failure> {
        let key = |name: u8| keys().swap_remove(name.into());
        Ok(match *condition {
            Condition::Absent(name) => Precondition::Absent(key(name)),
            Condition::Present(name) => Precondition::Present(key(name)),
            Condition::By(name, index) => Precondition::ModifiedBy(key(name), index.into()),
            Condition::Modified(name, more) => {
                let found = self.model.get_at(&key(name))?;
                let found = found.map_or(0, |record| record.modified.0);
                Precondition::ModifiedAt(key(name), Revision(found + u64::from(more)))
            }
            Condition::Head(more) => {
                Precondition::HeadIs(Revision(self.model.revision()?.0 + u64::from(more)))
            }
        })
    }
}

fn mutation(change: &Change) -> Mutation {
    let key = |name: u8| keys().swap_remove(name.into());
    match *change {
        Change::Put(name, version) => Mutation::Put(image_at(&key(name), &version.to_string())),
        Change::Delete(name) => Mutation::Delete(key(name)),
    }
}

fn play(subject: &Subject, history: &[Step]) -> Verdict {
    let subject = subject.another()?;
    let mut play = Play {
        subject: &subject,
        store: subject.open()?,
        model: Handle::new(Arc::new(MemoryStore::new())),
        sent: Vec::new(),
    };
    for (index, step) in history.iter().enumerate() {
        play = crate::run::at(&format_args!("step {index}"), || play.step(step))?;
    }
    play.store.verify_clean()?;
    play.store.close()?;
    Ok(())
}

/// A history as the code that makes it: every list in it is a vector.
fn code(history: &[Step]) -> String {
    format!(
        "let history = {};",
        format!("{history:#?}").replace('[', "vec![")
    )
}

fn random_histories_equal_the_model(subject: &Subject) -> Verdict {
    let seed = settings::seed();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let config = Config {
        cases: settings::histories(),
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Config::default()
    };
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, random);
    let answer = runner.run(&vec(step(), 1..14), |history| {
        play(subject, &history).map_err(|failure| TestCaseError::fail(failure.into_text()))
    });
    match answer {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, history)) => Err(Failure::new(format!(
            "{reason}\nwith seed {seed} and this history:\n{}",
            code(&history)
        ))),
        Err(TestError::Abort(reason)) => Err(Failure::new(format!("seed {seed}: {reason}"))),
    }
}
