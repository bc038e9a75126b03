//! `wait_for_change`: wakes on a commit, and never early.

use std::pin::Pin;
use std::thread;

use futures_lite::future::{block_on, poll_once};
use registry_core::{ErrorKind, Result, Revision};

use crate::case::{Case, Verdict, any, case};
use crate::fixture::{delete, expect_kind, fill, put};
use crate::handle::Handle;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, change_that_was_is_answered_at_once),
    case!(any, commit_wakes_every_waiter),
    case!(any, nothing_but_a_commit_wakes),
    case!(any, future_revision_waits_for_it),
    case!(any, waiting_reader_sees_every_commit),
    case!(any, close_wakes_with_closed),
];

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Revision>> + Send + 'a>>;

fn wait(store: &Handle, after: u64) -> Waiting<'_> {
    store.store().wait_for_change(Revision(after))
}

fn assert_waits(waiting: &mut Waiting<'_>) {
    let answer = block_on(poll_once(waiting));
    assert!(answer.is_none(), "answered early: {answer:?}");
}

fn change_that_was_is_answered_at_once(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let head = fill(&store)?;
    assert_eq!(store.wait_for_change(Revision::ZERO)?, head);
    assert_eq!(store.wait_for_change(Revision(head.0 - 1))?, head);
    Ok(())
}

fn commit_wakes_every_waiter(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let answers = thread::scope(|scope| {
        let waiter = || store.wait_for_change(Revision::ZERO);
        let waiters = [scope.spawn(waiter), scope.spawn(waiter)];
        let mut here = wait(&store, 0);
        assert_waits(&mut here);
        store.apply(put("a", "1"))?;
        let mut answers = vec![block_on(here)];
        answers.extend(waiters.map(|waiter| waiter.join().expect("a waiter does not panic")));
        Ok::<_, crate::case::Failure>(answers)
    })?;
    for answer in answers {
        assert_eq!(answer?, Revision(1));
    }
    Ok(())
}

fn nothing_but_a_commit_wakes(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    let mut waiting = wait(&store, 1);
    assert_waits(&mut waiting);
    assert!(store.try_apply(delete("missing"))?.is_err());
    store.commit(Vec::new())?;
    store.note("note", b"content")?;
    store.compact(1)?;
    store.verify_clean()?;
    assert_waits(&mut waiting);
    store.apply(put("a", "2"))?;
    assert_eq!(block_on(waiting)?, Revision(2));
    Ok(())
}

fn future_revision_waits_for_it(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let mut waiting = wait(&store, 2);
    assert_waits(&mut waiting);
    store.apply(put("a", "1"))?;
    assert_waits(&mut waiting);
    store.apply(put("a", "2"))?;
    assert_waits(&mut waiting);
    store.apply(put("a", "3"))?;
    assert_eq!(block_on(waiting)?, Revision(3));
    Ok(())
}

fn waiting_reader_sees_every_commit(subject: &Subject) -> Verdict {
    const COMMITS: u64 = 60;
    let store = subject.open()?;
    let reader = || {
        let mut seen = Vec::new();
        let mut after = Revision::ZERO;
        while after < Revision(COMMITS) {
            let head = store.wait_for_change(after)?;
            assert!(head > after, "woken early at {head}");
            let page = store.changes(after, 10)?;
            assert!(page.head >= head, "the page is older than what woke it");
            seen.extend(page.entries.iter().map(|entry| entry.commit.revision));
            after = page.through;
        }
        Ok::<_, crate::case::Failure>(seen)
    };
    let seen = thread::scope(|scope| {
        let reader = scope.spawn(reader);
        for version in 0..COMMITS {
            store.apply(put("a", &version.to_string()))?;
        }
        reader.join().expect("the reader does not panic")
    })?;
    assert_eq!(seen, (1..=COMMITS).map(Revision).collect::<Vec<_>>());
    Ok(())
}

fn close_wakes_with_closed(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let mut waiting = wait(&store, 0);
    assert_waits(&mut waiting);
    store.close()?;
    expect_kind(block_on(waiting), "Closed", |kind| {
        *kind == ErrorKind::Closed
    })
}
