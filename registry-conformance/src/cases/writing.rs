//! Commands that come while the store writes: whatever is made of them meanwhile, they are answered from nothing but
//! what was written.

use std::pin::Pin;
use std::sync::Arc;

use futures_lite::future::{block_on, or, poll_once, zip};
use registry_core::engine::{
    Action, Context, EngineConfig, Expect, Registry, RegistryError, Reply,
};
use registry_core::model::ServiceState;
use registry_core::{ErrorKind, ManualClock, RegistryStore, Revision};

use crate::case::{Case, Verdict, any, case};
use crate::fault::{Fault, FaultStore};
use crate::fixture::{entry, put};
use crate::handle::Handle;
use crate::subject::Subject;

pub(super) const CASES: &[Case] = &[
    case!(any, nothing_is_told_before_it_is_written),
    case!(any, commands_that_come_during_a_write_share_the_next),
    case!(any, commands_behind_a_refused_write_do_not_build_on_it),
    case!(any, commands_behind_an_overtaken_write_see_what_overtook_it),
    case!(any, command_sent_again_during_its_write_is_applied_once),
    case!(any, commands_of_a_write_are_answered_when_it_closes),
];

type Answer = Result<Reply, RegistryError>;
type Call<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// Makes the first of the calls, and the others while it is written; then does what is to be done `meanwhile`, lets the
/// store write, and checks what was answered. A fault is one of the first write.
fn while_writing(
    subject: &Subject,
    fault: Option<Fault>,
    calls: impl FnOnce(&Registry) -> Vec<Call<'_>>,
    meanwhile: impl FnOnce(&Handle, &Registry) -> Verdict,
    check: impl FnOnce(&Handle, &Registry, &[Answer]) -> Verdict,
) -> Verdict {
    let below = subject.open()?;
    let nth = u64::from(fault.is_some());
    let fault = fault.unwrap_or(Fault::Refused);
    let store = Arc::new(FaultStore::new(Arc::clone(below.store()), nth, fault));
    let opened = Registry::open(
        Arc::clone(&store) as Arc<dyn RegistryStore>,
        EngineConfig::default(),
        Arc::new(ManualClock::default()),
    );
    let (registry, driver) = block_on(opened)?;
    let mut driver = Box::pin(driver.run());
    let mut calls = calls(&registry);
    store.hold();
    for (number, call) in calls.iter_mut().enumerate() {
        let answer = block_on(poll_once(call));
        assert!(answer.is_none(), "call {number} has to wait: {answer:?}");
        if number == 0 {
            let ended = async { Some((&mut driver).await) };
            let held = async {
                store.until_held().await;
                None
            };
            let ended = block_on(or(held, ended));
            assert!(ended.is_none(), "the driver ended: {ended:?}");
        }
    }
    // A driver that looks at them meanwhile does it here.
    let ended = block_on(poll_once(&mut driver));
    assert!(ended.is_none(), "the driver ended: {ended:?}");
    for (number, call) in calls.iter_mut().enumerate() {
        let answer = block_on(poll_once(call));
        assert!(answer.is_none(), "call {number} has to wait: {answer:?}");
    }
    meanwhile(&below, &registry)?;
    store.release();
    let work = async {
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await);
        }
        let checked = check(&below, &registry, &answers);
        registry.begin_close();
        checked
    };
    let (checked, ended) = block_on(zip(work, driver));
    ended?;
    checked
}

fn register<'a>(registry: &'a Registry, name: &'a str, version: &str) -> Call<'a> {
    Box::pin(registry.register(entry(name, version)))
}

fn fail<'a>(registry: &'a Registry, name: &'a str) -> Call<'a> {
    let reason = "out of memory".to_owned();
    Box::pin(registry.set_state(name, ServiceState::Failed { reason }))
}

/// The revision of each answer, and whether it was a commit.
fn taken(answers: &[Answer]) -> Vec<Option<(u64, bool)>> {
    let taken = |answer: &Answer| {
        let reply = answer.as_ref().ok()?;
        Some((reply.revision.0, reply.is_changed))
    };
    answers.iter().map(taken).collect()
}

fn nothing_is_told_before_it_is_written(subject: &Subject) -> Verdict {
    while_writing(
        subject,
        None,
        |registry| {
            vec![
                register(registry, "api", "1"),
                // Changes nothing, once the first is there.
                register(registry, "api", "1"),
                fail(registry, "api"),
            ]
        },
        |_, registry| {
            assert!(registry.stale_view().is_empty());
            assert!(block_on(poll_once(registry.watch(Revision::ZERO).next())).is_none());
            Ok(())
        },
        |store, registry, answers| {
            assert_eq!(
                taken(answers),
                [Some((1, true)), Some((1, false)), Some((2, true))]
            );
            assert_eq!(registry.stats().replans, 0);
            assert_eq!(store.revision()?, Revision(2));
            store.verify_clean()
        },
    )
}

fn commands_that_come_during_a_write_share_the_next(subject: &Subject) -> Verdict {
    const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    while_writing(
        subject,
        None,
        |registry| NAMES.map(|name| register(registry, name, "1")).into(),
        |_, _| Ok(()),
        |_, registry, answers| {
            assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 8);
            let stats = registry.stats();
            assert_eq!((stats.commits, stats.groups, stats.replans), (8, 2, 0));
            assert_eq!(registry.stale_view().len(), 8);
            Ok(())
        },
    )
}

fn commands_behind_a_refused_write_do_not_build_on_it(subject: &Subject) -> Verdict {
    while_writing(
        subject,
        Some(Fault::Refused),
        |registry| {
            vec![
                register(registry, "api", "1"),
                fail(registry, "api"),
                // Behind the refused one it would change nothing, without it it is the first.
                register(registry, "api", "1"),
                fail(registry, "api"),
            ]
        },
        |_, _| Ok(()),
        |store, _, answers| {
            let refused = match &answers[0] {
                Err(RegistryError::Store(error)) => Some(error.kind()),
                _ => None,
            };
            assert_eq!(refused, Some(&ErrorKind::Unavailable));
            assert!(
                matches!(answers[1], Err(RegistryError::UnknownService { .. })),
                "{:?}",
                answers[1]
            );
            assert_eq!(taken(&answers[2..]), [Some((1, true)), Some((2, true))]);
            assert_eq!(store.log()?.len(), 2);
            store.verify_clean()
        },
    )
}

fn commands_behind_an_overtaken_write_see_what_overtook_it(subject: &Subject) -> Verdict {
    while_writing(
        subject,
        None,
        |registry| {
            vec![
                register(registry, "api", "1"),
                register(registry, "other", "1"),
                fail(registry, "api"),
            ]
        },
        |store, _| {
            store.apply(put("other", "2"))?;
            Ok(())
        },
        |store, registry, answers| {
            assert_eq!(
                taken(answers),
                [Some((2, true)), Some((3, true)), Some((4, true))]
            );
            assert_eq!(store.version("other")?.as_deref(), Some("1"));
            let view = registry.stale_view();
            assert_eq!((view.revision(), view.len()), (Revision(4), 2));
            store.verify_clean()
        },
    )
}

fn command_sent_again_during_its_write_is_applied_once(subject: &Subject) -> Verdict {
    while_writing(
        subject,
        None,
        |registry| {
            let named = |version: &str| -> Call<'_> {
                let action = Action::register(entry("api", version), Expect::Any);
                let context = Context {
                    idempotency_key: Some("first".to_owned()),
                    ..Context::default()
                };
                let action = action.expect("the entry is legal");
                Box::pin(registry.submit(action, context))
            };
            vec![
                named("1"),
                named("2"),
                register(registry, "db", "1"),
                named("3"),
            ]
        },
        |_, _| Ok(()),
        |store, _, answers| {
            let first = Some((1, true));
            assert_eq!(taken(answers), [first, first, Some((2, true)), first]);
            assert_eq!(store.version("api")?.as_deref(), Some("1"));
            let answered = answers[3].as_ref().ok();
            let answered = answered.and_then(|reply| reply.service.as_ref());
            assert_eq!(
                answered.map(|service| service.entry().version.as_str()),
                Some("1")
            );
            assert_eq!(store.log()?.len(), 2);
            Ok(())
        },
    )
}

fn commands_of_a_write_are_answered_when_it_closes(subject: &Subject) -> Verdict {
    while_writing(
        subject,
        None,
        |registry| vec![register(registry, "api", "1"), fail(registry, "api")],
        |_, registry| {
            registry.begin_close();
            Ok(())
        },
        |_, _, answers| {
            assert_eq!(taken(answers), [Some((1, true)), Some((2, true))]);
            Ok(())
        },
    )
}
