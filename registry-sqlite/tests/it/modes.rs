//! The modes of opening, and what each leaves beside the file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_lite::future::block_on;
use registry_core::{
    Durability, ErrorKind, Key, Note, OpenMode, RegistryStore as _, Revision, StoreError,
};
use registry_sqlite::{SqliteConfig, SqliteStore};
use rusqlite::Connection;

use crate::{change, commit, open, put};

fn open_as(folder: &Path, mode: OpenMode) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(SqliteConfig {
        mode,
        ..SqliteConfig::new(folder.join("registry.db"))
    })
}

fn refusal(answer: Result<SqliteStore, StoreError>) -> ErrorKind {
    answer.expect_err("it is refused").kind().clone()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        (name, std::fs::read(file.path()).unwrap())
    });
    files.collect()
}

#[test]
fn modes_ask_for_what_is_at_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(
        refusal(open_as(folder, OpenMode::Open)),
        ErrorKind::NotFound
    );
    assert_eq!(
        refusal(open_as(folder, OpenMode::ReadOnly)),
        ErrorKind::NotFound
    );
    assert!(files(folder).is_empty());
    drop(open_as(folder, OpenMode::Create).unwrap());
    assert_eq!(
        refusal(open_as(folder, OpenMode::Create)),
        ErrorKind::Invalid
    );
    drop(open_as(folder, OpenMode::Open).unwrap());
}

#[test]
fn volatile_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig {
        durability: Durability::Volatile,
        ..SqliteConfig::new(folder.path().join("registry.db"))
    };
    assert_eq!(refusal(SqliteStore::open(config)), ErrorKind::Unsupported);
    assert!(files(folder.path()).is_empty());
}

#[test]
fn closed_store_is_one_file_and_is_read_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, &["api"]);
    block_on(store.close()).unwrap();
    let before = files(folder.path());
    let names: Vec<_> = before.keys().map(String::as_str).collect();
    assert_eq!(names, ["registry.db", "registry.db.lock"]);

    let reader = open_as(folder.path(), OpenMode::ReadOnly).unwrap();
    let key = Key::service("api").unwrap();
    assert!(block_on(reader.get(&key)).unwrap().is_some());
    assert!(block_on(reader.verify()).unwrap().is_clean());
    let write = block_on(reader.commit(vec![change(vec![put("b")])]));
    assert_eq!(*write.unwrap_err().kind(), ErrorKind::Unsupported);
    block_on(reader.close()).unwrap();
    assert_eq!(files(folder.path()), before);
}

/// A copy of a store as a kill would leave it: with everything still in the journal.
fn killed(folder: &Path) -> tempfile::TempDir {
    let store = open(folder);
    commit(&store, &["api", "billing"]);
    let copy = tempfile::tempdir().unwrap();
    for name in ["registry.db", "registry.db-wal"] {
        std::fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

#[test]
fn journal_of_a_killed_process_is_read_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let killed = killed(folder.path());
    let before = files(killed.path());
    let reader = open_as(killed.path(), OpenMode::ReadOnly).unwrap();
    assert_eq!(block_on(reader.head()).unwrap().revision(), Revision(2));
    assert!(block_on(reader.verify()).unwrap().is_clean());
    assert_eq!(files(killed.path()), before);
}

#[test]
fn journal_without_its_store_is_no_new_store() {
    let folder = tempfile::tempdir().unwrap();
    let killed = killed(folder.path());
    std::fs::remove_file(killed.path().join("registry.db")).unwrap();
    let before = files(killed.path());
    let refused = open_as(killed.path(), OpenMode::OpenOrCreate);
    assert_eq!(refusal(refused), ErrorKind::Corrupted);
    let mut after = files(killed.path());
    after.remove("registry.db.lock");
    assert_eq!(after, before);
}

#[test]
fn open_store_is_not_copied_behind_its_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, &["api"]);
    let refused = refusal(open_as(folder.path(), OpenMode::ReadOnly));
    assert!(matches!(refused, ErrorKind::Locked(holder) if holder.pid == Some(std::process::id())));
}

#[test]
fn database_of_another_program_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE letters (text)").unwrap();
    other.close().unwrap();
    let before = files(folder.path());
    let error = open_as(folder.path(), OpenMode::OpenOrCreate).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Corrupted);
    assert!(
        error.to_string().contains("no store of this program"),
        "{error}"
    );
    assert_eq!(files(folder.path()), before);
}

#[test]
fn interval_is_kept_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let durability = Durability::Interval(Duration::from_millis(20));
    let config = SqliteConfig {
        durability,
        ..SqliteConfig::new(folder.path().join("registry.db"))
    };
    let store = SqliteStore::open(config).unwrap();
    assert_eq!(store.capabilities().durability, durability);
    for _ in 0..20 {
        commit(&store, &["api"]);
    }
    let note = Note {
        name: "seen".into(),
        content: b"noon".to_vec(),
    };
    block_on(store.note(note)).unwrap();
    block_on(store.close()).unwrap();
    let store = open(folder.path());
    assert_eq!(block_on(store.head()).unwrap().revision(), Revision(20));
    assert_eq!(block_on(store.notes()).unwrap().len(), 1);
    assert!(block_on(store.verify()).unwrap().is_clean());
}
