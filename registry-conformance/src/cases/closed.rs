//! A closed store answers `Closed`, and nothing else.

use registry_core::{ErrorKind, RestorePage, Revision, TransactionId};

use crate::case::{Case, Verdict, any, case};
use crate::fixture::{expect_kind, fill, put};
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, every_call_answers_closed),
    case!(any, every_clone_is_closed),
];

fn closed<T: std::fmt::Debug>(call: &str, answer: registry_core::Result<T>) -> Verdict {
    let expected = format!("Closed of {call}");
    expect_kind(answer, &expected, |kind| *kind == ErrorKind::Closed)
}

fn every_call_answers_closed(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    fill(&store)?;
    store.close()?;
    closed("head", store.head())?;
    closed("get", store.get("service-00"))?;
    closed("range", store.range(None, 10))?;
    closed("commit", store.commit(vec![put("a", "1")]))?;
    closed("find", store.find(TransactionId::fresh()))?;
    closed("changes", store.changes(Revision::ZERO, 10))?;
    closed("wait_for_change", store.wait_for_change(Revision::ZERO))?;
    closed("note", store.note("a", b"1"))?;
    closed("notes", store.notes())?;
    closed("compact", store.compact(1))?;
    closed("restore", store.restore(RestorePage::default()))?;
    closed("verify", store.verify())
}

fn every_clone_is_closed(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let other = store.clone();
    other.apply(put("a", "1"))?;
    store.close()?;
    closed("get", other.get("a"))?;
    closed("commit", other.commit(vec![put("a", "1")]))
}
