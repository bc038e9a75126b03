//! The promises of leases, on a clock that the case moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use registry_core::engine::{
    Action, Context, EngineConfig, Event, EventKind, Expect, Heartbeat, Instance, InstanceChange,
    InstanceFilter, Registry, RegistryError, Watch,
};
use registry_core::model::{
    Health, HealthStatus, InstanceSpec, Intent, Lifecycle, ServicePolicy, UnknownHeartbeat,
};
use registry_core::{
    Clock as _, ManualClock, Note, RegistryStore, Revision, Span, Timestamp, Writers,
};

use crate::case::{Case, Failure, Verdict, any, case, persistent, shared};
use crate::fault::{Fault, FaultStore};
use crate::handle::Handle;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, lease_lasts_its_ttl_and_at_most_a_second_more),
    case!(any, heartbeats_renew_without_a_commit),
    case!(
        any,
        retry_keeps_the_fencing_revision_and_restart_gets_another
    ),
    case!(
        any,
        late_registration_does_not_bring_a_stopped_instance_back
    ),
    case!(any, jumps_of_the_wall_clock_change_nothing),
    case!(any, pause_of_the_driver_expires_nobody),
    case!(
        any,
        heartbeat_after_the_expiry_is_refused_until_it_registers
    ),
    case!(any, many_that_lapse_at_once_are_held_back_then_let_go),
    case!(any, protection_is_overridden_by_a_command),
    case!(any, policy_says_what_an_unknown_heartbeat_does),
    case!(any, expired_is_removed_and_forgotten_in_time),
    case!(any, critical_is_removed_where_the_policy_says_so),
    case!(any, intent_and_health_are_separate),
    case!(any, expiry_that_cannot_be_committed_is_tried_again),
    case!(any, removal_that_cannot_be_committed_is_tried_again),
    case!(persistent, reopening_gives_every_lease_its_full_ttl),
    case!(persistent, last_seen_is_known_after_reopening),
    case!(shared, heartbeat_elsewhere_moves_the_lease),
    case!(shared, lease_that_comes_back_has_its_full_ttl),
    case!(shared, lease_kept_elsewhere_does_not_lapse_here),
    case!(shared, closed_keeper_leaves_no_note_behind),
    case!(shared, leases_of_a_keeper_that_is_gone_are_adopted),
];

/// Where every clock begins.
const START: Timestamp = Timestamp::from_nanos(1_760_000_000_000_000_000);
/// The step in which time passes: that of the driver.
const STEP: Duration = Duration::from_millis(100);
const TTL: Duration = Duration::from_secs(5);
/// A step less.
const NEARLY_TTL: Duration = Duration::from_millis(4900);

/// A registry whose driver runs on a thread, and its clock.
struct Running {
    registry: Registry,
    clock: Arc<ManualClock>,
}

fn running<T>(
    store: &Arc<dyn RegistryStore>,
    clock: &Arc<ManualClock>,
    work: impl FnOnce(&Running) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (config, clock) = (EngineConfig::default(), Arc::clone(clock));
    let opened = Registry::open(Arc::clone(store), config, Arc::clone(&clock) as _);
    let (registry, driver) = block_on(opened)?;
    thread::scope(|scope| {
        let driver = scope.spawn(|| block_on(driver.run()));
        // Closed also where the work panics, so that the driver ends.
        let running = Closing(Running { registry, clock });
        let done = work(&running.0)?;
        drop(running);
        driver.join().expect("the driver does not panic")?;
        Ok(done)
    })
}

struct Closing(Running);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.registry.begin_close();
    }
}

fn new_clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(START))
}

fn on(subject: &Subject, work: impl FnOnce(&Running) -> Verdict) -> Verdict {
    running(subject.open()?.store(), &new_clock(), work)
}

fn spec(id: &str) -> InstanceSpec {
    InstanceSpec {
        lease_ttl: Span::from_millis(u64::try_from(TTL.as_millis()).expect("it is short")),
        ..InstanceSpec::new("api", id, "10.0.0.7", 80)
    }
}

fn beat(id: &str) -> Heartbeat<'_> {
    Heartbeat {
        service: "api",
        instance_id: id,
        incarnation: None,
    }
}

impl Running {
    /// Lets time pass in steps, each of which the driver has seen to its end before the next.
    fn pass(&self, span: Duration) {
        let steps = span.as_millis() / STEP.as_millis();
        for _ in 0..steps {
            self.step(STEP);
        }
    }

    fn step(&self, span: Duration) {
        let before = self.registry.lease_time();
        self.clock.advance(span);
        while self.registry.lease_time() == before {
            thread::yield_now();
        }
        // The driver answers when the tick is over, also where the answer is the failure of what it did in it.
        drop(self.set_policy(ServicePolicy::default()));
    }

    /// Sets the policy of a service that nobody uses, or says nothing of it.
    fn set_policy(&self, mut policy: ServicePolicy) -> Verdict {
        if policy.service.is_empty() {
            "nobody".clone_into(&mut policy.service);
        }
        let action = Action::SetPolicy {
            policy,
            expect: Expect::Any,
        };
        block_on(self.registry.submit(action, Context::default()))?;
        Ok(())
    }

    fn register(&self, id: &str, incarnation: Option<u64>) -> Result<Revision, RegistryError> {
        let registered = self
            .registry
            .register_instance(spec(id), incarnation, Context::default());
        let reply = block_on(registered)?;
        let instance = reply.instance.expect("it was registered");
        Ok(instance.entry().fencing_revision)
    }

    /// Registers one whose lease outlasts a case, so that time goes on to the end.
    fn register_lasting(&self) -> Verdict {
        let lasting = InstanceSpec::new("lasting", "l", "10.0.0.8", 80);
        let registered = self
            .registry
            .register_instance(lasting, None, Context::default());
        block_on(registered)?;
        Ok(())
    }

    fn change(&self, id: &str, change: InstanceChange) -> Verdict {
        let changed = self
            .registry
            .change_instance("api", id, change, Context::default());
        block_on(changed)?;
        Ok(())
    }

    fn beat(&self, id: &str) -> Result<(), RegistryError> {
        block_on(self.registry.heartbeat(beat(id), None, Context::default()))
    }

    fn instance(&self, id: &str) -> Result<Arc<Instance>, Failure> {
        let found = block_on(self.registry.instance("api", id))?;
        found.ok_or_else(|| Failure::new(format!("there is no instance {id}")))
    }

    fn has_lease(&self, id: &str) -> Result<bool, Failure> {
        Ok(self.instance(id)?.entry().has_lease())
    }

    fn revision(&self) -> Result<Revision, Failure> {
        Ok(block_on(self.registry.head())?.revision())
    }

    /// Waits until a commit is visible here.
    fn see(&self, revision: Revision) {
        while self.registry.stale_view().revision() < revision {
            thread::yield_now();
        }
    }

    /// How many instances there are in each of the states that a lease can be in.
    fn states(&self) -> Result<BTreeMap<&'static str, usize>, Failure> {
        let mut states = BTreeMap::new();
        for instance in block_on(self.registry.view())?.instances_of("api") {
            let entry = instance.entry();
            let state = match entry {
                entry if entry.is_stopped() => "stopped",
                entry if entry.expired_at.is_some() => "expired",
                entry if entry.suspect_since.is_some() => "suspect",
                _ => "leased",
            };
            *states.entry(state).or_default() += 1;
        }
        Ok(states)
    }
}

/// The events of the next commits of a watch.
fn told(watch: &mut Watch, commits: usize) -> Result<Vec<EventKind>, Failure> {
    let mut events = Vec::new();
    for _ in 0..commits {
        events.extend(Event::of(&*block_on(watch.next())?).map(|event| event.kind));
    }
    Ok(events)
}

fn lease_lasts_its_ttl_and_at_most_a_second_more(subject: &Subject) -> Verdict {
    on(subject, |running| {
        running.register("a", None)?;
        running.pass(TTL);
        assert!(running.has_lease("a")?, "it expired before its TTL");
        assert_eq!(running.revision()?, Revision(1));
        running.pass(Duration::from_secs(1));
        assert!(!running.has_lease("a")?, "it outlived its TTL by a second");
        assert_eq!(running.instance("a")?.health(), Health::Critical);
        let mut watch = running.registry.watch(Revision(1));
        assert_eq!(told(&mut watch, 1)?, [EventKind::InstanceExpired]);
        assert_eq!(running.revision()?, Revision(2));
        Ok(())
    })
}

fn heartbeats_renew_without_a_commit(subject: &Subject) -> Verdict {
    on(subject, |running| {
        running.register("a", None)?;
        for _ in 0..4 {
            running.pass(NEARLY_TTL);
            let view = running.registry.stale_view();
            assert!(running.registry.try_heartbeat(&view, beat("a")));
        }
        running.pass(TTL);
        assert!(running.has_lease("a")?);
        assert_eq!(running.revision()?, Revision(1));
        let seen = running.instance("a")?.last_seen();
        let since = running.clock.now().saturating_since(seen);
        assert!(since <= TTL + STEP, "last seen {since:?} ago");
        Ok(())
    })
}

fn retry_keeps_the_fencing_revision_and_restart_gets_another(subject: &Subject) -> Verdict {
    on(subject, |running| {
        let first = running.register("a", Some(3))?;
        assert_eq!(first, Revision(1));
        running.pass(NEARLY_TTL);
        // The same start again: no commit, and its lease is as good as new.
        assert_eq!(running.register("a", Some(3))?, first);
        assert_eq!(running.revision()?, Revision(1));
        running.pass(TTL);
        assert!(running.has_lease("a")?);
        let second = running.register("a", Some(4))?;
        assert_eq!(second, Revision(2));
        let refused = running.register("a", Some(3));
        let is_stale = matches!(
            refused,
            Err(RegistryError::StaleIncarnation {
                given: 3,
                found: 4,
                ..
            })
        );
        assert!(is_stale, "{refused:?}");
        Ok(())
    })
}

fn late_registration_does_not_bring_a_stopped_instance_back(subject: &Subject) -> Verdict {
    on(subject, |running| {
        running.register("a", Some(1))?;
        let deregister = |incarnation| InstanceChange::Deregister { incarnation };
        running.change("a", deregister(Some(1)))?;
        assert!(running.instance("a")?.entry().is_stopped());
        assert!(running.register("a", Some(1)).is_err());
        assert!(matches!(
            running.beat("a"),
            Err(RegistryError::NoLease { .. })
        ));
        assert_eq!(running.revision()?, Revision(2));
        assert_eq!(running.register("a", Some(2))?, Revision(3));
        assert!(running.has_lease("a")?);
        // A stop of the start before does not end this one.
        assert!(running.change("a", deregister(Some(1))).is_err());
        assert!(running.has_lease("a")?);
        Ok(())
    })
}

fn jumps_of_the_wall_clock_change_nothing(subject: &Subject) -> Verdict {
    on(subject, |running| {
        let day = Duration::from_secs(24 * 60 * 60);
        running.register("a", None)?;
        running.pass(TTL / 2);
        running.clock.jump_to(START.saturating_add(day));
        running.pass(TTL / 2);
        assert!(running.has_lease("a")?, "a jump ahead ended the lease");
        running.beat("a")?;
        running.clock.jump_to(Timestamp::from_nanos(0));
        running.pass(TTL);
        assert!(running.has_lease("a")?);
        running.pass(Duration::from_secs(1));
        assert!(!running.has_lease("a")?, "a jump back kept the lease");
        Ok(())
    })
}

fn pause_of_the_driver_expires_nobody(subject: &Subject) -> Verdict {
    on(subject, |running| {
        running.register("a", None)?;
        running.pass(TTL / 2);
        running.step(Duration::from_secs(60 * 60));
        assert!(running.has_lease("a")?);
        running.pass(TTL / 4);
        running.beat("a")?;
        running.pass(TTL);
        assert!(running.has_lease("a")?);
        running.pass(Duration::from_secs(1));
        assert!(!running.has_lease("a")?);
        Ok(())
    })
}

fn heartbeat_after_the_expiry_is_refused_until_it_registers(subject: &Subject) -> Verdict {
    on(subject, |running| {
        let first = running.register("a", Some(1))?;
        running.pass(TTL + Duration::from_secs(1));
        assert!(matches!(
            running.beat("a"),
            Err(RegistryError::NoLease { .. })
        ));
        // The lease was lost in between: the same start gets another fencing revision.
        let second = running.register("a", Some(1))?;
        assert!(second > first);
        running.beat("a")?;
        assert!(running.has_lease("a")?);
        Ok(())
    })
}

/// Registers ten instances, and lets all their leases lapse.
fn ten_lapse(running: &Running) -> Verdict {
    for number in 0..10 {
        running.register(&format!("i{number}"), None)?;
    }
    running.pass(TTL + Duration::from_secs(1));
    Ok(())
}

fn many_that_lapse_at_once_are_held_back_then_let_go(subject: &Subject) -> Verdict {
    on(subject, |running| {
        running.set_policy(ServicePolicy {
            service: "api".to_owned(),
            protection_hold: Some(Span::from_secs(10)),
            ..ServicePolicy::default()
        })?;
        ten_lapse(running)?;
        assert_eq!(running.states()?, BTreeMap::from([("suspect", 10)]));
        let mut watch = running.registry.watch(Revision(11));
        assert_eq!(told(&mut watch, 10)?, [EventKind::InstanceSuspected; 10]);
        running.beat("i3")?;
        assert_eq!(told(&mut watch, 1)?, [EventKind::InstanceRestored]);
        running.pass(Duration::from_secs(3));
        running.beat("i3")?;
        running.pass(Duration::from_secs(4));
        running.beat("i3")?;
        assert_eq!(
            running.states()?,
            BTreeMap::from([("leased", 1), ("suspect", 9)])
        );
        running.pass(Duration::from_secs(4));
        assert_eq!(
            running.states()?,
            BTreeMap::from([("expired", 9), ("leased", 1)])
        );
        assert_eq!(told(&mut watch, 9)?, [EventKind::InstanceExpired; 9]);
        Ok(())
    })
}

fn protection_is_overridden_by_a_command(subject: &Subject) -> Verdict {
    on(subject, |running| {
        ten_lapse(running)?;
        running.beat("i3")?;
        let context = Context::default();
        let release = running.registry.release_protection("api", &context);
        assert_eq!(block_on(release)?, 9);
        assert_eq!(
            running.states()?,
            BTreeMap::from([("expired", 9), ("leased", 1)])
        );
        Ok(())
    })
}

fn policy_says_what_an_unknown_heartbeat_does(subject: &Subject) -> Verdict {
    on(subject, |running| {
        let carry = |id: &str| {
            let beat = beat(id);
            block_on(
                running
                    .registry
                    .heartbeat(beat, Some(spec(id)), Context::default()),
            )
        };
        let policy = |what| ServicePolicy {
            service: "api".to_owned(),
            unknown_heartbeat: Some(what),
            ..ServicePolicy::default()
        };
        assert!(matches!(carry("a"), Err(RegistryError::NoLease { .. })));
        running.set_policy(policy(UnknownHeartbeat::Pending))?;
        carry("a")?;
        assert_eq!(running.instance("a")?.entry().lifecycle, Lifecycle::Pending);
        running.set_policy(policy(UnknownHeartbeat::Active))?;
        carry("b")?;
        assert_eq!(running.instance("b")?.entry().lifecycle, Lifecycle::Active);
        // Without the registration there is nothing to register.
        assert!(matches!(
            running.beat("c"),
            Err(RegistryError::NoLease { .. })
        ));
        // What waits is not let in by beating on, nor by registering: an operator lets it in.
        carry("a")?;
        running.register("a", None)?;
        let lifecycle = || Ok::<_, Failure>(running.instance("a")?.entry().lifecycle);
        assert_eq!(lifecycle()?, Lifecycle::Pending);
        running.change("a", InstanceChange::SetLifecycle(Lifecycle::Active))?;
        assert_eq!(lifecycle()?, Lifecycle::Active);
        Ok(())
    })
}

fn expired_is_removed_and_forgotten_in_time(subject: &Subject) -> Verdict {
    on(subject, |running| {
        running.set_policy(ServicePolicy {
            service: "api".to_owned(),
            remove_expired_after: Some(Span::from_secs(3)),
            forget_stopped_after: Some(Span::from_secs(4)),
            ..ServicePolicy::default()
        })?;
        running.register_lasting()?;
        running.register("a", None)?;
        running.pass(TTL + Duration::from_secs(1));
        assert_eq!(running.states()?, BTreeMap::from([("expired", 1)]));
        running.pass(Duration::from_secs(3));
        assert_eq!(running.states()?, BTreeMap::from([("stopped", 1)]));
        running.pass(Duration::from_secs(5));
        assert_eq!(running.states()?, BTreeMap::new());
        let mut watch = running.registry.watch(Revision(2));
        let expected = [
            EventKind::InstanceRegistered,
            EventKind::InstanceExpired,
            EventKind::InstanceDeregistered,
            EventKind::InstanceForgotten,
        ];
        assert_eq!(told(&mut watch, 4)?, expected);
        Ok(())
    })
}

fn critical_is_removed_where_the_policy_says_so(subject: &Subject) -> Verdict {
    on(subject, |running| {
        running.set_policy(ServicePolicy {
            service: "api".to_owned(),
            remove_critical_after: Some(Span::from_secs(6)),
            ..ServicePolicy::default()
        })?;
        let report = |status| {
            let health = HealthStatus {
                status,
                checked_at: running.clock.now(),
                message: None,
            };
            running.change("a", InstanceChange::ReportHealth(health))
        };
        running.register("a", None)?;
        report(Health::Critical)?;
        running.pass(Duration::from_secs(4));
        running.beat("a")?;
        report(Health::Passing)?;
        report(Health::Critical)?;
        running.pass(Duration::from_secs(4));
        running.beat("a")?;
        // Critical for four seconds since the last report that said otherwise.
        assert_eq!(running.states()?, BTreeMap::from([("leased", 1)]));
        running.pass(Duration::from_secs(3));
        assert_eq!(running.states()?, BTreeMap::from([("stopped", 1)]));
        Ok(())
    })
}

fn intent_and_health_are_separate(subject: &Subject) -> Verdict {
    on(subject, |running| {
        running.register("a", Some(1))?;
        running.change("a", InstanceChange::SetIntent(Intent::Draining))?;
        // A restart of the instance does not undo what the operator wants.
        running.register("a", Some(2))?;
        let entry = running.instance("a")?.entry().clone();
        assert_eq!(
            (entry.intent, entry.health()),
            (Intent::Draining, Health::Unknown)
        );
        let (explained, _) = block_on(running.registry.explain(
            "api",
            Some("a"),
            &InstanceFilter::default(),
        ))?;
        let out: Vec<_> = explained[0]
            .reasons
            .iter()
            .filter(|reason| reason.keeps_out)
            .map(|reason| reason.about)
            .collect();
        assert_eq!(out, ["intent"]);
        Ok(())
    })
}

/// The store with one write that is refused, by its number.
fn refusing(inner: &Handle, write: u64) -> Result<Arc<dyn RegistryStore>, Failure> {
    if inner.store().capabilities().writers == Writers::Many {
        return Err(Failure::NotApplicable("its keepers write, too"));
    }
    let store = Arc::clone(inner.store());
    Ok(Arc::new(FaultStore::new(store, write, Fault::Refused)))
}

fn expiry_that_cannot_be_committed_is_tried_again(subject: &Subject) -> Verdict {
    let inner = subject.open()?;
    // The first write registers, the second would be the expiry.
    let faulty = refusing(&inner, 2)?;
    running(&faulty, &new_clock(), |running| {
        running.register("a", None)?;
        running.pass(TTL + Duration::from_secs(1));
        // What is not durable has not happened: the lease goes on, as after a restart.
        assert!(running.has_lease("a")?);
        assert_eq!(running.revision()?, Revision(1));
        running.beat("a")?;
        running.pass(TTL + Duration::from_secs(1));
        assert!(!running.has_lease("a")?);
        assert_eq!(running.revision()?, Revision(2));
        Ok(())
    })
}

fn removal_that_cannot_be_committed_is_tried_again(subject: &Subject) -> Verdict {
    let inner = subject.open()?;
    // A policy, two registrations and the expiry are written before the removal is.
    let faulty = refusing(&inner, 5)?;
    running(&faulty, &new_clock(), |running| {
        running.set_policy(ServicePolicy {
            service: "api".to_owned(),
            remove_expired_after: Some(Span::from_secs(2)),
            ..ServicePolicy::default()
        })?;
        running.register_lasting()?;
        running.register("a", None)?;
        running.pass(TTL + Duration::from_millis(400));
        assert_eq!(running.states()?, BTreeMap::from([("expired", 1)]));
        running.pass(Duration::from_millis(2800));
        assert_eq!(running.states()?, BTreeMap::from([("expired", 1)]));
        running.pass(Duration::from_millis(700));
        assert_eq!(running.states()?, BTreeMap::from([("stopped", 1)]));
        Ok(())
    })
}

fn reopening_gives_every_lease_its_full_ttl(subject: &Subject) -> Verdict {
    let clock = new_clock();
    let store = subject.open()?;
    running(store.store(), &clock, |running| {
        running.register("a", None)?;
        running.pass(NEARLY_TTL);
        Ok(())
    })?;
    drop(store);
    // However long nobody ran.
    clock.advance(Duration::from_secs(60 * 60));
    running(subject.open()?.store(), &clock, |running| {
        running.pass(TTL);
        assert!(running.has_lease("a")?, "it expired before its TTL");
        // A store of several processes finds out first that nobody else keeps it.
        running.pass(Duration::from_secs(8));
        assert!(!running.has_lease("a")?);
        Ok(())
    })
}

fn last_seen_is_known_after_reopening(subject: &Subject) -> Verdict {
    let clock = new_clock();
    let store = subject.open()?;
    let seen = running(store.store(), &clock, |running| {
        running.register("a", None)?;
        for _ in 0..16 {
            running.pass(Duration::from_secs(4));
            running.beat("a")?;
        }
        running.pass(Duration::from_secs(1));
        Ok(running.instance("a")?.last_seen())
    })?;
    drop(store);
    running(subject.open()?.store(), &clock, |running| {
        let known = running.instance("a")?.last_seen();
        assert!(known > START, "nothing was kept");
        let lost = seen.saturating_since(known);
        assert!(lost <= Duration::from_secs(60), "{lost:?} were forgotten");
        Ok(())
    })
}

/// Two registries on the same store, as two processes have it, with clocks that move together.
fn two(subject: &Subject, work: impl FnOnce(&Running, &Running) -> Verdict) -> Verdict {
    let (here, there) = (subject.open()?, subject.open()?);
    running(here.store(), &new_clock(), |here| {
        running(there.store(), &new_clock(), |there| work(here, there))
    })
}

fn heartbeat_elsewhere_moves_the_lease(subject: &Subject) -> Verdict {
    two(subject, |here, there| {
        here.register("a", None)?;
        let before = here.revision()?;
        there.beat("a")?;
        assert_eq!(there.revision()?, before.next(), "the move is a commit");
        // From now on it is kept there, and heartbeats there are none.
        there.beat("a")?;
        assert_eq!(there.revision()?, before.next());
        // Back again, and there once more: each move begins a full TTL where it ends.
        for (number, running) in [(2, here), (3, there)] {
            running.see(Revision(before.0 + number - 1));
            running.beat("a")?;
            assert_eq!(running.revision()?, Revision(before.0 + number));
        }
        here.see(Revision(before.0 + 3));
        there.pass(TTL + Duration::from_secs(1));
        assert!(!there.has_lease("a")?);
        assert_eq!(there.revision()?, Revision(before.0 + 4));
        Ok(())
    })
}

fn lease_that_comes_back_has_its_full_ttl(subject: &Subject) -> Verdict {
    two(subject, |here, there| {
        here.register("a", None)?;
        let before = here.revision()?;
        there.beat("a")?;
        here.see(before.next());
        here.pass(Duration::from_secs(4));
        here.beat("a")?;
        assert_eq!(here.revision()?, Revision(before.0 + 2), "it comes back");
        here.pass(Duration::from_secs(4));
        assert!(here.has_lease("a")?, "it ended before its time");
        Ok(())
    })
}

fn lease_kept_elsewhere_does_not_lapse_here(subject: &Subject) -> Verdict {
    two(subject, |here, there| {
        here.register("a", None)?;
        // One that is kept here, so that time goes on.
        here.register("b", None)?;
        let before = here.revision()?;
        there.beat("a")?;
        here.see(before.next());
        for _ in 0..2 {
            here.pass(Duration::from_secs(3));
            here.beat("b")?;
            there.pass(Duration::from_secs(3));
            there.beat("a")?;
        }
        assert_eq!(here.revision()?, before.next(), "it lapsed here");
        assert!(here.has_lease("a")?);
        Ok(())
    })
}

fn closed_keeper_leaves_no_note_behind(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    running(store.store(), &new_clock(), |running| {
        running.register("a", None)?;
        running.pass(STEP);
        let notes = block_on(store.store().notes())?;
        assert!(notes.iter().any(is_of_a_keeper), "{notes:?}");
        Ok(())
    })?;
    let notes = block_on(subject.open()?.store().notes())?;
    assert!(!notes.iter().any(is_of_a_keeper), "{notes:?}");
    Ok(())
}

fn is_of_a_keeper(note: &Note) -> bool {
    note.name.starts_with("keeper/")
}

fn leases_of_a_keeper_that_is_gone_are_adopted(subject: &Subject) -> Verdict {
    two(subject, |gone, there| {
        for number in 0..3 {
            gone.register(&format!("i{number}"), None)?;
        }
        let before = gone.revision()?;
        there.see(before);
        // The clock of the first stands still from here, as its process does.
        there.pass(TTL + Duration::from_secs(2));
        assert_eq!(
            there.revision()?,
            before.next(),
            "one commit adopts them all"
        );
        assert_eq!(there.states()?, BTreeMap::from([("leased", 3)]));
        for number in 0..3 {
            let view = there.registry.stale_view();
            assert!(
                there
                    .registry
                    .try_heartbeat(&view, beat(&format!("i{number}")))
            );
        }
        // The first finds out, and what it does about a lease from then on is a move.
        gone.see(before.next());
        gone.beat("i0")?;
        assert_eq!(gone.revision()?, Revision(before.0 + 2));
        Ok(())
    })
}
