//! A second opener in the same process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use registry_core::{ErrorKind, Precondition, Rejection, Revision};

use crate::case::{Case, Failure, Verdict, case, exclusive, shared};
use crate::fixture::{expect_kind, fill, key, put, when};
use crate::picture::Picture;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(exclusive, second_opener_is_told_the_holder),
    case!(exclusive, closed_store_can_be_opened_by_another),
    case!(shared, second_opener_sees_the_commits_of_the_first),
    case!(shared, waiter_wakes_on_a_commit_of_the_other),
    case!(shared, preconditions_see_the_commits_of_the_other),
    case!(shared, repeated_id_is_known_to_the_other),
    case!(shared, openers_share_one_order),
    case!(shared, compaction_by_the_other_is_seen),
    case!(shared, store_opens_while_the_other_compacts),
];

fn second_opener_is_told_the_holder(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    fill(&store)?;
    let before = Picture::of(&store)?;
    for _ in 0..2 {
        expect_kind(
            subject.open(),
            "Locked by this process",
            |kind| matches!(kind, ErrorKind::Locked(holder) if holder.pid == Some(std::process::id())),
        )?;
    }
    Picture::of(&store)?.assert_is(&before);
    store.apply(put("a", "1"))?;
    store.verify_clean()
}

fn closed_store_can_be_opened_by_another(subject: &Subject) -> Verdict {
    let first = subject.open()?;
    first.apply(put("a", "1"))?;
    first.close()?;
    // The closed one is still in somebody's hands.
    let second = subject.open()?;
    assert_eq!(second.apply(put("a", "2"))?, Revision(2));
    expect_kind(first.get("a"), "Closed", |kind| *kind == ErrorKind::Closed)?;
    drop(first);
    assert_eq!(second.version("a")?.as_deref(), Some("2"));
    expect_kind(subject.open(), "Locked", |kind| {
        matches!(kind, ErrorKind::Locked(_))
    })
}

fn second_opener_sees_the_commits_of_the_first(subject: &Subject) -> Verdict {
    let (first, second) = (subject.open()?, subject.open()?);
    fill(&first)?;
    Picture::of(&second)?.assert_is(&Picture::of(&first)?);
    let back = put("back", "1");
    second.apply(back.clone())?;
    Picture::of(&first)?.assert_is(&Picture::of(&second)?);
    assert_eq!(first.find(back.id)?, second.find(back.id)?);
    assert!(first.find(back.id)?.is_some());
    first.close()?;
    second.apply(put("alone", "1"))?;
    second.verify_clean()
}

fn waiter_wakes_on_a_commit_of_the_other(subject: &Subject) -> Verdict {
    let (first, second) = (subject.open()?, subject.open()?);
    for round in 0..5 {
        let (seen, revision) = thread::scope(|scope| {
            let waiter = scope.spawn(|| second.wait_for_change(Revision(round)));
            let revision = first.apply(put("a", &round.to_string()))?;
            let seen = waiter.join().expect("a waiter does not panic")?;
            Ok::<_, Failure>((seen, revision))
        })?;
        assert_eq!(seen, revision);
        assert_eq!(second.version("a")?, Some(round.to_string()));
    }
    Ok(())
}

fn preconditions_see_the_commits_of_the_other(subject: &Subject) -> Verdict {
    let (first, second) = (subject.open()?, subject.open()?);
    first.apply(put("a", "1"))?;
    let outcome = second.try_apply(when(put("a", "2"), [Precondition::Absent(key("a"))]))?;
    let rejection = Rejection::Precondition {
        index: 0,
        key: Some(key("a")),
        found: Some(Revision(1)),
    };
    assert_eq!(outcome, Err(rejection));
    let at_head = when(put("a", "2"), [Precondition::HeadIs(Revision(1))]);
    assert_eq!(second.apply(at_head)?, Revision(2));
    Ok(())
}

fn repeated_id_is_known_to_the_other(subject: &Subject) -> Verdict {
    let (first, second) = (subject.open()?, subject.open()?);
    let sent = put("a", "1");
    assert_eq!(first.apply(sent.clone())?, Revision(1));
    assert_eq!(second.apply(sent)?, Revision(1));
    assert_eq!(second.revision()?, Revision(1));
    Ok(())
}

fn openers_share_one_order(subject: &Subject) -> Verdict {
    const COMMITS: u64 = 40;
    let stores = [subject.open()?, subject.open()?];
    let revisions = thread::scope(|scope| {
        let committers = stores.each_ref().map(|store| {
            scope.spawn(move || {
                (0..COMMITS)
                    .map(|version| store.apply(put("a", &version.to_string())))
                    .collect::<Result<Vec<_>, Failure>>()
            })
        });
        let mut all = Vec::new();
        for committer in committers {
            all.extend(committer.join().expect("a committer does not panic")?);
        }
        Ok::<_, Failure>(all)
    });
    let mut revisions = revisions?;
    revisions.sort_unstable();
    assert_eq!(
        revisions,
        (1..=2 * COMMITS).map(Revision).collect::<Vec<_>>()
    );
    Picture::of(&stores[0])?.assert_is(&Picture::of(&stores[1])?);
    stores[0].verify_clean()
}

fn compaction_by_the_other_is_seen(subject: &Subject) -> Verdict {
    let (first, second) = (subject.open()?, subject.open()?);
    fill(&first)?;
    second.compact(7)?;
    assert_eq!(first.head()?.compacted.revision, Revision(7));
    expect_kind(first.changes(Revision(6), 10), "Compacted", |kind| {
        matches!(kind, ErrorKind::Compacted { .. })
    })?;
    first.verify_clean()
}

fn store_opens_while_the_other_compacts(subject: &Subject) -> Verdict {
    const OPENINGS: usize = 40;
    let first = subject.open()?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let compacting = scope.spawn(|| {
            let mut version = 0;
            while !is_over.load(Ordering::SeqCst) {
                version += 1;
                let revision = first.apply(put("a", &version.to_string()))?;
                first.compact(revision.0)?;
            }
            Ok::<_, Failure>(())
        });
        let opened = (0..OPENINGS).try_for_each(|_| Ok(subject.open()?.close()?));
        is_over.store(true, Ordering::SeqCst);
        compacting
            .join()
            .expect("the first opener does not panic")?;
        opened
    })
}
