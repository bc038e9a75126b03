//! The JavaScript client against a daemon, in Node.

use std::process::Command;

use serde_json::{Value, json};

use crate::fixture::Daemon;

/// How this machine's Node gets a WebSocket: built in, behind a flag, or from the `ws` package. None where it cannot.
fn node() -> Option<Vec<&'static str>> {
    let has = |flags: &[&str], probe: &str| {
        let ran = Command::new("node")
            .args(flags)
            .args(["-e", probe])
            .output();
        ran.is_ok_and(|output| output.status.success())
    };
    let built_in = "process.exit(typeof WebSocket === 'undefined' ? 1 : 0)";
    if has(&[], built_in) || has(&[], "require('ws')") {
        return Some(vec![]);
    }
    has(&["--experimental-websocket"], built_in).then(|| vec!["--experimental-websocket"])
}

#[test]
fn client_of_the_first_document_works() {
    let Some(flags) = node() else {
        assert!(
            std::env::var_os("HARNESS_TEST_NODE").is_none(),
            "CI has a Node with a WebSocket"
        );
        println!("skipped: there is no Node with a WebSocket here; CI has one");
        return;
    };
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/client.js");
    let output = Command::new("node")
        .args(flags)
        .args([script, &daemon.url])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({ "change": "from-js registered running", "names": ["from-js"], "refused": "NotFound" });
    assert_eq!(said, expected);
}
