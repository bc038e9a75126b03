//! Files of the layout that had services alone.

use std::path::Path;

use futures_lite::future::block_on;
use registry_core::limits::RANGE_PAGE_MAX;
use registry_core::{Key, Kind, OpenMode, RangeRequest, RegistryStore as _, Revision, Versioned};
use registry_sqlite::{SqliteConfig, SqliteStore, salvage};
use rusqlite::Connection;

use crate::{change, commit, open, put_instance, put_policy};

/// The view of that layout, letter by letter.
const AUDIT: &str = "CREATE VIEW audit AS
SELECT log.revision, log.time, log.actor, log.action, log.reason,
    json_extract(change.value, '$.key.service') AS service,
    CASE
        WHEN json_extract(change.value, '$.before') IS NULL THEN 'created'
        WHEN json_extract(change.value, '$.after') IS NULL THEN 'deleted'
        ELSE 'changed'
    END AS change,
    json_extract(change.value, '$.before.record.service') AS before,
    json_extract(change.value, '$.after.record.service') AS after
FROM log, json_each(log.changes) AS change";

/// A store of that layout with three commits.
fn older(folder: &Path) {
    let store = open(folder);
    commit(&store, &["api", "billing", "api"]);
    block_on(store.close()).unwrap();
    let connection = Connection::open(folder.join("registry.db")).unwrap();
    connection
        .execute_batch(&format!(
            "DROP VIEW audit; DROP VIEW catalog_instances; DROP TABLE instances;
            DROP TABLE records; DROP TABLE log_instances; {AUDIT}; PRAGMA user_version = 1;"
        ))
        .unwrap();
    connection.close().unwrap();
}

fn layout(folder: &Path) -> i32 {
    let connection = Connection::open(folder.join("registry.db")).unwrap();
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap()
}

fn records(store: &SqliteStore, kind: Kind) -> Vec<Versioned> {
    let request = RangeRequest {
        kind,
        after: None,
        limit: RANGE_PAGE_MAX,
    };
    block_on(store.range(request)).unwrap().records
}

#[test]
fn older_file_is_read_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    older(folder.path());
    let path = folder.path().join("registry.db");
    let before = std::fs::read(&path).unwrap();
    let store = SqliteStore::open(SqliteConfig {
        mode: OpenMode::ReadOnly,
        ..SqliteConfig::new(&path)
    });
    let store = store.unwrap();
    assert_eq!(records(&store, Kind::Service).len(), 2);
    for kind in [Kind::Instance, Kind::Policy, Kind::Keeper] {
        assert!(records(&store, kind).is_empty());
    }
    let instance = Key::instance("api", "api-1").unwrap();
    assert_eq!(block_on(store.get(&instance)).unwrap(), None);
    let report = block_on(store.verify()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    block_on(store.close()).unwrap();
    let saved = salvage(&path).unwrap();
    assert_eq!((saved.records.len(), saved.losses.len()), (2, 0));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn older_file_takes_every_kind_once_it_is_opened_for_writing() {
    let folder = tempfile::tempdir().unwrap();
    older(folder.path());
    let store = open(folder.path());
    let other = open(folder.path());
    assert_eq!(records(&store, Kind::Service).len(), 2);
    let records_of_two_kinds = vec![put_instance("api", "api-1"), put_policy("api")];
    block_on(store.commit(vec![change(records_of_two_kinds)])).unwrap();
    assert_eq!(records(&other, Kind::Instance).len(), 1);
    for store in [store, other] {
        let report = block_on(store.verify()).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
        block_on(store.close()).unwrap();
    }
    assert_eq!(layout(folder.path()), 2);
    let store = open(folder.path());
    assert_eq!(block_on(store.head()).unwrap().revision(), Revision(4));
    assert_eq!(records(&store, Kind::Policy).len(), 1);
}
