//! A transaction is applied whole or not at all.

use registry_core::{Precondition, Rejection, Revision};

use crate::case::{Case, Failure, Verdict, any, case};
use crate::fixture::{delete_of, key, put, put_of, transaction, when};
use crate::picture::Picture;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, all_mutations_apply_together),
    case!(any, change_keeps_the_creation_revision),
    case!(any, failed_precondition_changes_nothing),
    case!(any, failed_delete_undoes_the_puts_beside_it),
    case!(any, illegal_transaction_changes_nothing),
    case!(any, log_entry_tells_before_and_after),
];

fn all_mutations_apply_together(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("old", "1"))?;
    let revision = store.apply(transaction(vec![
        put_of("a", "1"),
        put_of("b", "1"),
        delete_of("old"),
    ]))?;
    assert_eq!(revision, Revision(2));
    for name in ["a", "b"] {
        let record = store.get(name)?.ok_or(Failure::new("a put is missing"))?;
        assert_eq!((record.created, record.modified), (revision, revision));
    }
    assert_eq!(store.get("old")?, None);
    assert_eq!(store.head()?.tally.counts.total(), 2);
    store.verify_clean()
}

fn change_keeps_the_creation_revision(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    store.commit(vec![put("b", "1"), put("a", "2"), put("a", "3")])?;
    let record = store.get("a")?;
    let found = record.map(|record| (record.created, record.modified));
    assert_eq!(found, Some((Revision(1), Revision(4))));
    Ok(())
}

fn failed_precondition_changes_nothing(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    let before = Picture::of(&store)?;
    let several = transaction(vec![put_of("a", "2"), put_of("b", "2")]);
    let several = when(
        several,
        [
            Precondition::Present(key("a")),
            Precondition::Absent(key("a")),
        ],
    );
    let rejection = Rejection::Precondition {
        index: 1,
        key: Some(key("a")),
        found: Some(Revision(1)),
    };
    assert_eq!(store.try_apply(several)?, Err(rejection));
    Picture::of(&store)?.assert_is(&before);
    store.verify_clean()
}

fn failed_delete_undoes_the_puts_beside_it(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    let before = Picture::of(&store)?;
    let several = transaction(vec![
        put_of("a", "2"),
        delete_of("missing"),
        put_of("b", "2"),
    ]);
    let rejection = Rejection::Precondition {
        index: 0,
        key: Some(key("missing")),
        found: None,
    };
    assert_eq!(store.try_apply(several)?, Err(rejection));
    Picture::of(&store)?.assert_is(&before);
    store.verify_clean()
}

fn illegal_transaction_changes_nothing(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    let before = Picture::of(&store)?;
    let twice = transaction(vec![put_of("b", "1"), put_of("c", "1"), delete_of("b")]);
    for illegal in [twice, transaction(Vec::new())] {
        let outcome = store.try_apply(illegal)?;
        assert!(
            matches!(outcome, Err(Rejection::Invalid(_))),
            "expected Invalid, found {outcome:?}"
        );
    }
    Picture::of(&store)?.assert_is(&before);
    store.verify_clean()
}

fn log_entry_tells_before_and_after(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("b", "1"))?;
    store.apply(put("c", "1"))?;
    let several = transaction(vec![delete_of("c"), put_of("a", "2"), put_of("b", "2")]);
    store.apply(several.clone())?;
    let page = store.changes(Revision(2), 10)?;
    let [entry] = &page.entries[..] else {
        return Err(Failure::new("expected one log entry"));
    };
    assert_eq!(entry.commit.id, several.id);
    assert_eq!(entry.commit.cause, several.cause);
    let version = |image: &Option<std::sync::Arc<registry_core::Image>>| {
        let entry = image.as_ref().and_then(|image| image.as_service());
        entry.map(|entry| entry.version.clone())
    };
    let found: Vec<_> = entry
        .commit
        .changes
        .iter()
        .map(|change| {
            (
                change.key.clone(),
                version(&change.before),
                version(&change.after),
            )
        })
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        found,
        [
            (key("c"), text("1"), None),
            (key("a"), None, text("2")),
            (key("b"), text("1"), text("2")),
        ]
    );
    Ok(())
}
