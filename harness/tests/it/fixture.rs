//! Commands, daemons and files that the tests use.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use async_net::TcpStream;
use async_tungstenite::tungstenite::Message;
use async_tungstenite::{WebSocketStream, client_async};
use futures_lite::StreamExt as _;
use harness::backends::Backend;
use serde_json::{Value, json};

/// Backends of this build that outlive the process.
pub(crate) fn persistent() -> Vec<Backend> {
    Backend::ALL
        .into_iter()
        .filter(|backend| *backend != Backend::Memory && backend.is_built_in())
        .collect()
}

/// `registry.redb` and the like in a folder.
pub(crate) fn store_path(folder: &Path, backend: Backend) -> PathBuf {
    folder.join("registry").with_extension(backend.extension())
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// The binary, without settings of the machine it runs on.
pub(crate) fn harness(args: &[&str]) -> Command {
    // The second is where coverage is counted, if it is.
    let kept = |(name, _): &(OsString, OsString)| name == "PATH" || name == "LLVM_PROFILE_FILE";
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
    command
        .args(args)
        .env_clear()
        .envs(std::env::vars_os().filter(kept));
    command
}

/// Runs a command that must succeed, and answers what it printed.
pub(crate) fn run(args: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = harness(args).output().expect("the binary runs");
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{args:?}: {status}: {stderr}");
    String::from_utf8(stdout).expect("output is UTF-8")
}

/// Runs a command that must succeed and prints JSON.
pub(crate) fn run_json(args: &[&str]) -> Value {
    let printed = run(&[args, &["-o", "json"]].concat());
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{args:?}: {error}: {printed}"))
}

/// Runs a command that must fail, and answers its code and its message.
pub(crate) fn run_refused(args: &[&str]) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = harness(args).output().expect("the binary runs");
    let stdout = String::from_utf8_lossy(&stdout);
    assert!(!status.success(), "{args:?} succeeded: {stdout}");
    let code = status
        .code()
        .unwrap_or_else(|| panic!("{args:?} was ended by a signal: {status}"));
    (code, String::from_utf8_lossy(&stderr).into_owned())
}

/// Every file in a folder and in those below it, with its content. A socket is none.
pub(crate) fn files_in(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            files.extend(files_in(&path));
        } else if path.is_file() {
            let content = std::fs::read(&path).expect("the file can be read");
            files.insert(path, content);
        }
    }
    files
}

/// A registry file of the old form with so many services, `service-00000` and so on.
pub(crate) fn many_services(folder: &Path, count: usize) -> PathBuf {
    let path = folder.join("many.json");
    let entries: serde_json::Map<String, Value> = (0..count)
        .map(|index| {
            let name = format!("service-{index:05}");
            let image = format!("registry.example.net/team/{name}:1.{index}.0");
            let entry = json!({
                "name": name,
                "version": format!("1.{index}.0"),
                "execution": { "DockerContainer": { "container_id": "", "image": image } },
                "location": "Local",
                "endpoints": [
                    { "name": "http", "address": "10.1.2.3:8080", "protocol": "Http" },
                    { "name": "metrics", "address": "10.1.2.3:9090", "protocol": "Http" },
                ],
                "depends_on": ["collector", "database"],
                "state": "Running",
                "last_health_check": null,
            });
            (name, entry)
        })
        .collect();
    let json = serde_json::to_vec(&entries).expect("string keys");
    std::fs::write(&path, json).expect("the folder is ours");
    path
}

/// A file to import, with so many instances of ten services in three zones of two regions, each with a lease of so long:
/// `service-0` to `service-9`, `instance-00000` and so on, in zones `a`, `b` and `c`.
pub(crate) fn many_instances(folder: &Path, count: usize, ttl: &str) -> PathBuf {
    let path = folder.join("instances.ndjson");
    let lines: Vec<String> = (0..count)
        .map(|index| {
            let zone = ["a", "b", "c"][index % 3];
            let metadata = json!({
                "system": "demo",
                "image": format!("registry.example.net/demo:{index}"),
                "replica": (index / 30).to_string(),
            });
            let instance = json!({
                "service": format!("service-{}", index % 10),
                "instance_id": format!("instance-{index:05}"),
                "address": format!("10.{}.{}.{}", index % 3, index / 250, index % 250),
                "port": 9000 + index % 100,
                "zone": zone,
                "region": if zone == "c" { "west" } else { "east" },
                "metadata": metadata,
                "lease_ttl": ttl,
            });
            instance.to_string()
        })
        .collect();
    std::fs::write(&path, lines.join("\n")).expect("the folder is ours");
    path
}

/// Waits for the end of a process that was started, which must be a success.
pub(crate) fn wait_for(mut child: Child) {
    let status = child.wait().expect("it is our child");
    assert!(status.success(), "{status}");
}

/// A daemon on a free port. Killed when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) ready: String,
    pub(crate) url: String,
}

impl Daemon {
    /// Starts one, and waits for its ready line.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = Self::spawn(args);
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut ready = String::new();
        BufReader::new(stdout)
            .read_line(&mut ready)
            .expect("the daemon prints");
        let is_ready = ["ready ws://", "ready wss://"]
            .iter()
            .any(|start| ready.starts_with(start));
        assert!(is_ready, "{args:?}: {ready:?}");
        let url = ready
            .split(' ')
            .nth(1)
            .expect("the ready line has the address")
            .to_owned();
        Self { child, ready, url }
    }

    /// Starts one on the store of a backend in a folder.
    pub(crate) fn on(folder: &Path, backend: Backend) -> Self {
        let path = store_path(folder, backend);
        Self::start(&[
            "--registry-backend",
            backend.as_str(),
            "--registry-path",
            path.to_str().expect("UTF-8"),
        ])
    }

    /// Starts one without waiting for it.
    pub(crate) fn spawn(args: &[&str]) -> Child {
        let mut command = harness(&["daemon", "start", "--log-level", "warn"]);
        if !args.contains(&"--bind") {
            command.args(["--bind", "127.0.0.1:0"]);
        }
        command
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs")
    }

    /// A number of the ready line, such as `services`.
    pub(crate) fn ready_number(&self, name: &str) -> u64 {
        let field = self
            .ready
            .split_whitespace()
            .find_map(|field| field.strip_prefix(&format!("{name}=")));
        field
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.ready))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as the OOM killer does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is our child");
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(mut self) -> std::process::ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill runs");
        assert!(sent.success());
        self.child.wait().expect("it is our child")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A command that prints JSON lines until it is killed, which dropping it does.
pub(crate) struct Follower {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = harness(&[args, &["-o", "ndjson"]].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Self { child, lines }
    }

    /// The next line.
    pub(crate) fn next(&mut self) -> Value {
        let line = self.lines.next().expect("it goes on");
        serde_json::from_str(&line.expect("output is UTF-8")).expect("a line is JSON")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An address on the loopback that nobody listens on.
pub(crate) fn free_port() -> String {
    let listener =
        std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    listener.local_addr().expect("it listens").to_string()
}

/// A connection to a daemon.
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    pub(crate) async fn connect(url: &str) -> Self {
        Self::try_connect(url)
            .await
            .expect("the daemon listens, and the handshake succeeds")
    }

    /// As [`connect`](Self::connect); none where the daemon is gone.
    pub(crate) async fn try_connect(url: &str) -> Option<Self> {
        let addr = url.trim_start_matches("ws://").trim_end_matches("/ws");
        let stream = TcpStream::connect(addr).await.ok()?;
        let (socket, _) = client_async(url, stream).await.ok()?;
        Some(Self { socket })
    }

    /// Asks and waits; none where the connection ended first.
    pub(crate) async fn request(&mut self, action: &str, params: Value) -> Option<Value> {
        self.send(action, params).await?;
        self.receive().await
    }

    pub(crate) async fn send(&mut self, action: &str, params: Value) -> Option<()> {
        let request = json!({ "id": "1", "type": "request", "action": action, "params": params });
        self.socket
            .send(Message::text(request.to_string()))
            .await
            .ok()
    }

    /// Sends a message of any form; none where the connection ended.
    pub(crate) async fn send_message(&mut self, message: Message) -> Option<()> {
        self.socket.send(message).await.ok()
    }

    /// The next message; none where the connection ended.
    pub(crate) async fn receive(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Text(text) => {
                    return Some(serde_json::from_str(&text).expect("messages are JSON"));
                }
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}

/// A store of a backend in a folder, made of [`legacy_file`].
pub(crate) fn migrated(folder: &Path, backend: Backend) -> PathBuf {
    let path = store_path(folder, backend);
    let legacy = legacy_file(folder);
    run(&[
        "registry",
        "migrate",
        "--from",
        text(&legacy),
        "--to",
        text(&path),
    ]);
    path
}

/// A registry file of the old form with every form of every field.
pub(crate) fn legacy_file(folder: &Path) -> PathBuf {
    let path = folder.join("old-registry.json");
    let endpoint = |name: &str, address: &str, protocol: &str| json!({ "name": name, "address": address, "protocol": protocol });
    let entry = |name: &str, execution: Value, state: Value, health: Value| {
        json!({
            "name": name,
            "version": "1.2.3",
            "execution": execution,
            "location": "Local",
            "endpoints": [endpoint("http", "10.0.0.1:80", "Http"), endpoint("m", "[::1]:9000", "Grpc")],
            "depends_on": ["db", "nowhere"],
            "state": state,
            "last_health_check": health,
        })
    };
    let health = |status: &str, message: Value| json!({ "status": status, "checked_at": "2025-11-01T12:00:55Z", "message": message });
    let process = json!({ "ManagedProcess": { "pid": 7, "command": "api --port 80" } });
    let container = json!({ "DockerContainer": { "container_id": "", "image": "db:16" } });
    let unit = json!({ "SystemdService": { "unit_name": "agent.service" } });
    let failed = json!({ "Failed": { "reason": "exit code 1" } });
    let mut agent = entry("agent/ä:1%", unit, json!("Stopped"), Value::Null);
    agent["location"] = json!({ "Remote": {
        "host": "h1.example.net",
        "ssh_config": { "user": "ops", "port": 2222, "identity_file": "/keys/id" },
    } });
    let file = json!({
        "api": entry("api", process, json!("Running"), health("Healthy", Value::Null)),
        "db": entry("db", container, failed, health("Unhealthy", json!("no answer"))),
        "agent/ä:1%": agent,
    });
    std::fs::write(&path, serde_json::to_string_pretty(&file).expect("JSON"))
        .expect("the folder is ours");
    path
}
