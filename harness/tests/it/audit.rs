//! `harness audit`: the log as an operator reads it.

use futures_lite::future::block_on;
use serde_json::{Value, json};

use crate::fixture::{
    Client, Daemon, Follower, free_port, persistent, run, run_json, run_refused, store_path, text,
};

fn register(name: &str, target: [&str; 2]) {
    run(&[
        "service", "register", name, "--reason", "new here", target[0], target[1],
    ]);
}

fn revisions(list: &Value) -> Vec<u64> {
    let entries = list.as_array().expect("a list").iter();
    entries
        .map(|entry| entry["revision"].as_u64().expect("entries have revisions"))
        .collect()
}

#[test]
fn list_tells_every_commit_that_fits() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = store_path(folder.path(), backend);
        let target = ["--path", text(&path)];
        for name in ["api", "db", "web"] {
            register(name, target);
        }
        run(&["service", "deregister", "db", target[0], target[1]]);
        let list = |args: &[&str]| run_json(&[&["audit", "list"], args, &target].concat());
        let all = list(&[]);
        assert_eq!(revisions(&all), [1, 2, 3, 4], "{backend}");
        assert_eq!(
            (&all[1]["reason"], &all[1]["changes"][0]["key"]["service"]),
            (&"new here".into(), &"db".into())
        );
        assert_eq!(revisions(&list(&["--service", "db"])), [2, 4]);
        assert_eq!(
            revisions(&list(&[
                "--action",
                "deregister_service",
                "--actor",
                "local"
            ])),
            [4]
        );
        assert_eq!(revisions(&list(&["--actor", "nobody"])), [0; 0]);
        assert_eq!(revisions(&list(&["--after", "1", "--limit", "2"])), [2, 3]);
        let time = all[2]["time"].as_str().unwrap();
        assert_eq!(revisions(&list(&["--since", time])), [3, 4]);
        assert_eq!(revisions(&list(&["--until", time])), [1, 2]);
    }
}

#[test]
fn list_has_every_output_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = store_path(folder.path(), persistent()[0]);
    register("api", ["--path", text(&path)]);
    let list = |format| run(&["audit", "list", "--path", text(&path), "-o", format]);
    let table = list("table");
    let (head, row) = table.split_once('\n').unwrap();
    for (column, cell) in [
        ("REVISION", "1"),
        ("ACTION", "register_service"),
        ("ACTOR", "local"),
        ("CHANGES", "+service api"),
        ("REASON", "new here"),
    ] {
        assert!(head.contains(column), "{head}");
        assert!(row.contains(cell), "{row}");
    }
    assert_eq!(list("ndjson").lines().count(), 1);
    assert!(list("yaml").contains("action: register_service"));
}

#[test]
fn what_was_compacted_is_refused_and_not_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = store_path(folder.path(), persistent()[0]);
    for name in ["api", "db", "web"] {
        register(name, ["--path", text(&path)]);
    }
    run(&[
        "registry",
        "compact",
        "--through",
        "2",
        "--path",
        text(&path),
    ]);
    let list = run_json(&["audit", "list", "--path", text(&path)]);
    assert_eq!(revisions(&list), [3]);
    let (code, message) = run_refused(&["audit", "list", "--after", "0", "--path", text(&path)]);
    assert_eq!(code, 1);
    assert!(
        message.contains("compacted through revision 2"),
        "{message}"
    );
    let senseless = ["audit", "list", "--since", "noon", "--path", text(&path)];
    assert_eq!(run_refused(&senseless).0, 2);
}

#[test]
fn tail_goes_on_after_a_restart_without_gap_or_double() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = store_path(folder.path(), backend);
        let bind = free_port();
        let args = [
            "--registry-backend",
            backend.as_str(),
            "--registry-path",
            text(&path),
            "--bind",
            &bind,
        ];
        let daemon = Daemon::start(&args);
        let url = daemon.url.clone();
        register("s1", ["--url", &url]);
        let mut tail = Follower::start(&["audit", "tail", "--after", "0", "--url", &url]);
        let mut of_s1 = Follower::start(&[
            "audit",
            "tail",
            "--after",
            "0",
            "--service",
            "s1",
            "--url",
            &url,
        ]);
        assert_eq!(tail.next()["revision"], 1);
        assert_eq!(of_s1.next()["revision"], 1);
        register("s2", ["--url", &url]);
        assert_eq!(tail.next()["revision"], 2);
        daemon.kill();
        let daemon = Daemon::start(&args);
        register("s3", ["--url", &url]);
        run(&["service", "set-state", "s1", "running", "--url", &url]);
        let told: Vec<_> = (0..2).map(|_| tail.next()["revision"].clone()).collect();
        assert_eq!(told, [3, 4], "{backend}");
        assert_eq!(of_s1.next()["revision"], 4, "{backend}");
        assert!(daemon.terminate().success());
    }
}

#[test]
fn tail_tells_commits_of_every_kind() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::on(folder.path(), backend);
        let args = ["audit", "tail", "--after", "0", "--url", &daemon.url];
        let mut tail = Follower::start(&[&args[..], &["--service", "api"]].concat());
        register("other", ["--url", &daemon.url]);
        let instance =
            json!({ "service": "api", "instance_id": "api-1", "address": "10.0.0.7", "port": 80 });
        let asked = [
            ("register_instance", json!({ "instance": instance })),
            (
                "set_service_policy",
                json!({ "service": "api", "policy": { "protection_percent": 30 } }),
            ),
            (
                "deregister_instance",
                json!({ "service": "api", "instance_id": "api-1" }),
            ),
        ];
        block_on(async {
            let mut client = Client::connect(&daemon.url).await;
            for (action, params) in &asked {
                let answer = client.request(action, params.clone()).await.unwrap();
                assert!(answer.get("error").is_none(), "{action}: {answer}");
            }
        });
        for (action, _) in asked {
            assert_eq!(tail.next()["action"], action, "{backend}");
        }
        let table = run(&["audit", "list", "--service", "api", "--url", &daemon.url]);
        assert!(table.contains("+instance api/api-1"), "{table}");
        assert!(table.contains("policy api"), "{table}");
    }
}
