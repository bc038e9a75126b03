//! What only reads changes no byte, also of a store that kill -9 left behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use harness::backends::Backend;

use crate::fixture::{Daemon, persistent, run, run_json, store_path, text};

/// Every file below a folder with its content; SQLite's index of the journal is rebuilt by whoever opens it.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(
                path.clone(),
                std::fs::read(&path).expect("the file can be read"),
            );
        }
    }
    found
}

#[test]
fn reading_a_store_that_was_killed_changes_no_byte() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = store_path(folder.path(), backend);
        let daemon = Daemon::on(folder.path(), backend);
        for index in 0..20 {
            run(&[
                "service",
                "register",
                &format!("s{index}"),
                "--version",
                "1",
                "--url",
                &daemon.url,
            ]);
        }
        daemon.kill();
        let before = contents(folder.path());
        let elsewhere = tempfile::tempdir().unwrap();
        let copy = store_path(elsewhere.path(), Backend::default_of_build());
        assert_eq!(
            run_json(&["registry", "info", "--path", text(&path)])["revision"],
            20,
            "{backend}"
        );
        assert_eq!(
            run_json(&["registry", "verify", "--path", text(&path)])["clean"],
            true,
            "{backend}"
        );
        run(&[
            "registry",
            "migrate",
            "--from",
            text(&path),
            "--to",
            text(&copy),
        ]);
        run(&[
            "registry",
            "compact",
            "--path",
            text(&path),
            "--keep",
            "1",
            "--dry-run",
        ]);
        let after = contents(folder.path());
        let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&after), names(&before), "{backend}");
        for (file, content) in &before {
            assert!(
                after[file] == *content,
                "{backend}: {} was changed",
                file.display()
            );
        }
    }
}
