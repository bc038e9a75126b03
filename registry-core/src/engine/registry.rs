//! The handle that everybody holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use async_channel::Sender;
use event_listener::{Event, listener};
use futures_channel::oneshot;

use super::barrier::Barrier;
use super::command::{Action, Command, Context, Expect, Reply};
use super::config::EngineConfig;
use super::driver::{BoxedJob, CommandJob, CompactJob, Driver};
use super::error::RegistryError;
use super::feed::Feed;
use super::histogram::Distribution;
use super::lease::{LeaseBook, LeaseClock};
use super::load::load;
use super::page::{Page, PageRequest, Pins, check_limit};
use super::plan::check_context;
use super::search::{LOG_PAGE_MAX, LogRequest, search};
use super::stats::{Counters, Stats};
use super::turns::Turns;
use super::view::{Service, View};
use super::watch::Watch;
use super::watchers::Watchers;
use crate::capability::{Capabilities, Writers};
use crate::clock::Clock;
use crate::head::Head;
use crate::key::Key;
use crate::model::{Health, HealthStatus, ServiceEntry, ServiceState};
use crate::revision::Revision;
use crate::store::{ChangePage, ChangesRequest, RegistryStore};

/// A registry that is open: a cheap clone of a handle to the view, the queue of the driver and the store.
///
/// Its driver must run for commands to be answered; the library never spawns.
///
/// ```
/// use std::sync::Arc;
/// use registry_core::engine::{EngineConfig, Registry};
/// use registry_core::model::ServiceEntry;
/// use registry_core::{MemoryStore, SystemClock};
///
/// # futures_lite::future::block_on(async {
/// let store = Arc::new(MemoryStore::new());
/// let clock = Arc::new(SystemClock::new());
/// let (registry, driver) = Registry::open(store, EngineConfig::default(), clock).await?;
/// let work = async {
///     let reply = registry.register(ServiceEntry::new("api", "1.0.0")).await?;
///     assert_eq!(registry.get("api").await?.expect("it was registered").modified(), reply.revision);
///     registry.close().await
/// };
/// // An application spawns the driver on its own executor instead.
/// let (done, driven) = futures_lite::future::zip(work, driver.run()).await;
/// done.and(driven)
/// # })?;
/// # Ok::<(), registry_core::engine::RegistryError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Registry {
    shared: Arc<Shared>,
    commands: Sender<BoxedJob>,
    compactions: Sender<CompactJob>,
}

/// Compactions that may wait for the driver.
const COMPACTIONS_MAX: usize = 4;

/// What the handles and the driver share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Arc<dyn RegistryStore>,
    pub(super) config: EngineConfig,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) feed: Feed,
    pub(super) counters: Arc<Counters>,
    pub(super) watchers: Watchers,
    pub(super) lease_clock: Arc<LeaseClock>,
    view: ArcSwap<View>,
    view_moved: Event,
    pub(super) pins: Pins,
    pub(super) turns: Turns,
    /// Reports on services that said what was known.
    pub(super) confirmations: AtomicU64,
    barrier: Barrier,
}

impl Shared {
    pub(super) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Publishes the next view; its commits go to the feed afterwards.
    pub(super) fn publish(&self, mut view: View) {
        view.index();
        self.view.store(Arc::new(view));
        self.view_moved.notify(usize::MAX);
    }

    /// Wakes everybody who waits: the driver has ended.
    pub(super) fn end(&self) {
        self.feed.close();
        self.view_moved.notify(usize::MAX);
    }

    /// Waits until the view reflects a revision.
    async fn wait_for_view(
        &self,
        revision: Revision,
        commands: &Sender<BoxedJob>,
    ) -> Result<(), RegistryError> {
        loop {
            listener!(self.view_moved => moved);
            if self.view.load().revision() >= revision {
                return Ok(());
            }
            if commands.is_closed() {
                return Err(RegistryError::Closed);
            }
            moved.await;
        }
    }
}

impl Registry {
    /// Loads a store and makes a registry of it, with the driver that must run for it.
    ///
    /// # Errors
    /// [`RegistryError::Store`], of kind `Corrupted` where the records do not add up to the store's head.
    pub async fn open(
        store: Arc<dyn RegistryStore>,
        config: EngineConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Driver), RegistryError> {
        let view = load(&*store).await?;
        let (commands, waiting_commands) = async_channel::bounded(config.queue_commands_max);
        let (compactions, waiting_compactions) = async_channel::bounded(COMPACTIONS_MAX);
        let lease_clock = Arc::new(LeaseClock::new(&*clock));
        let counters = Arc::<Counters>::default();
        let is_shared = store.capabilities().writers == Writers::Many;
        let mut leases = LeaseBook::new(
            config.leases.clone(),
            Arc::clone(&lease_clock),
            Arc::clone(&counters),
            is_shared,
        );
        leases.load(&view, &store.notes().await?);
        let shared = Arc::new(Shared {
            lease_clock,
            counters,
            watchers: Watchers::default(),
            feed: Feed::new(&config, view.revision()),
            pins: Pins::new(config.pinned_views_max),
            turns: Turns::default(),
            confirmations: AtomicU64::new(0),
            view: ArcSwap::from_pointee(view),
            view_moved: Event::new(),
            barrier: Barrier::default(),
            store,
            config,
            clock,
        });
        let driver = Driver::new(
            Arc::clone(&shared),
            waiting_commands,
            waiting_compactions,
            leases,
        );
        Ok((
            Self {
                shared,
                commands,
                compactions,
            },
            driver,
        ))
    }

    /// What the store can do.
    pub fn capabilities(&self) -> &Capabilities {
        self.shared.store.capabilities()
    }

    /// What was counted since the registry was opened.
    pub fn stats(&self) -> Stats {
        let (watches, lag) = self.shared.watchers.lag(self.shared.view().revision());
        self.shared.counters.read(watches, lag)
    }

    /// Commands of each group that was committed.
    pub fn group_commands(&self) -> Distribution {
        self.shared.counters.group_commands.read()
    }

    /// Time that the store took for each group, in microseconds: the durable flush.
    pub fn commit_micros(&self) -> Distribution {
        self.shared.counters.commit_micros.read()
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// The store's head: last revision and hash, compaction, counts and digest.
    pub async fn head(&self) -> Result<Head, RegistryError> {
        Ok(self.shared.store.head().await?)
    }

    /// Hands an action to the driver and waits for its answer, which comes after the commit is durable and visible.
    ///
    /// # Errors
    /// [`RegistryError`]. Dropping the future may or may not have applied the action; with an idempotency key it can be
    /// sent again.
    pub async fn submit(&self, action: Action, context: Context) -> Result<Reply, RegistryError> {
        let answer = self.hand_over(action, context).await?;
        answer.await.map_err(|_| RegistryError::Closed)?
    }

    /// Hands an action to the driver, and answers where its answer comes.
    pub(super) async fn hand_over(
        &self,
        action: Action,
        context: Context,
    ) -> Result<oneshot::Receiver<Result<Reply, RegistryError>>, RegistryError> {
        check_context(&context)?;
        action.key()?;
        let command = Command::new(action, context, self.shared.clock.now());
        let (reply, answer) = oneshot::channel();
        let job = Box::new(CommandJob {
            command,
            reply,
            is_own: false,
        });
        let sent = self.commands.send(job).await;
        sent.map_err(|_| RegistryError::Closed)?;
        Ok(answer)
    }

    async fn act(&self, action: Action) -> Result<Reply, RegistryError> {
        self.submit(action, Context::default()).await
    }

    /// Puts an entry under its name, new or not. The same entry again changes nothing.
    pub async fn register(&self, entry: ServiceEntry) -> Result<Reply, RegistryError> {
        self.act(Action::register(entry, Expect::Any)?).await
    }

    /// Removes an entry.
    pub async fn deregister(&self, name: &str) -> Result<Reply, RegistryError> {
        self.act(Action::Deregister {
            name: name.to_owned(),
            expect: Expect::Any,
        })
        .await
    }

    /// Sets the run state.
    pub async fn set_state(&self, name: &str, state: ServiceState) -> Result<Reply, RegistryError> {
        self.act(Action::SetState {
            name: name.to_owned(),
            state,
            expect: Expect::Any,
        })
        .await
    }

    /// Tells what a health check observed just now.
    pub async fn report_health(
        &self,
        name: &str,
        status: Health,
        message: Option<String>,
    ) -> Result<Reply, RegistryError> {
        let health = HealthStatus {
            status,
            checked_at: self.shared.clock.now(),
            message,
        };
        self.act(Action::ReportHealth {
            name: name.to_owned(),
            health,
            expect: Expect::Any,
        })
        .await
    }

    /// A snapshot that reflects every commit that was acknowledged before this call, by anybody.
    ///
    /// With one writer it costs one atomic load; where others write, too, one check of the head, which is shared by all
    /// who wait and needs no wait where the store can tell at once.
    pub async fn view(&self) -> Result<Arc<View>, RegistryError> {
        if let Some(view) = self.view_at_hand() {
            return Ok(Arc::clone(&view));
        }
        self.shared.barrier.pass(|| self.check_head()).await?;
        Ok(self.shared.view())
    }

    /// Looks something up in what [`view`](Self::view) answers. Where that takes no wait, it shares no count with other
    /// readers either.
    ///
    /// # Errors
    /// As [`view`](Self::view).
    pub async fn read<T>(&self, look: impl FnOnce(&View) -> T) -> Result<T, RegistryError> {
        if let Some(view) = self.view_at_hand() {
            return Ok(look(&view));
        }
        Ok(look(&*self.view().await?))
    }

    /// The view, where it is known at once that nobody has overtaken it.
    fn view_at_hand(&self) -> Option<Guard<Arc<View>>> {
        let view = self.shared.view.load();
        let is_last = |latest| latest <= view.revision();
        let is_at_hand = self.capabilities().writers == Writers::One
            || self.shared.store.latest().is_some_and(is_last);
        is_at_hand.then_some(view)
    }

    async fn check_head(&self) -> Result<(), RegistryError> {
        let head = self.shared.store.head().await?;
        self.shared
            .wait_for_view(head.revision(), &self.commands)
            .await
    }

    /// The last snapshot at hand, which another process may have overtaken. Never waits, never fails.
    pub fn stale_view(&self) -> Arc<View> {
        self.shared.view()
    }

    /// The service of that name.
    pub async fn get(&self, name: &str) -> Result<Option<Arc<Service>>, RegistryError> {
        self.read(|view| view.get(name)).await
    }

    /// One page of a list. All pages of a list are read from one snapshot.
    ///
    /// # Errors
    /// [`RegistryError::CursorExpired`] where that snapshot is no longer kept.
    pub async fn list(&self, request: &PageRequest) -> Result<Page, RegistryError> {
        let view = match &request.cursor {
            None => self.view().await?,
            Some(cursor) => self.pinned(cursor.revision)?,
        };
        self.shared.pins.read(&view, request)
    }

    /// One page of a list from the last snapshot at hand, which another process may have overtaken.
    ///
    /// # Errors
    /// As [`list`](Self::list), never a store's failure.
    pub fn list_stale(&self, request: &PageRequest) -> Result<Page, RegistryError> {
        let view = match &request.cursor {
            None => self.stale_view(),
            Some(cursor) => self.pinned(cursor.revision)?,
        };
        self.shared.pins.read(&view, request)
    }

    /// Health reports on services, so far, that said what was known: each moves the time that
    /// [`Service::health`] has, and no revision. Who keeps what a view shows keeps it for one number of them.
    pub fn confirmations(&self) -> u64 {
        self.shared.confirmations.load(Ordering::Acquire)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The view of a revision that is kept for readers who turn pages; without a revision that of now, kept from here
    /// on.
    ///
    /// # Errors
    /// [`RegistryError::CursorExpired`] where it is no longer kept.
    pub async fn view_to_keep(
        &self,
        revision: Option<Revision>,
    ) -> Result<Arc<View>, RegistryError> {
        if let Some(revision) = revision {
            return self.pinned(revision);
        }
        let view = self.view().await?;
        self.shared.pins.pin(&view);
        Ok(view)
    }

    pub(super) fn pinned(&self, revision: Revision) -> Result<Arc<View>, RegistryError> {
        self.shared
            .pins
            .find(revision)
            .ok_or(RegistryError::CursorExpired { revision })
    }

    /// The log entries that changed a service, oldest first, at most `limit`.
    ///
    /// # Errors
    /// A store error of kind `Compacted` where the log no longer goes back to `after`; [`RegistryError::Invalid`] for a
    /// limit that is not 1 to [`LOG_PAGE_MAX`].
    pub async fn history(
        &self,
        name: &str,
        after: Revision,
        limit: usize,
    ) -> Result<ChangePage, RegistryError> {
        let key = Some(Key::service(name)?);
        check_limit(limit, LOG_PAGE_MAX)?;
        Ok(self
            .shared
            .store
            .changes(ChangesRequest { after, key, limit })
            .await?)
    }

    /// The log entries that fit a filter, oldest first. A page looks at a bounded part of the log, so it may have fewer
    /// entries than there are, and none: ask again after [`ChangePage::through`] until that is the head.
    ///
    /// # Errors
    /// A store error of kind `Compacted` where the log no longer goes back to [`LogRequest::after`];
    /// [`RegistryError::Invalid`] for a limit or a name that makes no sense.
    pub async fn log(&self, request: &LogRequest) -> Result<ChangePage, RegistryError> {
        search(&*self.shared.store, request).await
    }

    /// Every commit after a revision, in order: those of the past from the log, then as they come.
    pub fn watch(&self, after: Revision) -> Watch {
        Watch::new(self.clone(), after)
    }

    /// Compacts the log up to and with a revision, in slices between groups.
    ///
    /// # Errors
    /// A store error of kind `Invalid` for a revision after the head.
    pub async fn compact(&self, through: Revision) -> Result<(), RegistryError> {
        let (reply, answer) = oneshot::channel();
        self.compactions
            .send(CompactJob { through, reply })
            .await
            .map_err(|_| RegistryError::Closed)?;
        answer.await.map_err(|_| RegistryError::Closed)?
    }

    /// Compacts what is older or more than the configuration keeps. To be called now and then; answers the number of
    /// log entries that were removed.
    pub async fn enforce_retention(&self) -> Result<u64, RegistryError> {
        let mut removed = 0;
        loop {
            let head = self.shared.store.head().await?;
            let now = self.shared.clock.now();
            let due =
                super::retention::due(&*self.shared.store, &self.shared.config, &head, now).await?;
            let Some(through) = due else {
                return Ok(removed);
            };
            self.compact(through).await?;
            removed += through.0 - head.compacted.revision.0;
        }
    }

    /// Whether commands are still taken: what the view alone could answer is no promise any more where they are not.
    pub(super) fn check_open(&self) -> Result<(), RegistryError> {
        if self.is_closed() {
            return Err(RegistryError::Closed);
        }
        Ok(())
    }

    /// Takes no more commands. The driver answers those that wait, closes the store and ends.
    pub fn begin_close(&self) {
        self.commands.close();
    }

    /// As [`begin_close`](Self::begin_close), and returns when the driver has ended.
    pub async fn close(&self) -> Result<(), RegistryError> {
        self.begin_close();
        loop {
            listener!(self.shared.view_moved => moved);
            if self.compactions.is_closed() {
                return Ok(());
            }
            moved.await;
        }
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.shared.feed
    }

    pub(super) fn store(&self) -> &dyn RegistryStore {
        &*self.shared.store
    }

    /// Whether the registry takes no more commands.
    pub fn is_closed(&self) -> bool {
        self.commands.is_closed()
    }

    /// Checks that the store would take a write.
    ///
    /// # Errors
    /// The failure that it would answer.
    pub async fn check_writable(&self) -> Result<(), RegistryError> {
        if self.is_closed() {
            return Err(RegistryError::Closed);
        }
        match self.shared.store.commit(Vec::new()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
