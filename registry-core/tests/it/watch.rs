//! Watches: every commit once, in order, from memory or from the log.

use std::thread;

use futures_lite::future::{block_on, poll_once};
use registry_core::Revision;
use registry_core::engine::{EngineConfig, Event, EventKind, Registry, Watch, WatchEnd};
use registry_core::model::{Health, ServiceEntry, ServiceState};

use crate::running::{open, register, run};

fn tiny_feed() -> EngineConfig {
    EngineConfig {
        feed_commits_max: 1,
        ..EngineConfig::default()
    }
}

async fn next(watch: &mut Watch, count: usize) -> Vec<u64> {
    let mut revisions = Vec::new();
    for _ in 0..count {
        revisions.push(watch.next().await.unwrap().revision.0);
    }
    revisions
}

async fn has_nothing(watch: &mut Watch) -> bool {
    poll_once(watch.next()).await.is_none()
}

#[test]
fn live_watch_tells_commits_as_they_come() {
    run(async |registry, _| {
        let mut watch = registry.watch(Revision::ZERO);
        assert!(has_nothing(&mut watch).await);
        register(registry, &["a", "b"]).await;
        assert_eq!(next(&mut watch, 2).await, [1, 2]);
        assert!(has_nothing(&mut watch).await);
        assert_eq!(watch.position(), Revision(2));
    });
}

#[test]
fn watch_resumes_from_the_log() {
    open(tiny_feed()).run(async |registry, _| {
        let names: Vec<String> = (0..600).map(|number| number.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        register(registry, &names).await;
        let mut watch = registry.watch(Revision(10));
        assert_eq!(next(&mut watch, 590).await, (11..=600).collect::<Vec<_>>());
        assert!(has_nothing(&mut watch).await);
    });
}

#[test]
fn slow_live_watch_is_told_where_to_resume() {
    open(tiny_feed()).run(async |registry, _| {
        register(registry, &["a"]).await;
        let mut watch = registry.watch(Revision::ZERO);
        assert_eq!(next(&mut watch, 1).await, [1]);
        register(registry, &["b", "c", "d"]).await;
        let end = watch.next().await.unwrap_err();
        let WatchEnd::Lagged { resume_after } = end else {
            panic!("expected lagged, found {end:?}");
        };
        assert_eq!(resume_after, Revision(1));
        let mut again = registry.watch(resume_after);
        assert_eq!(next(&mut again, 3).await, [2, 3, 4]);
    });
}

#[test]
fn watch_of_what_is_compacted_is_told_the_oldest() {
    open(tiny_feed()).run(async |registry, _| {
        register(registry, &["a", "b", "c", "d"]).await;
        registry.compact(Revision(2)).await.unwrap();
        let end = registry.watch(Revision(1)).next().await.unwrap_err();
        let WatchEnd::Compacted { after, oldest } = end else {
            panic!("expected compacted, found {end:?}");
        };
        assert_eq!((after, oldest), (Revision(1), Revision(2)));
        assert_eq!(next(&mut registry.watch(oldest), 2).await, [3, 4]);
    });
}

#[test]
fn watch_after_a_future_revision_waits_for_the_one_after() {
    run(async |registry, _| {
        let mut watch = registry.watch(Revision(2));
        register(registry, &["a"]).await;
        assert!(has_nothing(&mut watch).await);
        register(registry, &["b"]).await;
        assert!(has_nothing(&mut watch).await);
        register(registry, &["c"]).await;
        assert_eq!(next(&mut watch, 1).await, [3]);
    });
}

#[test]
fn event_is_told_when_its_view_is_there() {
    run(async |registry, _| {
        let mut watch = registry.watch(Revision::ZERO);
        register(registry, &["a", "b", "c"]).await;
        for _ in 0..3 {
            let commit = watch.next().await.unwrap();
            assert!(registry.stale_view().revision() >= commit.revision);
        }
    });
}

#[test]
fn events_are_told_in_order_with_rising_revisions() {
    run(async |registry, _| {
        let mut watch = registry.watch(Revision::ZERO);
        register(registry, &["api"]).await;
        registry
            .set_state("api", ServiceState::Running)
            .await
            .unwrap();
        registry
            .report_health("api", Health::Critical, None)
            .await
            .unwrap();
        registry.deregister("api").await.unwrap();
        let mut told = Vec::new();
        for _ in 0..4 {
            let commit = watch.next().await.unwrap();
            told.extend(Event::of(&commit).map(|event| (event.revision.0, event.kind)));
        }
        let expected = [
            (1, EventKind::ServiceRegistered),
            (2, EventKind::ServiceStateChanged),
            (3, EventKind::HealthCheckResult),
            (4, EventKind::ServiceDeregistered),
        ];
        assert_eq!(told, expected);
    });
}

const WRITERS: u64 = 4;
const WRITES: u64 = 50;

fn write(registry: &Registry, writer: u64) {
    for write in 0..WRITES {
        let entry = ServiceEntry::new(format!("{writer}"), write.to_string());
        block_on(registry.register(entry)).unwrap();
    }
}

#[test]
fn concurrent_writers_leave_no_gap_for_any_watch() {
    let idle = open(EngineConfig::default());
    let registry = &idle.registry;
    let all: Vec<u64> = (1..=WRITERS * WRITES).collect();
    let read = |after: u64| {
        let all = &all[usize::try_from(after).unwrap()..];
        let mut watch = registry.watch(Revision(after));
        for expected in all {
            let revision = block_on(watch.next()).unwrap().revision;
            assert_eq!(revision.0, *expected);
            assert!(
                registry.stale_view().revision() >= revision,
                "told before it is visible"
            );
        }
    };
    thread::scope(|scope| {
        let driver = idle.driver;
        scope.spawn(|| block_on(driver.run()).unwrap());
        let readers = [0, 0, 17].map(|after| scope.spawn(move || read(after)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || write(registry, writer)))
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        for reader in readers {
            reader.join().unwrap();
        }
        read(0);
        block_on(registry.close()).unwrap();
    });
    let end = block_on(registry.watch(Revision(WRITERS * WRITES)).next());
    assert!(matches!(end, Err(WatchEnd::Closed)), "{end:?}");
}
