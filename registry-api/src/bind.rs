//! Leases that are bound to a life: that of a process, or that of a connection. They need no heartbeats, and end with it.

use std::collections::HashMap;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_channel::{Receiver, Sender, TrySendError};
use async_io::{Async, Timer};
use futures_lite::future;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use registry_core::engine::{Context, Heartbeat, Instance, InstanceChange, Registry};
use registry_core::{Revision, Timestamp};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::auth::Caller;
use crate::error::{ErrorCode, ErrorInfo};
use crate::peer::Peer;

/// Leases that may be bound at a time.
const BINDINGS_MAX: usize = 65_536;
/// Orders that may wait for whoever watches over the leases. All places take memory from the beginning.
const ORDERS_MAX: usize = 1024;
/// A bound lease is renewed this many times within its TTL.
const RENEWALS: u32 = 3;

/// A connection of a face, to which leases can be bound: they end when the last handle is dropped.
#[derive(Debug)]
pub struct Connection {
    peer: Peer,
    /// Closed with the connection; nothing is ever sent.
    end: Receiver<()>,
    _open: Sender<()>,
}

impl Connection {
    /// A connection that has begun.
    pub fn new(peer: Peer) -> Arc<Self> {
        let (open, end) = async_channel::bounded(1);
        Arc::new(Self {
            peer,
            end,
            _open: open,
        })
    }

    /// The other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }
}

/// What a lease is bound to.
#[derive(Debug)]
pub(crate) enum Life {
    Process(u32, OwnedFd),
    Connection(Receiver<()>),
}

impl Life {
    /// The process at the other end of the caller's connection.
    ///
    /// # Errors
    /// `BadRequest` where the caller did not come over a Unix socket, or has ended.
    pub(crate) fn of_process(caller: &Caller, now: Timestamp) -> Result<Self, ErrorInfo> {
        let refused = |message: String| ErrorInfo::new(ErrorCode::BadRequest, message, now);
        let peer = caller.connection.as_ref().map(|connection| connection.peer);
        let Some(Peer::Unix { pid: Some(pid), .. }) = peer else {
            let message = "params: bind: a process can be bound to over a Unix socket only";
            return Err(refused(message.to_owned()));
        };
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let handle = id.map(|id| pidfd_open(id, PidfdFlags::empty()));
        match handle {
            Some(Ok(handle)) => Ok(Self::Process(pid, handle)),
            Some(Err(error)) => Err(refused(format!("params: bind: process {pid}: {error}"))),
            None => Err(refused(format!("params: bind: there is no process {pid}"))),
        }
    }

    /// The caller's connection.
    ///
    /// # Errors
    /// `BadRequest` where there is none.
    pub(crate) fn of_connection(caller: &Caller, now: Timestamp) -> Result<Self, ErrorInfo> {
        let connection = caller.connection.as_ref();
        let end = connection.map(|connection| connection.end.clone());
        end.map(Self::Connection).ok_or_else(|| {
            let message = "params: bind: there is no connection to bind to";
            ErrorInfo::new(ErrorCode::BadRequest, message, now)
        })
    }

    /// Waits for its end, and answers what to say of it.
    async fn end(self) -> String {
        match self {
            Self::Process(pid, handle) => {
                // It can be read once the process has ended.
                let ended = match Async::new_nonblocking(handle) {
                    Ok(handle) => handle.readable().await,
                    Err(error) => Err(error),
                };
                match ended {
                    Ok(()) => format!("process {pid} ended"),
                    Err(error) => format!("process {pid} can no longer be watched: {error}"),
                }
            }
            Self::Connection(end) => {
                // Nothing is sent: an error is the end.
                let _ = end.recv().await;
                "its connection ended".to_owned()
            }
        }
    }
}

/// A lease that is to be bound.
#[derive(Debug)]
struct Order {
    service: String,
    instance_id: String,
    incarnation: u64,
    fencing_revision: Revision,
    ttl: Duration,
    life: Life,
    binding: u64,
}

type Names = (String, String);

/// Which binding of an instance is the latest. An older one ends nothing.
#[derive(Debug, Default)]
struct Latest {
    made: AtomicU64,
    by_instance: Mutex<HashMap<Names, u64>>,
}

impl Latest {
    fn by_instance(&self) -> MutexGuard<'_, HashMap<Names, u64>> {
        self.by_instance
            .lock()
            .expect("nothing panics while it holds the bindings")
    }

    fn is(&self, names: &Names, binding: u64) -> bool {
        self.by_instance().get(names) == Some(&binding)
    }
}

/// Where bindings are ordered.
#[derive(Debug, Clone)]
pub(crate) struct Binder {
    orders: Sender<Order>,
    latest: Arc<Latest>,
}

impl Binder {
    /// Binds the lease of an instance to a life, or to none.
    ///
    /// # Errors
    /// `LimitExceeded` where as many are bound as may be, `Overloaded` where too many are about to be, `Unsupported`
    /// where nobody watches over them.
    pub(crate) fn bind(
        &self,
        instance: &Instance,
        life: Option<Life>,
        now: Timestamp,
    ) -> Result<(), ErrorInfo> {
        let entry = instance.entry();
        let names = (entry.service.clone(), entry.instance_id.clone());
        let mut by_instance = self.latest.by_instance();
        let Some(life) = life else {
            by_instance.remove(&names);
            return Ok(());
        };
        if by_instance.len() >= BINDINGS_MAX {
            let message = format!("params: bind: {BINDINGS_MAX} leases are bound already");
            return Err(ErrorInfo::new(ErrorCode::LimitExceeded, message, now));
        }
        let binding = self.latest.made.fetch_add(1, Ordering::Relaxed);
        let order = Order {
            service: entry.service.clone(),
            instance_id: entry.instance_id.clone(),
            incarnation: entry.incarnation,
            fencing_revision: entry.fencing_revision,
            ttl: entry.lease_ttl.into(),
            life,
            binding,
        };
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => {
                let (service, id) = &names;
                let message = format!(
                    "params: bind: expected fewer than {ORDERS_MAX} leases that are about to be bound before \
                     {service:?} {id:?}, found {ORDERS_MAX}"
                );
                ErrorInfo::new(ErrorCode::Overloaded, message, now)
            }
            TrySendError::Closed(_) => {
                let message = "params: bind: nobody watches over bound leases here";
                ErrorInfo::new(ErrorCode::Unsupported, message, now)
            }
        })?;
        by_instance.insert(names, binding);
        Ok(())
    }
}

/// Watches over bound leases. Somebody must [`run`](Self::run) it for leases to be bound.
#[derive(Debug)]
pub struct Bindings {
    registry: Registry,
    orders: Receiver<Order>,
    latest: Arc<Latest>,
}

impl Bindings {
    pub(crate) fn new(registry: Registry) -> (Binder, Self) {
        let (sender, orders) = async_channel::bounded(ORDERS_MAX);
        let latest = Arc::<Latest>::default();
        let binder = Binder {
            orders: sender,
            latest: Arc::clone(&latest),
        };
        let bindings = Self {
            registry,
            orders,
            latest,
        };
        (binder, bindings)
    }

    /// Renews bound leases while their lives last, and ends them with those. Runs until nobody can bind any more.
    pub async fn run(self) {
        let mut bound: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>> =
            FuturesUnordered::new();
        loop {
            let order = async { Some(self.orders.recv().await) };
            let ended = async {
                if bound.next().await.is_none() {
                    future::pending::<()>().await;
                }
                None
            };
            match future::or(order, ended).await {
                Some(Ok(order)) => {
                    let (registry, latest) = (self.registry.clone(), Arc::clone(&self.latest));
                    bound.push(Box::pin(watch(registry, latest, order)));
                }
                Some(Err(_)) => return,
                None => {}
            }
        }
    }
}

/// Watches over one bound lease until its life ends, or it is bound to another.
async fn watch(registry: Registry, latest: Arc<Latest>, order: Order) {
    let Order {
        service,
        instance_id,
        incarnation,
        fencing_revision,
        ttl,
        life,
        binding,
    } = order;
    let names = (service, instance_id);
    let renew = async {
        let mut ticks = Timer::interval(ttl / RENEWALS);
        while latest.is(&names, binding) {
            ticks.next().await;
            let beat = Heartbeat {
                service: &names.0,
                instance_id: &names.1,
                incarnation: Some(incarnation),
            };
            let renewed = registry.heartbeat(beat, None, Context::default()).await;
            if let Err(error) = renewed {
                tracing::debug!(%error, "a bound lease could not be renewed");
            }
        }
        None
    };
    let ended = async { Some(life.end().await) };
    let Some(reason) = future::or(ended, renew).await else {
        return;
    };
    {
        let mut by_instance = latest.by_instance();
        if by_instance.get(&names) != Some(&binding) {
            return;
        }
        by_instance.remove(&names);
    }
    let context = Context {
        actor: "registry".to_owned(),
        reason: Some(reason),
        idempotency_key: None,
    };
    let change = InstanceChange::Expire { fencing_revision };
    let expired = registry.change_instance(&names.0, &names.1, change, context);
    if let Err(error) = expired.await {
        let (service, instance_id) = names;
        tracing::warn!(%error, service, instance_id, "a bound lease could not be ended; it lapses");
    }
}
