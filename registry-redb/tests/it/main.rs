//! What only the redb backend promises: its commit slots, its folding.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that goes wrong"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_lite::future::block_on;
use redb::RepairSession;
use registry_core::model::ServiceEntry;
use registry_core::{
    Cause, ChangesRequest, Clock as _, Image, Key, Mutation, OpenMode, Record, RegistryStore as _,
    Revision, SystemClock, Timestamp, Transaction, TransactionId,
};
use registry_redb::{RedbConfig, RedbStore, salvage};

/// How long what happens a while later may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// More commits than a fold takes.
const COMMITS: u64 = 1500;
/// Offset of the byte that chooses between the commit slots of the file. redb keeps no checksum of it.
const SLOT_CHOICE: usize = 9;

fn put(name: &str, version: &str) -> Transaction {
    let record = Record::Service(ServiceEntry::new(name, version));
    Transaction {
        id: TransactionId::fresh(),
        preconditions: Vec::new(),
        mutations: vec![Mutation::Put(Image::new(record).unwrap())],
        cause: Cause {
            actor: "test".into(),
            action: "put".into(),
            reason: None,
            time: Timestamp::default(),
        }
        .into(),
    }
}

fn open(path: &Path) -> RedbStore {
    RedbStore::open(RedbConfig::new(path)).unwrap()
}

fn copy_as_a_crash_leaves_it(path: &Path) -> PathBuf {
    let mut crashed = path.as_os_str().to_owned();
    crashed.push(".crashed");
    let crashed = PathBuf::from(crashed);
    fs::copy(path, &crashed).unwrap();
    crashed
}

/// Whether redb walks a file when it opens it. Changes the file.
fn is_walked(path: &Path) -> bool {
    let mut builder = redb::Database::builder();
    let opened = builder.set_repair_callback(RepairSession::abort).open(path);
    match opened {
        Ok(_) => false,
        Err(redb::DatabaseError::RepairAborted) => true,
        Err(error) => panic!("{error}"),
    }
}

/// Waits until an open after a crash would not walk the file.
fn wait_for_allocator(path: &Path) {
    let clock = SystemClock::new();
    let deadline = clock.monotonic() + PATIENCE;
    while is_walked(&copy_as_a_crash_leaves_it(path)) {
        assert!(clock.monotonic() < deadline, "the state is never written");
        std::thread::yield_now();
    }
}

/// The content of a file with 512 bytes of zeros, at some 64 places in turn.
fn with_holes(whole: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let places = (0..whole.len()).step_by(whole.len() / 64);
    places.map(|place| {
        let end = whole.len().min(place + 512);
        let mut damaged = whole.to_vec();
        damaged[place..end].fill(0);
        (place, damaged)
    })
}

/// Groups of 50 over 20 services.
fn fill(store: &RedbStore) {
    for group in 0..COMMITS / 50 {
        let group =
            (0..50).map(|number| put(&format!("service-{}", number % 20), &group.to_string()));
        block_on(store.commit(group.collect())).unwrap();
    }
}

fn assert_whole(store: &RedbStore) {
    let head = block_on(store.head()).unwrap();
    assert_eq!(head.revision(), Revision(COMMITS));
    assert!(block_on(store.verify()).unwrap().is_clean());
    let key = Key::service("service-7").unwrap();
    let record = block_on(store.get(&key)).unwrap().unwrap();
    let page = block_on(store.changes(ChangesRequest {
        after: Revision::ZERO,
        key: Some(key),
        limit: 1000,
    }))
    .unwrap();
    // Three of the 20 services lie before the one in each group's rest of ten.
    assert_eq!(page.entries.len() as u64, COMMITS / 50 * 3);
    assert_eq!(
        page.entries.last().unwrap().commit.revision,
        record.modified
    );
}

#[test]
fn unfolded_part_is_replayed_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let store = open(&path);
    fill(&store);
    assert_whole(&store);
    let crashed = copy_as_a_crash_leaves_it(&path);
    let before = fs::read(&crashed).unwrap();
    let config = RedbConfig {
        mode: OpenMode::ReadOnly,
        ..RedbConfig::new(&crashed)
    };
    let reader = RedbStore::open(config).unwrap();
    assert_whole(&reader);
    drop(reader);
    assert_eq!(fs::read(&crashed).unwrap(), before);
    assert_whole(&open(&crashed));
}

/// redb cannot tell a commit that a crash interrupted from one that is damaged.
#[test]
fn damage_after_a_crash_is_refused_or_takes_the_last_group_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let store = open(&path);
    fill(&store);
    let crashed = copy_as_a_crash_leaves_it(&path);
    let whole = fs::read(&crashed).unwrap();
    let mut refused = 0;
    for (place, damaged) in with_holes(&whole) {
        fs::write(&crashed, damaged).unwrap();
        drop(salvage(&crashed));
        match RedbStore::open(RedbConfig::new(&crashed)) {
            Ok(store) => {
                let head = block_on(store.head()).unwrap();
                let groups = [Revision(COMMITS - 50), Revision(COMMITS)];
                assert!(groups.contains(&head.revision()), "at {place}");
                block_on(store.commit(vec![put("another", "1")])).unwrap();
                assert!(block_on(store.verify()).unwrap().is_clean(), "at {place}");
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0);
}

#[test]
fn a_while_after_commits_a_crash_leaves_a_file_that_need_not_be_walked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let store = open(&path);
    fill(&store);
    // The state may be written between the commit and the copy.
    let is_walked_at_once = (0..10).any(|version| {
        block_on(store.commit(vec![put("another", &version.to_string())])).unwrap();
        is_walked(&copy_as_a_crash_leaves_it(&path))
    });
    assert!(is_walked_at_once);
    wait_for_allocator(&path);
}

#[test]
fn file_that_was_walked_is_not_walked_again_after_the_next_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let store = open(&path);
    fill(&store);
    let crashed = copy_as_a_crash_leaves_it(&path);
    let walked = open(&crashed);
    assert!(!is_walked(&copy_as_a_crash_leaves_it(&crashed)));
    assert_whole(&walked);
}

#[test]
fn note_of_a_failed_sync_is_heeded_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let store = open(&path);
    fill(&store);
    block_on(store.close()).unwrap();
    let note = folder.path().join("registry.redb.unsynced");
    fs::write(&note, []).unwrap();
    let reader = RedbConfig {
        mode: OpenMode::ReadOnly,
        ..RedbConfig::new(&path)
    };
    assert_whole(&RedbStore::open(reader).unwrap());
    assert!(note.exists(), "a reader writes nothing");
    assert_whole(&open(&path));
    assert!(!note.exists());
}

#[test]
fn flipped_choice_of_the_commit_slot_loses_nothing_of_a_closed_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let store = open(&path);
    fill(&store);
    block_on(store.close()).unwrap();
    let whole = fs::read(&path).unwrap();
    for bit in 0..8 {
        let mut damaged = whole.clone();
        damaged[SLOT_CHOICE] ^= 1 << bit;
        fs::write(&path, damaged).unwrap();
        if let Ok(store) = RedbStore::open(RedbConfig::new(&path)) {
            assert_whole(&store);
        }
    }
}

/// redb aborts the process where its list of free pages is damaged and it writes.
#[test]
fn damaged_file_is_refused_or_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let store = open(&path);
    fill(&store);
    block_on(store.close()).unwrap();
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for (place, damaged) in with_holes(&whole) {
        fs::write(&path, damaged).unwrap();
        // Whether it can be read or not, it must not take the process with it.
        drop(salvage(&path));
        match RedbStore::open(RedbConfig::new(&path)) {
            Ok(store) => {
                block_on(store.commit(vec![put("another", "1")])).unwrap();
                assert!(block_on(store.verify()).unwrap().is_clean(), "at {place}");
                block_on(store.close()).unwrap();
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0);
}
