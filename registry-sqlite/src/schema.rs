//! Tables, views and settings of the database file.

use std::time::Duration;

use registry_core::{SCHEMA, SchemaVersion};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use crate::error::Fault;
use crate::rows::HeadRow;

/// `PRAGMA application_id` of a store: "hrns".
const APPLICATION_ID: i32 = 0x6872_6e73;
/// `PRAGMA user_version`: the layout of the tables below.
pub(crate) const LAYOUT: i32 = 2;
/// The layout that had services alone.
const LAYOUT_OF_SERVICES: i32 = 1;
/// How long a writer waits for the writer of another process.
const BUSY_TIME_MAX: Duration = Duration::from_secs(5);
/// The WAL file is cut to this size after a checkpoint.
const JOURNAL_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 64;

/// The objects of every layout, by name. Opening compares them letter by letter.
const OBJECTS: &[(&str, &str)] = &[
    // The state. `record` is the truth in JSON; the columns before it are taken from it for queries.
    (
        "services",
        "CREATE TABLE services (
    name TEXT NOT NULL PRIMARY KEY,
    version TEXT NOT NULL,
    state TEXT NOT NULL,
    health TEXT,
    host TEXT,
    execution TEXT NOT NULL,
    created_revision INTEGER NOT NULL,
    modified_revision INTEGER NOT NULL,
    schema TEXT NOT NULL,
    hash TEXT NOT NULL,
    record TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID",
    ),
    // One row for each commit; `changes` is a JSON list of key, record before and record after.
    (
        "log",
        "CREATE TABLE log (
    revision INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    time TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    reason TEXT,
    changes TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT",
    ),
    // The ids again, narrow and each with a checksum: they are read whenever the store is opened. An id may be used
    // again once it has left the window of recent commits.
    (
        "log_ids",
        "CREATE TABLE log_ids (
    revision INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT",
    ),
    // Which commits changed a key.
    (
        "log_keys",
        "CREATE TABLE log_keys (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (kind, name, revision)
) STRICT, WITHOUT ROWID",
    ),
    // One row: where the log ends and begins, and what the state adds up to.
    (
        "head",
        "CREATE TABLE head (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    state TEXT NOT NULL CHECK (state IN ('ready', 'restoring')),
    schema TEXT NOT NULL,
    revision INTEGER NOT NULL,
    hash TEXT NOT NULL,
    compacted_revision INTEGER NOT NULL,
    compacted_hash TEXT NOT NULL,
    counts TEXT NOT NULL,
    digest TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT",
    ),
    (
        "notes",
        "CREATE TABLE notes (
    name TEXT NOT NULL PRIMARY KEY,
    content BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID",
    ),
    // A line for each service.
    (
        "service_overview",
        "CREATE VIEW service_overview AS
SELECT name, version, state, health, host, execution,
    json_array_length(record, '$.endpoints') AS endpoints,
    json_array_length(record, '$.depends_on') AS dependencies,
    json_extract(record, '$.last_health_check.checked_at') AS checked_at,
    json_extract(record, '$.last_health_check.message') AS health_message,
    created_revision, modified_revision
FROM services",
    ),
    // A line for each address of each service.
    (
        "service_endpoints",
        "CREATE VIEW service_endpoints AS
SELECT services.name AS service,
    json_extract(endpoint.value, '$.name') AS name,
    json_extract(endpoint.value, '$.address') AS address,
    json_extract(endpoint.value, '$.protocol') AS protocol
FROM services, json_each(services.record, '$.endpoints') AS endpoint",
    ),
    // A line for each name that a service needs.
    (
        "service_dependencies",
        "CREATE VIEW service_dependencies AS
SELECT services.name AS service, dependency.value AS depends_on,
    dependency.value IN (SELECT name FROM services) AS is_known
FROM services, json_each(services.record, '$.depends_on') AS dependency",
    ),
];

/// The objects that a file of the first layout lacks. Opening it for writing adds them.
const OBJECTS_ADDED: &[(&str, &str)] = &[
    // As `services`; times are text in UTC, `health` is that of the last report.
    (
        "instances",
        "CREATE TABLE instances (
    service TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    address TEXT NOT NULL,
    port INTEGER NOT NULL,
    zone TEXT NOT NULL,
    region TEXT NOT NULL,
    weight INTEGER NOT NULL,
    version TEXT NOT NULL,
    intent TEXT NOT NULL,
    lifecycle TEXT NOT NULL,
    health TEXT,
    lease_ttl_ms INTEGER NOT NULL,
    incarnation INTEGER NOT NULL,
    fencing_revision INTEGER NOT NULL,
    keeper TEXT NOT NULL,
    registered_at TEXT NOT NULL,
    checked_at TEXT,
    suspect_since TEXT,
    expired_at TEXT,
    stopped_at TEXT,
    created_revision INTEGER NOT NULL,
    modified_revision INTEGER NOT NULL,
    schema TEXT NOT NULL,
    hash TEXT NOT NULL,
    record TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (service, instance_id)
) STRICT, WITHOUT ROWID",
    ),
    // Records of the kinds that nobody queries by their fields.
    (
        "records",
        "CREATE TABLE records (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    created_revision INTEGER NOT NULL,
    modified_revision INTEGER NOT NULL,
    schema TEXT NOT NULL,
    hash TEXT NOT NULL,
    record TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID",
    ),
    // Which commits changed an instance, whose key has two parts.
    (
        "log_instances",
        "CREATE TABLE log_instances (
    service TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (service, instance_id, revision)
) STRICT, WITHOUT ROWID",
    ),
    // A line for each instance that there is or was, as a catalog has them. Heartbeats are not written: an instance
    // that is neither expired nor stopped was seen after `last_seen`.
    (
        "catalog_instances",
        "CREATE VIEW catalog_instances AS
SELECT instance_id AS id, service,
    CASE instr(address, ':') WHEN 0 THEN address ELSE '[' || address || ']' END || ':' || port
        AS address,
    coalesce(checked_at, registered_at) AS last_seen,
    coalesce(stopped_at, expired_at) AS stopped_at
FROM instances",
    ),
];

/// A line for each change of each commit: who did what, when and why.
const AUDIT: (&str, &str) = (
    "audit",
    "CREATE VIEW audit AS
SELECT revision, time, actor, action, reason, kind,
    coalesce(json_extract(key, '$.service'), json_extract(key, '$.instance.service'),
        json_extract(key, '$.policy')) AS service,
    json_extract(key, '$.instance.id') AS instance,
    CASE
        WHEN before IS NULL THEN 'created'
        WHEN after IS NULL THEN 'deleted'
        ELSE 'changed'
    END AS change,
    json_extract(before, '$.record.' || kind) AS before,
    json_extract(after, '$.record.' || kind) AS after
FROM (
    SELECT log.*, json_extract(change.value, '$.key') AS key,
        (SELECT part.key FROM json_each(change.value, '$.key') AS part) AS kind,
        json_extract(change.value, '$.before') AS before,
        json_extract(change.value, '$.after') AS after
    FROM log, json_each(log.changes) AS change
)",
);

/// The same in the layout that had services alone.
const AUDIT_OF_SERVICES: (&str, &str) = (
    "audit",
    "CREATE VIEW audit AS
SELECT log.revision, log.time, log.actor, log.action, log.reason,
    json_extract(change.value, '$.key.service') AS service,
    CASE
        WHEN json_extract(change.value, '$.before') IS NULL THEN 'created'
        WHEN json_extract(change.value, '$.after') IS NULL THEN 'deleted'
        ELSE 'changed'
    END AS change,
    json_extract(change.value, '$.before.record.service') AS before,
    json_extract(change.value, '$.after.record.service') AS after
FROM log, json_each(log.changes) AS change",
);

/// Every object of a layout.
fn objects(layout: i32) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    let (added, audit) = if layout == LAYOUT_OF_SERVICES {
        (&[][..], &AUDIT_OF_SERVICES)
    } else {
        (OBJECTS_ADDED, &AUDIT)
    };
    OBJECTS.iter().chain(added).chain([audit])
}

/// How far a commit on a connection is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// With every commit.
    Full,
    /// With every checkpoint: what came after the last one may be lost in a power cut, and nothing else.
    Normal,
}

/// Makes the tables in an empty file, and leaves it in WAL mode.
pub(crate) fn create(connection: &mut Connection) -> Result<(), Fault> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", expect_wal)??;
    configure(connection, Sync::Full, 1 << 20)?;
    let transaction = connection.transaction()?;
    for (_, sql) in objects(LAYOUT) {
        transaction.execute_batch(sql)?;
    }
    HeadRow::empty().insert(&transaction)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", LAYOUT)?;
    transaction.commit()?;
    Ok(())
}

/// Checks that a file is a store of this program and in a layout that it knows, before anything else is read.
pub(crate) fn check(connection: &Connection) -> Result<(), Fault> {
    let application_id: i32 = pragma(connection, "application_id")?;
    if application_id != APPLICATION_ID {
        let problem =
            format!("expected application id {APPLICATION_ID:#x}, found {application_id:#x}");
        return Err(Fault::damaged(
            "the file is no store of this program",
            problem,
        ));
    }
    let layout = layout(connection)?;
    if layout > LAYOUT {
        let major = u8::try_from(layout).unwrap_or(u8::MAX);
        return Err(Fault::TooNew(SchemaVersion { major, minor: 0 }));
    }
    if layout < LAYOUT_OF_SERVICES {
        let expected = format!("{LAYOUT_OF_SERVICES} to {LAYOUT}");
        let problem = format!("expected {expected}, found {layout}");
        return Err(Fault::damaged("user_version", problem));
    }
    let sql = "SELECT sql FROM sqlite_schema WHERE name = ?1";
    let mut select = connection.prepare(sql)?;
    for (name, expected) in objects(layout) {
        let found: Option<String> = select.query_row([name], |row| row.get(0)).optional()?;
        if found.as_deref() != Some(expected) {
            let problem = format!("expected {expected:?}, found {found:?}");
            return Err(Fault::damaged(format!("the definition of {name}"), problem));
        }
    }
    let head = HeadRow::read(connection)?;
    if head.schema.major != SCHEMA.major {
        return Err(Fault::TooNew(head.schema));
    }
    if head.is_restoring {
        return Err(Fault::damaged("head", "a restore was not finished"));
    }
    Ok(())
}

/// The layout of the tables, by the number in the file.
pub(crate) fn layout(connection: &Connection) -> Result<i32, Fault> {
    pragma(connection, "user_version")
}

/// Whether there is a table or view of that name.
pub(crate) fn has_object(connection: &Connection, name: &str) -> Result<bool, Fault> {
    let mut select = connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1")?;
    Ok(select.exists([name])?)
}

/// Adds what a checked file of the first layout lacks, in one transaction. Another process may do it at the same time.
pub(crate) fn upgrade(connection: &mut Connection) -> Result<(), Fault> {
    if layout(connection)? == LAYOUT {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if layout(&transaction)? == LAYOUT_OF_SERVICES {
        transaction.execute_batch("DROP VIEW audit")?;
        for (_, sql) in OBJECTS_ADDED.iter().chain([&AUDIT]) {
            transaction.execute_batch(sql)?;
        }
        transaction.pragma_update(None, "user_version", LAYOUT)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Lets a connection that must not write read a file of the first layout: what the file lacks is empty, and lives in
/// the connection alone.
pub(crate) fn stand_in(connection: &Connection) -> Result<(), Fault> {
    if layout(connection)? == LAYOUT {
        return Ok(());
    }
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    for (_, sql) in OBJECTS_ADDED
        .iter()
        .filter(|(_, sql)| sql.starts_with("CREATE TABLE"))
    {
        connection.execute_batch(&sql.replacen("CREATE TABLE", "CREATE TEMP TABLE", 1))?;
    }
    Ok(())
}

/// Checks that the file is in WAL mode, which it was created in and keeps.
pub(crate) fn check_wal(connection: &Connection) -> Result<(), Fault> {
    connection.pragma_query_value(None, "journal_mode", expect_wal)?
}

fn expect_wal(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<(), Fault>> {
    let found: String = row.get(0)?;
    if found == "wal" {
        return Ok(Ok(()));
    }
    let problem = format!("expected wal, found {found}");
    Ok(Err(Fault::damaged("journal_mode", problem)))
}

/// Sets a connection up, and reads back what must hold.
pub(crate) fn configure(
    connection: &Connection,
    sync: Sync,
    cache_bytes: usize,
) -> Result<(), Fault> {
    connection.busy_timeout(BUSY_TIME_MAX)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    let expected: i32 = match sync {
        Sync::Full => 2,
        Sync::Normal => 1,
    };
    connection.pragma_update(None, "synchronous", expected)?;
    let found: i32 = pragma(connection, "synchronous")?;
    if found != expected {
        let problem = format!("expected synchronous {expected}, found {found}");
        return Err(Fault::damaged("settings", problem));
    }
    // What a sync means on macOS; elsewhere it changes nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update_and_check(
        None,
        "journal_size_limit",
        JOURNAL_BYTES_MAX,
        |_| Ok(()),
    )?;
    // Negative means KiB, not pages.
    let cache_kib = i64::try_from(cache_bytes / 1024)
        .unwrap_or(i64::MAX)
        .max(64);
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    Ok(())
}

pub(crate) fn pragma<T: rusqlite::types::FromSql>(
    connection: &Connection,
    name: &str,
) -> Result<T, Fault> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}
