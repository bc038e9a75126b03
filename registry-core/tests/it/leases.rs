//! Leases, to the tick, and what their driver counts and keeps beside the log.

use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::{self, block_on};
use registry_core::engine::{
    Action, Context, EngineConfig, Expect, Heartbeat, InstanceAction, InstanceChange,
    InstanceFilter, LeaseConfig, LeasePolicy, Registry, RegistryError,
};
use registry_core::model::{Health, HealthStatus, InstanceSpec, Intent, ServicePolicy};
use registry_core::{Clock as _, ManualClock, MemoryStore, Note, RegistryStore, Span, Timestamp};

use crate::fixture::TIME;
use crate::running::{call, open, register, run, together};

const STEP: Duration = Duration::from_millis(100);
const TTL_MS: u64 = 5000;

fn spec(id: &str, ttl_ms: u64) -> InstanceSpec {
    InstanceSpec {
        lease_ttl: Span::from_millis(ttl_ms),
        ..InstanceSpec::new("api", id, "10.0.0.7", 80)
    }
}

async fn list(registry: &Registry, id: &str, ttl_ms: u64, incarnation: Option<u64>) {
    let spec = spec(id, ttl_ms);
    let registered = registry.register_instance(spec, incarnation, Context::default());
    registered.await.unwrap();
}

/// One that outlasts every test, so that time goes on.
async fn list_lasting(registry: &Registry) {
    let spec = InstanceSpec {
        lease_ttl: Span::from_secs(24 * 60 * 60),
        ..InstanceSpec::new("lasting", "l", "10.0.0.8", 80)
    };
    let registered = registry.register_instance(spec, None, Context::default());
    registered.await.unwrap();
}

/// Moves the clock on, and waits until the driver has seen it.
async fn step(registry: &Registry, clock: &ManualClock, span: Duration) {
    let before = registry.lease_time();
    clock.advance(span);
    for _ in 0..1000 {
        future::yield_now().await;
        if registry.lease_time() != before {
            return;
        }
    }
    panic!("the driver does not tick");
}

/// Lets time pass in the steps of the driver.
async fn pass(registry: &Registry, clock: &ManualClock, span_ms: u64) {
    for _ in 0..span_ms / 100 {
        step(registry, clock, STEP).await;
    }
}

fn state(registry: &Registry, id: &str) -> &'static str {
    match registry.stale_view().instance("api", id) {
        None => "gone",
        Some(found) if found.entry().is_stopped() => "stopped",
        Some(found) if found.entry().expired_at.is_some() => "expired",
        Some(found) if found.entry().suspect_since.is_some() => "suspect",
        Some(_) => "leased",
    }
}

fn beat(id: &str, incarnation: Option<u64>) -> Heartbeat<'_> {
    Heartbeat {
        service: "api",
        instance_id: id,
        incarnation,
    }
}

async fn change(registry: &Registry, id: &str, change: InstanceChange) {
    let changed = registry.change_instance("api", id, change, Context::default());
    changed.await.unwrap();
}

async fn set_policy(registry: &Registry, policy: ServicePolicy) {
    let action = Action::SetPolicy {
        policy: ServicePolicy {
            service: "api".to_owned(),
            ..policy
        },
        expect: Expect::Any,
    };
    registry.submit(action, Context::default()).await.unwrap();
}

#[test]
fn clock_stands_still_without_leases() {
    run(async |registry, clock| {
        clock.advance(Duration::from_secs(1));
        register(registry, &["one", "two"]).await;
        assert_eq!(registry.lease_time(), Duration::ZERO);
        // What passed before the first lease is none of its time.
        list(registry, "a", TTL_MS, None).await;
        step(registry, clock, STEP).await;
        assert_eq!(registry.lease_time(), STEP);
    });
}

#[test]
fn parts_of_milliseconds_add_up() {
    run(async |registry, clock| {
        list(registry, "a", TTL_MS, None).await;
        for _ in 0..5 {
            step(registry, clock, Duration::from_micros(100_400)).await;
        }
        assert_eq!(registry.lease_time(), Duration::from_millis(502));
    });
}

#[test]
fn lease_ends_with_the_tick_of_its_deadline() {
    run(async |registry, clock| {
        // With the slack of a late tick, 250 ms, the deadline falls on a tick and on the bound of a slot.
        list(registry, "a", 1350, None).await;
        pass(registry, clock, 1500).await;
        assert_eq!(state(registry, "a"), "leased");
        pass(registry, clock, 100).await;
        assert_eq!(state(registry, "a"), "expired");
    });
}

#[test]
fn changes_by_others_renew_no_lease() {
    run(async |registry, clock| {
        list(registry, "a", TTL_MS, None).await;
        pass(registry, clock, 3000).await;
        change(registry, "a", InstanceChange::SetIntent(Intent::Draining)).await;
        pass(registry, clock, 2500).await;
        assert_eq!(state(registry, "a"), "expired");
    });
}

#[test]
fn shortened_lease_ends_sooner() {
    run(async |registry, clock| {
        list(registry, "a", 60_000, None).await;
        list(registry, "a", 2000, None).await;
        pass(registry, clock, 2000).await;
        assert_eq!(state(registry, "a"), "leased");
        pass(registry, clock, 500).await;
        assert_eq!(state(registry, "a"), "expired");
    });
}

#[test]
fn replaced_leases_lapse_without_a_word() {
    run(async |registry, clock| {
        for incarnation in 1..=10 {
            list(registry, "a", TTL_MS, Some(incarnation)).await;
        }
        pass(registry, clock, 4000).await;
        assert!(registry.try_heartbeat(&registry.stale_view(), beat("a", None)));
        pass(registry, clock, 4000).await;
        assert_eq!(state(registry, "a"), "leased");
        let stats = registry.stats();
        assert_eq!((stats.leases_expired, stats.leases_suspected), (0, 0));
    });
}

#[test]
fn replaced_leases_are_no_part_of_a_mass() {
    run(async |registry, clock| {
        let ids = ["a", "b", "c", "d", "e", "f", "g", "h"];
        for id in ids {
            list(registry, id, TTL_MS, Some(1)).await;
        }
        for incarnation in 2..=5 {
            list(registry, "a", TTL_MS, Some(incarnation)).await;
        }
        pass(registry, clock, 4000).await;
        for id in &ids[..4] {
            assert!(registry.try_heartbeat(&registry.stale_view(), beat(id, None)));
        }
        pass(registry, clock, 1500).await;
        // Four of eight are the half that may go.
        let states = ids.map(|id| state(registry, id));
        assert_eq!(states, [["leased"; 4], ["expired"; 4]].concat()[..]);
    });
}

#[test]
fn ended_and_held_back_are_counted_apart() {
    run(async |registry, clock| {
        set_policy(
            registry,
            ServicePolicy {
                protection_hold: Some(Span::from_secs(3)),
                remove_expired_after: Some(Span::from_secs(2)),
                ..ServicePolicy::default()
            },
        )
        .await;
        list_lasting(registry).await;
        for id in ["a", "b", "c", "d"] {
            list(registry, id, TTL_MS, None).await;
        }
        let counted = || {
            let stats = registry.stats();
            (stats.leases_suspected, stats.leases_expired)
        };
        pass(registry, clock, TTL_MS + 500).await;
        assert_eq!((state(registry, "a"), counted()), ("suspect", (4, 0)));
        pass(registry, clock, 3000).await;
        assert_eq!((state(registry, "a"), counted()), ("expired", (4, 4)));
        pass(registry, clock, 2500).await;
        assert_eq!((state(registry, "a"), counted()), ("stopped", (4, 4)));
    });
}

#[test]
fn policy_counts_from_when_the_state_began() {
    run(async |registry, clock| {
        list_lasting(registry).await;
        list(registry, "a", 1350, None).await;
        pass(registry, clock, 1600).await;
        assert_eq!(state(registry, "a"), "expired");
        pass(registry, clock, 2000).await;
        let policy = ServicePolicy {
            remove_expired_after: Some(Span::from_secs(3)),
            ..ServicePolicy::default()
        };
        set_policy(registry, policy).await;
        pass(registry, clock, 800).await;
        assert_eq!(state(registry, "a"), "expired");
        pass(registry, clock, 400).await;
        assert_eq!(state(registry, "a"), "stopped");
    });
}

#[test]
fn critical_that_expired_stays_listed() {
    run(async |registry, clock| {
        let policy = ServicePolicy {
            remove_critical_after: Some(Span::from_secs(6)),
            ..ServicePolicy::default()
        };
        set_policy(registry, policy).await;
        list_lasting(registry).await;
        list(registry, "a", TTL_MS, None).await;
        let health = HealthStatus {
            status: Health::Critical,
            checked_at: clock.now(),
            message: None,
        };
        change(registry, "a", InstanceChange::ReportHealth(health)).await;
        pass(registry, clock, 8000).await;
        assert_eq!(state(registry, "a"), "expired");
    });
}

#[test]
fn heartbeat_of_another_start_renews_nothing() {
    run(async |registry, _| {
        list(registry, "a", TTL_MS, Some(3)).await;
        let view = registry.stale_view();
        assert!(registry.try_heartbeat(&view, beat("a", Some(3))));
        assert!(!registry.try_heartbeat(&view, beat("a", Some(2))));
        assert!(!registry.try_heartbeat(&view, beat("a", Some(4))));
        let answer = async |incarnation| {
            let beat = beat("a", Some(incarnation));
            registry.heartbeat(beat, None, Context::default()).await
        };
        let stale = answer(2).await;
        assert!(
            matches!(stale, Err(RegistryError::StaleIncarnation { .. })),
            "{stale:?}"
        );
        let unknown = answer(4).await;
        assert!(
            matches!(unknown, Err(RegistryError::NoLease { .. })),
            "{unknown:?}"
        );
    });
}

#[test]
fn age_of_a_lease_is_explained() {
    run(async |registry, clock| {
        for id in ["a", "b", "c"] {
            list(registry, id, TTL_MS, None).await;
        }
        let age = async || {
            let filter = InstanceFilter::default();
            let explained = registry.explain("api", Some("a"), &filter).await;
            explained.unwrap().0[0].lease.as_ref().unwrap().age
        };
        pass(registry, clock, 300).await;
        assert_eq!(age().await, Some(Span::from_millis(300)));
        pass(registry, clock, TTL_MS + 200).await;
        assert_eq!((state(registry, "a"), age().await), ("suspect", None));
    });
}

fn letting_all_go() -> EngineConfig {
    let policy = LeasePolicy {
        protection_percent: 100,
        ..LeasePolicy::default()
    };
    EngineConfig {
        leases: LeaseConfig {
            policy,
            ..LeaseConfig::default()
        },
        ..EngineConfig::default()
    }
}

#[test]
fn renewal_before_the_expiry_is_committed_stands() {
    let config = EngineConfig {
        group_commands_max: 2,
        ..letting_all_go()
    };
    open(config).run(async |registry, clock| {
        for id in ["a", "b", "c"] {
            list(registry, id, 1350, None).await;
        }
        pass(registry, clock, 1500).await;
        let submit = |action| call(registry.submit(action, Context::default()));
        let named = |name: &str| Action::Deregister {
            name: name.to_owned(),
            expect: Expect::Any,
        };
        let beat = Action::Instance(InstanceAction {
            service: "api".to_owned(),
            instance_id: "c".to_owned(),
            change: InstanceChange::Beat {
                incarnation: None,
                spec: None,
            },
            expect: Expect::Any,
        });
        // The tick of the deadlines comes behind the first two; of its expiries and the heartbeat, two fit a group.
        clock.advance(STEP);
        let answers = together(vec![
            submit(named("one")),
            submit(named("two")),
            submit(beat),
        ])
        .await;
        assert!(answers[2].is_ok(), "{answers:?}");
        register(registry, &["behind"]).await;
        let states = ["a", "b", "c"].map(|id| state(registry, id));
        assert_eq!(states, ["expired", "expired", "leased"]);
    });
}

/// Drives a registry on a store until the work is done, and ends it like a kill: without a close.
fn run_on(store: &Arc<MemoryStore>, work: impl AsyncFnOnce(&Registry, &ManualClock)) {
    let clock = Arc::new(ManualClock::at(TIME));
    let shared = Arc::clone(store) as Arc<dyn RegistryStore>;
    let opened = Registry::open(shared, EngineConfig::default(), Arc::clone(&clock) as _);
    let (registry, driver) = block_on(opened).unwrap();
    let drive = async { driver.run().await.unwrap() };
    block_on(future::or(work(&registry, &clock), drive));
}

/// Names and sizes of the notes that there are.
fn notes(store: &MemoryStore) -> Vec<(String, usize)> {
    let notes = block_on(store.notes()).unwrap().into_iter();
    let sizes = notes.map(|note| (note.name, note.content.len()));
    sizes.collect()
}

fn seen(registry: &Registry, id: &str) -> Timestamp {
    let view = registry.stale_view();
    view.instance("api", id).unwrap().last_seen()
}

#[test]
fn last_seen_of_many_is_saved_in_blocks() {
    // A block is 64 KiB: one byte of form, and 16 bytes for each lease.
    const BLOCK_LEASES: usize = 4095;
    let size = |leases: usize| 1 + 16 * leases;
    let named = |block: u8, leases| (format!("last_seen//{block}"), size(leases));
    let ids = ["i0000", "i4094", "i4095", "i4096"];
    let store = Arc::new(MemoryStore::new());
    run_on(&store, async |registry, clock| {
        for number in 0..BLOCK_LEASES + 2 {
            list(registry, &format!("i{number:04}"), 600_000, None).await;
        }
        pass(registry, clock, 40_000).await;
        for id in ids {
            assert!(registry.try_heartbeat(&registry.stale_view(), beat(id, None)));
        }
        pass(registry, clock, 19_900).await;
        assert_eq!(notes(&store), []);
        pass(registry, clock, 100).await;
        assert_eq!(notes(&store), [named(0, BLOCK_LEASES)]);
        pass(registry, clock, 100).await;
        let saved = [named(0, BLOCK_LEASES), named(1, 2)];
        assert_eq!(notes(&store), saved);
    });
    run_on(&store, async |registry, clock| {
        let beaten = TIME.saturating_add(Duration::from_secs(40));
        assert_eq!(ids.map(|id| seen(registry, id)), [beaten; 4]);
        assert_eq!(seen(registry, "i0001"), TIME);
        pass(registry, clock, 60_200).await;
        // The next save has no second block.
        for id in ids {
            let incarnation = None;
            change(registry, id, InstanceChange::Deregister { incarnation }).await;
        }
        pass(registry, clock, 60_200).await;
        assert_eq!(notes(&store), [named(0, BLOCK_LEASES - 2)]);
    });
}

#[test]
fn blocks_of_an_unknown_form_are_no_last_seen() {
    let store = Arc::new(MemoryStore::new());
    run_on(&store, async |registry, _| {
        list(registry, "a", TTL_MS, None).await;
        list(registry, "b", TTL_MS, None).await;
    });
    let later = TIME.saturating_add(Duration::from_secs(7));
    let block = |form: u8, fencing: u64| {
        let lease = [fencing.to_le_bytes(), later.as_nanos().to_le_bytes()];
        [vec![form], lease.concat()].concat()
    };
    let written = [
        ("last_seen//0", block(1, 1)),
        ("last_seen//1", block(2, 2)),
        ("other", block(1, 2)),
    ];
    for (name, content) in written {
        let name = name.to_owned();
        block_on(store.note(Note { name, content })).unwrap();
    }
    run_on(&store, async |registry, clock| {
        assert_eq!(seen(registry, "a"), later);
        assert_eq!(seen(registry, "b"), TIME);
        // A save deletes what it did not write, and no note of anybody else.
        list_lasting(registry).await;
        pass(registry, clock, 60_200).await;
        let left = [("last_seen//0".to_owned(), 17), ("other".to_owned(), 17)];
        assert_eq!(notes(&store), left);
    });
}
