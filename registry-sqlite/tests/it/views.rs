//! The views that are documented for people, read by SQLite alone.

use futures_lite::future::block_on;
use registry_core::{ErrorKind, Key, Mutation, RegistryStore as _};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

use crate::{change, commit, open};

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
