//! Cases without a face: the engine on each store, in this process.

use std::collections::VecDeque;
use std::future::Future;
use std::hint::black_box;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use futures_lite::future::{block_on, poll_once, zip};
use harness::backends::{self, Backend, OpenOptions};
use registry_core::engine::{Context, EngineConfig, Heartbeat, Registry, RegistryError, Reply};
use registry_core::model::InstanceSpec;
use registry_core::{MemoryStore, RegistryStore, Span, SystemClock};

use super::entry;

/// Services in the registries that are read.
pub(super) const SERVICES: u64 = 1000;
/// Services in the one that is read without a face. What finds them by name hashes with other keys in each process; with
/// so many its table is always of the same size, and neither nearly full nor being moved.
const FOUND: u64 = 700;
/// Commands under way at a time, as from so many clients.
const CLIENTS: usize = 64;

/// Runs some work on a registry over a store, and closes it.
pub(super) fn on_store<W>(
    store: Arc<dyn RegistryStore>,
    work: impl FnOnce(Registry) -> W,
) -> Result<()>
where
    W: Future<Output = Result<()>>,
{
    block_on(async {
        let clock = Arc::new(SystemClock::new());
        let (registry, driver) = Registry::open(store, EngineConfig::default(), clock).await?;
        let work = work(registry.clone());
        let work = async {
            let done = work.await;
            registry.begin_close();
            done
        };
        let (done, ended) = zip(work, driver.run()).await;
        ended?;
        done
    })
}

/// Registers the services of these numbers, all of them in the next release each time that they come round.
pub(super) async fn register(registry: &Registry, numbers: Range<u64>) -> Result<()> {
    let registering = numbers.map(|number| {
        let (index, release) = (number % SERVICES, number / SERVICES);
        registry.register(entry::service(index, release))
    });
    all(registering).await
}

/// Runs futures that hand something to the driver, some at a time, each begun before the next.
async fn all<F>(futures: impl Iterator<Item = F>) -> Result<()>
where
    F: Future<Output = Result<Reply, RegistryError>>,
{
    let mut under_way = VecDeque::new();
    for future in futures {
        if under_way.len() == CLIENTS {
            for begun in under_way.drain(..) {
                let reply: Result<Reply, RegistryError> = Box::pin(begun).await;
                reply?;
            }
        }
        let mut future = Box::pin(future);
        match poll_once(&mut future).await {
            Some(reply) => drop(reply?),
            None => under_way.push_back(future),
        }
    }
    for begun in under_way {
        begun.await?;
    }
    Ok(())
}

pub(super) fn lookup(operations: u64) -> Result<()> {
    on_store(Arc::new(MemoryStore::new()), |registry| async move {
        register(&registry, 0..FOUND).await?;
        let names: Vec<String> = (0..FOUND).map(entry::name).collect();
        let all = (0..operations).zip(names.iter().cycle());
        for (_, name) in all {
            let found = registry.get(name).await?;
            ensure!(black_box(found).is_some(), "{name} is not there");
        }
        Ok(())
    })
}

pub(super) fn heartbeat(operations: u64) -> Result<()> {
    on_store(Arc::new(MemoryStore::new()), |registry| async move {
        register_instances(&registry).await?;
        let ids: Vec<String> = (0..SERVICES).map(instance_id).collect();
        let view = registry.stale_view();
        let all = (0..operations).zip(ids.iter().cycle());
        for (_, instance_id) in all {
            let beat = Heartbeat {
                service: SERVICE,
                instance_id,
                incarnation: Some(1),
            };
            ensure!(
                registry.try_heartbeat(&view, beat),
                "the lease of {instance_id} is lost"
            );
        }
        Ok(())
    })
}

/// The service that instances belong to.
pub(super) const SERVICE: &str = "api";

/// The id of the n-th instance.
pub(super) fn instance_id(index: u64) -> String {
    format!("instance-{index:06}")
}

/// Begins a lease of each of a thousand instances.
pub(super) async fn register_instances(registry: &Registry) -> Result<()> {
    let registering = (0..SERVICES).map(|index| {
        let spec = InstanceSpec {
            lease_ttl: Span::from_secs(3600),
            ..InstanceSpec::new(SERVICE, instance_id(index), "10.0.0.7", 80)
        };
        registry.register_instance(spec, Some(1), Context::default())
    });
    all(registering).await
}

pub(super) fn register_memory(operations: u64) -> Result<()> {
    register_on(Arc::new(MemoryStore::new()), operations)
}

fn register_on(store: Arc<dyn RegistryStore>, operations: u64) -> Result<()> {
    on_store(store, |registry| async move {
        register(&registry, 0..SERVICES + operations).await
    })
}

fn open(backend: Backend, folder: &Path) -> Result<Arc<dyn RegistryStore>> {
    let path = folder.join("registry").with_extension(backend.extension());
    Ok(backends::open(backend, &path, &OpenOptions::default())?)
}

fn register_in(backend: Backend, operations: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    register_on(open(backend, folder.path())?, operations)
}

/// Opens a store again and again, until so many records were read.
fn open_with(backend: Backend, records: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    on_store(open(backend, folder.path())?, |registry| async move {
        register(&registry, 0..SERVICES).await
    })?;
    for _ in 0..records / SERVICES {
        on_store(open(backend, folder.path())?, |registry| async move {
            let found = registry.stale_view().len() as u64;
            ensure!(
                found == SERVICES,
                "expected {SERVICES} services, found {found}"
            );
            Ok(())
        })?;
    }
    Ok(())
}

pub(super) fn register_redb(operations: u64) -> Result<()> {
    register_in(Backend::Redb, operations)
}

pub(super) fn register_sqlite(operations: u64) -> Result<()> {
    register_in(Backend::Sqlite, operations)
}

pub(super) fn open_redb(records: u64) -> Result<()> {
    open_with(Backend::Redb, records)
}

pub(super) fn open_sqlite(records: u64) -> Result<()> {
    open_with(Backend::Sqlite, records)
}
