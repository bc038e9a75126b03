//! Leases bound to a process or to a connection end with it, however it ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use futures_lite::future::block_on;
use serde_json::{Value, json};

use crate::fixture::{Client, Daemon, text};

/// Makes this test binary the process that a lease is bound to: the path of the daemon's socket.
const SOCKET: &str = "HARNESS_TEST_BOUND_TO";

/// Registers an instance over a socket in the file system, and answers the connection.
fn register(socket: &Path, id: &str, bind: &str) -> (UnixStream, String) {
    let mut stream = UnixStream::connect(socket).expect("the daemon listens");
    let body = r#"{"address": "10.0.0.7", "port": 80, "lease_ttl": "1h"}"#;
    let head = format!(
        "PUT /v1/services/api/instances/{id}?bind={bind} HTTP/1.1\r\nhost: registry\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("it reads");
    stream.write_all(body.as_bytes()).expect("it reads");
    let mut line = String::new();
    BufReader::new(&stream)
        .read_line(&mut line)
        .expect("it answers");
    (stream, line)
}

/// Not a test by itself: what [`process`] runs.
#[test]
fn process_that_a_lease_is_bound_to() {
    let Some(socket) = std::env::var_os(SOCKET) else {
        return;
    };
    let (_stream, answer) = register(Path::new(&socket), "bound", "process");
    println!("\nanswer {answer}");
    // Until it is killed, or the parent is gone.
    let _ = std::io::stdin().read(&mut [0]);
}

/// A process that registered an instance with a lease bound to itself.
fn process(socket: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("it runs"))
        .args([
            "--exact",
            "death::process_that_a_lease_is_bound_to",
            "--nocapture",
        ])
        .env(SOCKET, socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let answer = lines
        .map_while(Result::ok)
        .find(|line| line.starts_with("answer "))
        .expect("it tells the answer");
    assert!(answer.contains("20"), "{answer}");
    child
}

/// A daemon that listens on a socket in a folder, too.
fn daemon(folder: &Path) -> (Daemon, std::path::PathBuf) {
    let socket = folder.join("h.sock");
    let bind = format!("unix:{}", text(&socket));
    let args = [
        "--registry-backend",
        "memory",
        "--bind",
        "127.0.0.1:0",
        "--bind",
        &bind,
    ];
    (Daemon::start(&args), socket)
}

/// The next events of a subscription with these names.
async fn event(client: &mut Client) -> (String, Value) {
    loop {
        let message = client.receive().await.expect("the daemon runs");
        if message["type"] == "event" {
            let name = message["event"].as_str().unwrap_or_default().to_owned();
            return (name, message["data"].clone());
        }
    }
}

async fn watch(daemon: &Daemon) -> Client {
    let mut client = Client::connect(&daemon.url).await;
    let params = json!({ "resume_after": 0 });
    client.send("subscribe", params).await.expect("it runs");
    client
}

#[test]
fn lease_ends_with_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, socket) = daemon(folder.path());
    block_on(async {
        let mut watching = watch(&daemon).await;
        let mut child = process(&socket);
        assert_eq!(event(&mut watching).await.0, "instance_registered");
        child.kill().unwrap();
        child.wait().unwrap();
        let (name, data) = event(&mut watching).await;
        assert_eq!(name, "instance_expired");
        assert_eq!(data["instance_id"], "bound");
        let mut client = Client::connect(&daemon.url).await;
        let params = json!({ "action": "expire_instance" });
        let log = client.request("list_log", params).await.unwrap();
        let reason = log["data"]["entries"][0]["reason"].as_str().unwrap();
        assert!(
            reason.starts_with("process ") && reason.ends_with(" ended"),
            "{reason}"
        );
    });
}

#[test]
fn lease_ends_with_its_connection_unless_it_was_bound_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, socket) = daemon(folder.path());
    block_on(async {
        let mut watching = watch(&daemon).await;
        let (first, answer) = register(&socket, "a", "connection");
        assert!(answer.contains("201"), "{answer}");
        let (second, answer) = register(&socket, "a", "connection");
        assert!(answer.contains("200"), "{answer}");
        let (other, _) = register(&socket, "b", "connection");
        assert_eq!(event(&mut watching).await.1["instance_id"], "a");
        assert_eq!(event(&mut watching).await.1["instance_id"], "b");
        // The lease of `a` is bound to the second connection now: the end of the first says nothing.
        drop(first);
        drop(other);
        let (name, data) = event(&mut watching).await;
        assert_eq!(
            (name.as_str(), &data["instance_id"]),
            ("instance_expired", &json!("b"))
        );
        drop(second);
        let (name, data) = event(&mut watching).await;
        assert_eq!(
            (name.as_str(), &data["instance_id"]),
            ("instance_expired", &json!("a"))
        );
    });
}

#[test]
fn process_can_be_bound_to_on_this_machine_only() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, _socket) = daemon(folder.path());
    block_on(async {
        let mut client = Client::connect(&daemon.url).await;
        let instance =
            json!({ "service": "api", "instance_id": "a", "address": "10.0.0.7", "port": 80 });
        let params = json!({ "instance": instance, "bind": "process" });
        let refused = client.request("register_instance", params).await.unwrap();
        assert_eq!(refused["error"]["code"], "BadRequest", "{refused}");
        let params = json!({ "service": "api", "instance_id": "a" });
        let found = client.request("get_instance", params).await.unwrap();
        assert_eq!(found["error"]["code"], "NotFound", "{found}");
    });
}
