//! Records of every kind go wherever services go.

use std::path::{Path, PathBuf};

use futures_lite::future::block_on;
use harness::backends::{Backend, OpenOptions, open};
use harness::core::model::{InstanceSpec, ServiceEntry, ServicePolicy};
use harness::core::{
    Cause, Image, Key, Mutation, Record, Revision, Timestamp, Transaction, TransactionId,
};
use serde_json::Value;

use crate::fixture::{harness, persistent, run, run_json, store_path, text};

fn instance(service: &str, id: &str) -> Record {
    let spec = InstanceSpec::new(service, id, "10.0.0.7", 8080);
    Record::Instance(spec.start(1, Revision(1), Timestamp::default()))
}

fn put(record: Record) -> Mutation {
    Mutation::Put(Image::new(record).expect("the record is legal"))
}

/// A store with a service, two instances and a policy, and a third instance that is gone.
fn mixed(folder: &Path, backend: Backend) -> PathBuf {
    let path = store_path(folder, backend);
    let store = open(backend, &path, &OpenOptions::default()).expect("the folder is ours");
    let policy = ServicePolicy {
        service: "api".to_owned(),
        ..ServicePolicy::default()
    };
    let gone = Key::instance("api", "gone").expect("the names are legal");
    let commits = [
        vec![put(Record::Service(ServiceEntry::new("api", "1")))],
        vec![
            put(instance("api", "größe/1")),
            put(instance("api", "gone")),
        ],
        vec![put(Record::Policy(policy)), put(instance("a\u{1}", "b"))],
        vec![Mutation::Delete(gone)],
    ];
    for mutations in commits {
        let transaction = Transaction {
            id: TransactionId::fresh(),
            preconditions: Vec::new(),
            mutations,
            cause: Cause {
                actor: "test".to_owned(),
                action: "change".into(),
                reason: None,
                time: Timestamp::default(),
            }
            .into(),
        };
        let outcomes = block_on(store.commit(vec![transaction])).expect("the store takes it");
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }
    block_on(store.close()).expect("the store closes");
    path
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

#[test]
fn every_kind_is_migrated_exported_imported_and_repaired() {
    for from in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = mixed(folder.path(), from);
        let expected = identity(&path);
        assert_eq!(
            expected[3],
            serde_json::json!({ "service": 1, "instance": 2, "policy": 1 })
        );
        let export = folder.path().join("all.ndjson");
        let export = text(&export);
        run(&["registry", "export", "--from", text(&path), "--to", export]);
        for to in persistent() {
            let new = |name: &str| {
                let path = folder.path().join(name);
                path.with_extension(to.extension())
            };
            let (migrated, imported) = (new("migrated"), new("imported"));
            let to_path = text(&migrated);
            run(&[
                "registry",
                "migrate",
                "--from",
                text(&path),
                "--to",
                to_path,
            ]);
            run(&[
                "registry",
                "import",
                "--from",
                export,
                "--path",
                text(&imported),
            ]);
            assert_eq!(identity(&migrated), expected, "{from} to {to}");
            assert_eq!(identity(&imported), expected, "{from} to {to} by export");
        }
        let repaired = folder
            .path()
            .join("repaired")
            .with_extension(from.extension());
        let told = run_json(&[
            "registry",
            "repair",
            "--path",
            text(&path),
            "--to",
            text(&repaired),
        ]);
        assert_eq!(
            (&told["records"], &told["losses"]),
            (&4.into(), &0.into()),
            "{from}"
        );
        assert_eq!(identity(&repaired), expected, "{from}");
    }
}

#[test]
fn form_with_services_alone_says_what_it_leaves_out() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = mixed(folder.path(), backend);
        let out = folder.path().join("services.json");
        let args = [
            "registry",
            "export",
            "--from",
            text(&path),
            "--to",
            text(&out),
        ];
        let exported = harness(&[&args[..], &["-o", "json"]].concat())
            .output()
            .unwrap();
        let told: Value = serde_json::from_slice(&exported.stdout).unwrap();
        assert_eq!(
            (&told["services"], &told["left_out"]),
            (&1.into(), &3.into()),
            "{backend}"
        );
        let warning = String::from_utf8_lossy(&exported.stderr);
        assert!(warning.contains("2 of kind instance"), "{warning}");
        assert!(warning.contains("1 of kind policy"), "{warning}");
        let written: Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
        let names: Vec<_> = written.as_object().unwrap().keys().collect();
        assert_eq!(names, ["api"], "{backend}");
        if backend == Backend::Json {
            let projection: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            assert_eq!(projection, written);
        }
    }
}

#[test]
fn doctor_counts_every_kind() {
    for backend in persistent() {
        let folder = tempfile::tempdir().unwrap();
        let path = mixed(folder.path(), backend);
        let checks = run_json(&["doctor", "--path", text(&path), "--bind", "127.0.0.1:0"]);
        let records = checks
            .as_array()
            .unwrap()
            .iter()
            .find(|check| check["name"] == "records");
        let evidence = records.unwrap()["evidence"].as_str().unwrap();
        assert!(
            evidence.contains("1 service, 2 instance, 1 policy"),
            "{backend}: {evidence}"
        );
    }
}
