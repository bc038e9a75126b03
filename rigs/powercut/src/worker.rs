//! The process under which the power is cut: it opens a store, commits through the engine, and tells of each reply.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail};
use futures_lite::future::block_on;
use harness::backends::{Backend, OpenOptions};
use harness::store::{Claim, Location, Opened, Source, migrate};
use registry_core::engine::{
    Action, Context, EngineConfig, Expect, Registry, RegistryError, Reply,
};
use registry_core::model::ServiceState;
use registry_core::{
    Hash, Image, Key, LogPages, Record, RegistryStore, Revision, SystemClock, TransactionId,
};
use serde::{Deserialize, Serialize};

use crate::script::Script;
use crate::told::{Shown, Told};

/// Who acts in the log.
const ACTOR: &str = "powercut";
/// Names that each client uses, so that most commands change a record.
const NAMES: usize = 5;
/// Commands that are tried after one was refused.
const TRIES_AFTER_REFUSAL: usize = 3;
/// Times that a process with a shared store asks again where no owner answered in time: a slow machine is no finding.
const RETRIES_MAX: usize = 20;

/// What one process does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Work {
    /// Name of the backend.
    pub(crate) backend: String,
    /// The store.
    pub(crate) path: PathBuf,
    pub(crate) script: Script,
    pub(crate) seed: u64,
    /// The last commit that its parent knows of: it tells of those after.
    pub(crate) known: Revision,
    pub(crate) task: Task,
}

/// What it does with the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Task {
    /// Runs the script, ends at the first error.
    Commit,
    /// Runs the script, and goes on after an error: it may be refused, and must still be answered.
    Insist,
    /// Runs the script, and ends without closing the store.
    Leave,
    /// Runs the script on a store that other processes have open, too, and asks again where nobody answers.
    Share {
        /// Number of its first client: no other process has clients of these numbers.
        first_client: usize,
    },
    /// Migrates the store.
    Migrate {
        /// The target.
        to: PathBuf,
    },
}

/// Plays the part.
pub(crate) fn run(work: &Work) -> Result<()> {
    let location = location(&work.backend, &work.path)?;
    match &work.task {
        Task::Migrate { to } => {
            let to = Location {
                path: to.clone(),
                ..location
            };
            let source = Source::of(location);
            let migrated = block_on(migrate(&source, &to, false, &mut |_, _| {}))?;
            Told::Migrated(migrated.head.last).tell()?;
        }
        Task::Commit | Task::Leave => {
            let store = location.open(&OpenOptions::default())?;
            commit(work, &store)?;
        }
        Task::Share { .. } => {
            let Opened { store, beside, .. } = share(&location)?;
            // Ends with the store, or with this process. What it fails with, every call answers, too.
            thread::spawn(|| block_on(beside.run()));
            commit(work, &store)?;
        }
        Task::Insist => match location.open(&OpenOptions::default()) {
            Ok(store) => {
                if let Err(error) = commit(work, &store) {
                    Told::Refused(format!("{error:#}")).tell()?;
                }
                // Dropped here, to see that it ends.
                drop(store);
            }
            Err(error) => Told::Refused(error.to_string()).tell()?,
        },
    }
    Told::Done.tell()?;
    Ok(())
}

/// Opens a shared store, again where its owner did not answer in time.
fn share(location: &Location) -> registry_core::Result<Opened> {
    let mut retries = RETRIES_MAX;
    loop {
        match block_on(location.share(Claim::Own, &OpenOptions::default())) {
            Err(error) if error.is_retryable() && retries > 0 => retries -= 1,
            opened => return opened,
        }
    }
}

/// The place of a store.
pub(crate) fn location(backend: &str, path: &std::path::Path) -> Result<Location> {
    Ok(Location {
        backend: backend.parse::<Backend>().map_err(anyhow::Error::msg)?,
        path: path.to_path_buf(),
    })
}

fn commit(work: &Work, store: &Arc<dyn RegistryStore>) -> Result<()> {
    let head = block_on(tell_of_commits(&**store, work.known))?;
    let clock = Arc::new(SystemClock::new());
    let opening = Registry::open(Arc::clone(store), EngineConfig::default(), clock);
    let (registry, driver) = block_on(opening)?;
    Told::Opened.tell()?;
    let answered = Answered::from(head);
    let first_client = match work.task {
        Task::Share { first_client } => first_client,
        _ => 0,
    };
    thread::scope(|scope| {
        let driving = scope.spawn(|| block_on(driver.run()));
        let clients: Vec<_> = (first_client..first_client + work.script.clients)
            .map(|number| {
                let mut client = Client::new(work, &registry, &**store, &answered, number);
                scope.spawn(move || block_on(client.run()))
            })
            .collect();
        let ended: Vec<Result<()>> = clients
            .into_iter()
            .map(|client| client.join().expect("a client does not panic"))
            .collect();
        if work.task == Task::Leave {
            Told::Done.tell()?;
            std::process::exit(0);
        }
        block_on(registry.close())?;
        let closed = driving.join().expect("the driver does not panic");
        // What the driver ended with is why clients were refused.
        closed.context("drive the registry")?;
        ended.into_iter().collect()
    })
}

/// Tells of the head, and of the commits after one: who sees them relies on them. Answers the head's revision.
async fn tell_of_commits(store: &dyn RegistryStore, known: Revision) -> Result<Revision> {
    let head = store.head().await?;
    let after = known.max(head.compacted.revision);
    let mut pages = LogPages::new(store, after, head.revision());
    while let Some(page) = pages.next().await? {
        for entry in &page.entries {
            Told::Shown(Shown::of(entry)).tell()?;
        }
    }
    Ok(head.revision())
}

/// Which commits were answered, over all clients.
#[derive(Debug)]
struct Answered(Mutex<(Revision, BTreeSet<Revision>)>);

impl Answered {
    fn from(head: Revision) -> Self {
        Self(Mutex::new((head, BTreeSet::new())))
    }

    /// Adds one, and answers the last revision up to which all were.
    fn add(&self, revision: Revision) -> Revision {
        let mut answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (through, later) = &mut *answered;
        later.insert(revision);
        while later.remove(&through.next()) {
            *through = through.next();
        }
        *through
    }
}

struct Client<'a> {
    work: &'a Work,
    registry: &'a Registry,
    store: &'a dyn RegistryStore,
    answered: &'a Answered,
    number: usize,
    rng: fastrand::Rng,
    /// What it was told of its records.
    known: BTreeMap<String, Option<Hash>>,
    refusals: usize,
}

impl<'a> Client<'a> {
    fn new(
        work: &'a Work,
        registry: &'a Registry,
        store: &'a dyn RegistryStore,
        answered: &'a Answered,
        number: usize,
    ) -> Self {
        let view = registry.stale_view();
        let names = (0..NAMES).map(|name| format!("s{number}-{name}"));
        let known = names.map(|name| {
            let found = view.get(&name).map(|found| *found.record().image.hash());
            (name, found)
        });
        Self {
            work,
            registry,
            store,
            answered,
            number,
            rng: fastrand::Rng::with_seed(work.seed ^ (number as u64) << 32),
            known: known.collect(),
            refusals: 0,
        }
    }

    async fn run(&mut self) -> Result<()> {
        for step in 0..self.work.script.steps {
            let through = match self.step(step).await {
                Ok(through) => through,
                Err(error) if self.work.task == Task::Insist => {
                    self.endure(&error).await?;
                    if self.refusals > TRIES_AFTER_REFUSAL {
                        return Ok(());
                    }
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let after = self.work.script.compact_after;
            if self.number == 0 && after > 0 && (step + 1) % after == 0 {
                self.registry.compact(through).await?;
            }
        }
        Ok(())
    }

    /// Does one command and tells of it. Answers the last revision up to which everything was answered.
    async fn step(&mut self, step: usize) -> Result<Revision, RegistryError> {
        let name = format!("s{}-{}", self.number, self.rng.usize(..NAMES));
        let is_there = self.known.get(&name).is_some_and(Option::is_some);
        let action = self.action(&name, is_there, step);
        let key = format!("{:x}-{}-{step}", self.work.seed, self.number);
        let context = Context {
            actor: ACTOR.to_owned(),
            reason: None,
            idempotency_key: Some(key.clone()),
        };
        let Reply {
            revision,
            is_changed,
            service,
            ..
        } = self.submit(action, context).await?;
        if !is_changed {
            return Ok(self.answered.add(revision));
        }
        let record = service.map(|service| {
            let image = Image::new(Record::Service(service.entry().clone()));
            *image.expect("a stored entry is a record").hash()
        });
        self.known.insert(name.clone(), record);
        let shown = Shown {
            revision,
            id: TransactionId::from_idempotency_key(ACTOR, &key),
            key: Key::service(&name)?.to_string(),
            record,
        };
        // A parent that is gone needs no more.
        let _ = Told::Shown(shown).tell();
        Ok(self.answered.add(revision))
    }

    /// Submits a command. Where others share the store, one without an answer is sent again, with its idempotency key.
    async fn submit(&self, action: Action, context: Context) -> Result<Reply, RegistryError> {
        let mut retries = match self.work.task {
            Task::Share { .. } => RETRIES_MAX,
            _ => 0,
        };
        loop {
            let reply = self.registry.submit(action.clone(), context.clone()).await;
            match reply {
                Err(error) if error.is_retryable() && retries > 0 => retries -= 1,
                reply => return reply,
            }
        }
    }

    fn action(&mut self, name: &str, is_there: bool, step: usize) -> Action {
        let name = name.to_owned();
        let expect = Expect::Any;
        match self.rng.u8(..10) {
            0..2 if is_there => Action::Deregister { name, expect },
            2..4 if is_there => {
                let reason = format!("{:x}-{step}", self.work.seed);
                let state = ServiceState::Failed { reason };
                Action::SetState {
                    name,
                    state,
                    expect,
                }
            }
            _ => {
                let version = format!("{:x}-{step}", self.work.seed);
                let entry = self.work.script.entry(&name, &version, &mut self.rng);
                Action::register(entry, expect).expect("the script's entries are legal")
            }
        }
    }

    /// After a refusal: reads are answered, with nothing but what was acknowledged.
    async fn endure(&mut self, error: &RegistryError) -> Result<()> {
        self.refusals += 1;
        Told::Refused(error.to_string()).tell()?;
        for (name, known) in &self.known {
            let read = self.registry.get(name).await;
            let stored = self.store.get(&Key::service(name)?).await;
            let problem = match (read, stored) {
                (Err(error), _) => format!("the engine does not answer {name}: {error}"),
                // sled itself answers nothing any more once one of its writes failed; the engine's view does.
                (Ok(_), Err(_)) if self.work.backend == "sled" => continue,
                (_, Err(error)) => format!("the store does not answer {name}: {error}"),
                (Ok(read), Ok(stored)) => {
                    let read = read.map(|service| *service.record().image.hash());
                    let stored = stored.map(|record| *record.image.hash());
                    if read == *known && stored == *known {
                        continue;
                    }
                    format!(
                        "{name} is {known:?} by the replies, {read:?} in the view, {stored:?} in the store"
                    )
                }
            };
            Told::Broken(format!("after {error}: {problem}")).tell()?;
            bail!("a promise was broken");
        }
        Ok(())
    }
}
