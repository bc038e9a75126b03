//! A transaction that is sent again is answered and not applied again.

use registry_core::{Revision, TransactionId};

use crate::case::{Case, Verdict, any, case, persistent};
use crate::fixture::{delete, put, put_of};
use crate::picture::Picture;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, repeated_id_answers_the_first_outcome),
    case!(any, repeated_id_in_one_group_applies_once),
    case!(any, repeated_id_with_other_content_applies_nothing),
    case!(any, rejected_id_may_be_tried_again),
    case!(any, find_knows_what_was_committed),
    case!(persistent, reopened_store_knows_the_ids),
];

fn repeated_id_answers_the_first_outcome(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let first = put("a", "1");
    let outcome = store.try_apply(first.clone())?;
    store.apply(put("a", "2"))?;
    let before = Picture::of(&store)?;
    assert_eq!(store.try_apply(first)?, outcome);
    Picture::of(&store)?.assert_is(&before);
    assert_eq!(store.version("a")?.as_deref(), Some("2"));
    Ok(())
}

fn repeated_id_in_one_group_applies_once(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let first = put("a", "1");
    let outcomes = store.commit(vec![first.clone(), put("b", "1"), first])?;
    assert_eq!(outcomes[0], outcomes[2]);
    assert_eq!(store.revision()?, Revision(2));
    assert_eq!(store.log()?.len(), 2);
    store.verify_clean()
}

fn repeated_id_with_other_content_applies_nothing(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let first = put("a", "1");
    store.apply(first.clone())?;
    let mut other = first;
    other.mutations = vec![put_of("b", "1")];
    assert_eq!(store.apply(other)?, Revision(1));
    assert_eq!(store.get("b")?, None);
    Ok(())
}

fn rejected_id_may_be_tried_again(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let removal = delete("a");
    assert!(store.try_apply(removal.clone())?.is_err());
    assert_eq!(store.find(removal.id)?, None);
    store.apply(put("a", "1"))?;
    assert_eq!(store.apply(removal)?, Revision(2));
    Ok(())
}

fn find_knows_what_was_committed(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let first = put("a", "1");
    store.apply(first.clone())?;
    store.apply(put("a", "2"))?;
    let found = store.find(first.id)?.map(|commit| commit.revision);
    assert_eq!(found, Some(Revision(1)));
    assert_eq!(store.find(TransactionId::fresh())?, None);
    Ok(())
}

fn reopened_store_knows_the_ids(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let first = put("a", "1");
    store.apply(first.clone())?;
    store.commit((0..50).map(|index| put("b", &index.to_string())).collect())?;
    let store = subject.reopen(store)?;
    let found = store.find(first.id)?.map(|commit| commit.revision);
    assert_eq!(found, Some(Revision(1)));
    assert_eq!(store.apply(first)?, Revision(1));
    assert_eq!(store.revision()?, Revision(51));
    Ok(())
}
