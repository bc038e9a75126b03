//! Several openers of one path in this process, each with a registry: the owner is closed again and again.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use futures_lite::future::{self, block_on};
use harness::Registry;
use harness::backends::{Backend, OpenOptions};
use harness::core::Revision;
use harness::store::{Claim, Location};

use crate::history::{Answer, Call, History, Told};
use crate::recorder::Recorder;
use crate::subject::registry::{Next, call_registry, read_log, watch};
use crate::subject::written::Written;
use crate::workload::{Plan, Way, run_client};

/// Openers of the path.
const OPENERS: usize = 3;
const WATCHERS: usize = 2;
/// Pause of a watcher before it looks again for a registry that is open.
const PAUSE: Duration = Duration::from_millis(1);

/// Makes a history of openers that share a path, in a folder that is removed afterwards.
///
/// # Errors
/// A store that cannot be opened or read.
pub(crate) fn attached(plan: Plan, backend: Backend) -> Result<History> {
    let folder = tempfile::tempdir()?;
    let location = location_in(folder.path(), backend);
    let stage = Stage::open(plan, &location)?;
    let written = thread::scope(|scope| {
        for client in 0..plan.clients {
            let stage = &stage;
            scope.spawn(move || {
                let mut way = Opener {
                    stage,
                    number: client % OPENERS,
                };
                block_on(run_client(plan, client, &mut way, &stage.recorder));
                stage.working.fetch_sub(1, Ordering::SeqCst);
            });
        }
        for number in 0..WATCHERS {
            let stage = &stage;
            scope.spawn(move || stage.watch(number));
        }
        let written = scope.spawn(|| stage.write_down());
        stage.change_owners()?;
        Ok::<_, anyhow::Error>(written.join().expect("the historian does not panic"))
    })?;
    stage.finish(&location, written)
}

struct Stage<'a> {
    location: &'a Location,
    registries: [Mutex<Registry>; OPENERS],
    recorder: Recorder,
    working: AtomicUsize,
    is_over: AtomicBool,
    seed: u64,
}

fn open(location: &Location) -> Result<Registry> {
    let registry = Registry::share(location, Claim::Own, &OpenOptions::default());
    registry.with_context(|| format!("open {location}"))
}

impl<'a> Stage<'a> {
    fn open(plan: Plan, location: &'a Location) -> Result<Self> {
        let mut registries = Vec::new();
        for _ in 0..OPENERS {
            registries.push(Mutex::new(open(location)?));
        }
        Ok(Self {
            location,
            registries: registries.try_into().expect("there are as many"),
            recorder: Recorder::default(),
            working: AtomicUsize::new(plan.clients),
            is_over: AtomicBool::new(false),
            seed: plan.seed,
        })
    }

    fn registry(&self, number: usize) -> Registry {
        let registry = self.registries[number].lock();
        registry.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes one opener after the other while clients work, and opens it again.
    fn change_owners(&self) -> Result<()> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let done = loop {
            if self.working.load(Ordering::SeqCst) == 0 {
                break Ok(());
            }
            block_on(smol::Timer::after(Duration::from_millis(rng.u64(5..40))));
            let number = rng.usize(..OPENERS);
            let closing = self.registry(number);
            if let Err(error) = block_on(closing.close()) {
                break Err(error.into());
            }
            match open(self.location) {
                Ok(opened) => {
                    let mut registry = self.registries[number]
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner);
                    *registry = opened;
                }
                Err(error) => break Err(error),
            }
        };
        self.is_over.store(true, Ordering::SeqCst);
        done
    }

    fn watch(&self, number: usize) {
        let mut rng = fastrand::Rng::with_seed(self.seed ^ number as u64);
        let mut told = Vec::new();
        let mut after = Revision::ZERO;
        while !self.is_over.load(Ordering::SeqCst) {
            let registry = self.registry((number + rng.usize(..OPENERS)) % OPENERS);
            let next = async |_| match rng.u8(..100) {
                _ if self.is_over.load(Ordering::SeqCst) => Next::Stop,
                0..3 => Next::Reconnect,
                _ => Next::Go,
            };
            let watching = watch(registry.engine(), after, &mut told, next);
            // Nothing may come any more once the clients have ended.
            let over = async {
                while !self.is_over.load(Ordering::SeqCst) {
                    smol::Timer::after(PAUSE).await;
                }
                None
            };
            let ended = block_on(future::or(async { Some(watching.await) }, over));
            after = ended.unwrap_or_else(|| position(&told));
        }
        self.recorder.watched(told);
    }

    /// Writes the log down through one opener or another, and compacts now and then what is written.
    fn write_down(&self) -> Written {
        let mut rng = fastrand::Rng::with_seed(self.seed ^ u64::MAX);
        let mut written = Written::default();
        while !self.is_over.load(Ordering::SeqCst) {
            let registry = self.registry(rng.usize(..OPENERS));
            // One that is closed meanwhile answers an error; another one goes on.
            let read = block_on(written.catch_up(registry.engine()));
            if read.is_ok() && rng.u8(..4) == 0 {
                drop(block_on(registry.engine().compact(written.through())));
            }
            block_on(smol::Timer::after(PAUSE));
        }
        written
    }

    fn finish(self, location: &Location, written: Written) -> Result<History> {
        for number in 0..OPENERS {
            block_on(self.registry(number).close())?;
        }
        let (operations, watchers) = self.recorder.into_parts();
        Ok(History {
            operations,
            watchers,
            log: written.completed_with(log_of(location)?),
        })
    }
}

/// Where a watcher is that was told so much.
fn position(told: &[Told]) -> Revision {
    let last = told.iter().rev().find_map(|told| match told {
        Told::Began(at) | Told::Through(at) | Told::Lost(at) => Some(*at),
        Told::Part(_) | Told::Change(_) => None,
    });
    last.unwrap_or_default()
}

/// The log of a store that nobody has open.
pub(crate) fn log_of(location: &Location) -> Result<Vec<crate::history::Logged>> {
    let store = location.open(&OpenOptions::read_only())?;
    let log = block_on(read_log(&*store))?;
    block_on(store.close())?;
    Ok(log)
}

/// The path of a backend's store in a folder.
pub(crate) fn location_in(folder: &Path, backend: Backend) -> Location {
    Location {
        backend,
        path: folder.join("registry").with_extension(backend.extension()),
    }
}

/// Calls the registry of one opener, whichever it is at the moment.
struct Opener<'a> {
    stage: &'a Stage<'a>,
    number: usize,
}

#[async_trait]
impl Way for Opener<'_> {
    async fn call(&mut self, operation: u64, call: &Call) -> Answer {
        let registry = self.stage.registry(self.number);
        call_registry(registry.engine(), operation, call).await
    }
}
