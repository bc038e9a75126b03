//! Pages of the log in revision order.

use std::collections::BTreeSet;

use registry_core::limits::CHANGES_PAGE_MAX;
use registry_core::{Key, Revision};

use crate::case::{Case, Verdict, any, case};
use crate::fixture::{expect_limit, fill, key, put};
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, pages_of_any_size_cover_the_log_once),
    case!(any, key_filter_answers_what_changed_the_key),
    case!(any, nothing_comes_after_the_head),
    case!(any, filtered_page_says_how_far_it_looked),
    case!(any, limits_of_a_page_are_told),
    case!(any, reader_resumes_where_it_stopped),
];

fn pages_of_any_size_cover_the_log_once(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let head = fill(&store)?;
    let all = store.log()?;
    let revisions: Vec<_> = all.iter().map(|entry| entry.commit.revision).collect();
    assert_eq!(revisions, (1..=head.0).map(Revision).collect::<Vec<_>>());
    for limit in [1, 2, 7, all.len(), all.len() + 1] {
        assert_eq!(store.log_of(None, limit)?, all, "in pages of {limit}");
    }
    Ok(())
}

fn key_filter_answers_what_changed_the_key(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    fill(&store)?;
    let all = store.log()?;
    let keys: BTreeSet<&Key> = all
        .iter()
        .flat_map(|entry| &entry.commit.changes)
        .map(|change| &change.key)
        .collect();
    for key in keys {
        let mut expected = all.clone();
        expected.retain(|entry| entry.commit.changes.iter().any(|change| change.key == *key));
        for limit in [1, 2, CHANGES_PAGE_MAX] {
            assert_eq!(store.log_of(Some(key), limit)?, expected, "of {key}");
        }
    }
    assert!(store.log_of(Some(&key("nobody")), 2)?.is_empty());
    Ok(())
}

fn nothing_comes_after_the_head(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let page = store.changes(Revision::ZERO, 10)?;
    assert!(page.entries.is_empty());
    assert_eq!((page.through, page.head), (Revision::ZERO, Revision::ZERO));
    store.apply(put("a", "1"))?;
    for after in [1, 2, 1_000_000, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        let page = store.changes(Revision(after), 10)?;
        assert!(page.entries.is_empty());
        assert_eq!((page.through, page.head), (Revision(after), Revision(1)));
    }
    Ok(())
}

fn filtered_page_says_how_far_it_looked(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.commit(
        ["a", "b", "b", "a", "b"]
            .map(|name| put(name, "1"))
            .to_vec(),
    )?;
    let page = store.changes_of(Revision::ZERO, Some(&key("a")), 10)?;
    assert_eq!(page.entries.len(), 2);
    assert_eq!((page.through, page.head), (Revision(5), Revision(5)));
    let page = store.changes_of(Revision(4), Some(&key("a")), 10)?;
    assert!(page.entries.is_empty());
    assert_eq!(page.through, Revision(5));
    Ok(())
}

fn limits_of_a_page_are_told(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    for limit in [0, CHANGES_PAGE_MAX + 1, usize::MAX] {
        expect_limit(store.changes(Revision::ZERO, limit), "changes_page_max")?;
    }
    let page = store.changes(Revision::ZERO, CHANGES_PAGE_MAX)?;
    assert_eq!(page.entries.len(), 1);
    Ok(())
}

fn reader_resumes_where_it_stopped(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    let seen = store.changes(Revision::ZERO, 10)?.through;
    store.commit(vec![put("b", "1"), put("c", "1")])?;
    let page = store.changes(seen, 10)?;
    let revisions: Vec<_> = page
        .entries
        .iter()
        .map(|entry| entry.commit.revision.0)
        .collect();
    assert_eq!(revisions, [2, 3]);
    assert_eq!(page.through, Revision(3));
    Ok(())
}
