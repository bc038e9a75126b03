//! Limits: what is at one is accepted, what is over one is refused by its name and changes nothing.

use registry_core::limits::{
    GROUP_BYTES_MAX, TEXT_BYTES_MAX, TRANSACTION_MUTATIONS_MAX, TRANSACTION_PRECONDITIONS_MAX,
};
use registry_core::{Cause, Mutation, Precondition, Rejection, Revision, Transaction};

use crate::case::{Case, Failure, Verdict, any, case, persistent};
use crate::fixture::{
    cause, expect_limit, image_of, key, largest_entry, put, put_of, transaction, when,
};
use crate::handle::Handle;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, too_many_transactions_change_nothing),
    case!(any, too_many_bytes_change_nothing),
    case!(any, mutations_of_a_transaction_are_bounded),
    case!(any, preconditions_of_a_transaction_are_bounded),
    case!(any, texts_of_a_cause_are_bounded),
    case!(any, largest_record_reads_back),
    case!(persistent, largest_group_survives_reopening),
];

fn too_many_transactions_change_nothing(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let count = store.capabilities().group_transactions_max + 1;
    let group = (0..count).map(|_| put("a", "1")).collect();
    expect_limit(store.commit(group), "group_transactions_max")?;
    assert!(store.head()?.is_empty());
    assert_eq!(store.get("a")?, None);
    assert_eq!(store.apply(put("a", "1"))?, Revision(1));
    Ok(())
}

/// As many of the largest records as a group may hold, and one more.
fn large_groups() -> (Vec<Transaction>, Transaction) {
    let large = |index: usize| {
        let image = image_of(largest_entry(&format!("large-{index:03}")));
        transaction(vec![Mutation::Put(image)])
    };
    let count = GROUP_BYTES_MAX / image_of(largest_entry("large-000")).body_bytes();
    ((0..count).map(large).collect(), large(count))
}

fn too_many_bytes_change_nothing(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let (mut group, one_more) = large_groups();
    group.push(one_more);
    expect_limit(store.commit(group), "group_bytes_max")?;
    assert!(store.head()?.is_empty());
    assert!(store.records()?.is_empty());
    Ok(())
}

fn largest_group_survives_reopening(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let (group, _) = large_groups();
    let count = group.len();
    for outcome in store.commit(group)? {
        outcome?;
    }
    let store = subject.reopen(store)?;
    assert_eq!(store.records()?.len(), count);
    assert_eq!(store.log()?.len(), count);
    store.verify_clean()
}

fn expect_illegal(store: &Handle, transaction: Transaction) -> Verdict {
    match store.try_apply(transaction)? {
        Err(Rejection::Invalid(_)) => Ok(()),
        other => Err(Failure::new(format!("expected Invalid, found {other:?}"))),
    }
}

fn mutations_of_a_transaction_are_bounded(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let puts = |count| {
        let names = (0..count).map(|index| format!("service-{index}"));
        transaction(names.map(|name| put_of(&name, "1")).collect())
    };
    expect_illegal(&store, puts(TRANSACTION_MUTATIONS_MAX + 1))?;
    assert!(store.head()?.is_empty());
    store.apply(puts(TRANSACTION_MUTATIONS_MAX))?;
    assert_eq!(store.records()?.len(), TRANSACTION_MUTATIONS_MAX);
    Ok(())
}

fn preconditions_of_a_transaction_are_bounded(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let guarded = |count| {
        let absent = Precondition::Absent(key("a"));
        when(put("a", "1"), vec![absent; count])
    };
    expect_illegal(&store, guarded(TRANSACTION_PRECONDITIONS_MAX + 1))?;
    store.apply(guarded(TRANSACTION_PRECONDITIONS_MAX))?;
    Ok(())
}

fn texts_of_a_cause_are_bounded(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let with = |actor: &str, action: &str, reason: &str| {
        let cause = Cause {
            actor: actor.to_owned(),
            action: action.to_owned().into(),
            reason: Some(reason.to_owned()),
            ..cause("change")
        };
        Transaction {
            cause: cause.into(),
            ..put("a", "1")
        }
    };
    let long = "x".repeat(TEXT_BYTES_MAX);
    let longer = "x".repeat(TEXT_BYTES_MAX + 1);
    for text in [longer.as_str(), "a\0b"] {
        expect_illegal(&store, with(text, "", ""))?;
        expect_illegal(&store, with("", text, ""))?;
        expect_illegal(&store, with("", "", text))?;
    }
    let accepted = with(&long, &long, &long);
    store.apply(accepted.clone())?;
    assert_eq!(store.log()?[0].commit.cause, accepted.cause);
    let empty = with("", "", "");
    store.apply(empty.clone())?;
    assert_eq!(store.log()?[1].commit.cause, empty.cause);
    Ok(())
}

fn largest_record_reads_back(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let image = image_of(largest_entry("large"));
    let bytes = image.body_bytes();
    assert!(bytes <= store.capabilities().record_bytes_max);
    store.apply(transaction(vec![Mutation::Put(image.clone())]))?;
    let found = store.get("large")?.map(|record| record.image);
    assert_eq!(found, Some(image));
    store.verify_clean()
}
