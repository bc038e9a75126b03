//! Daemons that are killed and started again and again, a writer that goes on, and three watchers that count: every
//! revision once, in order.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;

use futures_lite::future::block_on;
use harness::backends::Backend;
use serde_json::{Value, json};

use crate::fixture::{Client, Daemon, free_port, persistent, store_path, text};

/// Kills of each backend's daemon; `HARNESS_CHAOS_KILLS` asks for more.
const KILLS: usize = 3;
/// Acknowledged registrations between two kills.
const BETWEEN: u64 = 60;

/// What everybody who takes part knows.
struct Stage {
    /// Where daemons of the one store listen, when they live.
    addrs: Vec<String>,
    /// Counts connections, so that they go to each daemon in turn.
    turn: AtomicUsize,
    acknowledged: Mutex<u64>,
    more: Condvar,
    is_over: AtomicBool,
    /// The last revision of all, once it is known.
    last: AtomicU64,
}

impl Stage {
    fn acknowledged(&self) -> MutexGuard<'_, u64> {
        self.acknowledged
            .lock()
            .expect("nobody panics while they hold it")
    }

    fn acknowledge(&self) {
        *self.acknowledged() += 1;
        self.more.notify_all();
    }

    /// Waits until so many registrations more were acknowledged.
    fn wait_for_more(&self, count: u64) {
        let mut acknowledged = self.acknowledged();
        let enough = *acknowledged + count;
        while *acknowledged < enough {
            acknowledged = self
                .more
                .wait(acknowledged)
                .expect("nobody panics while they hold it");
        }
    }

    fn new(daemons: usize) -> Self {
        Self {
            addrs: (0..daemons).map(|_| free_port()).collect(),
            turn: AtomicUsize::new(0),
            acknowledged: Mutex::default(),
            more: Condvar::new(),
            is_over: AtomicBool::new(false),
            last: AtomicU64::new(0),
        }
    }

    fn is_told(&self, seen: &Seen) -> bool {
        let last = self.last.load(Ordering::SeqCst);
        last != 0 && seen.0 >= last
    }

    /// Connects as soon as somebody listens.
    fn connect(&self) -> (&str, TcpStream) {
        loop {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let addr = &self.addrs[turn % self.addrs.len()];
            if let Ok(stream) = TcpStream::connect(addr) {
                return (addr, stream);
            }
            thread::yield_now();
        }
    }

    /// The address of the WebSocket face of somebody who listens.
    fn url(&self) -> String {
        format!("ws://{}/ws", self.connect().0)
    }
}

/// The revision that an event's data tells.
fn revision(data: &Value) -> u64 {
    data["revision"]
        .as_u64()
        .expect("every event has a revision")
}

/// The last revision that a watcher was told.
#[derive(Default)]
struct Seen(u64);

impl Seen {
    /// Takes what is told next; each revision has one event here.
    fn take(&mut self, revision: u64, who: &str) {
        assert_eq!(
            revision,
            self.0 + 1,
            "{who}: a revision was lost or told twice"
        );
        self.0 = revision;
    }
}

fn start(folder: &Path, backend: Backend, addr: &str) -> Daemon {
    let path = store_path(folder, backend);
    Daemon::start(&[
        "--registry-backend",
        backend.as_str(),
        "--registry-path",
        text(&path),
        "--bind",
        addr,
    ])
}

/// Registers one service after the other until it is over, each until it is acknowledged. Services alone: who keeps
/// leases is a matter of the store's, and changes without an event.
fn write(stage: &Stage) {
    let mut number = 0;
    while !stage.is_over.load(Ordering::SeqCst) {
        block_on(async {
            let Some(mut client) = Client::try_connect(&stage.url()).await else {
                return;
            };
            while !stage.is_over.load(Ordering::SeqCst) {
                // Sent again after a lost answer, it is the same registration and no second revision.
                let service = json!({ "name": format!("s-{number}"), "version": "1" });
                let params = json!({ "service": service });
                match client.request("register_service", params).await {
                    Some(answer) if answer["data"]["revision"].is_u64() => {
                        number += 1;
                        stage.acknowledge();
                    }
                    _ => return,
                }
            }
        });
    }
}

fn watch_websocket(stage: &Stage) -> u64 {
    let mut seen = Seen::default();
    while !stage.is_told(&seen) {
        block_on(async {
            let Some(mut client) = Client::try_connect(&stage.url()).await else {
                return;
            };
            let params = json!({ "resume_after": seen.0 });
            if client.send("subscribe", params).await.is_none() {
                return;
            }
            while !stage.is_told(&seen) {
                let Some(message) = client.receive().await else {
                    return;
                };
                if message["type"] == "event" {
                    seen.take(revision(&message["data"]), "WebSocket");
                }
            }
        });
    }
    seen.0
}

/// Asks in HTTP/1.0, so that the answer is not cut into chunks and ends with the connection.
fn ask(stage: &Stage, path: &str) -> Option<BufReader<TcpStream>> {
    let (_, mut stream) = stage.connect();
    write!(stream, "GET {path} HTTP/1.0\r\nhost: registry\r\n\r\n").ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    while line.len() > 2 {
        line.clear();
        reader.read_line(&mut line).ok()?;
    }
    Some(reader)
}

fn watch_events(stage: &Stage) -> u64 {
    let mut seen = Seen::default();
    while !stage.is_told(&seen) {
        let Some(reader) = ask(stage, &format!("/v1/watch?after={}", seen.0)) else {
            continue;
        };
        let mut data: Option<Value> = None;
        for line in reader.lines().map_while(Result::ok) {
            if let Some(text) = line.strip_prefix("data: ") {
                data = serde_json::from_str(text).ok();
            } else if line.is_empty()
                && let Some(data) = data.take()
            {
                seen.take(revision(&data), "server-sent events");
            }
            if stage.is_told(&seen) {
                break;
            }
        }
    }
    seen.0
}

fn watch_polls(stage: &Stage) -> u64 {
    let mut seen = Seen::default();
    while !stage.is_told(&seen) {
        let path = format!("/v1/watch?after={}&wait=5s", seen.0);
        let Some(mut reader) = ask(stage, &path) else {
            continue;
        };
        let mut body = String::new();
        // Half an answer tells nothing: it is asked again.
        let is_read = reader.read_to_string(&mut body).is_ok();
        let Some(answer) = serde_json::from_str::<Value>(&body)
            .ok()
            .filter(|_| is_read)
        else {
            continue;
        };
        for event in answer["events"].as_array().into_iter().flatten() {
            seen.take(revision(&event["data"]), "long poll");
        }
        if let Some(revision) = answer["revision"].as_u64() {
            assert_eq!(revision, seen.0, "long poll: {answer}");
        }
    }
    seen.0
}

fn kills() -> usize {
    std::env::var("HARNESS_CHAOS_KILLS").map_or(KILLS, |text| {
        text.parse().expect("HARNESS_CHAOS_KILLS is a number")
    })
}

/// Starts a daemon at each address of the stage, kills one after the other while everybody works, and starts it again.
fn play(stage: &Stage, backend: Backend) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let daemons = thread::scope(|scope| {
        let start = |addr: &String| start(folder.path(), backend, addr);
        let mut daemons: Vec<_> = stage.addrs.iter().map(start).collect();
        let writer = scope.spawn(|| write(stage));
        let watchers = [watch_websocket, watch_events, watch_polls]
            .map(|watch| scope.spawn(move || watch(stage)));
        for _ in 0..kills() {
            stage.wait_for_more(BETWEEN);
            // The first is the one that is open for longest, and so the owner where there can be one alone.
            daemons.remove(0).kill();
            let freed = stage.addrs.iter().find(|addr| {
                let mut urls = daemons.iter().map(|daemon: &Daemon| &daemon.url);
                urls.all(|url| !url.contains(addr.as_str()))
            });
            daemons.push(start(freed.expect("one was killed")));
        }
        stage.wait_for_more(BETWEEN);
        stage.is_over.store(true, Ordering::SeqCst);
        writer.join().expect("the writer does not panic");
        let last = last_revision(stage);
        // One more, so that whoever waits for the last one is woken.
        stage.last.store(last + 1, Ordering::SeqCst);
        block_on(async {
            let mut client = Client::connect(&stage.url()).await;
            let params = json!({ "service": { "name": "last", "version": "1" } });
            let answer = client.request("register_service", params).await;
            answer.expect("nobody is killed any more");
        });
        for watcher in watchers {
            let seen = watcher.join().expect("a watcher does not panic");
            assert_eq!(seen, last + 1, "{backend}");
        }
        let acknowledged = *stage.acknowledged();
        assert!(
            last >= acknowledged,
            "{backend}: {acknowledged} were acknowledged, {last} are there"
        );
        daemons
    });
    for daemon in daemons {
        assert!(daemon.terminate().success(), "{backend}");
    }
}

fn last_revision(stage: &Stage) -> u64 {
    block_on(async {
        let mut client = Client::connect(&stage.url()).await;
        let info = client.request("registry_info", json!({})).await;
        let info = info.expect("nobody is killed any more");
        info["data"]["revision"].as_u64().expect("it is a number")
    })
}

#[test]
fn watchers_are_told_every_revision_once_while_the_daemon_is_killed() {
    for backend in persistent() {
        play(&Stage::new(1), backend);
    }
}

#[test]
fn watchers_are_told_every_revision_once_while_owners_are_killed() {
    for backend in persistent() {
        play(&Stage::new(2), backend);
    }
}
