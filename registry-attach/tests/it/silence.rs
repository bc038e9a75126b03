//! An owner that is stopped, not dead.

use futures_lite::future::block_on;
use registry_attach::SharedStore;
use registry_core::{ErrorKind, RegistryStore as _, StoreError};
use rustix::process::Signal;

use crate::fixture::{apply, config, place, put, share, until, version_of};
use crate::process::Committer;

/// Asks until the owner does not answer: it stops a moment after the signal was sent.
fn first_silence(store: &SharedStore) -> StoreError {
    let mut answers = std::iter::repeat_with(|| block_on(store.head()));
    let silence = answers.find_map(Result::err);
    silence.expect("the iterator has no end")
}

#[test]
fn stopped_owner_is_waited_for_and_never_replaced() {
    let (_folder, path) = place();
    let mut owner = Committer::start(&path);
    owner.acknowledged();
    let store = share(config(&path)).unwrap();
    apply(&store, put("a", "1")).unwrap();
    owner.signal(Signal::STOP);
    let read = first_silence(&store);
    assert_eq!(*read.kind(), ErrorKind::Unavailable);
    let transaction = put("b", "1");
    let written = apply(&store, transaction.clone()).unwrap_err();
    assert_eq!(*written.kind(), ErrorKind::MaybeApplied);
    let another = share(config(&path)).unwrap_err();
    assert!(matches!(another.kind(), ErrorKind::Locked(holder) if holder.pid == Some(owner.pid())));
    owner.signal(Signal::CONT);
    until(|| block_on(store.head()).is_ok());
    let revision = apply(&store, transaction.clone()).unwrap();
    assert_eq!(apply(&store, transaction).unwrap(), revision);
    assert_eq!(version_of(&store, "b").as_deref(), Some("1"));
    assert_eq!(block_on(store.sharing()).unwrap().owner.pid, owner.pid());
}

/// More calls than fit into the queue of a connection that takes nothing: each is answered.
#[test]
fn calls_beyond_the_queue_are_answered_by_a_stopped_owner_too() {
    let (_folder, path) = place();
    let mut owner = Committer::start(&path);
    owner.acknowledged();
    let store = share(config(&path)).unwrap();
    owner.signal(Signal::STOP);
    first_silence(&store);
    // Larger than the buffers of the socket, all of them together.
    let large = "x".repeat(200);
    std::thread::scope(|scope| {
        let calls = (0..80).map(|number| {
            let (store, large) = (&store, &large);
            scope.spawn(move || {
                let group: Vec<_> = (0..100)
                    .map(|_| put(&format!("{large}-{number}"), "1"))
                    .collect();
                block_on(store.commit(group))
            })
        });
        for call in calls.collect::<Vec<_>>() {
            let error = call.join().unwrap().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::MaybeApplied, "{error}");
        }
    });
    owner.signal(Signal::CONT);
}
