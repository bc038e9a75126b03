//! Two daemons on one path.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::backends::Backend;
use harness::client::{Address, ClientError, Connection};
use harness::{Endpoint, ExecutionInfo, Protocol, Registry, ServiceEntry};
use serde_json::json;
use tempfile::TempDir;

use crate::Failure;
use crate::settings::Settings;

/// Registrations under way at a time while the store is filled.
const FILLING_MAX: usize = 4096;

/// A daemon, killed when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    url: String,
}

/// The daemon that owns the store and the one that attached to it; SQLite has no owner, and the first stands for it.
pub(crate) struct Pair {
    /// The owner is the first, and is missing while the other takes over.
    daemons: Vec<Daemon>,
    backend: Backend,
    program: PathBuf,
    // Removed after the daemons are gone: fields are dropped in order.
    folder: TempDir,
}

impl Pair {
    /// Fills a store and starts both daemons on it.
    pub(crate) fn start(backend: Backend, settings: &Settings) -> Result<Self, Failure> {
        let mut pair = Self {
            daemons: Vec::new(),
            backend,
            program: match &settings.daemon {
                Some(program) => program.clone(),
                None => built_beside()?,
            },
            folder: tempfile::tempdir()?,
        };
        fill(&pair.path(), settings.records)?;
        pair.join()?;
        pair.join()?;
        Ok(pair)
    }

    pub(crate) fn owner(&self) -> &Daemon {
        &self.daemons[0]
    }

    pub(crate) fn other(&self) -> &Daemon {
        &self.daemons[1]
    }

    /// Kills the owner, and returns once its process is gone.
    pub(crate) fn kill_owner(&mut self) {
        drop(self.daemons.remove(0));
    }

    /// Starts another daemon on the path, and returns once it is ready.
    pub(crate) fn join(&mut self) -> Result<(), Failure> {
        let daemon = Daemon::start(&self.program, self.backend, &self.path())?;
        self.daemons.push(daemon);
        Ok(())
    }

    fn path(&self) -> PathBuf {
        let name = Path::new("registry").with_extension(self.backend.extension());
        self.folder.path().join(name)
    }
}

impl Daemon {
    fn start(program: &Path, backend: Backend, path: &Path) -> Result<Self, Failure> {
        let mut child = Command::new(program)
            .args(["daemon", "start", "--bind", "127.0.0.1:0"])
            .args(["--registry-backend", backend.as_str(), "--registry-path"])
            .arg(path)
            .args(["--log-level", "error"])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("start {}: {error}", program.display()))?;
        let output = child.stdout.take().ok_or("its output is a pipe")?;
        let mut daemon = Self {
            child,
            url: String::new(),
        };
        let mut ready = String::new();
        BufReader::new(output).read_line(&mut ready)?;
        let mut words = ready.split_whitespace();
        match (words.next(), words.next()) {
            (Some("ready"), Some(url)) => url.clone_into(&mut daemon.url),
            _ => return Err(format!("the daemon said {ready:?}").into()),
        }
        Ok(daemon)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemon's program, in the folder above that of the examples.
fn built_beside() -> Result<PathBuf, Failure> {
    let this = std::env::current_exe()?;
    let folder = this.ancestors().nth(2).ok_or("find the daemon's program")?;
    let program = folder.join("harness");
    if program.is_file() {
        return Ok(program);
    }
    Err(format!("{} is not built; or name it by --daemon", program.display()).into())
}

/// Makes a store with so many services, and closes it.
fn fill(path: &Path, records: usize) -> Result<(), Failure> {
    let registry = Registry::with_persistence(path)?;
    smol::block_on(async {
        let mut number = 0;
        while number < records {
            let end = records.min(number + FILLING_MAX);
            let registering: Vec<_> = (number..end)
                .map(|number| {
                    let registry = registry.clone();
                    smol::spawn(async move { registry.register(entry(&name(number), 0)).await })
                })
                .collect();
            for registered in registering {
                registered.await?;
            }
            number = end;
        }
        registry.close().await?;
        Ok(())
    })
}

/// The name of one of the services that the store is filled with.
pub(crate) fn name(number: usize) -> String {
    format!("filled-{number:06}")
}

/// An entry of the size that real ones have, some 400 bytes.
fn entry(name: &str, version: u64) -> ServiceEntry {
    let endpoint = |name: &str, port| Endpoint {
        name: name.to_owned(),
        address: ([10, 1, 2, 3], port).into(),
        protocol: Protocol::new("http"),
    };
    ServiceEntry {
        execution: ExecutionInfo::DockerContainer {
            container_id: "4f6b2c0f8d1e".to_owned(),
            image: format!("registry.example.net/load/{name}:1.{version}.0"),
        },
        endpoints: vec![endpoint("http", 8080), endpoint("metrics", 9090)],
        depends_on: ["collector", "database", "queue"].map(str::to_owned).into(),
        ..ServiceEntry::new(name, format!("1.{version}.0"))
    }
}

pub(crate) async fn connect(url: &str) -> Result<Connection, Failure> {
    let address: Address = url.parse()?;
    Ok(Connection::connect(&address, None).await?)
}

/// Registers a service, new or not, and returns once that is acknowledged.
pub(crate) async fn register(
    connection: &mut Connection,
    name: &str,
    version: u64,
) -> Result<(), ClientError> {
    let params = json!({ "service": entry(name, version) });
    connection.call("register_service", &params).await.map(drop)
}
