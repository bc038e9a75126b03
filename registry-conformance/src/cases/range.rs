//! Pages of the state in key order.

use registry_core::limits::{PAGE_BYTES_MAX, RANGE_PAGE_MAX};
use registry_core::{Key, Kind, Mutation, Revision};

use crate::case::{Case, Verdict, any, case};
use crate::fixture::{
    delete, expect_limit, fill, image_of, instance_key, keeper_key, key, largest_entry, policy_key,
    put, put_at, transaction,
};
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, order_is_that_of_the_bytes),
    case!(any, order_of_keys_of_two_parts_is_that_of_the_bytes),
    case!(any, kinds_with_the_same_names_stay_apart),
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

/// Pairs that a separator between their parts could bring out of order, or mix up.
const PAIRS: [(&str, &str); 16] = [
    ("a", "b"),
    ("a", "\u{1}"),
    ("a", "a"),
    ("a\u{1}", "b"),
    ("a\u{1}", "\u{1}"),
    ("a", "b/c"),
    ("a/b", "c"),
    ("a", "bc"),
    ("ab", "c"),
    ("a ", "b"),
    ("a:b", "c"),
    ("A", "b"),
    ("é", "e\u{301}"),
    ("e\u{301}", "é"),
    ("\u{10FFFF}", "a"),
    ("\u{1F600}", "変更/é"),
];

fn order_of_keys_of_two_parts_is_that_of_the_bytes(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    // An id is not the name of its service.
    let pairs = PAIRS.iter().filter(|(service, id)| service != id);
    let mut expected: Vec<Key> = pairs
        .map(|(service, id)| instance_key(service, id))
        .collect();
    store.commit(expected.iter().map(|key| put_at(key, "1")).collect())?;
    expected.sort_by_key(Key::to_bytes);
    for limit in [1, 3, RANGE_PAGE_MAX] {
        let records = store.records_of(Kind::Instance, limit)?;
        let found: Vec<_> = records.iter().map(|record| record.key().clone()).collect();
        assert_eq!(found, expected, "in pages of {limit}");
    }
    for key in &expected {
        let record = store.get_at(key)?;
        assert_eq!(
            record.map(|record| record.key().clone()).as_ref(),
            Some(key)
        );
        assert_eq!(store.log_of(Some(key), 10)?.len(), 1, "{key}");
    }
    // A cursor between two keys, in either part.
    for (service, id) in [("a", "aa"), ("a", "zzz"), ("a\u{1}", "\u{2}"), ("0", "0a")] {
        let after = instance_key(service, id);
        let page = store.range_of(Kind::Instance, Some(&after), 1)?;
        let next = expected.iter().find(|key| **key > after);
        let found = page.records.first().map(|record| record.key().clone());
        assert_eq!(found.as_ref(), next, "after {after}");
    }
    store.verify_clean()
}

fn kinds_with_the_same_names_stay_apart(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let keys = ["a", "b"].map(|name| {
        let instance = instance_key(name, "one");
        [key(name), instance, policy_key(name), keeper_key(name)]
    });
    let keys: Vec<Key> = keys.into_iter().flatten().collect();
    store.commit(keys.iter().map(|key| put_at(key, "1")).collect())?;
    for kind in Kind::ALL {
        let expected: Vec<_> = keys.iter().filter(|key| key.kind() == kind).collect();
        for limit in [1, 2, 3] {
            let found = store.records_of(kind, limit)?;
            let found: Vec<_> = found.iter().map(registry_core::Versioned::key).collect();
            assert_eq!(found, expected, "{kind} in pages of {limit}");
        }
        let last = expected.last().expect("each kind has records");
        let end = store.range_of(kind, Some(last), 10)?;
        assert_eq!((end.records.len(), end.next), (0, None), "after {last}");
        assert_eq!(store.head()?.tally.counts.of(kind), 2);
    }
    let removed = transaction(vec![Mutation::Delete(policy_key("a"))]);
    store.apply(removed)?;
    assert_eq!(store.records()?.len(), keys.len() - 1);
    assert!(store.get("a")?.is_some(), "the service of that name stays");
    assert_eq!(store.log_of(Some(&policy_key("a")), 10)?.len(), 2);
    assert_eq!(store.log_of(Some(&key("a")), 10)?.len(), 1);
    store.verify_clean()
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
        assert_eq!(store.get_at(record.key())?.as_ref(), Some(record));
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
