//! Several openers of one path: daemons, tools and applications.

use std::path::Path;

use futures_lite::future::block_on;
use harness::backends::Backend;
use harness::{Registry, ServiceEntry};
use serde_json::json;

use crate::fixture::{Client, Daemon, persistent, run, run_json, store_path, text};

/// Backends whose path one process owns, and others attach to.
fn attached() -> Vec<Backend> {
    let mut backends = persistent();
    backends.retain(|backend| *backend != Backend::Sqlite);
    backends
}

fn register(daemon: &Daemon, name: &str) {
    block_on(async {
        let mut client = Client::connect(&daemon.url).await;
        let params = json!({ "service": { "name": name, "version": "1" } });
        let answer = client.request("register_service", params).await;
        let answer = answer.expect("the daemon lives");
        assert!(answer["data"]["revision"].is_u64(), "{answer}");
    });
}

fn is_listed(daemon: &Daemon, name: &str) -> bool {
    block_on(async {
        let mut client = Client::connect(&daemon.url).await;
        let params = json!({ "name": name });
        let answer = client.request("get_service", params).await;
        let answer = answer.expect("the daemon lives");
        answer["data"].is_object()
    })
}

#[test]
fn two_handles_on_one_path_see_each_other() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = store_path(folder.path(), backend);
        let one = Registry::with_persistence(&path).unwrap();
        let other = Registry::with_persistence(&path).unwrap();
        block_on(async {
            one.register(ServiceEntry::new("a", "1")).await.unwrap();
            assert!(other.get("a").await.unwrap().is_some(), "{backend}");
            other.register(ServiceEntry::new("b", "1")).await.unwrap();
            assert!(one.get("b").await.unwrap().is_some(), "{backend}");
            one.close().await.unwrap();
            other.register(ServiceEntry::new("c", "1")).await.unwrap();
            assert_eq!(other.len().await.unwrap(), 3, "{backend}");
        });
    }
}

#[test]
fn two_daemons_on_one_path_serve_one_registry() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let first = Daemon::on(folder.path(), backend);
        let second = Daemon::on(folder.path(), backend);
        register(&first, "a");
        assert!(is_listed(&second, "a"), "{backend}");
        register(&second, "b");
        assert!(is_listed(&first, "b"), "{backend}");
        assert!(first.terminate().success(), "{backend}");
        register(&second, "c");
        let third = Daemon::on(folder.path(), backend);
        for name in ["a", "b", "c"] {
            assert!(is_listed(&third, name), "{backend}");
        }
        assert!(second.terminate().success(), "{backend}");
        assert!(third.terminate().success(), "{backend}");
    }
}

#[test]
fn info_of_a_path_tells_owner_and_attached() {
    for backend in attached() {
        let folder = tempfile::tempdir().unwrap();
        let path = store_path(folder.path(), backend);
        let info = || run_json(&["registry", "info", "--path", text(&path)]);
        let first = Daemon::on(folder.path(), backend);
        let second = Daemon::on(folder.path(), backend);
        let told = info();
        assert_eq!(told["owner"]["pid"], first.pid(), "{backend}: {told}");
        assert_eq!(
            told["attached"][0]["pid"],
            second.pid(),
            "{backend}: {told}"
        );
        assert_eq!(told["attached"].as_array().unwrap().len(), 1);
        assert!(second.terminate().success());
        assert!(first.terminate().success());
        let told = info();
        assert!(told["owner"].is_null(), "{backend}: {told}");
        assert_eq!(told["attached"], json!([]));
    }
}

/// Reads and writes the path of a daemon with the tools, and answers what the tools saw.
#[test]
fn tools_work_on_the_path_of_a_running_daemon() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = store_path(folder.path(), backend);
        let daemon = Daemon::on(folder.path(), backend);
        register(&daemon, "a");
        let register = [
            "service",
            "register",
            "--path",
            text(&path),
            "tool",
            "--version",
            "2",
        ];
        run(&register);
        assert!(is_listed(&daemon, "tool"), "{backend}");
        let verified = run_json(&["registry", "verify", "--path", text(&path)]);
        assert_eq!(verified["clean"], true, "{backend}: {verified}");
        assert_copied(&path, folder.path(), backend);
        run(&["registry", "compact", "--path", text(&path), "--keep", "0"]);
        assert!(daemon.terminate().success(), "{backend}");
    }
}

fn assert_copied(path: &Path, folder: &Path, backend: Backend) {
    let target = store_path(folder, backend).with_file_name("copy.json");
    let args = ["--from", text(path), "--to", text(&target)];
    run(&[&["registry", "migrate"][..], &args].concat());
    let [source, copy] =
        [path, &target].map(|path| run_json(&["registry", "info", "--path", text(path)]));
    for field in ["revision", "hash", "digest"] {
        assert_eq!(source[field], copy[field], "{backend}: {field}");
    }
}
