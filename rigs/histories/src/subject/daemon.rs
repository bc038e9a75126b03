//! Daemons on one path that are killed in turn, with clients and watchers over WebSocket.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use futures_lite::future::{self, block_on};
use harness::api::{ErrorCode, EventMessage};
use harness::backends::Backend;
use harness::client::{Address, ClientError, Connection};
use harness::core::{Clock as _, Revision, SystemClock};
use harness::store::Location;
use harness::{Registry, WsConfig, WsServer};
use serde_json::{Value, json};

use crate::history::{Answer, Call, Found, History, Told};
use crate::recorder::Recorder;
use crate::subject::attach::{location_in, log_of};
use crate::subject::registry::value_of;
use crate::subject::written::{whole_log, write_down};
use crate::workload::{Plan, Way, run_client};

const WATCHERS: usize = 2;
/// Pause before another attempt to reach a daemon.
const PAUSE: Duration = Duration::from_millis(2);

/// The part of a daemon: serves a path at an address until it is killed.
///
/// # Errors
/// A store that cannot be opened, an address that is taken.
pub(crate) fn serve(path: &Path, addr: &str) -> Result<()> {
    let registry = Registry::with_persistence(path)?;
    let server = WsServer::new(&registry, WsConfig::default());
    let serving = async {
        let listener = server.listen(addr).await?;
        say_ready();
        loop {
            let handler = listener.next().await;
            // Why a connection ended is its peer's affair.
            smol::spawn(async move { drop(handler.handle().await) }).detach();
        }
    };
    let writing = async {
        write_down(registry.engine(), path)
            .await
            .map(|never| match never {})
    };
    block_on(future::or(serving, writing))
}

#[expect(clippy::print_stdout, reason = "the parent waits for it")]
fn say_ready() {
    println!("ready");
}

/// Makes a history of so many daemons on one path that are killed in turn, and answers how long each took to be ready
/// after a kill.
///
/// # Errors
/// A daemon that does not start, a store that cannot be read.
pub(crate) fn daemons(
    plan: Plan,
    backend: Backend,
    count: usize,
) -> Result<(History, Vec<Duration>)> {
    let folder = tempfile::tempdir()?;
    let location = location_in(folder.path(), backend);
    let stage = Stage {
        addresses: (0..count).map(|_| free_address()).collect::<Result<_>>()?,
        recorder: Recorder::default(),
        working: AtomicUsize::new(plan.clients),
        is_over: AtomicBool::new(false),
        seed: plan.seed,
    };
    let mut running = Vec::new();
    for address in &stage.addresses {
        running.push(Some(Daemon::start(&location, address)?));
    }
    let reopened = thread::scope(|scope| {
        let stage = &stage;
        for client in 0..plan.clients {
            scope.spawn(move || {
                let mut way = Remote {
                    stage,
                    number: client,
                    connection: None,
                };
                block_on(run_client(plan, client, &mut way, &stage.recorder));
                stage.working.fetch_sub(1, Ordering::SeqCst);
            });
        }
        for number in 0..WATCHERS {
            scope.spawn(move || stage.watch(number));
        }
        stage.kill_in_turn(&location, &mut running)
    })?;
    drop(running);
    let (operations, watchers) = stage.recorder.into_parts();
    let history = History {
        operations,
        watchers,
        log: whole_log(folder.path(), log_of(&location)?)?,
    };
    Ok((history, reopened))
}

fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

/// A daemon, killed when it is dropped.
struct Daemon(Child);

impl Daemon {
    fn start(location: &Location, address: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--address", address, "--path"])
            .arg(&location.path)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("its output is a pipe")?;
        let mut ready = String::new();
        BufReader::new(output).read_line(&mut ready)?;
        let daemon = Self(child);
        ensure!(ready == "ready\n", "the daemon at {address} said {ready:?}");
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Stage {
    addresses: Vec<String>,
    recorder: Recorder,
    working: AtomicUsize,
    is_over: AtomicBool,
    seed: u64,
}

impl Stage {
    /// Kills one daemon after the other while clients work, and starts it again.
    fn kill_in_turn(
        &self,
        location: &Location,
        running: &mut [Option<Daemon>],
    ) -> Result<Vec<Duration>> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let clock = SystemClock::new();
        let mut done = Ok(Vec::new());
        while self.working.load(Ordering::SeqCst) > 0 {
            let Ok(reopened) = &mut done else { break };
            block_on(smol::Timer::after(Duration::from_millis(rng.u64(20..150))));
            let number = rng.usize(..running.len());
            running[number] = None;
            let killed = clock.monotonic();
            match Daemon::start(location, &self.addresses[number]) {
                Ok(daemon) => {
                    running[number] = Some(daemon);
                    reopened.push(clock.monotonic().saturating_sub(killed));
                }
                Err(error) => done = Err(error),
            }
        }
        self.is_over.store(true, Ordering::SeqCst);
        done
    }

    /// Connects to one of the daemons, that of the number first.
    async fn connect(&self, number: usize) -> Connection {
        for attempt in number.. {
            let address = &self.addresses[attempt % self.addresses.len()];
            let address: Address = format!("ws://{address}/ws")
                .parse()
                .expect("it is an address");
            if let Ok(connection) = Connection::connect(&address, None).await {
                return connection;
            }
            smol::Timer::after(PAUSE).await;
        }
        unreachable!("a daemon is started again after each kill")
    }

    fn watch(&self, number: usize) {
        let mut told = Vec::new();
        let mut after = Revision::ZERO;
        while !self.is_over.load(Ordering::SeqCst) {
            let over = async {
                while !self.is_over.load(Ordering::SeqCst) {
                    smol::Timer::after(PAUSE).await;
                }
            };
            let watching = async { self.watch_once(number, &mut after, &mut told).await };
            block_on(future::or(watching, over));
        }
        self.recorder.watched(told);
    }

    /// Watches over one connection until that ends, or for a random number of events.
    async fn watch_once(&self, number: usize, after: &mut Revision, told: &mut Vec<Told>) {
        let mut connection = self.connect(number).await;
        let params = json!({ "resume_after": after });
        match connection.call("subscribe", &params).await {
            Ok(_) => {}
            Err(ClientError::Refused(refusal)) if refusal.code == ErrorCode::Compacted => {
                return skip(&mut connection, after, told).await;
            }
            Err(_) => return,
        }
        told.push(Told::Began(*after));
        for _ in 0..fastrand::usize(50..400) {
            let Ok(event) = connection.event().await else {
                return;
            };
            if event.is_compacted() {
                return skip(&mut connection, after, told).await;
            }
            if !take(&event, after, told) {
                return;
            }
        }
    }
}

/// Goes on with the state of now, where what came before was compacted.
async fn skip(connection: &mut Connection, after: &mut Revision, told: &mut Vec<Told>) {
    let params = json!({ "limit": 1 });
    let all = connection.call("list_services", &params).await.ok();
    let seen = all.and_then(|data| data["revision"].as_u64());
    if let Some(seen) = seen {
        *after = Revision(seen);
        told.push(Told::Lost(*after));
    }
}

/// Writes an event down, and answers whether the subscription goes on.
fn take(event: &EventMessage, after: &mut Revision, told: &mut Vec<Told>) -> bool {
    if event.is_lagged() {
        return false;
    }
    let data: Value = serde_json::from_str(event.data.get()).unwrap_or_default();
    let Some(revision) = data["revision"].as_u64().map(Revision) else {
        return false;
    };
    if event.complete {
        told.push(Told::Change(revision));
        told.push(Told::Through(revision));
        *after = revision;
    } else {
        told.push(Told::Part(revision));
    }
    true
}

/// Calls whichever daemon lives.
struct Remote<'a> {
    stage: &'a Stage,
    number: usize,
    connection: Option<Connection>,
}

#[async_trait]
impl Way for Remote<'_> {
    async fn call(&mut self, operation: u64, call: &Call) -> Answer {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.stage.connect(self.number).await,
        };
        let (action, params) = request(operation, call);
        match connection.call(action, &params).await {
            Ok(data) => {
                self.connection = Some(connection);
                answer(call, &data)
            }
            Err(ClientError::Refused(refusal)) => {
                if refusal.code != ErrorCode::ShuttingDown {
                    self.connection = Some(connection);
                }
                match refusal.code {
                    ErrorCode::NotFound | ErrorCode::AlreadyExists | ErrorCode::StaleRevision => {
                        Answer::Refused
                    }
                    ErrorCode::Contended | ErrorCode::StoreUnavailable | ErrorCode::Overloaded => {
                        Answer::Failed
                    }
                    _ => Answer::Unknown,
                }
            }
            Err(_) => Answer::Unknown,
        }
    }
}

fn request(operation: u64, call: &Call) -> (&'static str, Value) {
    let reason = operation.to_string();
    match call {
        Call::Put { key, value, expect } => {
            let service = json!({ "name": key, "version": value.to_string() });
            (
                "register_service",
                json!({ "service": service, "expect_revision": expect, "reason": reason }),
            )
        }
        Call::Delete { key, expect } => (
            "deregister_service",
            json!({ "name": key, "expect_revision": expect, "reason": reason }),
        ),
        Call::Get { key } => ("list_services", json!({ "filter": { "names": [key] } })),
        Call::List => ("list_services", json!({ "limit": 1000 })),
    }
}

fn answer(call: &Call, data: &Value) -> Answer {
    let Some(revision) = data["revision"].as_u64().map(Revision) else {
        return Answer::Unknown;
    };
    let services = data["services"].as_array().into_iter().flatten();
    let mut found = services.map(|service| {
        let name = service["name"].as_str().unwrap_or_default().to_owned();
        let version = service["version"].as_str().unwrap_or_default();
        let modified = Revision(service["revision"].as_u64().unwrap_or_default());
        (
            name,
            Found {
                value: value_of(version),
                modified,
            },
        )
    });
    match call {
        Call::Put { .. } | Call::Delete { .. } => Answer::Written(revision),
        Call::Get { .. } => Answer::Read {
            revision,
            found: found.next().map(|(_, found)| found),
        },
        Call::List => Answer::Listed {
            revision,
            found: found.collect(),
        },
    }
}
