//! Restore: another store's log and records, with revisions and hashes, all of it or no store.

use std::sync::Arc;

use registry_core::{
    Anchor, ErrorKind, Hash, Head, LogEntry, MemoryStore, RestorePage, Revision, SCHEMA, Seal,
    TransactionId, Versioned,
};

use crate::case::{Case, Failure, Verdict, any, case, persistent};
use crate::fixture::{expect_invalid, expect_kind, fill, numbered, put};
use crate::handle::Handle;
use crate::picture::Picture;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, restored_store_is_the_same),
    case!(any, empty_store_restores_to_an_empty_one),
    case!(any, restored_store_goes_on),
    case!(persistent, restored_store_survives_reopening),
    case!(any, notes_are_not_restored),
    case!(any, store_with_a_commit_takes_no_restore),
    case!(any, sealed_store_takes_no_more),
    case!(any, broken_restore_is_refused_for_good),
    case!(any, nothing_has_a_hash_before_the_first_entry),
    case!(any, unsealed_store_answers_nothing),
    case!(persistent, unsealed_store_is_refused_at_reopening),
];

/// A store in memory with a history and a cut log.
fn source() -> Result<Handle, Failure> {
    let source = Handle::new(Arc::new(MemoryStore::new()));
    fill(&source)?;
    source.compact(9)?;
    source.note("left", b"behind")?;
    Ok(source)
}

/// Everything of a store, in pages of so many entries or records.
fn export(source: &Handle, page_len: usize) -> Result<Vec<RestorePage>, Failure> {
    let head = source.head()?;
    let mut pages = vec![RestorePage {
        anchor: Some(head.compacted),
        ..RestorePage::default()
    }];
    pages.extend(source.log()?.chunks(page_len).map(|entries| RestorePage {
        entries: entries.to_vec(),
        ..RestorePage::default()
    }));
    pages.extend(
        source
            .records()?
            .chunks(page_len)
            .map(|records| RestorePage {
                records: records.to_vec(),
                ..RestorePage::default()
            }),
    );
    pages.push(RestorePage {
        seal: Some(Seal {
            head,
            schema: SCHEMA,
        }),
        ..RestorePage::default()
    });
    Ok(pages)
}

/// Everything of a store in one page.
fn export_whole(source: &Handle) -> Result<RestorePage, Failure> {
    let mut whole = RestorePage::default();
    for page in export(source, usize::MAX)? {
        whole.anchor = whole.anchor.or(page.anchor);
        whole.entries.extend(page.entries);
        whole.records.extend(page.records);
        whole.seal = page.seal;
    }
    Ok(whole)
}

fn restore(store: &Handle, pages: Vec<RestorePage>) -> registry_core::Result<()> {
    pages.into_iter().try_for_each(|page| store.restore(page))
}

fn restored_store_is_the_same(subject: &Subject) -> Verdict {
    let source = source()?;
    let expected = Picture::of(&source)?;
    let mut ways = vec![vec![export_whole(&source)?]];
    for page_len in [1, 5, 1000] {
        ways.push(export(&source, page_len)?);
    }
    for pages in ways {
        let target = subject.another()?;
        let store = target.open()?;
        restore(&store, pages)?;
        Picture::of(&store)?.assert_is(&expected);
        store.verify_clean()?;
        store.close()?;
    }
    Ok(())
}

fn empty_store_restores_to_an_empty_one(subject: &Subject) -> Verdict {
    let source = Handle::new(Arc::new(MemoryStore::new()));
    let store = subject.open()?;
    restore(&store, export(&source, 10)?)?;
    assert!(store.head()?.is_empty());
    assert_eq!(store.apply(put("a", "1"))?, Revision(1));
    store.verify_clean()
}

fn restored_store_goes_on(subject: &Subject) -> Verdict {
    let source = source()?;
    let store = subject.open()?;
    restore(&store, export(&source, 7)?)?;
    // Ids that are in the log are known.
    let known = source.log()?[0].commit.id;
    assert_eq!(store.find(known)?, source.find(known)?);
    assert!(store.find(known)?.is_some());
    assert_eq!(store.find(TransactionId::fresh())?, None);
    expect_kind(store.changes(Revision(8), 10), "Compacted", |kind| {
        *kind
            == ErrorKind::Compacted {
                oldest: Revision(9),
            }
    })?;
    for version in ["1", "2"] {
        let next = numbered(put("service-03", version), 1000 + version.len() as u64);
        assert_eq!(store.try_apply(next.clone())?, source.try_apply(next)?);
    }
    Picture::of(&store)?.assert_is(&Picture::of(&source)?);
    store.verify_clean()
}

fn restored_store_survives_reopening(subject: &Subject) -> Verdict {
    let source = source()?;
    let store = subject.open()?;
    restore(&store, export(&source, 7)?)?;
    let store = subject.reopen(store)?;
    Picture::of(&store)?.assert_is(&Picture::of(&source)?);
    assert!(store.find(source.log()?[0].commit.id)?.is_some());
    let next = store.revision()?.next();
    assert_eq!(store.apply(put("a", "1"))?, next);
    let store = subject.reopen(store)?;
    assert_eq!(store.revision()?, next);
    store.verify_clean()
}

fn notes_are_not_restored(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    restore(&store, export(&source()?, 100)?)?;
    assert!(store.notes()?.is_empty());
    store.note("a", b"1")?;
    assert_eq!(store.notes()?.len(), 1);
    Ok(())
}

fn store_with_a_commit_takes_no_restore(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.apply(put("a", "1"))?;
    let before = Picture::of(&store)?;
    for page in export(&source()?, 100)? {
        expect_invalid(store.restore(page))?;
    }
    Picture::of(&store)?.assert_is(&before);
    store.apply(put("a", "2"))?;
    store.verify_clean()
}

fn nothing_has_a_hash_before_the_first_entry(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let anchor = Anchor {
        revision: Revision::ZERO,
        hash: Hash([7; 32]),
    };
    let head = Head {
        last: anchor,
        compacted: anchor,
        ..Head::default()
    };
    expect_invalid(store.restore(RestorePage {
        anchor: Some(anchor),
        seal: Some(Seal {
            head,
            schema: SCHEMA,
        }),
        ..RestorePage::default()
    }))
}

fn sealed_store_takes_no_more(subject: &Subject) -> Verdict {
    let source = source()?;
    let store = subject.open()?;
    restore(&store, export(&source, 100)?)?;
    for page in export(&source, 100)? {
        expect_invalid(store.restore(page))?;
    }
    Picture::of(&store)?.assert_is(&Picture::of(&source)?);
    Ok(())
}

/// What is wrong with a restore.
type Breaking = fn(&mut Vec<RestorePage>);

/// A change of the first page with log entries.
fn change_entry(pages: &mut [RestorePage], change: impl FnOnce(&mut LogEntry)) {
    let page = pages.iter_mut().find(|page| page.entries.len() > 1);
    let entries = &mut page.expect("the fixture has log entries").entries;
    change(Arc::make_mut(&mut entries[1]));
}

fn records(pages: &mut [RestorePage]) -> &mut Vec<Versioned> {
    let page = pages.iter_mut().find(|page| page.records.len() > 2);
    &mut page.expect("the fixture has records").records
}

fn seal(pages: &mut [RestorePage]) -> &mut Seal {
    let seal = pages.last_mut().and_then(|page| page.seal.as_mut());
    seal.expect("the last page has the seal")
}

const BREAKINGS: &[(&str, Breaking)] = &[
    ("another actor in an entry", |pages| {
        change_entry(pages, |entry| {
            Arc::make_mut(&mut entry.commit.cause).actor.push('x');
        });
    }),
    ("another hash of an entry", |pages| {
        change_entry(pages, |entry| entry.hash = Hash([7; 32]));
    }),
    ("another predecessor of an entry", |pages| {
        change_entry(pages, |entry| entry.previous = Hash([7; 32]));
    }),
    ("a missing page of entries", |pages| {
        pages.remove(2);
    }),
    ("a missing page of records", |pages| {
        let at = pages.iter().position(|page| !page.records.is_empty());
        pages.remove(at.expect("the fixture has records"));
    }),
    ("unsorted records", |pages| records(pages).swap(0, 1)),
    ("a record twice", |pages| {
        let records = records(pages);
        records[1] = records[0].clone();
    }),
    ("a missing record", |pages| {
        records(pages).remove(1);
    }),
    ("another revision of a record", |pages| {
        records(pages)[1].created = Revision::ZERO;
    }),
    ("a record from the future", |pages| {
        records(pages)[1].modified = Revision(1_000_000);
    }),
    ("entries after records", |pages| {
        let at = pages.iter().position(|page| !page.records.is_empty());
        pages.swap(2, at.expect("the fixture has records"));
    }),
    ("a second anchor", |pages| {
        pages[2].anchor = pages[0].anchor;
    }),
    ("another head in the seal", |pages| {
        seal(pages).head.last.hash = Hash([7; 32]);
    }),
    ("another anchor in the seal", |pages| {
        seal(pages).head.compacted.revision = Revision(8);
    }),
    ("another sum in the seal", |pages| {
        seal(pages).head.tally = registry_core::Tally::default();
    }),
];

fn broken_restore_is_refused_for_good(subject: &Subject) -> Verdict {
    let source = source()?;
    for (what, breaking) in BREAKINGS {
        crate::run::at(what, || {
            let target = subject.another()?;
            let store = target.open()?;
            let mut pages = export(&source, 5)?;
            breaking(&mut pages);
            expect_invalid(restore(&store, pages))?;
            // What is missing after a refusal cannot be sent behind it.
            for page in export(&source, 5)? {
                expect_invalid(store.restore(page))?;
            }
            expect_invalid(store.head())?;
            expect_invalid(store.commit(vec![put("a", "1")]))?;
            store.close()?;
            drop(store);
            expect_unusable(&target)
        })?;
    }
    Ok(())
}

/// A store with half a restore cannot be opened; one in memory is gone.
fn expect_unusable(target: &Subject) -> Verdict {
    match target.open() {
        Ok(store) if !store.capabilities().is_persistent => Ok(()),
        answer => expect_kind(answer, "Corrupted", |kind| *kind == ErrorKind::Corrupted),
    }
}

fn unsealed_store_answers_nothing(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let mut pages = export(&source()?, 5)?;
    let seal = pages.pop().expect("there is a seal");
    restore(&store, pages)?;
    expect_invalid(store.head())?;
    expect_invalid(store.get("service-00"))?;
    expect_invalid(store.range(None, 10))?;
    expect_invalid(store.commit(vec![put("a", "1")]))?;
    expect_invalid(store.find(TransactionId::fresh()))?;
    expect_invalid(store.changes(Revision(9), 10))?;
    expect_invalid(store.wait_for_change(Revision::ZERO))?;
    expect_invalid(store.note("a", b"1"))?;
    expect_invalid(store.notes())?;
    expect_invalid(store.compact(9))?;
    expect_invalid(store.verify())?;
    store.restore(seal)?;
    store.verify_clean()
}

fn unsealed_store_is_refused_at_reopening(subject: &Subject) -> Verdict {
    let source = source()?;
    let pages = export(&source, 5)?;
    for count in [1, 2, pages.len() - 1] {
        let target = subject.another()?;
        let store = target.open()?;
        restore(&store, export(&source, 5)?.drain(..count).collect())?;
        store.close()?;
        drop(store);
        for _ in 0..2 {
            expect_kind(target.open(), "Corrupted", |kind| {
                *kind == ErrorKind::Corrupted
            })?;
        }
    }
    Ok(())
}
