//! The end: whoever waits is answered.

use std::pin::pin;

use futures_lite::future::{block_on, poll_once};
use registry_core::Revision;
use registry_core::engine::{EngineConfig, RegistryError, WatchEnd};
use registry_core::model::ServiceEntry;

use crate::running::{Idle, open};

fn entry(name: &str) -> ServiceEntry {
    ServiceEntry::new(name, "1")
}

fn is_closed<T>(answer: &Result<T, RegistryError>) -> bool {
    matches!(answer, Err(RegistryError::Closed))
}

#[test]
fn close_answers_what_was_handed_over() {
    let config = EngineConfig {
        queue_commands_max: 2,
        ..EngineConfig::default()
    };
    let Idle {
        registry, driver, ..
    } = open(config);
    block_on(async {
        let mut first = pin!(registry.register(entry("a")));
        let mut second = pin!(registry.register(entry("b")));
        let mut waiting = pin!(registry.register(entry("c")));
        assert!(poll_once(&mut first).await.is_none());
        assert!(poll_once(&mut second).await.is_none());
        assert!(poll_once(&mut waiting).await.is_none());
        registry.begin_close();
        assert!(registry.is_closed());
        driver.run().await.unwrap();
        assert_eq!(first.await.unwrap().revision, Revision(1));
        assert_eq!(second.await.unwrap().revision, Revision(2));
        assert!(is_closed(&waiting.await), "it was never handed over");
        assert!(is_closed(&registry.register(entry("d")).await));
        assert!(is_closed(&registry.head().await));
        assert!(is_closed(&registry.check_writable().await));
        registry.close().await.unwrap();
        assert_eq!(registry.stale_view().len(), 2);
    });
}

#[test]
fn dropped_driver_leaves_nobody_waiting() {
    let Idle {
        registry, driver, ..
    } = open(EngineConfig::default());
    block_on(async {
        let mut command = pin!(registry.register(entry("a")));
        let mut compaction = pin!(registry.compact(Revision::ZERO));
        let mut close = pin!(registry.close());
        let mut watch = registry.watch(Revision::ZERO);
        {
            let mut next = pin!(watch.next());
            assert!(poll_once(&mut command).await.is_none());
            assert!(poll_once(&mut compaction).await.is_none());
            assert!(poll_once(&mut next).await.is_none());
            assert!(poll_once(&mut close).await.is_none());
            drop(driver);
            assert!(is_closed(&command.await));
            assert!(is_closed(&compaction.await));
            assert!(matches!(next.await, Err(WatchEnd::Closed)));
            close.await.unwrap();
        }
        assert!(is_closed(&registry.register(entry("b")).await));
        assert!(matches!(watch.next().await, Err(WatchEnd::Closed)));
        assert_eq!(registry.stale_view().revision(), Revision::ZERO);
    });
}

#[test]
fn watch_tells_what_was_committed_before_the_end() {
    let idle = open(EngineConfig::default());
    let registry = idle.registry.clone();
    idle.run(async |registry, _| {
        registry.register(entry("a")).await.unwrap();
    });
    let mut watch = registry.watch(Revision::ZERO);
    assert_eq!(block_on(watch.next()).unwrap().revision, Revision(1));
    assert!(matches!(block_on(watch.next()), Err(WatchEnd::Closed)));
}

#[test]
fn driver_ends_when_the_last_handle_is_dropped() {
    let Idle {
        registry, driver, ..
    } = open(EngineConfig::default());
    drop(registry);
    block_on(driver.run()).unwrap();
}
