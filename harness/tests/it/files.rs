//! Files and folders: names of every kind, standard input and output, damage, and what reading leaves behind.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use harness::backends::Backend;
use harness::core::limits::GROUP_TRANSACTIONS_MAX;

use crate::fixture::{
    Daemon, files_in, harness, legacy_file, many_services, persistent, run, run_json, run_refused,
    store_path, text,
};

/// A store of the legacy file's services.
fn store_in(folder: &Path, backend: Backend) -> PathBuf {
    let path = store_path(folder, backend);
    let legacy = legacy_file(folder);
    run(&[
        "registry",
        "migrate",
        "--from",
        text(&legacy),
        "--to",
        text(&path),
    ]);
    std::fs::remove_file(legacy).expect("the folder is ours");
    path
}

#[test]
fn export_to_standard_output_is_imported_from_standard_input() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = store_in(folder.path(), backend);
        let exported = run(&["registry", "export", "--from", text(&path), "--to", "-"]);
        assert!(
            exported.lines().all(|line| line.starts_with('{')),
            "{backend}"
        );
        let copy = folder
            .path()
            .join("copy")
            .with_extension(backend.extension());
        let mut child = harness(&["registry", "import", "--from", "-", "--path", text(&copy)])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(exported.as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success(), "{backend}");
        let info =
            |path: &Path| run_json(&["registry", "info", "--path", text(path)])["hash"].clone();
        assert_eq!(info(&path), info(&copy), "{backend}");
        let empty = harness(&[
            "registry",
            "import",
            "--from",
            "-",
            "--path",
            text(&folder.path().join("none")),
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
        assert_eq!(
            empty.status.code(),
            Some(6),
            "{backend}: nothing is no export"
        );
    }
}

#[test]
fn export_to_a_place_that_cannot_be_written_leaves_nothing() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = store_in(folder.path(), persistent()[0]);
    let out = out.path();
    std::fs::write(out.join("file"), b"mine").unwrap();
    std::fs::create_dir(out.join("folder.ndjson")).unwrap();
    std::fs::create_dir(out.join("folder.json")).unwrap();
    let before = files_in(out);
    for target in [
        "missing/all.ndjson",
        "missing/all.json",
        "file/all.ndjson",
        "folder.ndjson",
        "folder.json",
    ] {
        let target = out.join(target);
        let (code, message) = run_refused(&[
            "registry",
            "export",
            "--from",
            text(&path),
            "--to",
            text(&target),
        ]);
        assert!([1, 2].contains(&code), "{}: {message}", target.display());
        assert!(!message.contains("panicked"), "{message}");
        assert_same(&before, &files_in(out), text(&target));
    }
    let full = File::options().write(true).open("/dev/full");
    if let Ok(full) = full {
        let Output { status, stderr, .. } =
            harness(&["registry", "export", "--from", text(&path), "--to", "-"])
                .stdout(full)
                .output()
                .unwrap();
        assert_eq!(
            status.code(),
            Some(1),
            "{}",
            String::from_utf8_lossy(&stderr)
        );
    }
}

#[test]
fn names_with_spaces_and_signs_of_every_kind_are_fine() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("ein Ordner: ä %20 \"日本\" 'x' #?");
        std::fs::create_dir(&odd).unwrap();
        let path = store_in(&odd, backend);
        run(&["service", "register", "new one", "--path", text(&path)]);
        let export = odd.join("alles auf einmal.ndjson");
        run(&[
            "registry",
            "export",
            "--from",
            text(&path),
            "--to",
            text(&export),
        ]);
        let copy = odd.join("die Kopie").with_extension(backend.extension());
        run(&[
            "registry",
            "import",
            "--from",
            text(&export),
            "--path",
            text(&copy),
        ]);
        assert_eq!(
            run_json(&["registry", "verify", "--path", text(&copy)])["clean"],
            true
        );
        let daemon = Daemon::on(&odd, backend);
        assert_eq!(
            daemon.ready_number("services"),
            4,
            "{backend}: {}",
            daemon.ready
        );
        assert!(daemon.terminate().success());
    }
}

#[test]
fn relative_paths_are_those_of_the_current_folder() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("registry.{}", backend.extension());
        let here = |args: &[&str]| {
            let output = harness(args).current_dir(folder.path()).output().unwrap();
            let problem = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{backend}, {args:?}: {problem}");
        };
        here(&["service", "register", "api", "--path", &name]);
        here(&["registry", "export", "--from", &name, "--to", "all.ndjson"]);
        here(&[
            "registry",
            "export",
            "--from",
            &name,
            "--to",
            "services.json",
        ]);
        let copy = format!("copy.{}", backend.extension());
        here(&[
            "registry",
            "import",
            "--from",
            "all.ndjson",
            "--path",
            &copy,
        ]);
        here(&["registry", "compact", "--path", &copy, "--keep", "0"]);
        let moved = format!("moved.{}", backend.extension());
        here(&["registry", "migrate", "--from", &copy, "--to", &moved]);
        let saved = format!("saved.{}", backend.extension());
        here(&["registry", "repair", "--path", &moved, "--to", &saved]);
        here(&["registry", "verify", "--path", &saved]);
        assert!(folder.path().join(&saved).exists());
        assert!(folder.path().join("services.json").exists());
    }
}

#[test]
fn dry_run_of_a_compaction_changes_nothing() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = store_in(folder.path(), backend);
        let before = files_in(folder.path());
        let told = run_json(&[
            "registry",
            "compact",
            "--path",
            text(&path),
            "--keep",
            "1",
            "--dry-run",
        ]);
        assert_eq!(
            (&told["removed"], &told["compacted"]),
            (&2.into(), &false.into())
        );
        let beyond = [
            "registry",
            "compact",
            "--path",
            text(&path),
            "--through",
            "99",
            "--dry-run",
        ];
        let (code, _) = run_refused(&beyond);
        assert_same(&before, &files_in(folder.path()), &format!("{backend}"));
        assert_eq!(
            code,
            run_refused(&beyond[..6]).0,
            "{backend}: refused like the real one"
        );
        let done = run_json(&["registry", "compact", "--path", text(&path), "--keep", "1"]);
        assert_eq!(done["removed"], 2);
    }
}

/// Compares what lies in a folder without printing it.
fn assert_same(
    before: &BTreeMap<PathBuf, Vec<u8>>,
    after: &BTreeMap<PathBuf, Vec<u8>>,
    what: &str,
) {
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(before), names(after), "{what}");
    for (path, content) in before {
        assert!(
            after[path] == *content,
            "{what}: {} is another",
            path.display()
        );
    }
}

#[test]
fn reading_what_a_killed_daemon_left_changes_no_byte() {
    for backend in persistent() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let daemon = Daemon::on(folder.path(), backend);
        for name in ["a", "b", "c"] {
            run(&["service", "register", name, "--url", &daemon.url]);
        }
        daemon.kill();
        let path = store_path(folder.path(), backend);
        let copy = store_path(elsewhere.path(), backend);
        let export = elsewhere.path().join("all.ndjson");
        let saved = elsewhere
            .path()
            .join("saved")
            .with_extension(backend.extension());
        let before = files_in(folder.path());
        let reads: [&[&str]; 6] = [
            &["info", "--path", text(&path)],
            &["verify", "--path", text(&path)],
            &["compact", "--path", text(&path), "--keep", "1", "--dry-run"],
            &["migrate", "--from", text(&path), "--to", text(&copy)],
            &["export", "--from", text(&path), "--to", text(&export)],
            &["repair", "--path", text(&path), "--to", text(&saved)],
        ];
        for read in reads {
            run(&[&["registry"], read].concat());
            assert_same(
                &before,
                &files_in(folder.path()),
                &format!("{backend}, {}", read[0]),
            );
        }
        assert_eq!(
            run_json(&["registry", "info", "--path", text(&saved)])["revision"],
            3,
            "{backend}"
        );
        assert_eq!(
            Daemon::on(folder.path(), backend).ready_number("revision"),
            3,
            "{backend}"
        );
    }
}

/// Flips some bytes from the middle of the largest file on until that is damage: a page that is not in use is none.
fn damage(folder: &Path, path: &Path) {
    let files = files_in(folder).into_iter();
    let is_projection = |file: &Path| {
        file.extension()
            .is_some_and(|extension| extension == "json")
    };
    let largest = files
        .filter(|(file, _)| !is_projection(file))
        .max_by_key(|(_, content)| content.len());
    let (file, whole) = largest.expect("a store has files");
    // What is behind the last byte that was written is not in use.
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    for at in (end / 2..end.saturating_sub(16)).step_by(4096) {
        let mut content = whole.clone();
        content[at..at + 16]
            .iter_mut()
            .for_each(|byte| *byte ^= 0x55);
        std::fs::write(&file, content).expect("the folder is ours");
        let verified = harness(&["registry", "verify", "--path", text(path)])
            .output()
            .expect("the binary runs");
        if !verified.status.success() {
            assert_eq!(
                verified.status.code(),
                Some(6),
                "damage has an exit code of its own"
            );
            return;
        }
    }
    panic!("no flip in the second half of {} is damage", file.display());
}

#[test]
fn repair_saves_all_but_the_damaged_group() {
    for backend in persistent() {
        let (folder, input) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = store_path(folder.path(), backend);
        let services = many_services(input.path(), 2000);
        run(&[
            "registry",
            "migrate",
            "--from",
            text(&services),
            "--to",
            text(&path),
        ]);
        damage(folder.path(), &path);
        let damaged = files_in(folder.path());
        let saved = input
            .path()
            .join("saved")
            .with_extension(backend.extension());
        let repaired = run_json(&[
            "registry",
            "repair",
            "--path",
            text(&path),
            "--to",
            text(&saved),
        ]);
        let records = repaired["records"].as_u64().unwrap();
        // A group is one line or one value, and the damaged one may be lost whole.
        assert!(
            records >= 2000 - GROUP_TRANSACTIONS_MAX as u64,
            "{backend}: {repaired}"
        );
        assert_same(&damaged, &files_in(folder.path()), &format!("{backend}"));
        let verified = run_json(&["registry", "verify", "--path", text(&saved)]);
        assert_eq!(verified["clean"], true, "{backend}: {verified}");
        run(&["service", "register", "new", "--path", text(&saved)]);
    }
}
