//! Pages of the state in key order.

use registry_core::limits::{PAGE_BYTES_MAX, RANGE_PAGE_MAX};
use registry_core::{Key, Mutation, Revision};

use crate::case::{Case, Verdict, any, case};
use crate::fixture::{delete, expect_limit, fill, image_of, key, largest_entry, put, transaction};
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, order_is_that_of_the_bytes),
    case!(any, pages_of_any_size_cover_all_once),
    case!(any, last_page_says_that_it_is_the_last),
    case!(any, cursor_of_a_deleted_key_works),
    case!(any, empty_store_has_one_empty_page),
    case!(any, limits_of_a_page_are_told),
    case!(any, page_of_large_records_ends_early),
];

fn order_is_that_of_the_bytes(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let names = [
        "b",
        "a/b",
        "a:b",
        "ab",
        "a",
        "A",
        "é",
        "z",
        "a b",
        "a%62",
        "\u{1F600}",
        "变更",
        "a.b",
        "a-b",
        "\u{FFFD}",
        "e\u{301}",
        "Z",
        "~",
        "\u{7f}",
        "\u{1}",
    ];
    store.commit(names.iter().map(|name| put(name, "1")).collect())?;
    let mut expected: Vec<Key> = names.iter().map(|name| key(name)).collect();
    expected.sort_by_key(Key::to_bytes);
    for limit in [1, 3, RANGE_PAGE_MAX] {
        let records = store.records_by(limit)?;
        let found: Vec<_> = records.iter().map(|record| record.key().clone()).collect();
        assert_eq!(found, expected);
    }
    Ok(())
}

fn pages_of_any_size_cover_all_once(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let head = fill(&store)?;
    let all = store.records()?;
    assert_eq!(all.len() as u64, store.head()?.tally.counts.total());
    for limit in 1..=all.len() + 1 {
        assert_eq!(store.records_by(limit)?, all, "in pages of {limit}");
    }
    assert_eq!(store.range(None, 1)?.revision, head);
    for record in &all {
        assert_eq!(store.get(record.key().name())?.as_ref(), Some(record));
    }
    Ok(())
}

fn last_page_says_that_it_is_the_last(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.commit(["a", "b", "c", "d"].map(|name| put(name, "1")).to_vec())?;
    let first = store.range(None, 2)?;
    assert_eq!((first.records.len(), first.next), (2, Some(key("b"))));
    let second = store.range(Some(&key("b")), 2)?;
    assert_eq!((second.records.len(), second.next), (2, None));
    for after in ["d", "zzz"] {
        let empty = store.range(Some(&key(after)), 2)?;
        assert_eq!((empty.records.len(), empty.next), (0, None));
    }
    Ok(())
}

fn cursor_of_a_deleted_key_works(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.commit(["a", "b", "c"].map(|name| put(name, "1")).to_vec())?;
    let next = store.range(None, 2)?.next;
    store.apply(delete("b"))?;
    let page = store.range(next.as_ref(), 2)?;
    assert_eq!(page.records.len(), 1);
    assert_eq!(*page.records[0].key(), key("c"));
    Ok(())
}

fn empty_store_has_one_empty_page(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let page = store.range(None, RANGE_PAGE_MAX)?;
    assert!(page.records.is_empty());
    assert_eq!((page.next, page.revision), (None, Revision::ZERO));
    assert_eq!(store.get("a")?, None);
    Ok(())
}

fn limits_of_a_page_are_told(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    for limit in [0, RANGE_PAGE_MAX + 1, usize::MAX] {
        expect_limit(store.range(None, limit), "range_page_max")?;
    }
    assert_eq!(store.range(None, RANGE_PAGE_MAX)?.records.len(), 1);
    Ok(())
}

fn page_of_large_records_ends_early(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let bytes = image_of(largest_entry("a")).body_bytes();
    let count = PAGE_BYTES_MAX / bytes + 4;
    for index in 0..count {
        let image = image_of(largest_entry(&format!("large-{index:03}")));
        store.apply(transaction(vec![Mutation::Put(image)]))?;
    }
    let page = store.range(None, RANGE_PAGE_MAX)?;
    assert!(page.next.is_some(), "the page holds all {count} records");
    let held: usize = page
        .records
        .iter()
        .map(|record| record.image.body_bytes())
        .sum();
    assert!(held < PAGE_BYTES_MAX + bytes, "the page holds {held} bytes");
    assert_eq!(store.records()?.len(), count);
    Ok(())
}
