//! `instance register --exec`: a command is listed as long as it runs.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::fixture::{Daemon, free_port, harness, run, run_json};

/// A command that is listed as `web/web-1`, with its standard input and output.
fn listed(url: &str, command: &[&str]) -> Child {
    let args = [
        "instance",
        "register",
        "web",
        "web-1",
        "--address",
        "10.0.0.1",
        "--port",
        "80",
    ];
    let flags = ["--ttl", "1s", "--url", url, "--exec", "--"];
    harness(&[&args[..], &flags, command].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs")
}

fn code(mut child: Child) -> Option<i32> {
    drop(child.stdin.take());
    child.wait().expect("it is our child").code()
}

fn wait(goal: &str, url: &str) {
    run(&[
        "service",
        "wait",
        "web",
        "--for",
        goal,
        "--timeout",
        "5m",
        "--url",
        url,
    ]);
}

fn instance(url: &str) -> Value {
    run_json(&["instance", "get", "web", "web-1", "--url", url])
}

/// Why the instance was deregistered.
fn reason(url: &str) -> String {
    let args = [
        "audit",
        "list",
        "--action",
        "deregister_instance",
        "--url",
        url,
    ];
    let log = run_json(&args);
    let last = log
        .as_array()
        .and_then(|log| log.last())
        .expect("it was deregistered");
    last["reason"].as_str().expect("it has a reason").to_owned()
}

#[test]
fn command_that_ends_is_deregistered_with_its_code() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let cases = [
        ("cat; exit 3", Some(3), "exit status: 3"),
        ("cat; kill -KILL $$", Some(137), "signal: 9"),
        ("cat", Some(0), "exit status: 0"),
    ];
    for (command, expected, why) in cases {
        let child = listed(&daemon.url, &["sh", "-c", command]);
        wait("registered", &daemon.url);
        assert_eq!(code(child), expected, "{command}");
        assert_ne!(
            instance(&daemon.url)["stopped_at"],
            Value::Null,
            "{command}"
        );
        let reason = reason(&daemon.url);
        assert!(reason.contains(why), "{command}: {reason}");
    }
}

#[test]
fn command_knows_its_instance_and_gets_the_signal_to_end() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let script = r#"trap 'kill $p; exit 7' TERM; sleep 1000 & p=$!; echo "$INSTANCE_SERVICE $INSTANCE_ID"; wait $p"#;
    let mut child = listed(&daemon.url, &["sh", "-c", script]);
    let mut line = String::new();
    let stdout = child.stdout.take().expect("stdout is piped");
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line, "web web-1\n");
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(code(child), Some(7));
    assert!(reason(&daemon.url).contains("exit status: 7"));
}

#[test]
fn lease_is_taken_again_from_a_daemon_that_forgot_it() {
    let bind = free_port();
    let start = || Daemon::start(&["--registry-backend", "memory", "--bind", &bind]);
    let daemon = start();
    let url = daemon.url.clone();
    let child = listed(&url, &["cat"]);
    wait("registered", &url);
    let incarnation = instance(&url)["incarnation"].clone();
    daemon.kill();
    let _daemon = start();
    wait("registered", &url);
    assert_eq!(instance(&url)["incarnation"], incarnation);
    assert_eq!(code(child), Some(0));
    wait("gone", &url);
}

#[test]
fn command_runs_without_a_daemon_and_is_listed_once_there_is_one() {
    let bind = free_port();
    let url = format!("ws://{bind}/ws");
    let child = listed(&url, &["cat"]);
    let _daemon = Daemon::start(&["--registry-backend", "memory", "--bind", &bind]);
    wait("registered", &url);
    assert_eq!(code(child), Some(0));
    wait("gone", &url);
}

#[test]
fn start_after_one_whose_clock_was_ahead_takes_the_next_incarnation() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let ahead = u64::MAX / 2;
    let args = [
        "instance",
        "register",
        "web",
        "web-1",
        "--address",
        "10.0.0.1",
        "--port",
        "80",
    ];
    run(&[
        &args[..],
        &["--incarnation", &ahead.to_string(), "--url", &daemon.url],
    ]
    .concat());
    run(&[
        "instance",
        "deregister",
        "web",
        "web-1",
        "--url",
        &daemon.url,
    ]);
    let child = listed(&daemon.url, &["cat"]);
    wait("registered", &daemon.url);
    assert_eq!(instance(&daemon.url)["incarnation"], json!(ahead + 1));
    assert_eq!(code(child), Some(0));
}

#[test]
fn command_that_cannot_be_registered_or_run_is_refused() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let args = [
        "instance",
        "register",
        "web",
        "web-1",
        "--address",
        "10.0.0.1",
        "--url",
        &daemon.url,
    ];
    let run = |flags: &[&str]| {
        let output = harness(&[&args[..], flags].concat()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let refused = run(&[
        "--port", "80", "--ttl", "1ms", "--exec", "--", "echo", "run",
    ]);
    assert_eq!(refused, (Some(2), String::new()), "the command was not run");
    let missing = run(&["--port", "80", "--exec", "--", "/nowhere/command"]);
    assert_eq!(missing.0, Some(127));
    assert_ne!(instance(&daemon.url)["stopped_at"], Value::Null);
}
