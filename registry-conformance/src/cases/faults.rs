//! A write fails, whichever it is: the error surfaces, and the store below stays whole.

use std::sync::Arc;

use registry_core::{ErrorKind, Outcome, Result, StoreError, Transaction};

use crate::case::{Case, Failure, Verdict, any, case};
use crate::fault::{Fault, FaultStore};
use crate::fixture::{delete, numbered, put};
use crate::handle::Handle;
use crate::picture::Picture;
use crate::run::at;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, refused_write_leaves_the_store_whole),
    case!(any, lost_answer_is_told_by_sending_again),
    case!(any, lost_request_is_told_by_sending_again),
    case!(any, failed_sync_stops_writes_and_no_reads),
];

/// One write of the script.
enum Step {
    Commit(Vec<Transaction>),
    Note(&'static str),
    Compact(u64),
}

/// The same each time.
fn script() -> Vec<Step> {
    let group = |first: u64, transactions: Vec<Transaction>| {
        let numbers = first..;
        let numbered = transactions.into_iter().zip(numbers);
        Step::Commit(
            numbered
                .map(|(one, number)| self::numbered(one, number))
                .collect(),
        )
    };
    vec![
        group(1, vec![put("a", "1"), put("b", "1")]),
        Step::Note("seen"),
        group(3, vec![put("a", "2"), delete("b"), put("c", "1")]),
        Step::Compact(2),
        group(6, vec![delete("c")]),
        Step::Note("seen"),
    ]
}

fn run(store: &Handle, step: &Step) -> Result<Option<Vec<Outcome>>> {
    match step {
        Step::Commit(group) => store.commit(group.clone()).map(Some),
        Step::Note(name) => store.note(name, b"content").map(|()| None),
        Step::Compact(through) => store.compact(*through).map(|()| None),
    }
}

/// Runs the script without a fault, in a store of its own.
fn undisturbed(subject: &Subject) -> std::result::Result<Picture, Failure> {
    let subject = subject.another()?;
    let store = subject.open()?;
    for step in script() {
        run(&store, &step)?;
    }
    let picture = Picture::of(&store)?;
    store.close()?;
    Ok(picture)
}

/// Runs the script with the n-th write failing, for each n; `on_error` says how it goes on.
fn for_every_write(
    subject: &Subject,
    fault: Fault,
    check: impl Fn(&Handle, usize, StoreError) -> Verdict,
) -> Verdict {
    for nth in 1..=script().len() {
        at(&format_args!("write {nth}"), || {
            let subject = subject.another()?;
            let inner = subject.open()?;
            let faulty = FaultStore::new(Arc::clone(inner.store()), nth as u64, fault);
            let store = Handle::new(Arc::new(faulty));
            let mut failed = None;
            for (index, step) in script().iter().enumerate() {
                if let Err(error) = run(&store, step) {
                    failed = Some((index, error));
                    break;
                }
            }
            let (index, error) = failed.ok_or(Failure::new("the fault did not surface"))?;
            assert_eq!(index, nth - 1, "another write failed");
            inner.verify_clean()?;
            check(&store, index, error)?;
            inner.verify_clean()?;
            inner.close()?;
            Ok(())
        })?;
    }
    Ok(())
}

/// Sends the failed write again and then the rest, and expects the state of an undisturbed run.
fn expect_recovery(subject: &Subject, fault: Fault, kind: &ErrorKind) -> Verdict {
    let expected = undisturbed(subject)?;
    for_every_write(subject, fault, |store, failed, error| {
        assert_eq!(error.kind(), kind);
        for step in &script()[failed..] {
            for outcome in run(store, step)?.into_iter().flatten() {
                outcome?;
            }
        }
        Picture::of(store)?.assert_is(&expected);
        Ok(())
    })
}

fn refused_write_leaves_the_store_whole(subject: &Subject) -> Verdict {
    expect_recovery(subject, Fault::Refused, &ErrorKind::Unavailable)
}

fn lost_answer_is_told_by_sending_again(subject: &Subject) -> Verdict {
    expect_recovery(subject, Fault::AnswerLost, &ErrorKind::MaybeApplied)
}

fn lost_request_is_told_by_sending_again(subject: &Subject) -> Verdict {
    expect_recovery(subject, Fault::RequestLost, &ErrorKind::MaybeApplied)
}

fn failed_sync_stops_writes_and_no_reads(subject: &Subject) -> Verdict {
    for_every_write(subject, Fault::SyncFailed, |store, failed, error| {
        assert_eq!(*error.kind(), ErrorKind::MaybeApplied);
        let before = Picture::of(store)?;
        for step in &script()[failed..] {
            let answer = run(store, step);
            crate::fixture::expect_kind(answer, "Poisoned", |kind| *kind == ErrorKind::Poisoned)?;
        }
        Picture::of(store)?.assert_is(&before);
        Ok(())
    })
}
