//! The daemon: ready line, second daemon, signals, watches, what it refuses to start with.

use futures_lite::future::block_on;
use harness::backends::Backend;
use serde_json::json;

use crate::fixture::{
    Client, Daemon, harness, legacy_file, migrated, persistent, run, run_json, run_refused,
    store_path, text,
};

#[test]
fn watch_sees_register_state_change_and_deregister_in_order_on_each_backend() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        migrated(folder.path(), backend);
        let daemon = Daemon::on(folder.path(), backend);
        assert_eq!(daemon.ready_number("services"), 3, "{backend}");
        assert!(
            daemon.ready.contains("durability=synced"),
            "{}",
            daemon.ready
        );
        let url = ["--url", &daemon.url];
        assert_eq!(
            run_json(&[&["service", "get", "api"], &url[..]].concat())["version"],
            "1.2.3"
        );

        let mut watcher = block_on(Client::connect(&daemon.url));
        block_on(watcher.request("subscribe", json!({ "resume_after": 3 }))).unwrap();
        for args in [
            &["register", "new", "--version", "1"][..],
            &["set-state", "new", "running"],
            &["deregister", "new"],
        ] {
            run(&[&["service"], args, &url].concat());
        }
        let mut told = Vec::new();
        for _ in 0..3 {
            let event = block_on(watcher.receive()).unwrap();
            told.push((
                event["event"].as_str().unwrap().to_owned(),
                event["data"]["revision"].as_u64().unwrap(),
            ));
        }
        let expected = [
            ("service_registered", 4),
            ("service_state_changed", 5),
            ("service_deregistered", 6),
        ];
        assert_eq!(
            told,
            expected.map(|(name, revision)| (name.to_owned(), revision)),
            "{backend}"
        );
        assert!(daemon.terminate().success(), "{backend}");
    }
}

#[test]
fn second_daemon_is_told_who_holds_a_path_that_is_not_synced() {
    for backend in persistent()
        .into_iter()
        .filter(|backend| *backend != Backend::Sqlite)
    {
        let folder = tempfile::tempdir().unwrap();
        let path = store_path(folder.path(), backend);
        let _daemon = Daemon::start(&[
            "--registry-backend",
            backend.as_str(),
            "--registry-path",
            text(&path),
            "--durability",
            "interval:1s",
        ]);
        let (code, message) = run_refused(&[
            "daemon",
            "start",
            "--bind",
            "127.0.0.1:0",
            "--registry-backend",
            backend.as_str(),
            "--registry-path",
            text(&path),
        ]);
        assert_eq!(code, 5, "{backend}: {message}");
        assert!(message.contains("held by process"), "{backend}: {message}");
    }
}

#[test]
fn terminated_daemon_answers_what_was_asked_and_closes_the_store() {
    let backend = persistent()[0];
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::on(folder.path(), backend);
    let mut client = block_on(Client::connect(&daemon.url));
    for index in 0..50 {
        let service = json!({ "name": format!("s{index}"), "version": "1" });
        block_on(client.send("register_service", json!({ "service": service }))).unwrap();
    }
    // The first answer tells that the requests have arrived.
    block_on(client.receive()).unwrap();
    assert!(daemon.terminate().success());
    let mut answers = 1;
    while let Some(answer) = block_on(client.receive()) {
        assert!(answer["data"]["changed"] == true, "{answer}");
        answers += 1;
    }
    let path = store_path(folder.path(), backend);
    let stored = run_json(&["service", "list", "--path", text(&path)]);
    assert!(
        stored.as_array().unwrap().len() >= answers,
        "what was answered is stored"
    );
}

#[test]
fn address_beyond_the_loopback_needs_a_token() {
    let (code, message) = run_refused(&[
        "daemon",
        "start",
        "--registry-backend",
        "memory",
        "--bind",
        "0.0.0.0:0",
    ]);
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("HARNESS_TOKEN"), "{message}");
}

#[test]
fn senseless_configuration_is_refused_before_anything_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let cases = [
        ("ping_interval = \"soon\"", "ping_interval"),
        ("connections_max = 0", "connections_max"),
        ("colour = \"red\"", "colour"),
        ("connections_max = \"many\"", "connections_max"),
        ("bind = \"everywhere\"", "bind"),
    ];
    for (line, key) in cases {
        std::fs::write(&config, line).unwrap();
        let (code, message) = run_refused(&[
            "daemon",
            "start",
            "--config",
            text(&config),
            "--registry-backend",
            "memory",
        ]);
        assert_eq!(code, 2, "{line}: {message}");
        assert!(message.contains(key), "{line}: {message}");
    }
}

#[test]
fn flag_wins_over_environment_over_file_over_default() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(
        &config,
        "bind = \"127.0.0.1:1\"\ncache_mib = 1\nlog_level = \"warn\"",
    )
    .unwrap();
    let shown = harness(&[
        "config",
        "show",
        "--origin",
        "-o",
        "json",
        "--bind",
        "127.0.0.1:3",
    ])
    .env("HARNESS_CONFIG", &config)
    .env("HARNESS_BIND", "127.0.0.1:2")
    .env("HARNESS_CACHE_MIB", "2")
    .env("LOG_LEVEL", "debug")
    .output()
    .unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let find = |key: &str| {
        let row = shown
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["key"] == key)
            .unwrap()
            .clone();
        (
            row["value"].clone(),
            row["origin"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(find("bind"), (json!(["127.0.0.1:3"]), "flag".into()));
    assert_eq!(find("cache_mib"), (json!(2), "environment".into()));
    assert_eq!(find("log_level"), (json!("debug"), "environment".into()));
    assert_eq!(find("durability"), (json!("synced"), "default".into()));
}

#[test]
fn legacy_file_where_the_store_would_be_is_migrated_and_kept() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let legacy = folder.path().join("registry.json");
        std::fs::rename(legacy_file(folder.path()), &legacy).unwrap();
        let content = std::fs::read(&legacy).unwrap();
        let daemon = Daemon::on(folder.path(), backend);
        assert_eq!(daemon.ready_number("services"), 3, "{backend}");
        // The JSON backend keeps a projection of its own under that name.
        let kept = if backend == Backend::Json {
            folder.path().join("registry.json.migrated")
        } else {
            legacy
        };
        assert_eq!(std::fs::read(kept).unwrap(), content, "{backend}");
        daemon.terminate();
        assert_eq!(
            Daemon::on(folder.path(), backend).ready_number("revision"),
            3,
            "{backend}: migrated once"
        );
    }
}

#[test]
fn token_of_the_environment_is_required_and_sent() {
    let mut command = harness(&[
        "daemon",
        "start",
        "--registry-backend",
        "memory",
        "--bind",
        "127.0.0.1:0",
    ]);
    let mut child = command
        .env("HARNESS_TOKEN", "s3cret")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    let stdout = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut ready).unwrap();
    let url = ready.split(' ').nth(1).unwrap().to_owned();
    let (code, message) = run_refused(&["service", "list", "--url", &url]);
    assert_eq!(code, 5, "{message}");
    assert!(message.contains("401"), "{message}");
    let listed = harness(&["service", "list", "--url", &url])
        .env("HARNESS_TOKEN", "s3cret")
        .output()
        .unwrap();
    assert!(listed.status.success());
    child.kill().unwrap();
    child.wait().unwrap();
}
