//! Compaction: the log is cut, the state stays, the chain keeps its anchor.

use registry_core::{Anchor, ErrorKind, Revision};

use crate::case::{Case, Verdict, any, case, persistent};
use crate::fixture::{expect_invalid, expect_kind, fill, key, put};
use crate::handle::Handle;
use crate::picture::Picture;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, state_stays_and_the_log_is_cut),
    case!(any, reader_before_the_cut_is_told_the_oldest),
    case!(any, anchor_keeps_the_hash_of_the_last_removed),
    case!(any, beyond_the_head_is_invalid),
    case!(any, compacted_already_is_no_error),
    case!(any, whole_log_may_be_compacted),
    case!(any, key_filter_works_after_a_cut),
    case!(persistent, cut_survives_reopening),
];

fn expect_compacted(store: &Handle, after: u64, oldest: u64) -> Verdict {
    let kind = ErrorKind::Compacted {
        oldest: Revision(oldest),
    };
    expect_kind(store.changes(Revision(after), 10), "Compacted", |found| {
        *found == kind
    })?;
    let filtered = store.changes_of(Revision(after), Some(&key("service-00")), 10);
    expect_kind(filtered, "Compacted", |found| *found == kind)
}

fn state_stays_and_the_log_is_cut(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    fill(&store)?;
    let before = Picture::of(&store)?;
    store.compact(10)?;
    let after = Picture::of(&store)?;
    assert_eq!(after.records, before.records);
    assert_eq!(after.log, before.log[10..]);
    assert_eq!(after.head.last, before.head.last);
    assert_eq!(after.head.tally, before.head.tally);
    store.verify_clean()
}

fn reader_before_the_cut_is_told_the_oldest(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    fill(&store)?;
    store.compact(10)?;
    for after in [0, 1, 9] {
        expect_compacted(&store, after, 10)?;
    }
    let page = store.changes(Revision(10), 1)?;
    assert_eq!(page.entries[0].commit.revision, Revision(11));
    Ok(())
}

fn anchor_keeps_the_hash_of_the_last_removed(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    fill(&store)?;
    let log = store.log()?;
    assert_eq!(store.head()?.compacted, Anchor::default());
    for through in [1, 2, 10] {
        store.compact(through as u64)?;
        let expected = Anchor {
            revision: Revision(through as u64),
            hash: log[through - 1].hash,
        };
        assert_eq!(store.head()?.compacted, expected);
        assert_eq!(store.log()?[0].previous, expected.hash);
    }
    store.verify_clean()
}

fn beyond_the_head_is_invalid(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    expect_invalid(store.compact(1))?;
    let head = fill(&store)?;
    let before = Picture::of(&store)?;
    expect_invalid(store.compact(head.0 + 1))?;
    expect_invalid(store.compact(u64::MAX))?;
    Picture::of(&store)?.assert_is(&before);
    Ok(())
}

fn compacted_already_is_no_error(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.compact(0)?;
    fill(&store)?;
    store.compact(0)?;
    assert_eq!(store.head()?.compacted, Anchor::default());
    store.compact(10)?;
    let before = Picture::of(&store)?;
    for through in [0, 5, 10] {
        store.compact(through)?;
    }
    Picture::of(&store)?.assert_is(&before);
    Ok(())
}

fn whole_log_may_be_compacted(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let head = fill(&store)?;
    store.compact(head.0)?;
    assert!(store.log()?.is_empty());
    expect_compacted(&store, head.0 - 1, head.0)?;
    let anchor = store.head()?.last;
    assert_eq!(store.head()?.compacted, anchor);
    assert_eq!(store.apply(put("next", "1"))?, head.next());
    let log = store.log()?;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].previous, anchor.hash);
    store.verify_clean()
}

fn key_filter_works_after_a_cut(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.commit(
        ["a", "b", "a", "b", "a"]
            .map(|name| put(name, "1"))
            .to_vec(),
    )?;
    store.compact(2)?;
    let found = store.log_of(Some(&key("a")), 1)?;
    let revisions: Vec<_> = found.iter().map(|entry| entry.commit.revision.0).collect();
    assert_eq!(revisions, [3, 5]);
    Ok(())
}

fn cut_survives_reopening(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let head = fill(&store)?;
    store.compact(10)?;
    let before = Picture::of(&store)?;
    let store = subject.reopen(store)?;
    Picture::of(&store)?.assert_is(&before);
    expect_compacted(&store, 9, 10)?;
    store.compact(head.0)?;
    let store = subject.reopen(store)?;
    assert!(store.log()?.is_empty());
    assert_eq!(store.head()?.last, before.head.last);
    assert_eq!(store.apply(put("next", "1"))?, head.next());
    store.verify_clean()
}
