//! `harness instance`: from a file into every backend, through restarts, to the end of the leases.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use harness::backends::Backend;
use serde_json::{Value, json};

use crate::fixture::{
    Daemon, Follower, harness, many_instances, persistent, run, run_json, run_refused, store_path,
    text,
};

const INSTANCES: usize = 1000;

fn ids(listed: &Value) -> BTreeSet<String> {
    let listed = listed.as_array().expect("a list");
    let id = |row: &Value| {
        row["instance_id"]
            .as_str()
            .expect("it has an id")
            .to_owned()
    };
    listed.iter().map(id).collect()
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Instances of the generated file that fit.
fn expected(fits: impl Fn(usize) -> bool) -> BTreeSet<String> {
    let id = |index| format!("instance-{index:05}");
    (0..INSTANCES)
        .filter(|index| fits(*index))
        .map(id)
        .collect()
}

fn import(file: &Path, url: &str) -> Value {
    run_json(&["instance", "import", "--from", text(file), "--url", url])
}

fn list(args: &[&str], url: &str) -> BTreeSet<String> {
    let listed = run_json(&[&["instance", "list"], args, &["--url", url]].concat());
    ids(&listed)
}

fn resolve(args: &[&str], url: &str) -> Value {
    run_json(&[&["service", "resolve"], args, &["--url", url]].concat())
}

/// Leases of a second, of a service of their own: they all expire, each is told once, and no other does.
fn brief_leases_expire(folder: &Path, url: &str) {
    let policy = ["instance", "policy", "set", "brief", "--url", url];
    run(&[&policy[..], &["--protection-percent", "100"]].concat());
    let head = run_json(&["registry", "info", "--url", url])["revision"].to_string();
    let watch = ["service", "watch", "--after", &head, "--url", url];
    let mut watch = Follower::start(&[&watch[..], &["--event", "instance_expired"]].concat());
    let line = |index: usize| {
        json!({ "service": "brief", "instance_id": format!("brief-{index}"), "address": "10.9.9.9", "port": 80, "lease_ttl": "1s" })
            .to_string()
    };
    let lines: Vec<String> = (0..20).map(line).collect();
    let file = folder.join("brief.ndjson");
    std::fs::write(&file, lines.join("\n")).expect("the folder is ours");
    assert_eq!(import(&file, url)["changed"], 20);

    let mut expired = BTreeSet::new();
    while expired.len() < 20 {
        let event = watch.next();
        let id = text_of(&event["data"]["instance_id"]).to_owned();
        assert!(id.starts_with("brief-"), "{event}");
        assert!(expired.insert(id), "told twice: {event}");
    }
    assert_eq!(resolve(&["brief"], url), json!([]));
    assert_eq!(list(&["brief"], url), expired, "they stay on the list");
    assert_eq!(list(&["--health", "critical"], url), expired);
    let explained = run_json(&["instance", "explain", "brief", "brief-3", "--url", url]);
    let reason = &explained["instances"][0]["reasons"][0];
    assert_eq!(reason["about"], "lease", "{explained}");
    assert!(
        text_of(&reason["found"]).starts_with("expired at "),
        "{explained}"
    );
}

/// Lists, renews and resolves instances of the generated file, by service, zone and region.
fn are_found_by_place(url: &str, backend: Backend) {
    assert_eq!(list(&[], url), expected(|_| true), "{backend}");
    assert_eq!(
        list(&["--zone", "b"], url),
        expected(|it| it % 3 == 1),
        "{backend}"
    );
    assert_eq!(
        list(
            &["service-7", "--region", "west", "--metadata", "replica=3"],
            url
        ),
        expected(|it| it % 10 == 7 && it % 3 == 2 && it / 30 == 3),
        "{backend}"
    );
    run(&[
        "instance",
        "heartbeat",
        "service-0",
        "instance-00000",
        "--url",
        url,
    ]);
    let nearest = resolve(&["service-4", "--zone", "c", "--region", "west"], url);
    let zones = nearest
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["zone"] == "c");
    let zones: Vec<bool> = zones.collect();
    let there = zones.iter().filter(|there| **there).count();
    assert_eq!((zones.len(), there), (100, 33), "{backend}");
    assert!(
        zones.is_sorted_by(|one, other| one >= other),
        "{backend}: the caller's zone first"
    );
    let within = resolve(&["service-4", "--in-zone", "c"], url);
    assert_eq!(
        ids(&within),
        expected(|it| it % 10 == 4 && it % 3 == 2),
        "{backend}"
    );
}

#[test]
fn thousand_instances_live_through_a_restart_and_expire_as_said_on_each_backend() {
    for backend in Backend::ALL
        .into_iter()
        .filter(|backend| backend.is_built_in())
    {
        let folder = tempfile::tempdir().unwrap();
        let file = many_instances(folder.path(), INSTANCES, "1h");
        let mut daemon = Daemon::on(folder.path(), backend);
        assert_eq!(
            import(&file, &daemon.url)["changed"],
            INSTANCES,
            "{backend}"
        );
        let again = import(&file, &daemon.url);
        assert_eq!(again["changed"], 0, "{backend}: {again}");
        assert_eq!(again["unchanged"], INSTANCES, "{backend}: {again}");
        if backend != Backend::Memory {
            daemon.kill();
            daemon = Daemon::on(folder.path(), backend);
        }
        are_found_by_place(&daemon.url, backend);
        brief_leases_expire(folder.path(), &daemon.url);
        if backend != Backend::Memory {
            assert!(daemon.terminate().success());
            daemon = Daemon::on(folder.path(), backend);
        }
        assert_eq!(
            list(&["brief", "--health", "critical"], &daemon.url).len(),
            20,
            "{backend}"
        );
        assert_eq!(
            list(&["--health", "unknown"], &daemon.url),
            expected(|_| true),
            "{backend}"
        );
    }
}

#[test]
fn import_straight_into_a_store_is_there_for_the_daemon() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let file = many_instances(folder.path(), 200, "1h");
        let path = store_path(folder.path(), backend);
        let args = [
            "instance",
            "import",
            "--from",
            text(&file),
            "--path",
            text(&path),
        ];
        assert_eq!(run_json(&args)["changed"], 200, "{backend}");
        let again = run_json(&args);
        // The store is shared, so that the lease moves to the process that renews it.
        assert_eq!(again["changed"], 200, "{backend}: {again}");
        let daemon = Daemon::on(folder.path(), backend);
        assert_eq!(list(&[], &daemon.url).len(), 200, "{backend}");
    }
}

const BAD_LINES: &str = r#"{"service":"api","instance_id":"api-1","address":"10.0.0.1","port":80}
{"service":"api","instance_id":"api-2","address":"10.0.0.1","port":80,"colour":"red"}
{"service":"api","instance_id":"api-3","address":"10.0.0.1","port":"http"}

{"service":"api","instance_id":"api-4","address":"10.0.0.1","port":80,"lease_ttl":"1ms"}
{"service":"api","address":"10.0.0.1","port":80}
{"service":"api","instance_id":"api-1","address":"10.0.0.2","port":80}
{"service":"api","instance_id":"api-5",
{"service":"api","instance_id":"api-6","address":"10.0.0.6","port":80}
"#;

#[test]
fn bad_lines_are_told_by_number_and_field_and_nothing_is_changed() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.ndjson");
    std::fs::write(&file, BAD_LINES).unwrap();
    let args = [
        "instance",
        "import",
        "--from",
        text(&file),
        "--url",
        &daemon.url,
    ];
    let (code, message) = run_refused(&args);
    assert_eq!(code, 6, "{message}");
    for expected in [
        "line 2: unknown field: colour",
        "line 3: port: ",
        "line 5: lease_ttl: ",
        "line 6: instance_id: ",
        "line 7: instance_id: line 1 is the same instance",
        "line 8: ",
        "6 of 8 lines",
    ] {
        assert!(message.contains(expected), "{expected}: {message}");
    }
    assert!(list(&[], &daemon.url).is_empty());

    let skipping = [&args[..], &["--skip-bad"]].concat();
    let tried = run_json(&[&skipping[..], &["--dry-run"]].concat());
    assert_eq!(
        (&tried["instances"], &tried["skipped"]),
        (&json!(2), &json!(6))
    );
    assert!(list(&[], &daemon.url).is_empty(), "it was a dry run");
    let imported = run_json(&skipping);
    assert_eq!(
        (&imported["changed"], &imported["skipped"]),
        (&json!(2), &json!(6))
    );
    assert_eq!(
        list(&[], &daemon.url),
        ["api-1", "api-6"].map(String::from).into()
    );
}

#[test]
fn import_reads_standard_input() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let mut child = harness(&["instance", "import", "--from", "-", "--url", &daemon.url])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let line = br#"{"service":"api","instance_id":"api-1","address":"10.0.0.1","port":80}"#;
    child.stdin.take().unwrap().write_all(line).unwrap();
    crate::fixture::wait_for(child);
    assert_eq!(list(&["api"], &daemon.url).len(), 1);
}

#[test]
fn what_an_operator_wants_decides_over_who_is_resolved_and_explain_says_so() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let url = ["--url", &daemon.url];
    let instance = |args: &[&str]| run(&[&["instance"], args, &url[..]].concat());
    for id in ["api-1", "api-2"] {
        let flags = [
            "register",
            "api",
            id,
            "--address",
            "10.0.0.1",
            "--port",
            "80",
            "--tag",
            "blue",
        ];
        let printed = instance(&flags);
        assert!(
            printed.starts_with(&format!("registered api/{id} at revision ")),
            "{printed}"
        );
    }
    let resolved = || ids(&resolve(&["api", "--tag", "blue"], &daemon.url)).len();
    let because = || {
        let explained = run_json(&[&["instance", "explain", "api", "api-1"], &url[..]].concat());
        let explained = explained["instances"][0].clone();
        (
            explained["is_chosen"].clone(),
            explained["reasons"][0]["about"].clone(),
        )
    };
    assert_eq!(resolved(), 2);
    assert_eq!(because().0, true);
    for (verb, expected) in [("drain", 1), ("enable", 2), ("disable", 1), ("enable", 2)] {
        instance(&[verb, "api", "api-1"]);
        assert_eq!(resolved(), expected, "{verb}");
        if expected == 1 {
            assert_eq!(because(), (json!(false), json!("intent")), "{verb}");
        }
    }
    instance(&[
        "report-health",
        "api",
        "api-1",
        "critical",
        "--message",
        "no answer",
    ]);
    assert_eq!(because(), (json!(false), json!("health")));
    operator_reads_why_and_takes_one_off_the_list(&daemon.url);
}

/// Two instances, of which the first is critical.
fn operator_reads_why_and_takes_one_off_the_list(url: &str) {
    let table = run(&["instance", "explain", "api", "--url", url]);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|row| row.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0][..3], ["INSTANCE", "ANSWER", "BECAUSE"], "{table}");
    assert_eq!(
        rows[1][..4],
        ["api-1", "out", "health:", "critical"],
        "{table}"
    );
    assert_eq!(rows[2][..2], ["api-2", "in"], "{table}");

    let deregister = ["instance", "deregister", "api", "api-1"];
    run(&[&deregister[..], &["--reason", "worn out", "--url", url]].concat());
    assert_eq!(list(&["api"], url), ["api-2"].map(String::from).into());
    assert_eq!(list(&["api", "--stopped"], url).len(), 2);
    let (code, message) = run_refused(&["instance", "explain", "api", "nobody", "--url", url]);
    assert_eq!(code, 3, "{message}");
}

#[test]
fn policy_lets_an_unknown_heartbeat_in_as_pending_and_an_operator_activates_it() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let url = ["--url", &daemon.url];
    let policy =
        |args: &[&str]| run(&[&["instance", "policy", "set", "api"], args, &url[..]].concat());
    policy(&[
        "--unknown-heartbeat",
        "pending",
        "--remove-expired-after",
        "5m",
    ]);
    policy(&["--remove-expired-after", "default"]);
    let shown = run_json(&[&["instance", "policy", "get", "api"], &url[..]].concat());
    assert_eq!(shown["own"]["unknown_heartbeat"], "pending");
    assert_eq!(shown["own"]["remove_expired_after"], Value::Null);
    assert_eq!(shown["effective"]["remove_expired_after"], "10m");

    let beat = json!({
        "service": "api", "instance_id": "api-1",
        "instance": { "service": "api", "address": "10.0.0.1", "port": 80 },
    });
    futures_lite::future::block_on(async {
        let mut client = crate::fixture::Client::connect(&daemon.url).await;
        let answer = client.request("heartbeat", beat).await.unwrap();
        assert!(answer["error"].is_null(), "{answer}");
    });
    assert_eq!(resolve(&["api"], &daemon.url), json!([]));
    run(&[&["instance", "activate", "api", "api-1"], &url[..]].concat());
    assert_eq!(ids(&resolve(&["api"], &daemon.url)).len(), 1);
}

#[test]
fn heartbeats_say_what_became_of_the_lease() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let register = [
        "instance",
        "register",
        "api",
        "api-1",
        "--address",
        "10.0.0.1",
        "--port",
        "80",
    ];
    let register = [&register[..], &["--url", &daemon.url]].concat();
    run(&[&register[..], &["--incarnation", "5"]].concat());
    let beat = [
        "instance",
        "heartbeat",
        "api",
        "api-1",
        "--url",
        &daemon.url,
    ];
    run(&[&beat[..], &["--incarnation", "5"]].concat());
    let (code, message) = run_refused(&[&beat[..], &["--incarnation", "4"]].concat());
    assert_eq!(code, 4, "{message}");
    run(&[
        "instance",
        "deregister",
        "api",
        "api-1",
        "--url",
        &daemon.url,
    ]);
    let (code, message) = run_refused(&[&beat[..], &["--every", "10ms"]].concat());
    assert_eq!(code, 3, "{message}");
    let (code, message) = run_refused(&[&register[..], &["--incarnation", "5"]].concat());
    assert_eq!(code, 4, "{message}");
    let path = folder.path().join("r.redb");
    let (code, message) = run_refused(&[
        "instance",
        "heartbeat",
        "api",
        "api-1",
        "--path",
        text(&path),
    ]);
    assert_eq!(code, 2, "{message}");
}

#[test]
fn instances_that_are_held_back_are_explained_and_let_go_by_command() {
    let daemon = Daemon::start(&["--registry-backend", "memory"]);
    let url = ["--url", &daemon.url];
    let watch = ["service", "watch", "--after", "0"];
    let events = [
        "--event",
        "instance_suspected",
        "--event",
        "instance_expired",
    ];
    let mut watch = Follower::start(&[&watch[..], &events, &url].concat());
    for id in ["api-1", "api-2", "api-3", "api-4"] {
        let flags = [
            "register",
            "api",
            id,
            "--address",
            "10.0.0.1",
            "--port",
            "80",
        ];
        run(&[&["instance"], &flags[..], &["--ttl", "1s"], &url].concat());
    }
    let told: Vec<Value> = (0..4).map(|_| watch.next()).collect();
    let held = told
        .iter()
        .filter(|event| event["event"] == "instance_suspected");
    let held: BTreeSet<&str> = held
        .map(|event| text_of(&event["data"]["instance_id"]))
        .collect();
    assert!(!held.is_empty(), "{told:?}");
    let table = run(&[&["instance", "explain", "api"], &url[..]].concat());
    for row in table.lines().skip(1) {
        let id = row.split_whitespace().next().unwrap();
        let is_held = row.contains(" in ") && row.contains("held since ");
        assert_eq!(is_held, held.contains(id), "{table}");
    }
    let count = held.len();
    let released = run(&[&["instance", "release-protection", "api"], &url[..]].concat());
    assert_eq!(released, format!("released {count} instances\n"));
    assert_eq!(resolve(&["api"], &daemon.url), json!([]));
}
