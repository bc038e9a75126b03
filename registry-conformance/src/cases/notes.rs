//! Notes: values beside the log, of which the latest wins.

use registry_core::limits::{NAME_BYTES_MAX, NOTE_BYTES_MAX, NOTES_MAX};

use crate::case::{Case, Verdict, any, case, persistent};
use crate::fixture::{expect_limit, fill};
use crate::handle::Handle;
use crate::picture::Picture;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, latest_of_a_name_wins),
    case!(any, empty_content_deletes),
    case!(any, note_is_no_commit),
    case!(any, limits_of_a_note_are_told),
    case!(any, number_of_notes_is_bounded),
    case!(persistent, notes_survive_a_clean_close),
];

fn notes(store: &Handle) -> registry_core::Result<Vec<(String, Vec<u8>)>> {
    let notes = store.notes()?.into_iter();
    Ok(notes.map(|note| (note.name, note.content)).collect())
}

fn note(name: &str, content: &[u8]) -> (String, Vec<u8>) {
    (name.to_owned(), content.to_vec())
}

fn latest_of_a_name_wins(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    assert!(store.notes()?.is_empty());
    store.note("b", b"1")?;
    store.note("a/é", &[0, 255, 0])?;
    store.note("b", b"2")?;
    assert_eq!(notes(&store)?, [note("a/é", &[0, 255, 0]), note("b", b"2")]);
    Ok(())
}

fn empty_content_deletes(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.note("a", b"1")?;
    store.note("b", b"1")?;
    store.note("a", b"")?;
    store.note("never", b"")?;
    assert_eq!(notes(&store)?, [note("b", b"1")]);
    Ok(())
}

fn note_is_no_commit(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    fill(&store)?;
    let before = Picture::of(&store)?;
    store.note("a", b"1")?;
    store.note("service-00", b"1")?;
    Picture::of(&store)?.assert_is(&before);
    store.verify_clean()
}

fn limits_of_a_note_are_told(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    let (name, content) = ("n".repeat(NAME_BYTES_MAX), vec![7; NOTE_BYTES_MAX]);
    expect_limit(store.note(&format!("{name}n"), b"1"), "note_name_bytes_max")?;
    expect_limit(
        store.note("a", &[content.as_slice(), b"1"].concat()),
        "note_bytes_max",
    )?;
    assert!(store.notes()?.is_empty());
    store.note(&name, &content)?;
    assert_eq!(notes(&store)?, [(name, content)]);
    Ok(())
}

fn number_of_notes_is_bounded(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    for index in 0..NOTES_MAX {
        store.note(&format!("note-{index:04}"), b"1")?;
    }
    expect_limit(store.note("one-more", b"1"), "notes_max")?;
    store.note("note-0000", b"2")?;
    store.note("note-0001", b"")?;
    store.note("one-more", b"1")?;
    assert_eq!(store.notes()?.len(), NOTES_MAX);
    Ok(())
}

fn notes_survive_a_clean_close(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    store.note("a", b"1")?;
    store.note("b", b"1")?;
    store.note("b", b"2")?;
    store.note("c", b"1")?;
    store.note("c", b"")?;
    let store = subject.reopen(store)?;
    assert_eq!(notes(&store)?, [note("a", b"1"), note("b", b"2")]);
    Ok(())
}
