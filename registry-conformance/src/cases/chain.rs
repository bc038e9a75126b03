//! The hash chain of the log, and what `verify` says about it.

use registry_core::{Hash, MemoryStore};

use crate::case::{Case, Verdict, any, case};
use crate::fixture::fill;
use crate::handle::Handle;
use crate::picture::Picture;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, entries_link_up_to_the_head),
    case!(any, same_history_has_the_same_hashes_as_in_memory),
    case!(any, verify_reads_all_and_is_clean),
    case!(any, verify_of_an_empty_store_is_clean),
];

fn entries_link_up_to_the_head(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    fill(&store)?;
    let mut previous = Hash::default();
    for entry in store.log()? {
        assert_eq!(entry.previous, previous);
        assert!(entry.is_intact(), "entry {}", entry.commit.revision);
        previous = entry.hash;
    }
    assert_eq!(store.head()?.last.hash, previous);
    Ok(())
}

fn same_history_has_the_same_hashes_as_in_memory(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let memory = Handle::new(std::sync::Arc::new(MemoryStore::new()));
    for store in [&store, &memory] {
        fill(store)?;
        store.compact(7)?;
    }
    Picture::of(&store)?.assert_is(&Picture::of(&memory)?);
    Ok(())
}

fn verify_reads_all_and_is_clean(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let head = fill(&store)?;
    store.compact(3)?;
    let before = Picture::of(&store)?;
    let report = store.verify()?;
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(report.entries, head.0 - 3);
    assert_eq!(report.records, before.records.len() as u64);
    assert_eq!(report.head, before.head);
    Picture::of(&store)?.assert_is(&before);
    Ok(())
}

fn verify_of_an_empty_store_is_clean(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let report = store.verify()?;
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.entries, report.records), (0, 0));
    Ok(())
}
