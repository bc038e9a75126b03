//! `harness doctor`: every check with a store that is well, and with one that is not.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use harness::backends::Backend;
use serde_json::Value;

use crate::fixture::{
    Daemon, files_in, free_port, harness, migrated, persistent, store_path, text,
};

/// What the doctor says: its exit code and its checks.
struct Diagnosis {
    code: i32,
    checks: Vec<Value>,
}

impl Diagnosis {
    fn of(args: &[&str]) -> Self {
        let args = [&["doctor", "-o", "json"], args].concat();
        let Output { status, stdout, .. } = harness(&args).output().expect("the binary runs");
        Self {
            code: status.code().expect("it ends by itself"),
            checks: serde_json::from_slice(&stdout).expect("it prints JSON"),
        }
    }

    fn of_store(path: &Path) -> Self {
        Self::of(&["--path", text(path), "--bind", "127.0.0.1:0"])
    }

    fn check(&self, name: &str) -> (&str, &str) {
        let found = self.checks.iter().find(|check| check["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no check {name} in {:?}", self.checks));
        let field = |field: &str| found[field].as_str().expect("a text");
        (field("status"), field("evidence"))
    }

    fn failed(&self) -> Vec<&str> {
        let failed = self.checks.iter().filter(|check| check["status"] == "fail");
        failed.filter_map(|check| check["name"].as_str()).collect()
    }
}

#[test]
fn store_that_is_well_passes_every_check_and_is_left_alone() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = migrated(folder.path(), backend);
        let before = files_in(folder.path());
        let diagnosis = Diagnosis::of_store(&path);
        assert_eq!(diagnosis.code, 0, "{backend}: {:?}", diagnosis.checks);
        for check in [
            "configuration",
            "store",
            "schema",
            "records",
            "clock",
            "port",
        ] {
            let (status, evidence) = diagnosis.check(check);
            assert_eq!(status, "ok", "{backend}: {check}: {evidence}");
        }
        assert_eq!(diagnosis.check("file_modes").0, "ok", "{backend}");
        assert!(diagnosis.check("records").1.contains("3 service"));
        let holder = diagnosis.check("holder").0;
        let expected = if backend == Backend::Sqlite {
            "skipped"
        } else {
            "ok"
        };
        assert_eq!(holder, expected, "{backend}");
        // How long a sync takes and what is free is the machine's.
        assert!(diagnosis.check("sync_latency").1.contains("median"));
        assert!(diagnosis.check("disk_space").1.contains("bytes free"));
        assert!(
            files_in(folder.path()) == before,
            "{backend}: the files are others than before"
        );
    }
}

#[test]
fn missing_store_fails_where_it_was_named_and_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    for backend in persistent() {
        let path = store_path(&folder.path().join("none"), backend);
        let named = Diagnosis::of_store(&path);
        assert_eq!(
            (named.code, named.failed()),
            (7, vec!["store"]),
            "{backend}"
        );
        let args = ["--registry-path", text(&path), "--bind", "127.0.0.1:0"];
        let first_start = Diagnosis::of(&args);
        assert_eq!(first_start.code, 0, "{backend}");
        assert_eq!(first_start.check("store").0, "warn", "{backend}");
    }
    assert!(files_in(folder.path()).is_empty());
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn store_of_a_running_daemon_is_told_with_its_holder() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.toml");
        let bind = free_port();
        let path = store_path(folder.path(), backend);
        std::fs::write(
            &config,
            format!("bind = {bind:?}\nregistry_path = {path:?}\ntoken = \"secret\"\n"),
        )
        .unwrap();
        let args = ["--config", text(&config)];
        let daemon = Daemon::start(&[&args[..], &["--bind", &bind]].concat());
        let diagnosis = Diagnosis::of(&args);
        assert_eq!(diagnosis.code, 0, "{backend}: {:?}", diagnosis.checks);
        let (status, evidence) = diagnosis.check("port");
        assert_eq!(status, "ok", "{backend}: {evidence}");
        assert!(evidence.contains("a harness daemon answers"), "{evidence}");
        let (status, evidence) = diagnosis.check("holder");
        if backend != Backend::Sqlite {
            assert_eq!(status, "ok", "{backend}: {evidence}");
            assert!(evidence.contains("is alive"), "{evidence}");
        }
        for check in ["store", "schema", "records"] {
            let (status, evidence) = diagnosis.check(check);
            assert_eq!(status, "ok", "{backend}: {check}: {evidence}");
        }
        assert!(daemon.terminate().success());
    }
}

/// Changes a byte here and there in every file of a store that is large enough.
fn damage(folder: &Path) {
    for (path, mut content) in files_in(folder) {
        for byte in content.iter_mut().skip(200).step_by(97) {
            *byte ^= 0x55;
        }
        std::fs::write(path, content).expect("the folder is ours");
    }
}

#[test]
fn damaged_store_fails_with_the_commands_that_help() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = migrated(folder.path(), backend);
        damage(folder.path());
        let diagnosis = Diagnosis::of_store(&path);
        assert_eq!(diagnosis.code, 7, "{backend}: {:?}", diagnosis.checks);
        let failed = diagnosis.failed();
        assert!(
            failed
                .iter()
                .all(|check| ["store", "records", "log"].contains(check)),
            "{backend}: {:?}",
            diagnosis.checks
        );
        let fix = diagnosis
            .checks
            .iter()
            .filter_map(|check| check["fix"].as_str());
        assert!(
            fix.into_iter().any(|fix| fix.contains("registry repair")),
            "{backend}"
        );
    }
}

#[test]
fn files_that_others_may_read_or_write_are_told() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = migrated(folder.path(), backend);
        for (mode, status, code) in [(0o640, "warn", 0), (0o622, "fail", 7)] {
            let mut loose = Vec::new();
            for file in files_in(folder.path()).into_keys() {
                let permissions = std::fs::Permissions::from_mode(mode);
                std::fs::set_permissions(&file, permissions).unwrap();
                loose.push(file);
            }
            let diagnosis = Diagnosis::of_store(&path);
            let (found, evidence) = diagnosis.check("file_modes");
            assert_eq!(
                (found, diagnosis.code),
                (status, code),
                "{backend}: {evidence}"
            );
            assert!(evidence.contains(&format!("{mode:04o}")), "{evidence}");
        }
    }
}

#[test]
fn port_of_a_stranger_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = migrated(folder.path(), persistent()[0]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = listener.local_addr().unwrap().to_string();
    let stranger = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut first = [0; 4];
        stream.read_exact(&mut first).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
        listener
    });
    let diagnosis = Diagnosis::of(&["--path", text(&path), "--bind", &bind]);
    assert_eq!((diagnosis.code, diagnosis.failed()), (7, vec!["port"]));
    let (_, evidence) = diagnosis.check("port");
    assert!(evidence.contains("no harness daemon"), "{evidence}");
    drop(stranger.join().unwrap());
}

#[test]
fn socket_file_is_asked_as_a_port_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = migrated(folder.path(), persistent()[0]);
    let socket = folder.path().join("h.sock");
    let bind = format!("unix:{}", socket.display());
    let port = |binds: &[&str]| {
        let binds = binds.iter().flat_map(|bind| ["--bind", bind]);
        let args: Vec<_> = ["--path", text(&path)].into_iter().chain(binds).collect();
        let diagnosis = Diagnosis::of(&args);
        let (status, evidence) = diagnosis.check("port");
        (status.to_owned(), evidence.to_owned())
    };
    let (status, evidence) = port(&["127.0.0.1:0", &bind]);
    assert_eq!(status, "ok", "{evidence}");
    assert!(evidence.contains("h.sock is free"), "{evidence}");
    let missing = format!("unix:{}/none/h.sock", folder.path().display());
    assert_eq!(port(&[&bind, &missing]).0, "fail");
    let arguments = ["--registry-backend", "memory", "--bind", "127.0.0.1:0"];
    let daemon = Daemon::start(&[&arguments[..], &["--bind", &bind]].concat());
    let (status, evidence) = port(&[&bind]);
    assert_eq!(status, "ok", "{evidence}");
    assert!(evidence.contains("a harness daemon answers"), "{evidence}");
    daemon.kill();
    let (status, evidence) = port(&[&bind]);
    assert_eq!(status, "ok", "{evidence}");
    assert!(evidence.contains("nobody listens"), "{evidence}");
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "precious").unwrap();
    let (status, evidence) = port(&[&bind]);
    assert_eq!(status, "fail", "{evidence}");
    assert!(evidence.contains("no socket"), "{evidence}");
}

#[test]
fn senseless_configuration_fails_and_the_rest_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = migrated(folder.path(), persistent()[0]);
    let diagnosis = Diagnosis::of(&["--path", text(&path), "--durability", "never"]);
    assert_eq!(
        (diagnosis.code, diagnosis.failed()),
        (7, vec!["configuration"])
    );
    assert!(diagnosis.check("configuration").1.contains("durability"));
    assert_eq!(diagnosis.check("store").0, "ok");
    assert_eq!(diagnosis.check("port").0, "skipped");
}
