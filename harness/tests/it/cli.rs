//! What the commands print, and their exit codes.

use crate::fixture::{migrated, persistent, run, run_json, run_refused, store_path, text};

#[test]
fn info_and_list_have_the_fields_that_scripts_rely_on() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = migrated(folder.path(), backend);
        let info = run_json(&["registry", "info", "--path", text(&path)]);
        assert_eq!(info["backend"], backend.as_str());
        assert_eq!(
            (&info["revision"], &info["records"]["service"]),
            (&3.into(), &3.into())
        );
        assert_eq!(
            (&info["durability"], &info["path"]),
            (&"synced".into(), &text(&path).into())
        );
        let list = run_json(&["service", "list", "--path", text(&path)]);
        let names: Vec<_> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["agent/ä:1%", "api", "db"]);
        for field in ["version", "state", "revision"] {
            assert!(!list[0][field].is_null(), "{field}");
        }
    }
}

#[test]
fn every_output_format_tells_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = migrated(folder.path(), persistent()[0]);
    let list = |format: &str| {
        run(&[
            "service",
            "list",
            "--path",
            text(&path),
            "--state",
            "running",
            "-o",
            format,
        ])
    };
    assert_eq!(
        list("table"),
        "NAME  VERSION  STATE    HEALTH   ENDPOINTS  REVISION\napi   1.2.3    running  passing  2          2\n"
    );
    assert!(list("ndjson").starts_with(r#"{"created_revision":2,"#));
    assert!(list("yaml").contains("name: api"));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&list("json")).unwrap()[0]["name"],
        "api"
    );
}

#[test]
fn exit_codes_tell_failures_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = store_path(folder.path(), persistent()[0]);
    let target = ["--path", text(&path)];
    let code = |args: &[&str]| run_refused(&[&["service"], args, &target].concat()).0;
    assert_eq!(
        run_refused(&["registry", "info", "--path", text(&path)]).0,
        3,
        "no store is not an empty store"
    );
    assert_eq!(code(&["list"]), 3);
    run(&[
        "service",
        "register",
        "api",
        "--version",
        "1",
        target[0],
        target[1],
    ]);
    assert_eq!(code(&["get", "nobody"]), 3);
    assert_eq!(
        code(&["register", "api", "--version", "2", "--if-revision", "0"]),
        4
    );
    assert_eq!(code(&["deregister", "api", "--if-revision", "9"]), 4);
    assert_eq!(code(&["register", "", "--version", "1"]), 2);
    assert_eq!(code(&["set-state", "api", "flying"]), 2);
    assert_eq!(
        run_refused(&["service", "list", "--url", "ws://127.0.0.1:1/ws"]).0,
        5
    );
    assert_eq!(run_refused(&["fly"]).0, 2);
}

#[test]
fn writes_of_the_command_line_are_conditional_and_repeatable() {
    let folder = tempfile::tempdir().unwrap();
    let path = store_path(folder.path(), persistent()[0]);
    let register = [
        "service",
        "register",
        "api",
        "--version",
        "1",
        "--if-revision",
        "0",
        "--idempotency-key",
        "d1",
        "--path",
        text(&path),
    ];
    let first = run_json(&register);
    assert_eq!(run_json(&register)["revision"], first["revision"]);
    let entry = folder.path().join("entry.yaml");
    std::fs::write(
        &entry,
        "name: api\nversion: \"2\"\nexecution:\n  systemd_service:\n    unit_name: api.service\n",
    )
    .unwrap();
    run(&[
        "service",
        "register",
        "--file",
        text(&entry),
        "--path",
        text(&path),
        "--reason",
        "moved to systemd",
    ]);
    let history = run_json(&["service", "history", "api", "--path", text(&path)]);
    assert_eq!(history[1]["reason"], "moved to systemd");
    assert_eq!(
        history[1]["after"]["execution"]["systemd_service"]["unit_name"],
        "api.service"
    );
}

#[test]
fn repaired_store_has_what_could_be_read() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = migrated(folder.path(), backend);
        let expected = run(&["service", "list", "--path", text(&path), "-o", "json"]);
        let new = folder
            .path()
            .join("new")
            .with_extension(backend.extension());
        let repaired = run_json(&[
            "registry",
            "repair",
            "--path",
            text(&path),
            "--to",
            text(&new),
        ]);
        assert_eq!(
            (&repaired["records"], &repaired["losses"]),
            (&3.into(), &0.into()),
            "{backend}"
        );
        assert_eq!(
            run(&["service", "list", "--path", text(&new), "-o", "json"]),
            expected,
            "{backend}"
        );
    }
}
