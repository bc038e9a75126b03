//! Retention and compaction of the log.

use std::time::Duration;

use futures_lite::future::zip;
use registry_core::engine::{EngineConfig, Registry, RegistryError};
use registry_core::model::ServiceEntry;
use registry_core::{ErrorKind, Revision};

use crate::running::{call, open, register, run, together};

async fn compacted(registry: &Registry) -> u64 {
    registry.head().await.unwrap().compacted.revision.0
}

async fn register_many(registry: &Registry, count: u64) {
    let calls = (0..count).map(|number| {
        let entry = ServiceEntry::new(format!("service-{number}"), "1");
        call(registry.register(entry))
    });
    for answer in together(calls.collect()).await {
        answer.unwrap();
    }
}

#[test]
fn log_beyond_its_count_is_compacted() {
    let config = EngineConfig {
        log_commits_max: 2,
        ..EngineConfig::default()
    };
    open(config).run(async |registry, _| {
        register(registry, &["a", "b"]).await;
        assert_eq!(registry.enforce_retention().await.unwrap(), 0);
        register(registry, &["c", "d", "e"]).await;
        assert_eq!(registry.enforce_retention().await.unwrap(), 3);
        assert_eq!(registry.enforce_retention().await.unwrap(), 0);
        assert_eq!(compacted(registry).await, 3);
        assert_eq!(registry.view().await.unwrap().len(), 5);
    });
}

#[test]
fn log_beyond_its_age_is_compacted() {
    let config = EngineConfig {
        log_age_max: Duration::from_secs(60),
        ..EngineConfig::default()
    };
    open(config).run(async |registry, clock| {
        register(registry, &["a", "b"]).await;
        clock.advance(Duration::from_secs(60));
        register(registry, &["c"]).await;
        assert_eq!(registry.enforce_retention().await.unwrap(), 0);
        clock.advance(Duration::from_secs(1));
        assert_eq!(registry.enforce_retention().await.unwrap(), 2);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(registry.enforce_retention().await.unwrap(), 1);
        assert_eq!(compacted(registry).await, 3);
        register(registry, &["d"]).await;
        assert_eq!(registry.head().await.unwrap().revision(), Revision(4));
    });
}

#[test]
fn retention_removes_more_than_one_slice() {
    let config = EngineConfig {
        log_commits_max: 100,
        ..EngineConfig::default()
    };
    open(config).run(async |registry, _| {
        register_many(registry, 2_600).await;
        assert_eq!(registry.enforce_retention().await.unwrap(), 2_500);
        assert_eq!(compacted(registry).await, 2_500);
    });
}

#[test]
fn compaction_beyond_the_head_removes_nothing() {
    run(async |registry, _| {
        register_many(registry, 1_200).await;
        let refused = registry.compact(Revision(1_201)).await.unwrap_err();
        let RegistryError::Store(error) = refused else {
            panic!("expected the store's refusal, found {refused:?}");
        };
        assert_eq!(*error.kind(), ErrorKind::Invalid);
        assert_eq!(compacted(registry).await, 0);
        registry.compact(Revision(1_200)).await.unwrap();
        registry.compact(Revision(3)).await.unwrap();
        assert_eq!(compacted(registry).await, 1_200);
    });
}

#[test]
fn commands_are_answered_between_the_slices_of_a_compaction() {
    run(async |registry, _| {
        register_many(registry, 3_000).await;
        let compaction = registry.compact(Revision(3_000));
        let commit = registry.register(ServiceEntry::new("meanwhile", "1"));
        let (compacted, reply) = futures_lite::future::zip(compaction, commit).await;
        compacted.unwrap();
        assert_eq!(reply.unwrap().revision, Revision(3_001));
    });
}

#[test]
fn compaction_does_not_wait_until_no_command_comes() {
    const COMMANDS: u64 = 4;
    let config = EngineConfig {
        group_commands_max: 1,
        ..EngineConfig::default()
    };
    open(config).run(async |registry, _| {
        // It comes after all of them, and is refused as soon as it is looked at: none is committed yet.
        let compaction = registry.compact(Revision(COMMANDS));
        let ((), compacted) = zip(register_many(registry, COMMANDS), compaction).await;
        let error = compacted.unwrap_err();
        assert!(
            matches!(&error, RegistryError::Store(error) if matches!(error.kind(), ErrorKind::Invalid)),
            "{error}"
        );
        assert_eq!(registry.head().await.unwrap().revision(), Revision(COMMANDS));
    });
}
