//! Revisions under concurrent committers, and what readers see meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use registry_core::limits::RANGE_PAGE_MAX;
use registry_core::{Precondition, Revision};

use crate::case::{Case, Failure, Verdict, any, case};
use crate::fixture::{key, put, when};
use crate::handle::Handle;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, revisions_have_no_gap_and_no_double),
    case!(any, one_of_many_racing_creators_wins),
    case!(any, acknowledged_commits_are_seen_at_once),
    case!(any, readers_see_whole_commits_in_order),
];

const COMMITTERS: usize = 4;
const GROUPS: usize = 12;
const GROUP: usize = 3;

/// Runs one call on each of several threads and answers what they answer.
fn on_threads<T: Send>(
    count: usize,
    call: impl Fn(usize) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    thread::scope(|scope| {
        let call = &call;
        let threads: Vec<_> = (0..count)
            .map(|index| scope.spawn(move || call(index)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| Err(crate::run::panicked(&*panic)))
            })
            .collect()
    })
}

fn commit_groups(store: &Handle, committer: usize) -> Result<Vec<Revision>, Failure> {
    let mut revisions = Vec::new();
    for group in 0..GROUPS {
        let transactions = (0..GROUP)
            .map(|index| put(&format!("{committer}-{group}-{index}"), "1"))
            .collect();
        for outcome in store.commit(transactions)? {
            revisions.push(outcome?.revision);
        }
    }
    Ok(revisions)
}

fn revisions_have_no_gap_and_no_double(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let by_thread = on_threads(COMMITTERS, |committer| commit_groups(&store, committer))?;
    for revisions in &by_thread {
        assert!(revisions.is_sorted(), "a later commit has an earlier place");
        for group in revisions.chunks(GROUP) {
            let is_dense = group.windows(2).all(|pair| pair[1] == pair[0].next());
            assert!(is_dense, "a group is torn apart: {group:?}");
        }
    }
    let mut all = by_thread.concat();
    all.sort_unstable();
    let count = (COMMITTERS * GROUPS * GROUP) as u64;
    let expected: Vec<_> = (1..=count).map(Revision).collect();
    assert_eq!(all, expected);
    let logged: Vec<_> = store
        .log()?
        .iter()
        .map(|entry| entry.commit.revision)
        .collect();
    assert_eq!(logged, expected);
    store.verify_clean()
}

fn one_of_many_racing_creators_wins(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    for round in 0..8 {
        let name = format!("contested-{round}");
        let won = on_threads(COMMITTERS, |committer| {
            let creation = put(&name, &committer.to_string());
            let creation = when(creation, [Precondition::Absent(key(&name))]);
            Ok(store.try_apply(creation)?.is_ok().then_some(committer))
        })?;
        let won: Vec<usize> = won.into_iter().flatten().collect();
        let [winner] = won[..] else {
            return Err(Failure::new(format!("expected one winner, found {won:?}")));
        };
        assert_eq!(store.version(&name)?, Some(winner.to_string()));
    }
    assert_eq!(store.revision()?, Revision(8));
    Ok(())
}

fn acknowledged_commits_are_seen_at_once(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    on_threads(COMMITTERS, |committer| {
        let name = format!("service-{committer}");
        for version in 0..10 {
            let revision = store.apply(put(&name, &version.to_string()))?;
            assert!(store.revision()? >= revision);
            assert_eq!(store.version(&name)?, Some(version.to_string()));
            let page = store.changes(Revision(revision.0 - 1), 1)?;
            assert_eq!(page.entries[0].commit.revision, revision);
        }
        Ok(())
    })?;
    Ok(())
}

fn readers_see_whole_commits_in_order(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let is_over = AtomicBool::new(false);
    let check = || {
        let mut last = Revision::ZERO;
        let mut was_over = false;
        while !was_over {
            was_over = is_over.load(Ordering::SeqCst);
            // Each commit adds one record, so a page at a revision has as many records.
            let page = store.range(None, RANGE_PAGE_MAX)?;
            assert_eq!(page.records.len() as u64, page.revision.0);
            assert!(page.revision >= last, "a reader went back in time");
            last = page.revision;
            let head = store.head()?;
            assert!(head.revision() >= last, "the head went back in time");
            assert_eq!(head.tally.counts.total(), head.revision().0);
        }
        Ok(Vec::new())
    };
    on_threads(COMMITTERS, |committer| match committer {
        0 => check(),
        1 => {
            // Told even where committing fails, so that the reader ends.
            let revisions = commit_groups(&store, committer);
            is_over.store(true, Ordering::SeqCst);
            revisions
        }
        _ => commit_groups(&store, committer),
    })?;
    Ok(())
}
