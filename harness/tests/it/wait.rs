//! `service wait`: woken by events, and over in time.

use std::process::Child;

use crate::fixture::{Daemon, free_port, harness, run, run_refused, wait_for};

/// A wait that has begun.
fn waiting(args: &[&str]) -> Child {
    let args = [&["service", "wait", "api"], args].concat();
    harness(&args).spawn().expect("the binary runs")
}

fn register(id: &str, url: &str) {
    let args = [
        "instance",
        "register",
        "api",
        id,
        "--address",
        "10.0.0.1",
        "--port",
        "80",
    ];
    run(&[&args[..], &["--url", url]].concat());
}

#[test]
fn wait_ends_when_the_instances_are_as_they_should_be() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let url = ["--url", &daemon.url, "--timeout", "5m"];
    let begin = |goal: &str| waiting(&[&["--for", goal], &url[..]].concat());
    wait_for(begin("gone"));
    let (registered, two, healthy) = (begin("registered"), begin("count=2"), begin("healthy"));
    register("api-1", &daemon.url);
    wait_for(registered);
    register("api-2", &daemon.url);
    wait_for(two);
    let gone = begin("gone");
    run(&[
        "instance",
        "report-health",
        "api",
        "api-1",
        "passing",
        "--url",
        &daemon.url,
    ]);
    wait_for(healthy);
    for id in ["api-1", "api-2"] {
        run(&["instance", "deregister", "api", id, "--url", &daemon.url]);
    }
    wait_for(gone);
}

#[test]
fn wait_begins_before_the_daemon_and_goes_on_after_its_restart() {
    let bind = free_port();
    let url = format!("ws://{bind}/ws");
    let wait = waiting(&["--for", "registered", "--timeout", "5m", "--url", &url]);
    let start = || Daemon::start(&["--registry-backend", "memory", "--bind", &bind]);
    start().kill();
    let daemon = start();
    register("api-1", &daemon.url);
    wait_for(wait);
}

#[test]
fn wait_that_is_not_met_in_time_has_a_code_of_its_own() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    register("api-1", &daemon.url);
    let wait = ["service", "wait", "api", "--timeout", "50ms"];
    let (code, message) = run_refused(&[&wait[..], &["--url", &daemon.url]].concat());
    assert_eq!(code, 8, "{message}");
    assert!(message.contains("1 listed"), "{message}");
    let nobody = format!("ws://{}/ws", free_port());
    let (code, message) = run_refused(&[&wait[..], &["--url", &nobody]].concat());
    assert_eq!(code, 5, "{message}");
    let (code, message) = run_refused(&[&wait[..], &["--for", "soon"]].concat());
    assert_eq!(code, 2, "{message}");
}
