//! The files of a store: private, made whole, and never taken for what they are not.

use std::path::Path;

use registry_core::StoreError;
use registry_core::durable::temporary_path;

use crate::case::{Case, Failure, Verdict, case, persistent};
use crate::fixture::fill;
use crate::run::words;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(persistent, files_are_private),
    case!(persistent, leftover_of_a_broken_creation_is_removed),
    case!(persistent, foreign_file_is_refused_and_kept),
    case!(persistent, empty_file_is_refused_and_kept),
    case!(persistent, folder_in_place_of_the_file_is_refused),
    case!(persistent, foreign_folder_is_refused_and_kept),
    case!(persistent, missing_folder_is_told),
];

#[cfg(not(unix))]
fn files_are_private(_: &Subject) -> Verdict {
    Err(Failure::NotApplicable("there are no file modes"))
}

#[cfg(unix)]
fn files_are_private(subject: &Subject) -> Verdict {
    use std::os::unix::fs::PermissionsExt as _;

    let check = || {
        let mut found = Vec::new();
        for path in subject.files()? {
            found.push((subject.folder().join(&path).metadata()?, path));
        }
        assert!(!found.is_empty(), "the store has no files");
        for (metadata, path) in found {
            let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
            let mode = metadata.permissions().mode() & 0o777;
            assert_eq!(mode, expected, "mode {mode:o} of {}", path.display());
        }
        Verdict::Ok(())
    };
    let store = subject.open()?;
    check()?;
    fill(&store)?;
    store.note("a", b"1")?;
    check()?;
    store.compact(5)?;
    let store = subject.reopen(store)?;
    fill(&store)?;
    check()?;
    store.close()?;
    check()
}

/// The name at which the store lives in its folder, and whether that is a folder.
fn name_of(subject: &Subject) -> Result<(std::path::PathBuf, bool), Failure> {
    let other = subject.another()?;
    let store = other.open()?;
    store.close()?;
    let path = other.only_path()?;
    let is_folder = other.folder().join(&path).is_dir();
    Ok((path, is_folder))
}

fn leftover_of_a_broken_creation_is_removed(subject: &Subject) -> Verdict {
    let (name, is_folder) = name_of(subject)?;
    let leftover = temporary_path(&subject.folder().join(&name));
    if is_folder {
        std::fs::create_dir(&leftover)?;
        std::fs::write(leftover.join("half"), "half a store")?;
    } else {
        std::fs::write(&leftover, "half a store")?;
    }
    let store = subject.open()?;
    fill(&store)?;
    assert!(!leftover.exists(), "{} is still there", leftover.display());
    store.verify_clean()
}

/// Fails unless opening is refused with an error that names the path.
fn expect_refusal(subject: &Subject, path: &Path) -> Verdict {
    let names = |error: &StoreError| {
        let named = error.path().and_then(Path::file_name);
        named.is_some_and(|name| Some(name) == path.file_name())
            || error.path().is_some_and(|named| named.starts_with(path))
    };
    for _ in 0..2 {
        let answer = subject.open();
        if !answer.as_ref().is_err_and(names) {
            let path = path.display();
            return Err(Failure::new(format!(
                "expected a refusal that names {path}, found {}",
                words(&answer)
            )));
        }
    }
    Ok(())
}

fn expect_file_refused_and_kept(subject: &Subject, content: &[u8]) -> Verdict {
    let (name, _) = name_of(subject)?;
    let path = subject.folder().join(name);
    std::fs::write(&path, content)?;
    expect_refusal(subject, &path)?;
    assert_eq!(std::fs::read(&path)?, content, "the file was changed");
    Ok(())
}

fn foreign_file_is_refused_and_kept(subject: &Subject) -> Verdict {
    let text = "This is a letter to a friend, and no store.\n".repeat(400);
    expect_file_refused_and_kept(subject, text.as_bytes())
}

fn empty_file_is_refused_and_kept(subject: &Subject) -> Verdict {
    expect_file_refused_and_kept(subject, b"")
}

fn folder_in_place_of_the_file_is_refused(subject: &Subject) -> Verdict {
    let (name, is_folder) = name_of(subject)?;
    if is_folder {
        return Err(Failure::NotApplicable("the store is a folder"));
    }
    let path = subject.folder().join(name);
    std::fs::create_dir(&path)?;
    expect_refusal(subject, &path)?;
    assert_eq!(std::fs::read_dir(&path)?.count(), 0);
    Ok(())
}

fn foreign_folder_is_refused_and_kept(subject: &Subject) -> Verdict {
    let (name, is_folder) = name_of(subject)?;
    if !is_folder {
        return Err(Failure::NotApplicable("the store is a file"));
    }
    let path = subject.folder().join(name);
    std::fs::create_dir(&path)?;
    std::fs::write(path.join("letter.txt"), "to a friend")?;
    expect_refusal(subject, &path)?;
    assert_eq!(std::fs::read(path.join("letter.txt"))?, b"to a friend");
    Ok(())
}

fn missing_folder_is_told(subject: &Subject) -> Verdict {
    let folder = subject.folder().join("no-such-folder");
    let answer = subject.open_in(&folder);
    if answer.is_ok() && !folder.exists() {
        return Err(Failure::new("a store without a place was opened"));
    }
    if let Err(error) = &answer {
        assert!(error.path().is_some(), "expected a path in: {error}");
    }
    Ok(())
}
