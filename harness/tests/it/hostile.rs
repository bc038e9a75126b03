//! Files that are not what they should be: an error with the place, and an untouched target.

use std::path::{Path, PathBuf};

use crate::fixture::{legacy_file, migrated, persistent, run, run_refused, store_path, text};

fn entry(name: &str, more: &str) -> String {
    format!(
        r#"{{"name":"{name}","version":"1","execution":{{"SystemdService":{{"unit_name":"u"}}}},"location":"Local","state":"Running"{more}}}"#
    )
}

/// Names and contents of files that are no registry file.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let one = entry("a", "");
    let ten_megabytes = format!(r#","command":"{}""#, "y".repeat(10_000_000));
    let cases = [
        ("empty", String::new()),
        ("a list", "[]".to_owned()),
        ("truncated", format!(r#"{{"a":{}"#, &one[..one.len() / 2])),
        ("trailing text", format!(r#"{{"a":{one}}} more"#)),
        (
            "wrong type",
            format!(r#"{{"a":{}}}"#, one.replace("\"1\"", "1")),
        ),
        (
            "bad address",
            format!(
                r#"{{"a":{}}}"#,
                entry(
                    "a",
                    r#","endpoints":[{"name":"x","address":"nowhere","protocol":"Tcp"}]"#
                )
            ),
        ),
        (
            "unknown variant",
            format!(r#"{{"a":{}}}"#, one.replace("Running", "Flying")),
        ),
        ("doubled name", format!(r#"{{"a":{one},"a":{one}}}"#)),
        (
            "doubled field",
            format!(r#"{{"a":{}}}"#, entry("a", r#","version":"2""#)),
        ),
        ("name that is not the key", format!(r#"{{"b":{one}}}"#)),
        ("empty name", format!(r#"{{"":{}}}"#, entry("", ""))),
        (
            "NUL in a name",
            format!(r#"{{"a\u0000":{}}}"#, entry(r"a\u0000", "")),
        ),
        ("100,000 levels", format!(r#"{{"a":{}}}"#, nested(100_000))),
        (
            "100,000 levels in an unknown field",
            format!(
                r#"{{"a":{}}}"#,
                entry("a", &format!(r#","x":{}"#, nested(1_000_000)))
            ),
        ),
        (
            "10 MB string",
            format!(r#"{{"a":{}}}"#, entry("a", &ten_megabytes)),
        ),
        (
            "10 MB name",
            format!(r#"{{"{}":1}}"#, "y".repeat(10_000_000)),
        ),
    ];
    let mut cases: Vec<_> = cases
        .into_iter()
        .map(|(name, text)| (name, text.into_bytes()))
        .collect();
    cases.push(("invalid UTF-8", b"{\"a\xff\xfe\":1}".to_vec()));
    cases
}

/// What lies in a folder, with contents.
fn listing(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|file| file.expect("the folder can be listed").path())
        .map(|path| (path.clone(), std::fs::read(path).ok()))
        .collect();
    files.sort();
    files
}

#[test]
fn hostile_files_are_refused_with_the_place_and_change_nothing() {
    for backend in persistent() {
        let (folder, input) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = input.path().join("registry.json");
        let target = store_path(folder.path(), backend);
        let mut cases = hostile();
        if backend != persistent()[0] {
            // The reader is the same; the largest files are tried on the first backend.
            cases.retain(|(_, content)| content.len() < 1_000_000);
        }
        for (name, content) in cases {
            std::fs::write(&file, content).unwrap();
            let (code, message) = run_refused(&[
                "registry",
                "migrate",
                "--from",
                text(&file),
                "--to",
                text(&target),
            ]);
            assert_eq!(code, 6, "{backend}, {name}: {message}");
            let place = message.contains("registry.json:");
            assert!(place, "{backend}, {name}: no place in {message}");
            assert_eq!(listing(folder.path()), [], "{backend}, {name}");
        }
    }
}

#[test]
fn hostile_import_leaves_a_store_as_it_was() {
    for backend in persistent() {
        let (folder, input) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = store_path(folder.path(), backend);
        run(&[
            "registry",
            "migrate",
            "--from",
            text(&legacy_file(input.path())),
            "--to",
            text(&target),
        ]);
        let before = run(&["service", "list", "--path", text(&target), "-o", "json"]);
        let file = input.path().join("registry.json");
        let half = format!(
            r#"{{"fresh":{},"broken":{{"name":7}}}}"#,
            entry("fresh", "")
        );
        std::fs::write(&file, half).unwrap();
        let (code, message) = run_refused(&[
            "registry",
            "import",
            "--from",
            text(&file),
            "--path",
            text(&target),
        ]);
        assert_eq!(code, 6, "{backend}: {message}");
        assert!(message.contains(r#"entry "broken""#), "{message}");
        let after = run(&["service", "list", "--path", text(&target), "-o", "json"]);
        assert_eq!(before, after, "{backend}");
    }
}

#[test]
fn cut_off_exports_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let backend = persistent()[0];
    let source = migrated(folder.path(), backend);
    let export = folder.path().join("all.ndjson");
    run(&[
        "registry",
        "export",
        "--from",
        text(&source),
        "--to",
        text(&export),
    ]);
    let whole = std::fs::read(&export).unwrap();
    let lines: Vec<usize> = whole
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at)
        .collect();
    let target = folder
        .path()
        .join("copy")
        .with_extension(backend.extension());
    let cuts = lines
        .iter()
        .flat_map(|at| [at - 3, at + 1])
        .filter(|at| *at < whole.len())
        .chain([0]);
    for cut in cuts {
        std::fs::write(&export, &whole[..cut]).unwrap();
        let (code, message) = run_refused(&[
            "registry",
            "import",
            "--from",
            text(&export),
            "--path",
            text(&target),
        ]);
        assert_eq!(code, 6, "cut at {cut}: {message}");
        assert!(message.contains("line "), "cut at {cut}: {message}");
        assert!(!target.exists(), "cut at {cut}");
    }
}

#[test]
fn foreign_things_at_the_path_are_never_replaced() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = store_path(folder.path(), backend);
        let open = ["service", "register", "api", "--path", text(&path)];
        std::fs::write(&path, b"").unwrap();
        let (_, message) = run_refused(&open);
        assert!(message.contains("registry."), "{backend}: {message}");
        std::fs::write(
            &path,
            b"something else entirely, long enough to look like a header of some database",
        )
        .unwrap();
        let before = std::fs::read(&path).unwrap();
        run_refused(&open);
        assert_eq!(std::fs::read(&path).unwrap(), before, "{backend}");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("note.txt"), b"mine").unwrap();
        run_refused(&open);
        assert_eq!(
            std::fs::read(path.join("note.txt")).unwrap(),
            b"mine",
            "{backend}"
        );
    }
}
