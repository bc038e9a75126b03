//! Scenarios of users, through the engine on top of the store.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use registry_core::engine::{
    Action, Context, EngineConfig, Event, EventKind, Expect, Registry, RegistryError, Reply, Watch,
};
use registry_core::model::{Endpoint, Health, Protocol, ServiceState};
use registry_core::{ErrorKind, ManualClock, RegistryStore, Revision, Timestamp};

use crate::case::{Case, Failure, Verdict, any, case, persistent, shared};
use crate::fault::{Fault, FaultStore};
use crate::fixture::{entry, key, put};
use crate::handle::Handle;
use crate::run::at;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, register_writes_entry_and_log_in_one_commit),
    case!(any, same_entry_again_takes_no_revision),
    case!(any, history_tells_the_changes_of_one_service),
    case!(any, events_come_in_order_with_rising_revisions),
    case!(any, health_report_that_says_the_same_is_no_commit),
    case!(any, concurrent_registrations_share_groups),
    case!(any, service_comes_back_in_the_group_that_removed_it),
    case!(persistent, watch_resumes_after_reopening),
    case!(persistent, named_command_is_known_after_reopening),
    case!(shared, write_on_one_registry_is_read_on_the_other),
    case!(shared, watch_sees_the_commits_of_the_other),
    case!(shared, command_sees_what_the_other_did_before_it),
    case!(shared, conflicting_commands_are_planned_again),
    case!(shared, registry_outlives_a_log_that_cannot_be_read),
    case!(any, engine_opens_while_others_keep_committing),
    case!(any, refused_write_is_told_as_retryable),
    case!(any, lost_answers_and_requests_are_sent_again),
    case!(any, unknown_outcome_is_told_and_seen),
    case!(any, failed_sync_stops_commands_and_no_reads),
];

/// Opens a registry on a store and runs its driver on a thread while `work` is done, then closes both.
fn with_registry<T>(
    store: &Arc<dyn RegistryStore>,
    config: EngineConfig,
    work: impl FnOnce(&Registry) -> Result<T, Failure>,
) -> Result<T, Failure> {
    with_registry_and_clock(store, config, |registry, _| work(registry))
}

/// As [`with_registry`], with the clock that the registry goes by. It stands still until it is moved.
fn with_registry_and_clock<T>(
    store: &Arc<dyn RegistryStore>,
    config: EngineConfig,
    work: impl FnOnce(&Registry, &ManualClock) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let start = Timestamp::from_nanos(1_760_000_000_000_000_000);
    let clock = Arc::new(ManualClock::at(start));
    let opened = Registry::open(Arc::clone(store), config, Arc::clone(&clock) as _);
    let (registry, driver) = block_on(opened)?;
    thread::scope(|scope| {
        let driver = scope.spawn(|| driver.run_blocking());
        // Closed also where the work panics, so that the driver ends.
        let closing = Closing(registry);
        let done = work(&closing.0, &clock)?;
        drop(closing);
        driver.join().expect("the driver does not panic")?;
        Ok(done)
    })
}

struct Closing(Registry);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.begin_close();
    }
}

fn on(store: &Handle, work: impl FnOnce(&Registry) -> Verdict) -> Verdict {
    with_registry(store.store(), EngineConfig::default(), work)
}

fn register(registry: &Registry, name: &str, version: &str) -> Result<Reply, RegistryError> {
    block_on(registry.register(entry(name, version)))
}

/// The next commits of a watch, as events.
fn told(watch: &mut Watch, commits: usize) -> Result<Vec<(u64, EventKind)>, Failure> {
    let mut events = Vec::new();
    for _ in 0..commits {
        let commit = block_on(watch.next())?;
        events.extend(Event::of(&commit).map(|event| (event.revision.0, event.kind)));
    }
    Ok(events)
}

fn revisions(watch: &mut Watch, commits: usize) -> Result<Vec<u64>, Failure> {
    let mut revisions = Vec::new();
    for _ in 0..commits {
        revisions.push(block_on(watch.next())?.revision.0);
    }
    Ok(revisions)
}

fn register_writes_entry_and_log_in_one_commit(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    on(&store, |registry| {
        let reply = register(registry, "api", "1")?;
        assert_eq!((reply.revision, reply.is_changed), (Revision(1), true));
        let record = store.get("api")?.expect("it was registered");
        assert_eq!(
            (record.created, record.modified),
            (Revision(1), Revision(1))
        );
        let log = store.log()?;
        assert_eq!(log.len(), 1);
        let commit = &log[0].commit;
        assert_eq!(commit.cause.action, "register_service");
        assert_eq!(commit.changes[0].after.as_ref(), Some(&record.image));
        assert_eq!(commit.changes[0].before, None);
        store.verify_clean()
    })
}

fn same_entry_again_takes_no_revision(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    on(&store, |registry| {
        register(registry, "api", "1")?;
        let again = register(registry, "api", "1")?;
        assert_eq!((again.revision, again.is_changed), (Revision(1), false));
        assert_eq!(store.revision()?, Revision(1));
        Ok(())
    })
}

fn history_tells_the_changes_of_one_service(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    on(&store, |registry| {
        register(registry, "api", "1")?;
        register(registry, "db", "1")?;
        register(registry, "api", "2")?;
        block_on(registry.deregister("db"))?;
        block_on(registry.deregister("api"))?;
        register(registry, "api", "3")?;
        let mut history = Vec::new();
        let mut after = Revision::ZERO;
        loop {
            let page = block_on(registry.history("api", after, 2))?;
            for found in &page.entries {
                let change = &found.commit.changes[0];
                assert_eq!(change.key, key("api"));
                let version = change.after.as_ref().and_then(|image| image.as_service());
                let version = version.map(|entry| entry.version.clone());
                history.push((found.commit.revision.0, version));
            }
            after = page.through;
            if after >= page.head {
                break;
            }
        }
        let text = |version: &str| Some(version.to_owned());
        let expected = [(1, text("1")), (3, text("2")), (5, None), (6, text("3"))];
        assert_eq!(history, expected);
        Ok(())
    })
}

fn events_come_in_order_with_rising_revisions(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    on(&store, |registry| {
        let mut watch = registry.watch(Revision::ZERO);
        register(registry, "api", "1")?;
        block_on(registry.set_state("api", ServiceState::Stopping))?;
        block_on(registry.report_health("api", Health::Critical, None))?;
        let endpoint = Endpoint {
            name: "http".to_owned(),
            address: ([10, 0, 0, 7], 80).into(),
            protocol: Protocol::new("http"),
        };
        let replace = Action::ReplaceEndpoints {
            name: "api".to_owned(),
            endpoints: vec![endpoint],
            expect: Expect::At(Revision(3)),
        };
        block_on(registry.submit(replace, Context::default()))?;
        block_on(registry.deregister("api"))?;
        let expected = [
            (1, EventKind::ServiceRegistered),
            (2, EventKind::ServiceStateChanged),
            (3, EventKind::HealthCheckResult),
            (4, EventKind::EndpointUpdated),
            (5, EventKind::ServiceDeregistered),
        ];
        assert_eq!(told(&mut watch, 5)?, expected);
        Ok(())
    })
}

fn health_report_that_says_the_same_is_no_commit(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    on(&store, |registry| {
        register(registry, "api", "1")?;
        let report = |message: &str| {
            let message = Some(message.to_owned());
            block_on(registry.report_health("api", Health::Warning, message))
        };
        assert_eq!(report("slow")?.revision, Revision(2));
        let again = report("slow")?;
        assert_eq!((again.revision, again.is_changed), (Revision(2), false));
        assert_eq!(store.revision()?, Revision(2));
        assert_eq!(report("slower")?.revision, Revision(3));
        Ok(())
    })
}

fn concurrent_registrations_share_groups(subject: &Subject) -> Verdict {
    const CALLERS: usize = 64;
    let store = subject.open()?;
    let clock = Arc::new(ManualClock::default());
    let opened = Registry::open(
        Arc::clone(store.store()),
        EngineConfig::default(),
        clock as _,
    );
    let (registry, driver) = block_on(opened)?;
    let names: Vec<String> = (0..CALLERS).map(|caller| format!("api-{caller}")).collect();
    let mut calls: Vec<_> = names
        .iter()
        .map(|name| Box::pin(registry.register(entry(name, "1"))))
        .collect();
    for call in &mut calls {
        assert!(block_on(poll_once(call)).is_none(), "nobody drives it yet");
    }
    registry.begin_close();
    block_on(async {
        let mut revisions = Vec::new();
        let answered = async {
            for call in calls {
                revisions.push(call.await?.revision.0);
            }
            Ok::<_, RegistryError>(revisions)
        };
        let (answers, ended) = futures_lite::future::zip(answered, driver.run()).await;
        ended?;
        assert_eq!(answers?, (1..=CALLERS as u64).collect::<Vec<_>>());
        let stats = registry.stats();
        assert_eq!(stats.commits, CALLERS as u64);
        assert!(stats.groups < stats.commits, "{stats:?}");
        Ok(())
    })
}

fn service_comes_back_in_the_group_that_removed_it(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    on(&store, |registry| {
        register(registry, "api", "1")?;
        let removed = registry.deregister("api");
        let back = registry.register(entry("api", "2"));
        let (removed, back) = block_on(futures_lite::future::zip(removed, back));
        assert_eq!(removed?.revision, Revision(2));
        assert_eq!(back?.revision, Revision(3));
        assert_eq!(registry.stats().replans, 0);
        let record = store.get("api")?.expect("it came back");
        assert_eq!(record.created, Revision(3));
        store.verify_clean()
    })
}

fn watch_resumes_after_reopening(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    on(&store, |registry| {
        for name in ["a", "b", "c", "d"] {
            register(registry, name, "1")?;
        }
        Ok(())
    })?;
    drop(store);
    let store = subject.open()?;
    on(&store, |registry| {
        let mut watch = registry.watch(Revision(2));
        register(registry, "e", "1")?;
        assert_eq!(revisions(&mut watch, 3)?, [3, 4, 5]);
        let service = block_on(registry.get("b"))?.expect("it is kept");
        assert_eq!(service.created(), Revision(2));
        Ok(())
    })
}

fn named(key: &str) -> Context {
    Context {
        idempotency_key: Some(key.to_owned()),
        ..Context::default()
    }
}

fn submit(registry: &Registry, name: &str, key: &str) -> Result<Reply, RegistryError> {
    let action = Action::register(entry(name, "1"), Expect::Any)?;
    block_on(registry.submit(action, named(key)))
}

fn named_command_is_known_after_reopening(subject: &Subject) -> Verdict {
    let store = subject.open()?;
    on(&store, |registry| {
        submit(registry, "api", "first")?;
        block_on(registry.deregister("api"))?;
        Ok(())
    })?;
    drop(store);
    let store = subject.open()?;
    on(&store, |registry| {
        let again = submit(registry, "api", "first")?;
        assert_eq!((again.revision, again.is_changed), (Revision(1), true));
        assert!(block_on(registry.get("api"))?.is_none());
        assert_eq!(store.revision()?, Revision(2));
        Ok(())
    })
}

/// Two registries, each on its own opener of one store.
fn on_two(subject: &Subject, work: impl FnOnce(&Registry, &Registry) -> Verdict) -> Verdict {
    let (first, second) = (subject.open()?, subject.open()?);
    on(&first, |one| on(&second, |other| work(one, other)))?;
    drop((first, second));
    subject.open()?.verify_clean()
}

fn write_on_one_registry_is_read_on_the_other(subject: &Subject) -> Verdict {
    on_two(subject, |one, other| {
        for round in 0..10 {
            let version = round.to_string();
            let (writer, reader) = if round % 2 == 0 {
                (one, other)
            } else {
                (other, one)
            };
            let reply = register(writer, "api", &version)?;
            let seen = block_on(reader.get("api"))?.expect("it was registered");
            assert_eq!(
                (seen.modified(), &seen.entry().version),
                (reply.revision, &version)
            );
        }
        Ok(())
    })
}

fn watch_sees_the_commits_of_the_other(subject: &Subject) -> Verdict {
    on_two(subject, |one, other| {
        let mut watch = one.watch(Revision::ZERO);
        for round in 0..10_u64 {
            let writer = if round % 3 == 0 { one } else { other };
            register(writer, "api", &round.to_string())?;
        }
        assert_eq!(revisions(&mut watch, 10)?, (1..=10).collect::<Vec<_>>());
        Ok(())
    })
}

fn command_sees_what_the_other_did_before_it(subject: &Subject) -> Verdict {
    on_two(subject, |one, other| {
        for round in 0..10 {
            register(one, "api", "1")?;
            // Refused or taken for unchanged on a view from before.
            let state = ServiceState::Failed {
                reason: round.to_string(),
            };
            assert!(block_on(other.set_state("api", state.clone()))?.is_changed);
            assert!(!block_on(one.set_state("api", state))?.is_changed);
            block_on(other.deregister("api"))?;
            let gone = block_on(one.deregister("api"));
            assert!(
                matches!(gone, Err(RegistryError::UnknownService { .. })),
                "{gone:?}"
            );
        }
        Ok(())
    })
}

fn conflicting_commands_are_planned_again(subject: &Subject) -> Verdict {
    const ROUNDS: u64 = 25;
    on_two(subject, |one, other| {
        let write = |registry: &Registry, writer: &str| {
            for round in 0..ROUNDS {
                register(registry, "contested", &format!("{writer}-{round}"))?;
                register(registry, writer, &round.to_string())?;
            }
            Ok::<(), RegistryError>(())
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| write(one, "one"));
            let second = scope.spawn(|| write(other, "other"));
            first.join().expect("a writer does not panic")?;
            second.join().expect("a writer does not panic")
        })?;
        for registry in [one, other] {
            let view = block_on(registry.view())?;
            assert_eq!((view.revision(), view.len()), (Revision(4 * ROUNDS), 3));
        }
        Ok(())
    })
}

/// Commits of the rival: more than an opening has reads, so that the store never stands still under it.
const RIVAL_COMMITS: u64 = 200;

fn registry_outlives_a_log_that_cannot_be_read(subject: &Subject) -> Verdict {
    let (here, there) = (subject.open()?, subject.open()?);
    let faulty = Arc::new(FaultStore::new(
        Arc::clone(there.store()),
        0,
        Fault::Refused,
    ));
    let shared: Arc<dyn RegistryStore> = Arc::clone(&faulty) as _;
    on(&here, |one| {
        with_registry_and_clock(&shared, EngineConfig::default(), |other, clock| {
            let mut watch = other.watch(Revision::ZERO);
            // As with an owner that is silent for too long, just when its commits are fetched.
            faulty.refuse_changes(3);
            register(one, "api", "1")?;
            let mut last = 1;
            for refused in 1..=3 {
                while other.stats().store_errors < refused {
                    thread::yield_now();
                }
                // Each wakes a driver that does not pause.
                for _ in 0..COMMITS_IN_A_PAUSE {
                    last += 1;
                    register(one, "api", &last.to_string())?;
                }
                let left = faulty.refusals_left();
                assert_eq!(left, 3 - refused, "read again without a pause");
                clock.advance(Duration::from_secs(1));
            }
            let expected: Vec<u64> = (1..=last).collect();
            assert_eq!(revisions(&mut watch, expected.len())?, expected);
            register(other, "api", "other")?;
            assert_eq!(revisions(&mut watch, 1)?, [last + 1]);
            Ok(())
        })
    })
}

/// Commits for which a pause lasts: longer than a store may take to tell of one.
const COMMITS_IN_A_PAUSE: u64 = 20;

fn engine_opens_while_others_keep_committing(subject: &Subject) -> Verdict {
    let inner = subject.open()?;
    let names: Vec<_> = (0..3).map(|number| format!("api-{number}")).collect();
    inner.commit(names.iter().map(|name| put(name, "1")).collect())?;
    let store = FaultStore::with_rival(Arc::clone(inner.store()), RIVAL_COMMITS);
    let store: Arc<dyn RegistryStore> = Arc::new(store);
    with_registry(&store, EngineConfig::default(), |registry| {
        let view = registry.stale_view();
        let expected = names.iter().map(String::as_str).chain(["rival"]);
        let missing: Vec<_> = expected.filter(|name| view.get(name).is_none()).collect();
        assert!(missing.is_empty(), "expected {missing:?} in the view");
        Ok(())
    })
}

/// Commands of the fault cases: each is a commit of its own.
const COMMANDS: u64 = 5;

/// Runs the commands over a store that fails its n-th write, for each n, and checks their answers.
fn for_every_write(
    subject: &Subject,
    fault: Fault,
    resend_max: u32,
    check: impl Fn(&Registry, u64, &[Result<Reply, RegistryError>]) -> Verdict,
) -> Verdict {
    for nth in 1..=COMMANDS {
        at(&format_args!("write {nth}"), || {
            let subject = subject.another()?;
            let inner = subject.open()?;
            let faulty: Arc<dyn RegistryStore> =
                Arc::new(FaultStore::new(Arc::clone(inner.store()), nth, fault));
            let config = EngineConfig {
                resend_max,
                ..EngineConfig::default()
            };
            with_registry(&faulty, config, |registry| {
                let answers: Vec<_> = (1..=COMMANDS)
                    .map(|number| submit(registry, &format!("api-{number}"), &number.to_string()))
                    .collect();
                expect_no_loss(&inner, registry, &answers)?;
                check(registry, nth, &answers)?;
                inner.verify_clean()
            })
        })?;
    }
    Ok(())
}

/// What was acknowledged is stored and visible, and nothing is in the log twice.
fn expect_no_loss(
    store: &Handle,
    registry: &Registry,
    answers: &[Result<Reply, RegistryError>],
) -> Verdict {
    let log = store.log()?;
    let mut ids: Vec<_> = log.iter().map(|entry| entry.commit.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), log.len(), "a command was applied twice");
    for (answer, number) in answers.iter().zip(1..) {
        let name = format!("api-{number}");
        let Ok(reply) = answer else { continue };
        let stored = store.get(&name)?.map(|record| record.modified);
        assert_eq!(stored, Some(reply.revision), "{name} was acknowledged");
        let seen = block_on(registry.get(&name))?.map(|service| service.modified());
        assert_eq!(seen, Some(reply.revision), "{name} was acknowledged");
    }
    Ok(())
}

/// The kind of the store's error that a command was answered.
fn kind(answer: &Result<Reply, RegistryError>) -> Option<&ErrorKind> {
    match answer {
        Err(RegistryError::Store(error)) => Some(error.kind()),
        _ => None,
    }
}

/// Sends every command again by its name, and expects each exactly once.
fn expect_recovery(registry: &Registry) -> Verdict {
    for number in 1..=COMMANDS {
        submit(registry, &format!("api-{number}"), &number.to_string())?;
    }
    let view = block_on(registry.view())?;
    assert_eq!(
        (view.revision(), view.len() as u64),
        (Revision(COMMANDS), COMMANDS)
    );
    let mut watch = registry.watch(Revision::ZERO);
    let all = (1..=COMMANDS).collect::<Vec<_>>();
    assert_eq!(revisions(&mut watch, all.len())?, all);
    Ok(())
}

fn refused_write_is_told_as_retryable(subject: &Subject) -> Verdict {
    for_every_write(subject, Fault::Refused, 3, |registry, nth, answers| {
        for (answer, number) in answers.iter().zip(1..) {
            let expected = (number == nth).then_some(&ErrorKind::Unavailable);
            assert_eq!(kind(answer), expected, "command {number}");
            assert_eq!(answer.is_err(), number == nth);
        }
        let store = block_on(registry.head())?;
        assert_eq!(store.revision(), Revision(COMMANDS - 1));
        expect_recovery(registry)
    })
}

fn lost_answers_and_requests_are_sent_again(subject: &Subject) -> Verdict {
    for fault in [Fault::AnswerLost, Fault::RequestLost] {
        for_every_write(subject, fault, 1, |registry, _, answers| {
            for (answer, number) in answers.iter().zip(1..) {
                let revision = answer.as_ref().map(|reply| reply.revision);
                assert!(
                    matches!(revision, Ok(Revision(found)) if found == number),
                    "{answer:?}"
                );
            }
            assert_eq!(registry.stats().resends, 1);
            expect_recovery(registry)
        })?;
    }
    Ok(())
}

fn unknown_outcome_is_told_and_seen(subject: &Subject) -> Verdict {
    for fault in [Fault::AnswerLost, Fault::RequestLost] {
        for_every_write(subject, fault, 0, |registry, nth, answers| {
            for (answer, number) in answers.iter().zip(1..) {
                let expected = (number == nth).then_some(&ErrorKind::MaybeApplied);
                assert_eq!(kind(answer), expected, "command {number}");
            }
            // What was applied after all is seen, and what the store has is what is seen.
            let view = block_on(registry.view())?;
            assert_eq!(view.revision(), block_on(registry.head())?.revision());
            let is_seen = view.get(&format!("api-{nth}")).is_some();
            assert_eq!(is_seen, fault == Fault::AnswerLost);
            expect_recovery(registry)
        })?;
    }
    Ok(())
}

fn failed_sync_stops_commands_and_no_reads(subject: &Subject) -> Verdict {
    for_every_write(subject, Fault::SyncFailed, 3, |registry, nth, answers| {
        for (answer, number) in answers.iter().zip(1..) {
            let expected = match number {
                number if number < nth => None,
                // That the resend was refused does not tell what became of the first.
                number if number == nth => Some(&ErrorKind::MaybeApplied),
                _ => Some(&ErrorKind::Poisoned),
            };
            assert_eq!(kind(answer), expected, "command {number}");
        }
        let refused = block_on(registry.check_writable());
        let is_final = matches!(&refused, Err(error) if !error.is_retryable());
        assert!(is_final, "expected a final refusal, found {refused:?}");
        assert_eq!(block_on(registry.view())?.len() as u64, nth - 1);
        let mut watch = registry.watch(Revision::ZERO);
        for number in 1..nth {
            assert_eq!(block_on(watch.next())?.revision, Revision(number));
        }
        Ok(())
    })
}
