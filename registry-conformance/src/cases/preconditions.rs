//! Every kind of precondition: where it holds, where it does not, and what the rejection tells.

use registry_core::{Image, Outcome, Precondition, Rejection, Revision, Transaction};

use crate::case::{Case, Verdict, any, case, persistent};
use crate::fixture::{delete, key, put, when};
use crate::handle::Handle;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, absent_holds_only_where_nothing_is),
    case!(any, present_holds_only_where_something_is),
    case!(any, modified_at_compares_the_revision),
    case!(any, unmodified_compares_the_record_that_was_seen),
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

fn unmodified_compares_the_record_that_was_seen(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    let overtaken = store.get("a")?.expect("it was put");
    store.apply(put("a", "2"))?;
    let seen = store.get("a")?.expect("it was put");
    assert_eq!(
        attempt(&store, Precondition::Unmodified(overtaken))?,
        rejected(0, "a", Some(2))
    );
    let replace = when(put("a", "3"), [Precondition::Unmodified(seen.clone())]);
    assert_eq!(store.try_apply(replace)?, applied(3));
    store.apply(delete("a"))?;
    assert_eq!(
        attempt(&store, Precondition::Unmodified(seen))?,
        rejected(0, "a", None)
    );
    Ok(())
}

/// A store that was opened again has nothing in memory that it could take the record from.
fn record_that_was_seen_is_the_one_that_is_replaced(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    store.apply(put("b", "1"))?;
    let store = subject.reopen(store)?;
    let seen = store.get("a")?.expect("it was put");
    store.commit(vec![
        when(put("a", "2"), [Precondition::Unmodified(seen.clone())]),
        put("a", "3"),
    ])?;
    let log = store.log()?;
    let replaced: Vec<_> = log.iter().map(|entry| &entry.commit.changes[0]).collect();
    let hash = |image: &Option<std::sync::Arc<Image>>| image.as_ref().map(|it| *it.hash());
    assert_eq!(hash(&replaced[2].before), Some(*seen.image.hash()));
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
