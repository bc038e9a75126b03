//! A group: each transaction has its own outcome, and a failure does not touch its neighbours.

use registry_core::limits::GROUP_TRANSACTIONS_MAX;
use registry_core::{Outcome, Revision};

use crate::case::{Case, Verdict, any, case};
use crate::fixture::{delete, put};
use crate::picture::Picture;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, outcomes_come_in_order),
    case!(any, failure_leaves_its_neighbours_alone),
    case!(any, empty_group_changes_nothing),
    case!(any, group_of_failures_changes_nothing),
    case!(any, later_ones_build_on_earlier_ones),
    case!(any, full_group_is_applied),
];

fn revisions(outcomes: &[Outcome]) -> Vec<Option<u64>> {
    let revision = |outcome: &Outcome| outcome.as_ref().ok().map(|done| done.revision.0);
    outcomes.iter().map(revision).collect()
}

fn outcomes_come_in_order(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let group = ["c", "a", "b"].map(|name| put(name, "1"));
    let ids = group.each_ref().map(|transaction| transaction.id);
    let outcomes = store.commit(group.to_vec())?;
    assert_eq!(revisions(&outcomes), [Some(1), Some(2), Some(3)]);
    let logged: Vec<_> = store.log()?.iter().map(|entry| entry.commit.id).collect();
    assert_eq!(logged, ids);
    Ok(())
}

fn failure_leaves_its_neighbours_alone(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let group = vec![
        put("a", "1"),
        delete("missing"),
        put("b", "1"),
        delete("missing"),
        put("c", "1"),
    ];
    let outcomes = store.commit(group)?;
    assert_eq!(
        revisions(&outcomes),
        [Some(1), None, Some(2), None, Some(3)]
    );
    assert_eq!(store.records()?.len(), 3);
    assert_eq!(store.log()?.len(), 3);
    store.verify_clean()
}

fn empty_group_changes_nothing(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    assert!(store.commit(Vec::new())?.is_empty());
    assert!(store.head()?.is_empty());
    store.apply(put("a", "1"))?;
    let before = Picture::of(&store)?;
    assert!(store.commit(Vec::new())?.is_empty());
    Picture::of(&store)?.assert_is(&before);
    Ok(())
}

fn group_of_failures_changes_nothing(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    let before = Picture::of(&store)?;
    let outcomes = store.commit(vec![delete("b"), delete("c")])?;
    assert_eq!(revisions(&outcomes), [None, None]);
    Picture::of(&store)?.assert_is(&before);
    Ok(())
}

fn later_ones_build_on_earlier_ones(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.commit(vec![
        put("a", "1"),
        put("a", "2"),
        delete("a"),
        put("a", "3"),
        put("b", "1"),
        delete("b"),
    ])?;
    let record = store
        .get("a")?
        .map(|record| (record.created, record.modified));
    assert_eq!(record, Some((Revision(4), Revision(4))));
    assert_eq!(store.version("a")?.as_deref(), Some("3"));
    assert_eq!(store.get("b")?, None);
    assert_eq!(store.records()?.len(), 1);
    assert_eq!(store.log()?.len(), 6);
    store.verify_clean()
}

fn full_group_is_applied(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let count = store.capabilities().group_transactions_max;
    assert!((1..=GROUP_TRANSACTIONS_MAX).contains(&count));
    let group = (0..count)
        .map(|index| put(&format!("service-{index:05}"), "1"))
        .collect();
    let outcomes = store.commit(group)?;
    let expected: Vec<_> = (1..=count as u64).map(Some).collect();
    assert_eq!(revisions(&outcomes), expected);
    assert_eq!(store.records()?.len(), count);
    store.verify_clean()
}
