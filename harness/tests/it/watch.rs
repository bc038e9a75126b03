//! `service watch`: every change once, also across a restart of the daemon.

use harness::backends::Backend;

use crate::fixture::{Daemon, Follower, free_port, persistent, run, run_json, store_path, text};

fn watch(args: &[&str]) -> Follower {
    Follower::start(&[&["service", "watch"], args].concat())
}

/// The next event: its name and its revision.
fn next(watch: &mut Follower) -> (String, u64) {
    let event = watch.next();
    let name = event["event"].as_str().expect("events have names");
    let revision = event["data"]["revision"].as_u64();
    (name.to_owned(), revision.expect("events have revisions"))
}

#[test]
fn watch_goes_on_after_a_restart_without_gap_or_double() {
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
        let register =
            |name: &str| run(&["service", "register", name, "--version", "1", "--url", &url]);
        register("s1");
        let mut watch = watch(&["--after", "0", "--url", &url]);
        assert_eq!(next(&mut watch).1, 1);
        register("s2");
        assert_eq!(next(&mut watch).1, 2);
        daemon.kill();
        let daemon = Daemon::start(&args);
        register("s3");
        register("s4");
        let told: Vec<u64> = (0..2).map(|_| next(&mut watch).1).collect();
        assert_eq!(told, [3, 4], "{backend}");
        assert!(daemon.terminate().success());
    }
}

#[test]
fn two_daemons_on_one_sqlite_path_are_one_registry() {
    if !Backend::Sqlite.is_built_in() {
        println!("skipped: this build has no SQLite");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (
        Daemon::on(folder.path(), Backend::Sqlite),
        Daemon::on(folder.path(), Backend::Sqlite),
    );
    let mut watch = watch(&["--after", "0", "--url", &other.url]);
    for round in 1..=5u64 {
        let (writer, reader) = if round % 2 == 0 {
            (&other, &one)
        } else {
            (&one, &other)
        };
        run(&[
            "service",
            "register",
            "api",
            "--version",
            &round.to_string(),
            "--url",
            &writer.url,
        ]);
        let read = run_json(&["service", "get", "api", "--url", &reader.url]);
        assert_eq!(
            read["version"],
            round.to_string(),
            "an acknowledged write is read at once by the other"
        );
        assert_eq!(next(&mut watch), ("service_registered".to_owned(), round));
    }
}

#[test]
fn interval_durability_is_told_and_loses_nothing_at_the_end() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = store_path(folder.path(), backend);
        let args = [
            "--registry-backend",
            backend.as_str(),
            "--registry-path",
            text(&path),
            "--durability",
            "interval:1h",
        ];
        let daemon = Daemon::start(&args);
        assert!(
            daemon.ready.contains("durability=interval:3600000ms"),
            "{backend}: {}",
            daemon.ready
        );
        for index in 0..10 {
            run(&[
                "service",
                "register",
                &format!("s{index}"),
                "--url",
                &daemon.url,
            ]);
        }
        assert!(daemon.terminate().success());
        assert_eq!(
            run_json(&["registry", "info", "--path", text(&path)])["revision"],
            10,
            "{backend}"
        );
    }
}
