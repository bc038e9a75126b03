//! What only the redb backend promises: its commit slots, its folding.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that goes wrong"
)]

use std::fs;
use std::path::Path;

use futures_lite::future::block_on;
use registry_core::model::ServiceEntry;
use registry_core::{
    Cause, ChangesRequest, Image, Key, Mutation, OpenMode, Record, RegistryStore as _, Revision,
    Timestamp, Transaction, TransactionId,
};
use registry_redb::{RedbConfig, RedbStore, salvage};

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
    // What the disk has at this moment is what a crash would leave.
    let crashed = folder.path().join("crashed.redb");
    fs::copy(&path, &crashed).unwrap();
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
    for place in (0..whole.len()).step_by(whole.len() / 64) {
        let end = whole.len().min(place + 512);
        let mut damaged = whole.clone();
        damaged[place..end].fill(0);
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
