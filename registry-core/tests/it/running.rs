//! A registry on a store in memory, with its driver on the same thread.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_lite::future::{self, block_on};
use registry_core::engine::{Driver, EngineConfig, Registry, RegistryError, Reply};
use registry_core::model::ServiceEntry;
use registry_core::{ManualClock, MemoryStore};

use crate::fixture::TIME;

/// A registry that nobody drives yet.
pub(crate) struct Idle {
    pub(crate) registry: Registry,
    pub(crate) driver: Driver,
    pub(crate) clock: Arc<ManualClock>,
}

/// Opens a registry on a store.
pub(crate) fn open_on(store: MemoryStore, config: EngineConfig) -> Idle {
    let clock = Arc::new(ManualClock::at(TIME));
    let opened = Registry::open(Arc::new(store), config, Arc::clone(&clock) as _);
    let (registry, driver) = block_on(opened).unwrap();
    Idle {
        registry,
        driver,
        clock,
    }
}

/// Opens an empty registry.
pub(crate) fn open(config: EngineConfig) -> Idle {
    open_on(MemoryStore::new(), config)
}

impl Idle {
    /// Drives the registry until the work is done, then closes it.
    pub(crate) fn run(self, work: impl AsyncFnOnce(&Registry, &ManualClock)) {
        let Self {
            registry,
            driver,
            clock,
        } = self;
        let work = async {
            work(&registry, &clock).await;
            registry.close().await.unwrap();
        };
        let ((), driven) = block_on(future::zip(work, driver.run()));
        driven.unwrap();
    }
}

/// Runs work on an empty registry with the default bounds.
pub(crate) fn run(work: impl AsyncFnOnce(&Registry, &ManualClock)) {
    open(EngineConfig::default()).run(work);
}

type Answer = Result<Reply, RegistryError>;
type Call<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// A call to be made together with others.
pub(crate) fn call<'a>(call: impl Future<Output = Answer> + 'a) -> Call<'a> {
    Box::pin(call)
}

/// Makes all calls before any is answered, and answers theirs in order.
pub(crate) async fn together(mut calls: Vec<Call<'_>>) -> Vec<Answer> {
    let mut answers: Vec<Option<Answer>> = calls.iter().map(|_| None).collect();
    future::poll_fn(move |context| {
        for (call, answer) in calls.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(found) = call.as_mut().poll(context)
            {
                *answer = Some(found);
            }
        }
        if answers.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(answers.iter_mut().filter_map(Option::take).collect())
    })
    .await
}

/// Registers services of these names, one commit each, in order.
pub(crate) async fn register(registry: &Registry, names: &[&str]) {
    for name in names {
        registry
            .register(ServiceEntry::new(*name, "1"))
            .await
            .unwrap();
    }
}
