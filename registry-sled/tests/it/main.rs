//! The remedies for sled's defects, one test each.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that goes wrong"
)]

use std::fs;
use std::path::Path;

use futures_lite::future::block_on;
use registry_core::limits::NOTE_BYTES_MAX;
use registry_core::model::ServiceEntry;
use registry_core::{
    Cause, ErrorKind, Image, Key, Mutation, Note, Record, RegistryStore as _, Revision, Timestamp,
    Transaction, TransactionId,
};
use registry_sled::{SledConfig, SledStore};

fn put(entry: ServiceEntry) -> Transaction {
    Transaction {
        id: TransactionId::fresh(),
        preconditions: Vec::new(),
        mutations: vec![Mutation::Put(Image::new(Record::Service(entry)).unwrap())],
        cause: Cause {
            actor: "test".into(),
            action: "put".into(),
            reason: None,
            time: Timestamp::default(),
        }
        .into(),
    }
}

fn open(path: &Path) -> SledStore {
    SledStore::open(SledConfig::new(path)).unwrap()
}

fn fill(store: &SledStore, from: u64) {
    for number in from..from + 10 {
        let entry = ServiceEntry::new(format!("service-{number}"), "1");
        block_on(store.commit(vec![put(entry)])).unwrap();
    }
}

#[test]
fn leftover_of_an_interrupted_snapshot_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.sled");
    let store = open(&path);
    fill(&store, 0);
    block_on(store.close()).unwrap();
    let leftover = path.join("snap.FFFFFFFFFFFFFFFF.generating");
    fs::write(&leftover, "").unwrap();
    let store = open(&path);
    assert!(!leftover.exists());
    assert_eq!(block_on(store.head()).unwrap().revision(), Revision(10));
    assert!(block_on(store.verify()).unwrap().is_clean());
}

#[test]
fn torn_settings_are_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.sled");
    let store = open(&path);
    fill(&store, 0);
    block_on(store.close()).unwrap();
    let conf = fs::read(path.join("conf")).unwrap();
    for end in [conf.len() - 4, conf.len() - 1, 9, 3, 0] {
        fs::write(path.join("conf"), &conf[..end]).unwrap();
        let store = open(&path);
        assert_eq!(block_on(store.head()).unwrap().revision(), Revision(10));
        block_on(store.close()).unwrap();
        assert_eq!(fs::read(path.join("conf")).unwrap(), conf, "{end} bytes");
    }
}

#[test]
fn store_is_whole_after_a_noted_sync_failure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.sled");
    let store = open(&path);
    let mut large = ServiceEntry::new("large", "1");
    large.depends_on = (0..1000).map(|number| format!("{number:0>200}")).collect();
    block_on(store.commit(vec![put(large.clone())])).unwrap();
    fill(&store, 0);
    block_on(store.close()).unwrap();
    let note = path.join("unsynced");
    fs::write(&note, "").unwrap();
    let store = open(&path);
    assert!(!note.exists());
    let found = block_on(store.get(&Key::service("large").unwrap())).unwrap();
    assert_eq!(found.unwrap().image.as_service(), Some(&large));
    assert!(block_on(store.verify()).unwrap().is_clean());
}

#[test]
fn missing_log_of_sled_is_never_replaced_by_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.sled");
    let store = open(&path);
    fill(&store, 0);
    block_on(store.close()).unwrap();
    fs::remove_file(path.join("db")).unwrap();
    let error = SledStore::open(SledConfig::new(&path)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Corrupted, "{error}");
    assert!(!path.join("db").exists());
}

fn large(name: &str, dependencies: usize) -> ServiceEntry {
    let mut entry = ServiceEntry::new(name, "1");
    entry.depends_on = (0..dependencies)
        .map(|number| format!("{number:0>200}"))
        .collect();
    entry
}

fn blobs(path: &Path) -> usize {
    fs::read_dir(path.join("blobs")).unwrap().count()
}

#[test]
fn large_records_need_no_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.sled");
    let store = open(&path);
    // 1,000 dependencies are 200 KiB; shorter ones leave parts over, which must go.
    for dependencies in [1000, 15, 16, 1000, 40, 0, 700] {
        let entries = (0..20).map(|number| large(&format!("large-{number}"), dependencies));
        block_on(store.commit(entries.map(put).collect())).unwrap();
        assert_eq!(blobs(&path), 0, "{dependencies} dependencies");
        assert!(block_on(store.verify()).unwrap().is_clean());
    }
    let expected = block_on(store.head()).unwrap();
    block_on(store.compact(Revision(130))).unwrap();
    block_on(store.close()).unwrap();
    let store = open(&path);
    let head = block_on(store.head()).unwrap();
    assert_eq!((head.last, &head.tally), (expected.last, &expected.tally));
    let key = Key::service("large-7").unwrap();
    let found = block_on(store.get(&key)).unwrap().unwrap();
    assert_eq!(found.image.as_service(), Some(&large("large-7", 700)));
    assert!(block_on(store.verify()).unwrap().is_clean());
    assert_eq!(blobs(&path), 0);
}

#[test]
fn largest_notes_need_no_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.sled");
    let store = open(&path);
    for length in [NOTE_BYTES_MAX, 5000, 1, NOTE_BYTES_MAX] {
        for number in 0..20 {
            let name = format!("note-{number}");
            let content = vec![7; length];
            block_on(store.note(Note { name, content })).unwrap();
        }
        let notes = block_on(store.notes()).unwrap();
        assert!(notes.iter().all(|note| note.content == vec![7; length]));
        assert!(block_on(store.verify()).unwrap().is_clean());
        assert_eq!(blobs(&path), 0, "{length} bytes");
    }
}

#[test]
fn transaction_too_large_for_one_sync_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("registry.sled"));
    // 200 KiB each: five fit into a transaction, six do not.
    let transaction = |count: usize| {
        let mut transaction = put(large("large-0", 1000));
        let more = (1..count).flat_map(|number| {
            let one = put(large(&format!("large-{number}"), 1000));
            one.mutations
        });
        transaction.mutations.extend(more);
        transaction
    };
    let error = block_on(store.commit(vec![put(large("small", 0)), transaction(6)])).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::LimitExceeded { limit, .. } if limit == "sled_transaction_bytes_max"),
        "{error}"
    );
    assert!(block_on(store.head()).unwrap().is_empty());
    let outcomes = block_on(store.commit(vec![transaction(5)])).unwrap();
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
}

/// sled drops a transaction that it cannot read, and the store is as before it.
#[test]
fn compaction_that_is_undone_is_found() {
    const BLOCK_BYTES: usize = 128;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.sled");
    let store = open(&path);
    fill(&store, 0);
    block_on(store.compact(Revision(10))).unwrap();
    let expected = block_on(store.head()).unwrap();
    block_on(store.close()).unwrap();
    let db = fs::read(path.join("db")).unwrap();
    let end = db.iter().rposition(|byte| *byte != 0).unwrap();
    // What was written last is at the end.
    for block in (0..=end / BLOCK_BYTES).rev().take(40) {
        let mut damaged = db.clone();
        let start = block * BLOCK_BYTES;
        damaged[start..(start + BLOCK_BYTES).min(db.len())].fill(0);
        let copy = tempfile::tempdir().unwrap();
        let copied = copy.path().join("registry.sled");
        fs::create_dir(&copied).unwrap();
        for name in ["conf", "harness.head"] {
            fs::copy(path.join(name), copied.join(name)).unwrap();
        }
        fs::write(copied.join("db"), damaged).unwrap();
        if let Ok(store) = SledStore::open(SledConfig::new(&copied)) {
            assert_eq!(block_on(store.head()).unwrap(), expected, "block {block}");
        }
    }
}

/// sled passes over such a segment, and what is written to it later is lost at the next open.
#[test]
fn damaged_head_of_a_segment_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.sled");
    let killed = folder.path().join("killed.sled");
    let store = open(&path);
    fill(&store, 0);
    fs::create_dir(&killed).unwrap();
    for name in ["conf", "db", "harness.head"] {
        fs::copy(path.join(name), killed.join(name)).unwrap();
    }
    let mut db = fs::read(killed.join("db")).unwrap();
    db[9] ^= 0x80;
    fs::write(killed.join("db"), &db).unwrap();
    let error = SledStore::open(SledConfig::new(&killed)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Corrupted, "{error}");
    assert!(error.to_string().contains("segment at byte 0"), "{error}");
    db[9] ^= 0x80;
    fs::write(killed.join("db"), &db).unwrap();
    let store = open(&killed);
    assert_eq!(block_on(store.head()).unwrap().revision(), Revision(10));
}
