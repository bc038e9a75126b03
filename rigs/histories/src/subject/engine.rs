//! The engine alone, on a store in memory, every step chosen by the seed: the same seed makes the same history.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use futures_lite::future::{block_on, yield_now};
use harness::core::engine::{Driver, EngineConfig, Registry};
use harness::core::{ChangesRequest, ManualClock, MemoryStore, RegistryStore, Revision};

use crate::history::{History, Logged};
use crate::recorder::Recorder;
use crate::schedule::{self, Task};
use crate::subject::registry::{InProcess, Next, logged, watch};
use crate::workload::{Plan, run_client};

/// Commits that the feed keeps: few, so that slow watchers fall out of it.
const FEED_COMMITS: usize = 16;
const WATCHERS: usize = 3;

/// Makes a history of the engine.
///
/// # Errors
/// A run that cannot end.
pub(crate) fn engine(plan: Plan) -> Result<History> {
    let store = Arc::new(MemoryStore::new());
    let config = EngineConfig {
        feed_commits_max: FEED_COMMITS,
        group_commands_max: 4,
        ..EngineConfig::default()
    };
    let opening = Registry::open(
        Arc::clone(&store) as _,
        config,
        Arc::new(ManualClock::default()),
    );
    let (registry, driver) = block_on(opening)?;
    let stage = Stage {
        plan,
        registry,
        recorder: Recorder::default(),
        log: RefCell::default(),
        logged: Cell::default(),
        working: Cell::new(plan.clients),
    };
    let mut rng = fastrand::Rng::with_seed(plan.seed);
    schedule::run(&mut rng, stage.tasks(&store, driver))
        .map_err(|problem| anyhow!("seed {}: {problem}", plan.seed))?;
    let (operations, watchers) = stage.recorder.into_parts();
    Ok(History {
        operations,
        watchers,
        log: stage.log.into_inner(),
    })
}

struct Stage {
    plan: Plan,
    registry: Registry,
    recorder: Recorder,
    /// The log as it was written, which compaction takes nothing from.
    log: RefCell<Vec<Logged>>,
    /// Where that log ends.
    logged: Cell<Revision>,
    /// Clients that have not ended.
    working: Cell<usize>,
}

impl Stage {
    fn tasks<'a>(&'a self, store: &'a MemoryStore, driver: Driver) -> Vec<Task<'a>> {
        let mut tasks: Vec<Task<'a>> = Vec::new();
        for client in 0..self.plan.clients {
            tasks.push(Box::pin(self.client(client)));
        }
        for watcher in 0..WATCHERS {
            tasks.push(Box::pin(self.watcher(watcher)));
        }
        tasks.push(Box::pin(self.historian(store)));
        tasks.push(Box::pin(async move {
            driver.run().await.expect("a store in memory does not fail");
        }));
        tasks
    }

    async fn client(&self, client: usize) {
        let mut way = InProcess {
            registry: self.registry.clone(),
        };
        run_client(self.plan, client, &mut way, &self.recorder).await;
        self.working.set(self.working.get() - 1);
        if self.working.get() == 0 {
            while self.logged.get() < self.registry.stale_view().revision() {
                yield_now().await;
            }
            self.registry.begin_close();
        }
    }

    /// Watches until the registry is closed; some are slow, some come back again and again.
    async fn watcher(&self, watcher: usize) {
        let mut rng = fastrand::Rng::with_seed(self.plan.seed ^ watcher as u64);
        let mut told = Vec::new();
        let next = async |_| {
            for _ in 0..rng.usize(..=watcher * FEED_COMMITS) {
                yield_now().await;
            }
            if rng.u8(..50) == 0 {
                Next::Reconnect
            } else {
                Next::Go
            }
        };
        watch(&self.registry, Revision::ZERO, &mut told, next).await;
        self.recorder.watched(told);
    }

    /// Writes the log down, and compacts what it has written now and then.
    async fn historian(&self, store: &MemoryStore) {
        let mut rng = fastrand::Rng::with_seed(self.plan.seed ^ u64::MAX);
        let mut after = Revision::ZERO;
        while let Ok(head) = store.wait_for_change(after).await {
            let request = ChangesRequest {
                after,
                key: None,
                limit: 100,
            };
            let page = store
                .changes(request)
                .await
                .expect("nothing that is not written is compacted");
            self.log
                .borrow_mut()
                .extend(page.entries.iter().map(|entry| logged(entry)));
            after = page.through;
            self.logged.set(after);
            if rng.u8(..20) == 0 {
                // Fails where the registry was closed meanwhile.
                drop(self.registry.compact(after.min(head)).await);
            }
        }
    }
}
