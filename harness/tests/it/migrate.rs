//! Migration between every ordered pair of backends, export and import.

use std::path::Path;

use harness::backends::Backend;
use serde_json::Value;

use crate::fixture::{legacy_file, persistent, run, run_json, run_refused, store_path, text};

fn json_file(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("the file is there")).expect("JSON")
}

/// What a store must keep wherever it is copied to.
fn identity(path: &Path) -> Value {
    let info = run_json(&["registry", "info", "--path", text(path)]);
    let verified = run_json(&["registry", "verify", "--path", text(path)]);
    assert_eq!(verified["clean"], true, "{verified}");
    ["revision", "hash", "digest", "records", "compacted"]
        .iter()
        .map(|field| info[*field].clone())
        .collect()
}

/// A store with a history: changed, removed, made again.
fn with_history(folder: &Path, backend: Backend) -> std::path::PathBuf {
    let path = store_path(folder, backend);
    run(&[
        "registry",
        "migrate",
        "--from",
        text(&legacy_file(folder)),
        "--to",
        text(&path),
    ]);
    let target = ["--path", text(&path)];
    for args in [
        &["set-state", "api", "stopped"][..],
        &["deregister", "db"],
        &["register", "db", "--version", "17"],
    ] {
        run(&[&["service"], args, &target].concat());
    }
    path
}

#[test]
fn legacy_file_goes_into_each_backend_and_back() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let legacy = legacy_file(folder.path());
        let path = store_path(folder.path(), backend);
        let migrated = run_json(&[
            "registry",
            "migrate",
            "--from",
            text(&legacy),
            "--to",
            text(&path),
        ]);
        assert_eq!(migrated["records"]["service"], 3, "{backend}");
        let out = folder.path().join("out.json");
        run(&[
            "registry",
            "export",
            "--from",
            text(&path),
            "--to",
            text(&out),
        ]);
        assert_eq!(json_file(&out), json_file(&legacy), "{backend}");
        assert!(legacy.exists(), "the source is kept");
    }
}

#[test]
fn every_pair_of_backends_keeps_revisions_history_and_chain() {
    for from in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let source = with_history(folder.path(), from);
        let expected = identity(&source);
        for to in persistent() {
            let target = folder.path().join("copy").with_extension(to.extension());
            run(&[
                "registry",
                "migrate",
                "--from",
                text(&source),
                "--to",
                text(&target),
            ]);
            assert_eq!(identity(&target), expected, "{from} to {to}");
            let history = run_json(&["service", "history", "db", "--path", text(&target)]);
            let actions: Vec<_> = history
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| &entry["action"])
                .collect();
            assert_eq!(
                actions,
                ["register_service", "deregister_service", "register_service"],
                "{from} to {to}"
            );
            assert_eq!(
                identity(&source),
                expected,
                "the source of {from} to {to} is unchanged"
            );
        }
    }
}

#[test]
fn export_of_everything_rebuilds_the_store_elsewhere() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let source = with_history(folder.path(), backend);
        run(&[
            "registry",
            "compact",
            "--path",
            text(&source),
            "--keep",
            "2",
        ]);
        let expected = identity(&source);
        let export = folder.path().join("all.ndjson");
        run(&[
            "registry",
            "export",
            "--from",
            text(&source),
            "--to",
            text(&export),
        ]);
        let target = folder
            .path()
            .join("again")
            .with_extension(backend.extension());
        run(&[
            "registry",
            "import",
            "--from",
            text(&export),
            "--path",
            text(&target),
        ]);
        assert_eq!(identity(&target), expected, "{backend}");
    }
}

#[test]
fn target_that_exists_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let legacy = legacy_file(folder.path());
    for backend in persistent() {
        let path = store_path(folder.path(), backend);
        std::fs::write(&path, b"precious").unwrap();
        let (code, message) = run_refused(&[
            "registry",
            "migrate",
            "--from",
            text(&legacy),
            "--to",
            text(&path),
        ]);
        assert_eq!(code, 2, "{backend}: {message}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious", "{backend}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn dry_run_writes_nothing() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let legacy = legacy_file(folder.path());
        let path = store_path(folder.path(), backend);
        let told = run_json(&[
            "registry",
            "migrate",
            "--from",
            text(&legacy),
            "--to",
            text(&path),
            "--dry-run",
        ]);
        assert_eq!(
            (&told["migrated"], &told["records"]["service"]),
            (&false.into(), &3.into())
        );
        let left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        assert_eq!(left, [legacy], "{backend}");
    }
}

#[test]
fn import_puts_only_what_is_new_or_differs() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let source = with_history(folder.path(), backend);
        let legacy = legacy_file(folder.path());
        let import = [
            "registry",
            "import",
            "--from",
            text(&legacy),
            "--path",
            text(&source),
        ];
        let first = run_json(&import);
        assert_eq!(
            (&first["changed"], &first["unchanged"]),
            (&2.into(), &1.into()),
            "{backend}"
        );
        let second = run_json(&import);
        assert_eq!(
            (&second["changed"], &second["revision"]),
            (&0.into(), &first["revision"]),
            "{backend}"
        );
    }
}

#[test]
fn log_can_be_proved_against_a_hash_that_was_kept() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = with_history(folder.path(), backend);
        let info = run_json(&["registry", "info", "--path", text(&path)]);
        let kept = format!("{}:{}", info["revision"], info["hash"].as_str().unwrap());
        run(&["service", "deregister", "db", "--path", text(&path)]);
        run(&[
            "registry",
            "verify",
            "--path",
            text(&path),
            "--expect",
            &kept,
        ]);
        let forged = format!("{}:{}", info["revision"], "0".repeat(64));
        let (code, _) = run_refused(&[
            "registry",
            "verify",
            "--path",
            text(&path),
            "--expect",
            &forged,
        ]);
        assert_eq!(code, 6, "{backend}");
    }
}
