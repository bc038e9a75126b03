//! The daemon: one store, one registry, one port.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use harness::backends::{Backend, OpenOptions};
use harness::core::engine::{self, Driver, RegistryError};
use harness::core::{OpenMode, Result as StoreResult, SystemClock};
use harness::settings::Settings;
use harness::store::{Claim, Location, Opened, Source, adopt};
use registry_api::{Api, Peer};
use registry_http::{BindAddress, HttpServer, Listener, StdStream, Stream, Tls};
use registry_ws::{WsConfig, WsServer};
use rustix::fs::{Access, access};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;

use super::config::{Flags, Layered};
use super::exit::Usage;
use super::output;
use super::workers::Workers;

/// Time that connections have to take their last answers.
const DRAIN: Duration = Duration::from_secs(5);
/// Time between two looks at what the log may let go of.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Verbs of `harness daemon`.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Opens the registry and serves it until SIGTERM or ctrl-c.
    Start {
        #[command(flatten)]
        flags: Flags,
    },
}

/// Runs the daemon.
pub(crate) async fn run(verb: Verb) -> Result<ExitCode> {
    let Verb::Start { flags } = verb;
    let Settings { log_level, .. } = Layered::read(&flags)?.settings;
    let filter = EnvFilter::try_new(&log_level).map_err(|error| {
        Usage(format!(
            "log_level: expected a level or a filter, found {log_level:?}: {error}"
        ))
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    start(&Layered::read(&flags)?.settings).await?;
    Ok(ExitCode::SUCCESS)
}

/// Signals that ask the daemon to end.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn start(settings: &Settings) -> Result<()> {
    settings.check()?;
    let ws = settings.ws()?;
    let addresses = listen_addresses(settings, &ws)?;
    let tls = settings.tls()?.map(Arc::new);
    let mut stop = Stop::new()?;
    raise_file_limit();
    // The ports are taken first: a daemon that cannot have them leaves the store alone.
    let mut listeners = Vec::new();
    for address in &addresses {
        let listener = Listener::bind(address).await;
        listeners.push(listener.with_context(|| format!("listen on {address}"))?);
    }
    let workers = Workers::start().context("start the threads that serve connections")?;
    let workers = Arc::new(workers);
    let location = place(settings)?;
    let (registry, driver, sharing) = open(settings, &location).await?;
    let driving = drive(driver)?;
    let (api, bindings) = Api::with_bindings(registry.clone());
    tokio::spawn(bindings.run());
    let ws = WsServer::new(api, ws);
    let server = HttpServer::new(ws, settings.http()?);
    let addresses: Result<Vec<_>, _> = listeners.iter().map(Listener::local_address).collect();
    tell_ready(&registry, &location, &addresses?, tls.is_some())?;

    let mut working = tokio::task::JoinSet::new();
    for listener in listeners {
        working.spawn(accept(
            listener,
            server.clone(),
            tls.clone(),
            Arc::clone(&workers),
        ));
    }
    working.spawn(retain(registry.clone()));
    if let Some(tls) = tls {
        let interval = settings.tls_reload_interval()?;
        working.spawn(async move { tls.keep_fresh(interval).await });
    }
    let mut driving = std::pin::pin!(driving);
    tokio::select! {
        () = stop.wait() => tracing::info!("ending: connections take their last answers"),
        ended = &mut driving => return Ok(ended.context("the driver panicked")??),
    }
    // The sockets are closed, and those in the file system removed.
    working.shutdown().await;
    server.begin_close();
    let drained = tokio::time::timeout(DRAIN, async {
        while server.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    if drained.await.is_err() {
        tracing::warn!(
            connections = server.connections(),
            "connections that did not end are cut off"
        );
    }
    registry.begin_close();
    driving.await.context("the driver panicked")??;
    sharing.await.context("what serves the store panicked")??;
    tracing::info!("ended: the store is closed");
    Ok(())
}

/// Runs the driver on a thread of its own, and answers how it ended: nothing where it panicked.
fn drive(driver: Driver) -> Result<oneshot::Receiver<Result<(), RegistryError>>> {
    let (ended, driving) = oneshot::channel();
    let thread = std::thread::Builder::new().name("harness-driver".to_owned());
    thread
        // Nobody waits for it any more where the daemon itself failed.
        .spawn(move || drop(ended.send(driver.run_blocking())))
        .context("start the driver's thread")?;
    Ok(driving)
}

/// Has as many files open as the process may. Each connection is one, and the limit that shells set is lower than
/// `connections_max`.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays as it was");
    }
}

/// The addresses to listen on. Beyond this machine a token is required.
pub(super) fn listen_addresses(settings: &Settings, ws: &WsConfig) -> Result<Vec<BindAddress>> {
    let addresses = settings.bind()?;
    for address in &addresses {
        let BindAddress::Tcp(addr) = address else {
            continue;
        };
        if !addr.ip().is_loopback() && !ws.authenticator.is_required() {
            let problem = format!(
                "bind: {addr} can be reached from elsewhere, so a token is required: set HARNESS_TOKEN"
            );
            return Err(Usage(problem).into());
        }
    }
    Ok(addresses)
}

/// Where the store is, or will be. Makes nothing.
pub(super) fn place(settings: &Settings) -> Result<Location> {
    let named = settings.backend()?;
    if settings.registry_path.as_os_str().is_empty() {
        let backend = named.unwrap_or_else(Backend::default_of_build);
        let folder = default_folder(backend)?;
        return Ok(Location {
            backend,
            path: folder.join("registry").with_extension(backend.extension()),
        });
    }
    let path = &settings.registry_path;
    match named {
        Some(backend) => Ok(Location {
            backend,
            path: path.clone(),
        }),
        None => Ok(path
            .to_str()
            .map(str::parse)
            .transpose()
            .map_err(Usage)?
            .unwrap_or_else(|| Location::of_path(path))),
    }
}

/// `/var/lib/harness` where it can be written, else the user's own data folder.
fn default_folder(backend: Backend) -> Result<PathBuf> {
    let system = Path::new("/var/lib/harness");
    if backend == Backend::Memory || is_writable(system) {
        return Ok(system.to_path_buf());
    }
    let data = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share"));
    let folder = data
        .or_else(home)
        .context("registry_path: neither XDG_DATA_HOME nor HOME is set; name a path")?;
    Ok(folder.join("harness"))
}

/// Whether files can be made in a folder, or the folder where it is missing.
fn is_writable(folder: &Path) -> bool {
    let existing = folder.ancestors().find(|folder| folder.exists());
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    existing.is_some_and(|folder| folder.is_dir() && access(folder, wanted).is_ok())
}

/// Opens the registry, with its driver and what serves its store to other processes.
async fn open(
    settings: &Settings,
    location: &Location,
) -> Result<(engine::Registry, Driver, JoinHandle<StoreResult<()>>)> {
    if location.backend != Backend::Memory {
        migrate_legacy(location).await?;
        if let Some(folder) = location
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("create {}", folder.display()))?;
        }
    }
    let options = OpenOptions {
        mode: OpenMode::OpenOrCreate,
        durability: settings.durability()?,
        cache_bytes: settings.cache_bytes()?,
    };
    // A memory store is volatile, whatever else is asked of those that persist.
    let Opened { store, beside, .. } = location.share(Claim::OwnNewer, &options).await?;
    let sharing = tokio::spawn(beside.run());
    let clock = Arc::new(SystemClock::new());
    let (registry, driver) = engine::Registry::open(store, settings.engine()?, clock).await?;
    Ok((registry, driver, sharing))
}

/// Migrates a legacy file that lies where the store would be. The file is kept.
async fn migrate_legacy(location: &Location) -> Result<()> {
    let legacy = Location {
        backend: Backend::Json,
        path: location.path.with_extension("json"),
    };
    let Source::Legacy(file) = Source::of(legacy) else {
        return Ok(());
    };
    let adopted = adopt(&file, location).await;
    let Some(adopted) =
        adopted.context("migrate the registry file that lies where the store would be")?
    else {
        return Ok(());
    };
    for warning in &adopted.migrated.warnings {
        tracing::warn!(%warning, "migrated");
    }
    let (services, from) = (adopted.migrated.records, adopted.kept.display());
    tracing::info!(services, %from, to = %location, "migrated; the file is kept");
    Ok(())
}

fn tell_ready(
    registry: &engine::Registry,
    location: &Location,
    addresses: &[BindAddress],
    is_tls: bool,
) -> Result<()> {
    let view = registry.stale_view();
    let capabilities = registry.capabilities();
    let path = match location.backend {
        Backend::Memory => "-".to_owned(),
        _ => location.path.display().to_string(),
    };
    let (backend, durability) = (capabilities.backend, capabilities.durability);
    let (revision, services) = (view.revision(), view.len());
    let scheme = if is_tls { "wss" } else { "ws" };
    let addresses: Vec<_> = addresses
        .iter()
        .map(|address| match address {
            BindAddress::Tcp(addr) => format!("{scheme}://{addr}/ws"),
            BindAddress::Unix(_) => address.to_string(),
        })
        .collect();
    let addresses = addresses.join(" ");
    output::print_line(&format!(
        "ready {addresses} backend={backend} durability={durability} path={path} revision={revision} services={services}"
    ))
}

async fn accept(
    listener: Listener,
    server: HttpServer,
    tls: Option<Arc<Tls>>,
    workers: Arc<Workers>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (server, tls) = (server.clone(), tls.clone());
                let stream = stream.into_std();
                workers.serve(async move {
                    if let Err(error) = serve(server, tls, stream, peer).await {
                        tracing::warn!(%peer, %error, "a connection could not be served");
                    }
                });
            }
            Err(error) => {
                // Such as too many open files: they become fewer again.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Serves a connection to its end, on the runtime that this runs on.
async fn serve(
    server: HttpServer,
    tls: Option<Arc<Tls>>,
    stream: io::Result<StdStream>,
    peer: Peer,
) -> io::Result<()> {
    let stream = Stream::from_std(stream?)?;
    let ended = match tls.filter(|_| matches!(stream, Stream::Tcp(_))) {
        Some(tls) => server.handle_tls(&tls, stream, peer).await,
        None => server.handle(stream, peer).await,
    };
    if let Err(ended) = ended {
        tracing::debug!(%peer, %ended, "a connection ended");
    }
    Ok(())
}

async fn retain(registry: engine::Registry) {
    let mut interval = tokio::time::interval(RETENTION_INTERVAL);
    loop {
        interval.tick().await;
        match registry.enforce_retention().await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "log entries were compacted"),
            Err(error) => tracing::warn!(%error, "the log could not be compacted"),
        }
    }
}
