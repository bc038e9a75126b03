//! Every kind of precondition: where it holds, where it does not, and what the rejection tells.

use registry_core::{Image, Outcome, Precondition, Rejection, Revision, Seen, Transaction};

use crate::case::{Case, Verdict, any, case, persistent};
use crate::fixture::{delete, key, put, when};
use crate::handle::Handle;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, absent_holds_only_where_nothing_is),
    case!(any, present_holds_only_where_something_is),
    case!(any, modified_at_compares_the_revision),
    case!(any, as_seen_compares_what_is_there_with_what_was),
    case!(any, as_seen_knows_what_the_group_changed),
    case!(persistent, record_that_was_seen_is_the_one_that_is_replaced),
    case!(any, revision_zero_means_absent),
    case!(any, head_is_counts_the_group_so_far),
    case!(any, preconditions_see_earlier_ones_of_the_group),
    case!(any, modified_by_follows_the_earlier_transaction),
    case!(any, modified_by_fails_down_the_chain),
    case!(any, modified_by_a_later_one_never_holds),
    case!(any, modified_by_knows_a_repeated_transaction),
    case!(any, delete_of_nothing_is_rejected),
];

fn rejected(index: usize, name: &str, found: Option<u64>) -> Outcome {
    Err(Rejection::Precondition {
        index,
        key: Some(key(name)),
        found: found.map(Revision),
    })
}

fn attempt(store: &Handle, precondition: Precondition) -> registry_core::Result<Outcome> {
    store.try_apply(when(put("probe", "1"), [precondition]))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it is compared with outcomes that can be rejections"
)]
fn applied(revision: u64) -> Outcome {
    Ok(registry_core::Committed {
        revision: Revision(revision),
    })
}

fn absent_holds_only_where_nothing_is(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    assert_eq!(
        attempt(&store, Precondition::Absent(key("a")))?,
        rejected(0, "a", Some(1))
    );
    assert_eq!(attempt(&store, Precondition::Absent(key("b")))?, applied(2));
    store.apply(delete("a"))?;
    assert_eq!(attempt(&store, Precondition::Absent(key("a")))?, applied(4));
    Ok(())
}

fn present_holds_only_where_something_is(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    assert_eq!(
        attempt(&store, Precondition::Present(key("a")))?,
        rejected(0, "a", None)
    );
    store.apply(put("a", "1"))?;
    assert_eq!(
        attempt(&store, Precondition::Present(key("a")))?,
        applied(2)
    );
    Ok(())
}

fn modified_at_compares_the_revision(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    store.apply(put("a", "2"))?;
    for wrong in [1, 3, u64::MAX] {
        assert_eq!(
            attempt(&store, Precondition::ModifiedAt(key("a"), Revision(wrong)))?,
            rejected(0, "a", Some(2))
        );
    }
    assert_eq!(
        attempt(&store, Precondition::ModifiedAt(key("b"), Revision(2)))?,
        rejected(0, "b", None)
    );
    assert_eq!(
        attempt(&store, Precondition::ModifiedAt(key("a"), Revision(2)))?,
        applied(3)
    );
    Ok(())
}

/// What the store has at a key now.
fn seen(store: &Handle, name: &str) -> registry_core::Result<Precondition> {
    let at = store.head()?.revision();
    let (key, record) = (key(name), store.get(name)?);
    Ok(Precondition::AsSeen(Seen { key, record, at }))
}

fn as_seen_compares_what_is_there_with_what_was(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let nothing = seen(&store, "a")?;
    store.apply(put("a", "1"))?;
    let overtaken = seen(&store, "a")?;
    assert_eq!(attempt(&store, nothing)?, rejected(0, "a", Some(1)));
    store.apply(put("a", "2"))?;
    assert_eq!(attempt(&store, overtaken)?, rejected(0, "a", Some(2)));
    let current = seen(&store, "a")?;
    // Of before another commit, which changed something else.
    store.apply(put("b", "1"))?;
    let replace = when(put("a", "3"), [current.clone()]);
    assert_eq!(store.try_apply(replace)?, applied(4));
    store.apply(delete("a"))?;
    assert_eq!(attempt(&store, current)?, rejected(0, "a", None));
    let create = when(put("a", "4"), [seen(&store, "a")?]);
    assert_eq!(store.try_apply(create)?, applied(6));
    store.verify_clean()
}

/// What was seen before the group does not hold for what the group changed.
fn as_seen_knows_what_the_group_changed(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    let (first, second) = (seen(&store, "a")?, seen(&store, "b")?);
    let outcomes = store.commit(vec![
        when(put("a", "2"), [first.clone()]),
        when(put("a", "3"), [first]),
        when(put("b", "1"), [second.clone()]),
        when(put("b", "2"), [second]),
    ])?;
    let expected = [
        applied(2),
        rejected(0, "a", Some(2)),
        applied(3),
        rejected(0, "b", Some(3)),
    ];
    assert_eq!(outcomes, expected);
    store.verify_clean()
}

/// A store that was opened again has nothing in memory that it could take the record from.
fn record_that_was_seen_is_the_one_that_is_replaced(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    store.apply(put("b", "1"))?;
    let store = subject.reopen(store)?;
    let found = store.get("a")?.expect("it was put");
    store.commit(vec![
        when(put("a", "2"), [seen(&store, "a")?]),
        put("a", "3"),
    ])?;
    let log = store.log()?;
    let replaced: Vec<_> = log.iter().map(|entry| &entry.commit.changes[0]).collect();
    let hash = |image: &Option<std::sync::Arc<Image>>| image.as_ref().map(|it| *it.hash());
    assert_eq!(hash(&replaced[2].before), Some(*found.image.hash()));
    assert_eq!(hash(&replaced[3].before), hash(&replaced[2].after));
    let record = store.get("a")?.expect("it was put");
    assert_eq!(
        (record.created, record.modified),
        (Revision(1), Revision(4))
    );
    store.verify_clean()
}

fn revision_zero_means_absent(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    assert_eq!(
        attempt(&store, Precondition::ModifiedAt(key("a"), Revision::ZERO))?,
        applied(1)
    );
    store.apply(put("a", "1"))?;
    assert_eq!(
        attempt(&store, Precondition::ModifiedAt(key("a"), Revision::ZERO))?,
        rejected(0, "a", Some(2))
    );
    Ok(())
}

fn head_is_counts_the_group_so_far(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let at_head =
        |name: &str, revision| when(put(name, "1"), [Precondition::HeadIs(Revision(revision))]);
    let outcomes = store.commit(vec![
        at_head("a", 0),
        at_head("b", 0),
        at_head("c", 1),
        at_head("d", 2),
    ])?;
    let rejection = Err(Rejection::Precondition {
        index: 0,
        key: None,
        found: Some(Revision(1)),
    });
    assert_eq!(outcomes, [applied(1), rejection, applied(2), applied(3)]);
    Ok(())
}

fn preconditions_see_earlier_ones_of_the_group(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let outcomes = store.commit(vec![
        put("a", "1"),
        when(put("a", "2"), [Precondition::Absent(key("a"))]),
        when(
            delete("a"),
            [Precondition::ModifiedAt(key("a"), Revision(1))],
        ),
        when(put("a", "3"), [Precondition::Absent(key("a"))]),
    ])?;
    let expected = [
        applied(1),
        rejected(0, "a", Some(1)),
        applied(2),
        applied(3),
    ];
    assert_eq!(outcomes, expected);
    let record = store
        .get("a")?
        .map(|record| (record.created, record.modified));
    assert_eq!(record, Some((Revision(3), Revision(3))));
    Ok(())
}

fn after(transaction: Transaction, name: &str, index: u32) -> Transaction {
    when(transaction, [Precondition::ModifiedBy(key(name), index)])
}

fn modified_by_follows_the_earlier_transaction(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let outcomes = store.commit(vec![
        put("a", "1"),
        put("b", "1"),
        after(put("a", "2"), "a", 0),
        // The first was overtaken by the third.
        after(put("a", "3"), "a", 0),
        after(put("a", "4"), "a", 2),
        // It changed another key.
        after(put("c", "1"), "a", 1),
    ])?;
    let expected = [
        applied(1),
        applied(2),
        applied(3),
        rejected(0, "a", Some(3)),
        applied(4),
        rejected(0, "a", Some(4)),
    ];
    assert_eq!(outcomes, expected);
    Ok(())
}

fn modified_by_fails_down_the_chain(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "0"))?;
    let outcomes = store.commit(vec![
        when(put("a", "1"), [Precondition::Absent(key("a"))]),
        after(put("a", "2"), "a", 0),
        after(put("b", "1"), "a", 1),
        put("c", "1"),
    ])?;
    let expected = [
        rejected(0, "a", Some(1)),
        rejected(0, "a", Some(1)),
        rejected(0, "a", Some(1)),
        applied(2),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(store.get("b")?, None);
    Ok(())
}

fn modified_by_a_later_one_never_holds(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let outcomes = store.commit(vec![
        after(put("a", "1"), "a", 0),
        after(put("a", "2"), "a", 2),
        after(put("a", "3"), "a", u32::MAX),
    ])?;
    assert_eq!(outcomes, vec![rejected(0, "a", None); 3]);
    assert_eq!(store.revision()?, Revision::ZERO);
    Ok(())
}

fn modified_by_knows_a_repeated_transaction(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let first = put("a", "1");
    store.apply(first.clone())?;
    let outcomes = store.commit(vec![first, after(put("a", "2"), "a", 0)])?;
    assert_eq!(outcomes, [applied(1), applied(2)]);
    Ok(())
}

fn delete_of_nothing_is_rejected(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    assert_eq!(store.try_apply(delete("a"))?, rejected(0, "a", None));
    let guarded = when(delete("a"), [Precondition::Absent(key("a"))]);
    assert_eq!(store.try_apply(guarded)?, rejected(1, "a", None));
    store.apply(put("a", "1"))?;
    store.apply(delete("a"))?;
    assert_eq!(store.try_apply(delete("a"))?, rejected(0, "a", None));
    assert_eq!(store.revision()?, Revision(2));
    Ok(())
}
