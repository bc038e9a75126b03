//! The views that are documented for people, read by SQLite alone.

use std::path::Path;

use futures_lite::future::block_on;
use registry_core::{ErrorKind, Image, Key, Mutation, Record, RegistryStore as _};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

use crate::{TIME, change, commit, instance, open, put_instance, put_policy};

fn query(connection: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut select = connection.prepare(sql).unwrap();
    let columns = select.column_count();
    let row = |row: &rusqlite::Row<'_>| (0..columns).map(|index| row.get(index)).collect();
    let rows = select.query_map([], row).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn views_answer_while_the_store_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, &["api", "billing", "api"]);
    let removal = vec![Mutation::Delete(Key::service("billing").unwrap())];
    block_on(store.commit(vec![change(removal)])).unwrap();

    let path = folder.path().join("registry.db");
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let overview = "SELECT name, version, state, health, host, execution, endpoints, \
        dependencies, created_revision, modified_revision FROM service_overview";
    let expected = [
        text("api"),
        text("1.0.0"),
        text("registered"),
        Value::Null,
        text("node-7"),
        text("managed_process"),
        Value::Integer(2),
        Value::Integer(2),
        Value::Integer(1),
        Value::Integer(3),
    ];
    assert_eq!(query(&connection, overview), [expected]);
    assert_eq!(
        query(&connection, "SELECT * FROM service_endpoints ORDER BY name"),
        [
            ["api", "http", "127.0.0.1:80", "http"].map(text),
            ["api", "metrics", "127.0.0.1:9090", "http"].map(text),
        ]
    );
    assert_eq!(
        query(
            &connection,
            "SELECT * FROM service_dependencies WHERE is_known = 0"
        )
        .len(),
        2
    );
    let audit = "SELECT revision, time, actor, action, reason, service, change FROM audit \
        WHERE service = 'billing' ORDER BY revision";
    let line = |revision, change: &str| {
        let mut line = vec![Value::Integer(revision)];
        line.extend(
            [
                "2023-11-14T22:13:20Z",
                "ann",
                "register_service",
                "a test",
                "billing",
                change,
            ]
            .map(text),
        );
        line
    };
    assert_eq!(
        query(&connection, audit),
        [line(2, "created"), line(4, "deleted")]
    );
}

/// Two instances that came and went, one that stays, and a policy: in two commits.
fn with_instances(folder: &Path) -> Connection {
    let store = open(folder);
    let mut stopped = instance("api", "api-2");
    stopped.address = "2001:db8::1".into();
    stopped.stopped_at = Some(TIME.saturating_add(std::time::Duration::from_secs(60)));
    let stopped = Image::new(Record::Instance(stopped)).unwrap();
    let made = vec![
        put_instance("api", "api-1"),
        Mutation::Put(stopped),
        put_policy("api"),
    ];
    let removed = Key::instance("api", "api-1").unwrap();
    let changed = vec![put_instance("web", "web-1"), Mutation::Delete(removed)];
    for mutations in [made, changed] {
        block_on(store.commit(vec![change(mutations)])).unwrap();
    }
    let path = folder.join("registry.db");
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

#[test]
fn instances_can_be_queried_by_column_and_as_a_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let connection = with_instances(folder.path());
    let columns = "SELECT service, instance_id, port, zone, region, weight, version, intent, \
        lifecycle, health, lease_ttl_ms, incarnation, registered_at FROM instances \
        WHERE stopped_at IS NULL";
    let expected = [
        text("web"),
        text("web-1"),
        Value::Integer(8080),
        text("a"),
        text("eu"),
        Value::Integer(100),
        text("1.0.0"),
        text("enabled"),
        text("active"),
        Value::Null,
        Value::Integer(90_000),
        Value::Integer(7),
        text("2023-11-14T22:13:20Z"),
    ];
    assert_eq!(query(&connection, columns), [expected]);
    let catalog = "SELECT id, address, last_seen, stopped_at FROM catalog_instances ORDER BY id";
    let seen = "2023-11-14T22:13:20Z";
    let expected = [
        ["api-2", "[2001:db8::1]:8080", seen, "2023-11-14T22:14:20Z"]
            .map(text)
            .to_vec(),
        vec![
            text("web-1"),
            text("10.0.0.7:8080"),
            text(seen),
            Value::Null,
        ],
    ];
    assert_eq!(query(&connection, catalog), expected);
}

#[test]
fn audit_tells_changes_of_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    let connection = with_instances(folder.path());
    let audit = "SELECT revision, kind, service, instance, change, before IS NULL FROM audit \
        WHERE service = 'api' ORDER BY revision, kind, instance";
    let line = |revision, kind, instance: Value, change, has_before: bool| {
        let no_before = Value::Integer(i64::from(!has_before));
        let revision = Value::Integer(revision);
        vec![
            revision,
            text(kind),
            text("api"),
            instance,
            text(change),
            no_before,
        ]
    };
    let expected = [
        line(1, "instance", text("api-1"), "created", false),
        line(1, "instance", text("api-2"), "created", false),
        line(1, "policy", Value::Null, "created", false),
        line(2, "instance", text("api-1"), "deleted", true),
    ];
    assert_eq!(query(&connection, audit), expected);
}

#[test]
fn columns_of_every_table_changed_by_hand_are_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let records = vec![put_instance("api", "api-1"), put_policy("api")];
    block_on(store.commit(vec![change(records)])).unwrap();
    let connection = Connection::open(folder.path().join("registry.db")).unwrap();
    connection
        .execute_batch("UPDATE instances SET weight = 0; UPDATE records SET modified_revision = 9")
        .unwrap();
    for key in [Key::instance("api", "api-1"), Key::policy("api")] {
        let error = block_on(store.get(&key.unwrap())).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Corrupted);
    }
    let report = block_on(store.verify()).unwrap();
    assert!(report.findings.len() >= 2, "{:?}", report.findings);
}

#[test]
fn column_changed_by_hand_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, &["api", "billing"]);
    let connection = Connection::open(folder.path().join("registry.db")).unwrap();
    connection
        .execute(
            "UPDATE services SET state = 'running' WHERE name = 'api'",
            [],
        )
        .unwrap();

    let error = block_on(store.get(&Key::service("api").unwrap())).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Corrupted);
    assert!(error.to_string().contains("service \"api\""), "{error}");
    assert!(block_on(store.get(&Key::service("billing").unwrap())).is_ok());
    let report = block_on(store.verify()).unwrap();
    assert!(!report.is_clean());
}

#[test]
fn row_deleted_by_hand_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    commit(&store, &["api", "billing"]);
    let connection = Connection::open(folder.path().join("registry.db")).unwrap();
    connection
        .execute_batch(
            "DELETE FROM services WHERE name = 'api'; DELETE FROM log WHERE revision = 1",
        )
        .unwrap();

    let request = registry_core::ChangesRequest {
        after: registry_core::Revision::ZERO,
        key: None,
        limit: 10,
    };
    let error = block_on(store.changes(request)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Corrupted);
    let report = block_on(store.verify()).unwrap();
    let places: Vec<_> = report.findings.iter().map(|found| &*found.place).collect();
    assert!(places.contains(&"the records"), "{places:?}");
}
