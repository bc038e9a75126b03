//! One owner, the others attached, and what happens when the owner goes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_lite::future::block_on;
use registry_attach::{AttachConfig, Claim};
use registry_core::{Durability, ErrorKind, LogPages, OpenMode, RegistryStore, Revision};
use registry_redb::{RedbConfig, RedbStore};

use crate::fixture::{apply, config, place, put, share, until, version, version_of};
use crate::process::Committer;

#[test]
fn openers_see_each_others_commits() {
    let (_folder, path) = place();
    let [owner, attached] = [(); 2].map(|()| share(config(&path)).unwrap());
    assert_eq!(apply(&owner, put("a", "1")).unwrap(), Revision(1));
    assert_eq!(version_of(&attached, "a").as_deref(), Some("1"));
    assert_eq!(apply(&attached, put("a", "2")).unwrap(), Revision(2));
    assert_eq!(version_of(&owner, "a").as_deref(), Some("2"));
    assert_eq!(
        block_on(owner.wait_for_change(Revision(1))).unwrap(),
        Revision(2)
    );
    assert_eq!(
        block_on(attached.wait_for_change(Revision(1))).unwrap(),
        Revision(2)
    );
}

#[test]
fn owner_and_attached_are_told() {
    let (_folder, path) = place();
    let [owner, attached] = [(); 2].map(|()| share(config(&path)).unwrap());
    let sharing = block_on(attached.sharing()).unwrap();
    assert_eq!(sharing, block_on(owner.sharing()).unwrap());
    assert_eq!(sharing.owner.pid, std::process::id());
    assert_eq!(sharing.attached.len(), 1);
    assert!(sharing.socket.unwrap().exists());
    block_on(attached.close()).unwrap();
    until(|| block_on(owner.sharing()).unwrap().attached.is_empty());
    assert_eq!(apply(&owner, put("a", "1")).unwrap(), Revision(1));
}

#[test]
fn closed_owner_is_followed_by_the_attached() {
    let (_folder, path) = place();
    let [owner, second, third] = [(); 3].map(|()| share(config(&path)).unwrap());
    apply(&second, put("a", "1")).unwrap();
    block_on(owner.close()).unwrap();
    assert_eq!(apply(&third, put("a", "2")).unwrap(), Revision(2));
    assert_eq!(apply(&second, put("a", "3")).unwrap(), Revision(3));
    assert_eq!(version_of(&third, "a").as_deref(), Some("3"));
    assert_eq!(block_on(second.sharing()).unwrap().attached.len(), 1);
    assert!(block_on(third.verify()).unwrap().is_clean());
}

#[test]
fn dropped_owner_is_followed_by_the_attached() {
    let (_folder, path) = place();
    let [owner, attached] = [(); 2].map(|()| share(config(&path)).unwrap());
    apply(&owner, put("a", "1")).unwrap();
    drop(owner);
    assert_eq!(apply(&attached, put("a", "2")).unwrap(), Revision(2));
    block_on(attached.close()).unwrap();
    let store = RedbStore::open(RedbConfig::new(&path)).expect("nobody holds the path any more");
    assert_eq!(block_on(store.head()).unwrap().revision(), Revision(2));
}

#[test]
fn waiter_outlives_the_owner() {
    let (_folder, path) = place();
    let [owner, second, third] = [(); 3].map(|()| share(config(&path)).unwrap());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| block_on(third.wait_for_change(Revision::ZERO)).unwrap());
        block_on(owner.close()).unwrap();
        assert_eq!(apply(&second, put("a", "1")).unwrap(), Revision(1));
        assert_eq!(waiter.join().unwrap(), Revision(1));
    });
}

/// Kills the owner in the middle of its commits and of ours: what was acknowledged to either is there, once.
#[test]
fn killed_owner_loses_nothing_acknowledged() {
    let (_folder, path) = place();
    let mut acknowledged = Vec::new();
    let mut ours = None;
    for round in 0..4_u32 {
        let mut owner = Committer::start(&path);
        acknowledged.push(owner.acknowledged());
        let store = ours.take().unwrap_or_else(|| share(config(&path)).unwrap());
        for number in 0..20 {
            let name = format!("parent-{round}-{number}");
            acknowledged.push((name.clone(), apply(&store, put(&name, "1")).unwrap()));
        }
        let (killed, under_way) = std::thread::scope(|scope| {
            let under_way = scope.spawn(|| {
                let name = format!("parent-{round}-under-way");
                let transaction = put(&name, "1");
                // The takeover may take longer than a call waits; the id makes another attempt harmless.
                let revision = loop {
                    match apply(&store, transaction.clone()) {
                        Ok(revision) => break revision,
                        Err(error) => assert!(error.is_retryable(), "{error}"),
                    }
                };
                (name, revision)
            });
            (owner.kill(), under_way.join().unwrap())
        });
        acknowledged.extend(killed);
        acknowledged.push(under_way);
        // The next process finds an owner, and this one is not it in every round.
        if round % 2 == 1 {
            block_on(store.close()).unwrap();
        } else {
            ours = Some(store);
        }
    }
    let store = share(config(&path)).unwrap();
    assert!(block_on(store.verify()).unwrap().is_clean());
    assert_each_is_there_once(&store, &acknowledged);
}

fn assert_each_is_there_once(store: &dyn RegistryStore, acknowledged: &[(String, Revision)]) {
    let head = block_on(store.head()).expect("the store can be read");
    let head = head.revision();
    let mut pages = LogPages::new(store, Revision::ZERO, head);
    let mut logged = Vec::new();
    while let Some(page) = block_on(pages.next()).expect("the log can be read") {
        logged.extend(page.entries);
    }
    let ids: BTreeSet<_> = logged.iter().map(|entry| entry.commit.id).collect();
    assert_eq!(ids.len(), logged.len(), "a transaction was applied twice");
    for (name, revision) in acknowledged {
        let index = usize::try_from(revision.0 - 1).expect("the log is short");
        let change = &logged[index].commit.changes[0];
        assert_eq!(
            change.key.name().to_string(),
            *name,
            "at revision {revision}"
        );
    }
}

#[test]
fn reader_attaches_and_never_owns() {
    let (_folder, path) = place();
    let reader = || share(version(&path, "0.1.0", Claim::Read));
    assert_eq!(*reader().unwrap_err().kind(), ErrorKind::NotFound);
    let owner = share(config(&path)).unwrap();
    apply(&owner, put("a", "1")).unwrap();
    let attached = reader().unwrap();
    assert_eq!(version_of(&attached, "a").as_deref(), Some("1"));
    assert_eq!(block_on(owner.sharing()).unwrap().attached.len(), 1);
    block_on(owner.close()).unwrap();
    assert_eq!(version_of(&attached, "a").as_deref(), Some("1"));
    assert_eq!(block_on(attached.sharing()).unwrap().socket, None);
    let refused = apply(&attached, put("a", "2")).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Unsupported);
}

#[test]
fn store_that_is_not_synced_is_not_shared() {
    let (_folder, path) = place();
    let place = path.clone();
    let open = move |mode| -> registry_core::Result<Arc<dyn RegistryStore>> {
        Ok(Arc::new(RedbStore::open(RedbConfig {
            mode,
            durability: Durability::Interval(std::time::Duration::from_secs(1)),
            ..RedbConfig::new(&place)
        })?))
    };
    let refused = share(AttachConfig::new("redb", &path, Arc::new(open))).unwrap_err();
    assert_eq!(*refused.kind(), ErrorKind::Unsupported);
    share(config(&path)).expect("the path is free again");
}

/// An opener that finds another store than the one it saw tells so, and answers nothing from it.
#[test]
fn replaced_store_is_refused() {
    let (folder, path) = place();
    let owner = share(config(&path)).unwrap();
    let (place, other) = (path.clone(), folder.path().join("other.redb"));
    let opened = AtomicU32::new(0);
    let open = move |mode| -> registry_core::Result<Arc<dyn RegistryStore>> {
        let is_first = opened.fetch_add(1, Ordering::SeqCst) == 0;
        let (path, mode) = if is_first {
            (&place, mode)
        } else {
            (&other, OpenMode::OpenOrCreate)
        };
        Ok(Arc::new(RedbStore::open(RedbConfig {
            mode,
            ..RedbConfig::new(path)
        })?))
    };
    let attached = share(AttachConfig::new("redb", &path, Arc::new(open))).unwrap();
    apply(&owner, put("a", "1")).unwrap();
    assert_eq!(block_on(attached.head()).unwrap().revision(), Revision(1));
    block_on(owner.close()).unwrap();
    until(|| block_on(attached.head()).is_err_and(|error| *error.kind() == ErrorKind::Corrupted));
    let woken = block_on(attached.wait_for_change(Revision(1))).unwrap_err();
    assert_eq!(*woken.kind(), ErrorKind::Corrupted);
}
