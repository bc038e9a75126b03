//! `service watch`: every change once, also across a restart of the daemon.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use harness::backends::Backend;
use serde_json::Value;

use crate::fixture::{Daemon, harness, persistent, run, run_json, store_path, text};

struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn start(args: &[&str]) -> Self {
        let args = [&["service", "watch", "-o", "ndjson"], args].concat();
        let mut child = harness(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Self { child, lines }
    }

    /// The next event: its name and its revision.
    fn next(&mut self) -> (String, u64) {
        let line = self
            .lines
            .next()
            .expect("the watch goes on")
            .expect("output is UTF-8");
        let event: Value = serde_json::from_str(&line).expect("a line is JSON");
        let name = event["event"]
            .as_str()
            .expect("events have names")
            .to_owned();
        (
            name,
            event["data"]["revision"]
                .as_u64()
                .expect("events have revisions"),
        )
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_port() -> String {
    let listener =
        std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    listener.local_addr().expect("it listens").to_string()
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
        let mut watch = Watch::start(&["--after", "0", "--url", &url]);
        assert_eq!(watch.next().1, 1);
        register("s2");
        assert_eq!(watch.next().1, 2);
        daemon.kill();
        let daemon = Daemon::start(&args);
        register("s3");
        register("s4");
        let told: Vec<u64> = (0..2).map(|_| watch.next().1).collect();
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
    let mut watch = Watch::start(&["--after", "0", "--url", &other.url]);
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
        assert_eq!(watch.next(), ("service_registered".to_owned(), round));
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
