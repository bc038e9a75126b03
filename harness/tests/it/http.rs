//! The daemon's HTTP face: the examples of the documentation, sockets in the file system, TLS.

use std::process::Command;

use futures_lite::future::block_on;
use serde_json::json;

use crate::fixture::{Client, Daemon, run_refused, text};

/// Runs a line in a shell that stops at the first failure.
pub(crate) fn shell(script: &str) -> (bool, String) {
    let output = Command::new("sh")
        .args(["-euc", script])
        .output()
        .expect("there is a shell");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    (output.status.success(), format!("{stdout}{stderr}"))
}

pub(crate) fn address(daemon: &Daemon) -> &str {
    let url = daemon.url.trim_start_matches("ws://");
    url.trim_end_matches("/ws")
}

#[test]
fn examples_of_the_documentation_run_in_order() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let document = include_str!("../../../docs/http.md");
    let examples: Vec<_> = document
        .split("```sh\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(examples.len() >= 4);
    for example in examples {
        let script = example.replace("127.0.0.1:9402", address(&daemon));
        let (succeeded, printed) = shell(&script);
        assert!(succeeded, "{script}\n{printed}");
    }
}

#[test]
fn socket_file_takes_http_and_goes_with_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("h.sock");
    let bind = format!("unix:{}", socket.display());
    let daemon = Daemon::start(&[
        "--registry-backend",
        "memory",
        "--bind",
        "127.0.0.1:0",
        "--bind",
        &bind,
    ]);
    assert!(daemon.ready.contains(&bind), "{}", daemon.ready);
    let ask = format!(
        "curl -sf --unix-socket {} http://registry/v1/ping",
        text(&socket)
    );
    let (succeeded, printed) = shell(&ask);
    assert!(succeeded, "{printed}");
    let (code, message) = run_refused(&[
        "daemon",
        "start",
        "--registry-backend",
        "memory",
        "--bind",
        &bind,
    ]);
    assert!(message.contains("h.sock"), "{code}: {message}");
    assert!(daemon.terminate().success());
    assert!(!socket.exists());
}

#[test]
fn both_faces_see_the_same_registry() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let put = format!(
        "curl -sf -X PUT http://{}/v1/services/api -H 'content-type: application/json' -d '{{\"version\": \"7\"}}'",
        address(&daemon)
    );
    assert!(shell(&put).0);
    let mut client = block_on(Client::connect(&daemon.url));
    let read = block_on(client.request("get_service", json!({ "name": "api" }))).unwrap();
    assert_eq!(read["data"]["version"], "7");
}

#[cfg(feature = "tls")]
#[test]
fn half_of_a_certificate_is_refused_before_anything_is_begun() {
    let (code, message) = run_refused(&[
        "daemon",
        "start",
        "--registry-backend",
        "memory",
        "--tls-cert",
        "cert.pem",
    ]);
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("tls_key"), "{message}");
    let (code, message) = run_refused(&[
        "daemon",
        "start",
        "--registry-backend",
        "memory",
        "--tls-cert",
        "none.pem",
        "--tls-key",
        "none.pem",
    ]);
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("none.pem"), "{message}");
}
