//! Commands: groups, replies, idempotency keys.

use registry_core::engine::{Action, Context, EngineConfig, Expect, Registry, RegistryError};
use registry_core::model::{Health, ServiceEntry, ServiceState};
use registry_core::{Revision, Timestamp};

use crate::fixture::TIME;
use crate::running::{call, open, register, run, together};

fn named(key: &str, actor: &str) -> Context {
    Context {
        actor: actor.to_owned(),
        reason: None,
        idempotency_key: Some(key.to_owned()),
    }
}

fn version(name: &str, version: &str) -> Action {
    Action::register(ServiceEntry::new(name, version), Expect::Any).unwrap()
}

#[test]
fn commands_on_one_service_share_a_group_and_see_each_other() {
    run(async |registry, _| {
        let answers = together(vec![
            call(registry.register(ServiceEntry::new("api", "1"))),
            call(registry.set_state("api", ServiceState::Running)),
            call(registry.set_state("api", ServiceState::Running)),
            call(registry.deregister("api")),
            call(registry.deregister("api")),
            call(registry.register(ServiceEntry::new("api", "2"))),
        ])
        .await;
        let told: Vec<_> = answers
            .iter()
            .map(|answer| match answer {
                Ok(reply) => {
                    let service = reply.service.as_deref();
                    let state = service.map(|service| service.entry().state.as_str());
                    (reply.revision.0, reply.is_changed, state.unwrap_or("gone"))
                }
                Err(RegistryError::UnknownService { .. }) => (0, false, "refused"),
                Err(error) => panic!("{error}"),
            })
            .collect();
        let expected = [
            (1, true, "registered"),
            (2, true, "running"),
            (2, false, "running"),
            (3, true, "gone"),
            (0, false, "refused"),
            (4, true, "registered"),
        ];
        assert_eq!(told, expected);
        let stats = registry.stats();
        assert_eq!((stats.groups, stats.commits), (1, 4));
        let service = registry.get("api").await.unwrap().unwrap();
        assert_eq!(
            (service.created(), service.modified()),
            (Revision(4), Revision(4))
        );
        assert_eq!(registry.head().await.unwrap().revision(), Revision(4));
    });
}

#[test]
fn group_is_no_larger_than_configured() {
    let config = EngineConfig {
        group_commands_max: 2,
        ..EngineConfig::default()
    };
    open(config).run(async |registry, _| {
        let names = ["a", "b", "c", "d", "e"];
        let calls = names.map(|name| call(registry.register(ServiceEntry::new(name, "1"))));
        for answer in together(calls.into()).await {
            answer.unwrap();
        }
        assert_eq!(registry.stats().groups, 3);
    });
}

#[test]
fn group_over_the_limit_of_bytes_is_split() {
    run(async |registry, _| {
        let large = |name: String| {
            let mut entry = ServiceEntry::new(name, "1");
            entry.depends_on = vec!["d".repeat(255); 1024];
            entry
        };
        let count = registry_core::limits::GROUP_BYTES_MAX / (255 * 1024) + 2;
        let calls = (0..count).map(|number| call(registry.register(large(format!("{number:03}")))));
        for answer in together(calls.collect()).await {
            answer.unwrap();
        }
        assert_eq!(registry.stats().groups, 2);
        assert_eq!(registry.view().await.unwrap().len(), count);
    });
}

#[test]
fn reply_reads_its_own_write() {
    run(async |registry, _| {
        let reply = registry
            .register(ServiceEntry::new("api", "1"))
            .await
            .unwrap();
        let view = registry.stale_view();
        assert_eq!(view.revision(), reply.revision);
        assert_eq!(view.get("api").unwrap().modified(), reply.revision);
        let gone = registry.deregister("api").await.unwrap();
        assert!(gone.service.is_none() && gone.is_changed);
        assert!(registry.stale_view().get("api").is_none());
    });
}

#[test]
fn same_entry_again_takes_no_revision() {
    run(async |registry, _| {
        register(registry, &["api", "db", "api"]).await;
        let again = registry
            .register(ServiceEntry::new("api", "1"))
            .await
            .unwrap();
        assert_eq!((again.revision, again.is_changed), (Revision(2), false));
        assert_eq!(again.service.unwrap().modified(), Revision(1));
        assert_eq!(registry.stats().commits, 2);
    });
}

#[test]
fn report_that_says_the_same_moves_only_the_time() {
    run(async |registry, clock| {
        register(registry, &["api"]).await;
        let report = async |message: Option<&str>| {
            let message = message.map(str::to_owned);
            registry
                .report_health("api", Health::Passing, message)
                .await
                .unwrap()
        };
        assert_eq!(report(None).await.revision, Revision(2));
        clock.advance(std::time::Duration::from_secs(30));
        let confirmed = report(None).await;
        assert_eq!(
            (confirmed.revision, confirmed.is_changed),
            (Revision(2), false)
        );
        let checked_at = confirmed.service.unwrap().health().unwrap().checked_at;
        assert_eq!(
            checked_at,
            TIME.saturating_add(std::time::Duration::from_secs(30))
        );
        // The wall clock went back: the last confirmation stands.
        clock.jump_to(Timestamp::from_nanos(0));
        let earlier = report(None).await.service.unwrap().health().unwrap();
        assert_eq!(earlier.checked_at, checked_at);
        assert_eq!(report(Some("slow")).await.revision, Revision(3));
    });
}

#[test]
fn named_command_sent_again_answers_its_first_outcome() {
    run(async |registry, _| {
        let submit = async |action, key, actor| {
            let reply = registry.submit(action, named(key, actor)).await.unwrap();
            (reply.revision.0, reply.is_changed)
        };
        assert_eq!(submit(version("api", "1"), "k", "ann").await, (1, true));
        register(registry, &["db"]).await;
        assert_eq!(submit(version("api", "1"), "k", "ann").await, (1, true));
        // What it says is not looked at: the key names the change.
        assert_eq!(submit(version("api", "9"), "k", "ann").await, (1, true));
        assert_eq!(submit(version("api", "2"), "k", "bob").await, (3, true));
        assert_eq!(registry.stats().commits, 3);
    });
}

#[test]
fn named_command_twice_in_a_group_is_applied_once() {
    run(async |registry, _| {
        let twice = |registry: &'static str| version(registry, "1");
        let answers = together(vec![
            call(registry.submit(twice("api"), named("k", "ann"))),
            call(registry.submit(twice("api"), named("k", "ann"))),
            call(registry.deregister("api")),
            call(registry.submit(twice("api"), named("k", "ann"))),
        ])
        .await;
        let revisions: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.unwrap().revision.0)
            .collect();
        assert_eq!(revisions, [1, 1, 2, 1]);
        assert!(registry.get("api").await.unwrap().is_none());
    });
}

#[test]
fn broken_context_is_refused_before_it_is_queued() {
    let refused = |registry: &Registry, context: Context| {
        let submitted = registry.submit(version("api", "1"), context);
        let answer = futures_lite::future::block_on(submitted);
        assert!(
            matches!(answer, Err(RegistryError::Invalid(_))),
            "{answer:?}"
        );
    };
    let idle = open(EngineConfig::default());
    refused(&idle.registry, named(&"k".repeat(256), "ann"));
    refused(&idle.registry, named("k", "a\0b"));
}
