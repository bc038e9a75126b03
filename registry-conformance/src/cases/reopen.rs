//! What was acknowledged is there again.

use registry_core::Revision;

use crate::case::{Case, Verdict, case, persistent};
use crate::fixture::{delete, fill, put};
use crate::picture::Picture;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(persistent, everything_is_back),
    case!(persistent, empty_store_stays_empty),
    case!(persistent, dropped_store_loses_nothing),
    case!(persistent, commits_go_on_where_they_stopped),
    case!(persistent, reading_changes_nothing),
];

fn everything_is_back(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    fill(&store)?;
    let before = Picture::of(&store)?;
    let store = subject.reopen(store)?;
    Picture::of(&store)?.assert_is(&before);
    store.verify_clean()
}

fn empty_store_stays_empty(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let store = subject.reopen(store)?;
    assert!(store.head()?.is_empty());
    assert!(store.records()?.is_empty());
    store.verify_clean()
}

fn dropped_store_loses_nothing(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    fill(&store)?;
    store.compact(5)?;
    let before = Picture::of(&store)?;
    drop(store);
    let store = subject.open()?;
    Picture::of(&store)?.assert_is(&before);
    store.verify_clean()
}

fn commits_go_on_where_they_stopped(subject: &Subject) -> Verdict {
    let mut store = subject.open()?;
    for round in 0..6_u64 {
        assert_eq!(
            store.apply(put("a", &round.to_string()))?,
            Revision(3 * round + 1)
        );
        assert_eq!(
            store.apply(put("b", &round.to_string()))?,
            Revision(3 * round + 2)
        );
        assert_eq!(store.apply(delete("b"))?, Revision(3 * round + 3));
        let before = Picture::of(&store)?;
        store = subject.reopen(store)?;
        Picture::of(&store)?.assert_is(&before);
    }
    let record = store
        .get("a")?
        .map(|record| (record.created, record.modified));
    assert_eq!(record, Some((Revision(1), Revision(16))));
    store.verify_clean()
}

fn reading_changes_nothing(subject: &Subject) -> Verdict {
    let mut store = subject.open()?;
    fill(&store)?;
    let before = Picture::of(&store)?;
    for _ in 0..3 {
        store = subject.reopen(store)?;
        store.verify_clean()?;
        Picture::of(&store)?.assert_is(&before);
    }
    Ok(())
}
