//! Clients and watchers of a registry in this process.

use async_trait::async_trait;
use harness::ServiceEntry;
use harness::core::engine::{
    Action, Context, Expect, Registry, RegistryError, Service, Watch, WatchEnd,
};
use harness::core::{ErrorKind, LogEntry, LogPages, RegistryStore, Revision};

use crate::history::{Answer, Call, Found, Logged, Told};
use crate::workload::Way;

/// Calls a registry in this process.
pub(crate) struct InProcess {
    pub(crate) registry: Registry,
}

#[async_trait]
impl Way for InProcess {
    async fn call(&mut self, operation: u64, call: &Call) -> Answer {
        call_registry(&self.registry, operation, call).await
    }
}

pub(crate) async fn call_registry(registry: &Registry, operation: u64, call: &Call) -> Answer {
    match call {
        Call::Get { key } => match registry.view().await {
            Ok(view) => Answer::Read {
                revision: view.revision(),
                found: view.get(key).map(|service| found(&service)),
            },
            Err(_) => Answer::Failed,
        },
        Call::List => match registry.view().await {
            Ok(view) => Answer::Listed {
                revision: view.revision(),
                found: view
                    .services_after(None)
                    .map(|service| (service.name().to_string(), found(service)))
                    .collect(),
            },
            Err(_) => Answer::Failed,
        },
        Call::Put { .. } | Call::Delete { .. } => {
            let context = Context {
                actor: "histories".to_owned(),
                reason: Some(operation.to_string()),
                idempotency_key: None,
            };
            answer(registry.submit(action(call), context).await)
        }
    }
}

fn action(call: &Call) -> Action {
    let expect_of = |expect: &Option<Revision>| expect.map_or(Expect::Any, Expect::At);
    match call {
        Call::Put { key, value, expect } => {
            let entry = ServiceEntry::new(key, value.to_string());
            Action::register(entry, expect_of(expect)).expect("the entries of calls are legal")
        }
        Call::Delete { key, expect } => Action::Deregister {
            name: key.clone(),
            expect: expect_of(expect),
        },
        Call::Get { .. } | Call::List => unreachable!("reads are no actions"),
    }
}

fn found(service: &Service) -> Found {
    Found {
        value: value_of(&service.entry().version),
        modified: service.modified(),
    }
}

/// The value in the version of an entry; one that nobody wrote is told from all that somebody did.
pub(crate) fn value_of(version: &str) -> u64 {
    version.parse().unwrap_or(u64::MAX)
}

fn answer(reply: Result<harness::core::engine::Reply, RegistryError>) -> Answer {
    match reply {
        Ok(reply) => Answer::Written(reply.revision),
        Err(
            RegistryError::UnknownService { .. }
            | RegistryError::AlreadyExists { .. }
            | RegistryError::StaleRevision { .. },
        ) => Answer::Refused,
        // The driver may have been closed before or after it committed.
        Err(RegistryError::Closed) => Answer::Unknown,
        Err(RegistryError::Store(error)) if *error.kind() == ErrorKind::MaybeApplied => {
            Answer::Unknown
        }
        Err(_) => Answer::Failed,
    }
}

/// What a log entry says.
pub(crate) fn logged(entry: &LogEntry) -> Logged {
    let commit = &entry.commit;
    let change = &commit.changes[0];
    let service = change.after.as_deref().and_then(|image| image.as_service());
    Logged {
        revision: commit.revision,
        operation: commit
            .cause
            .reason
            .as_deref()
            .and_then(|reason| reason.parse().ok()),
        key: change.key.name().to_string(),
        value: service.map(|entry| value_of(&entry.version)),
    }
}

/// The whole log of a store.
pub(crate) async fn read_log(store: &dyn RegistryStore) -> harness::core::Result<Vec<Logged>> {
    let head = store.head().await?;
    let mut log = Vec::new();
    let mut pages = LogPages::new(store, head.compacted.revision, head.revision());
    while let Some(page) = pages.next().await? {
        log.extend(page.entries.iter().map(|entry| logged(entry)));
    }
    Ok(log)
}

/// How a watcher goes on after it took something.
pub(crate) enum Next {
    Go,
    /// It loses its connection and comes back where it was.
    Reconnect,
    /// It has seen enough.
    Stop,
}

/// Watches a registry from a place on, until `next` says stop or the registry is closed. Answers where it was last.
pub(crate) async fn watch(
    registry: &Registry,
    mut after: Revision,
    told: &mut Vec<Told>,
    mut next: impl AsyncFnMut(Revision) -> Next,
) -> Revision {
    loop {
        told.push(Told::Began(after));
        let mut watch = registry.watch(after);
        match follow(&mut watch, told, &mut next).await {
            Ended::Here => return watch.position(),
            Ended::At(place) => after = place,
            Ended::Compacted => {
                let Ok(view) = registry.view().await else {
                    return watch.position();
                };
                after = view.revision();
                told.push(Told::Lost(after));
            }
        }
    }
}

enum Ended {
    /// It was stopped, or the registry was closed.
    Here,
    At(Revision),
    Compacted,
}

async fn follow(
    watch: &mut Watch,
    told: &mut Vec<Told>,
    next: &mut impl AsyncFnMut(Revision) -> Next,
) -> Ended {
    loop {
        match next(watch.position()).await {
            Next::Go => {}
            Next::Reconnect => return Ended::At(watch.position()),
            Next::Stop => return Ended::Here,
        }
        match watch.next().await {
            Ok(commit) => {
                told.push(Told::Change(commit.revision));
                told.push(Told::Through(watch.position()));
            }
            Err(WatchEnd::Lagged { resume_after }) => return Ended::At(resume_after),
            Err(WatchEnd::Compacted { .. }) => return Ended::Compacted,
            Err(_) => return Ended::Here,
        }
    }
}
