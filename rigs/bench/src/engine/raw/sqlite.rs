//! SQLite: each group one transaction of prepared statements.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params_from_iter};

use super::super::groups::bounds;
use super::{CACHE_BYTES, Recording};

const UPDATE_HEAD: &str = "UPDATE head SET state = ?1, schema = ?2, revision = ?3, hash = ?4, \
    compacted_revision = ?5, compacted_hash = ?6, counts = ?7, digest = ?8, checksum = ?9 \
    WHERE id = 1";
/// Columns of `head` that tell one group from the next, counted without `id`.
const HEAD_REVISION: usize = 2;
const HEAD_HASH: usize = 3;
/// The settings of registry-sqlite: what it calls by these names.
const BUSY_TIME_MAX: Duration = Duration::from_secs(5);
const STATEMENTS_MAX: usize = 64;
const JOURNAL_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// Connections that share the cache of a store.
const CONNECTIONS: usize = 4;

/// The rows of all tables, each in the order of revisions.
pub(super) struct Tables {
    schema: Vec<String>,
    log: Rows,
    log_ids: Rows,
    log_keys: Rows,
    services: Rows,
    /// The first row of `head`, with its id.
    empty_head: Rows,
    /// The row of `head` after each group, without its id.
    heads: Vec<Vec<Value>>,
    groups: Vec<Range<usize>>,
}

/// Rows of a table, with the statement that puts one.
struct Rows {
    put: String,
    rows: Vec<Vec<Value>>,
}

impl Recording for Tables {
    type Engine = Connection;

    fn read(store: &Path, mean: f64) -> Result<Self> {
        let connection = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let mut select = connection
            .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")?;
        let schema = select.query_map([], |row| row.get(0))?;
        let schema = schema.collect::<rusqlite::Result<_>>()?;
        let log = rows(&connection, "INSERT", "log", "revision")?;
        let mut services = rows(&connection, "REPLACE", "services", "modified_revision")?;
        let groups = bounds(log.rows.len(), mean);
        let log_ids = rows(&connection, "INSERT", "log_ids", "revision")?;
        let log_keys = rows(&connection, "INSERT", "log_keys", "revision")?;
        for table in [&log_ids, &log_keys, &services] {
            ensure!(
                table.rows.len() == log.rows.len(),
                "expected {} rows, found {} of {}",
                log.rows.len(),
                table.rows.len(),
                table.put
            );
        }
        for group in &groups {
            // By name, as the writes of a group are.
            let group = &mut services.rows[group.clone()];
            group.sort_by(|one, other| text(one).cmp(text(other)));
        }
        let empty_head = rows(&connection, "INSERT", "head", "id")?;
        let heads = heads(&empty_head, &log, &groups)?;
        Ok(Self {
            schema,
            log,
            log_ids,
            log_keys,
            services,
            empty_head,
            heads,
            groups,
        })
    }

    fn sizes(&self) -> Vec<usize> {
        self.groups.iter().map(ExactSizeIterator::len).collect()
    }

    fn open(&self, folder: &Path) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(folder.join("alone.sqlite"), flags)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        configure(&connection)?;
        let transaction = connection.transaction()?;
        for sql in &self.schema {
            transaction.execute_batch(sql)?;
        }
        self.empty_head.put(&transaction, 0..1)?;
        transaction.commit()?;
        Ok(connection)
    }

    fn write(&self, engine: &mut Connection, group: usize) -> Result<()> {
        let head = &self.heads[group];
        let group = self.groups[group].clone();
        let transaction = engine.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for commit in group.clone() {
            for table in [&self.log, &self.log_ids, &self.log_keys] {
                table.put(&transaction, commit..commit + 1)?;
            }
        }
        self.services.put(&transaction, group)?;
        transaction
            .prepare_cached(UPDATE_HEAD)?
            .execute(params_from_iter(head))?;
        transaction.commit().context("commit a group")
    }
}

impl Rows {
    fn put(&self, connection: &Connection, places: Range<usize>) -> Result<()> {
        for row in &self.rows[places] {
            let mut put = connection.prepare_cached(&self.put)?;
            put.execute(params_from_iter(row))?;
        }
        Ok(())
    }
}

/// All rows of a table, in the order of a column, to be put by that verb.
fn rows(connection: &Connection, verb: &str, table: &str, order: &str) -> Result<Rows> {
    let mut select = connection.prepare(&format!("SELECT * FROM {table} ORDER BY {order}"))?;
    let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
    let places: Vec<String> = (1..=columns.len()).map(|it| format!("?{it}")).collect();
    let rows = select.query_map([], |row| {
        (0..columns.len()).map(|column| row.get(column)).collect()
    })?;
    let rows = rows.collect::<rusqlite::Result<_>>();
    Ok(Rows {
        put: format!(
            "{verb} INTO {table} ({}) VALUES ({})",
            columns.join(", "),
            places.join(", ")
        ),
        rows: rows.with_context(|| format!("read the table {table}"))?,
    })
}

/// The last head that was stored, with revision and hash of the last commit of each group.
fn heads(stored: &Rows, log: &Rows, groups: &[Range<usize>]) -> Result<Vec<Vec<Value>>> {
    let stored = stored.rows.first().context("a row of head")?;
    let (revision, hash) = (place(log, "revision")?, place(log, "hash")?);
    let heads = groups.iter().map(|group| {
        let mut head = stored[1..].to_vec();
        let last = &log.rows[group.end - 1];
        head[HEAD_REVISION] = last[revision].clone();
        head[HEAD_HASH] = last[hash].clone();
        head
    });
    Ok(heads.collect())
}

/// Which of the columns has that name.
fn place(rows: &Rows, column: &str) -> Result<usize> {
    let (_, columns) = rows.put.split_once('(').context("a list of columns")?;
    let columns = columns.split(')').next().unwrap_or_default();
    let mut columns = columns.split(", ");
    let place = columns.position(|found| found == column);
    place.with_context(|| format!("a column {column} in {}", rows.put))
}

fn text(row: &[Value]) -> &str {
    match row.first() {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

fn configure(connection: &Connection) -> Result<()> {
    connection.busy_timeout(BUSY_TIME_MAX)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.pragma_update(None, "synchronous", 2)?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update_and_check(
        None,
        "journal_size_limit",
        JOURNAL_BYTES_MAX,
        |_| Ok(()),
    )?;
    let cache_kib = i64::try_from(CACHE_BYTES / CONNECTIONS / 1024)?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_put_as_they_were_read() {
        let connection = Connection::open_in_memory().unwrap();
        let make = "CREATE TABLE t (revision INTEGER, hash TEXT)";
        connection.execute_batch(make).unwrap();
        connection
            .execute_batch("INSERT INTO t VALUES (2, 'b'), (1, NULL)")
            .unwrap();
        let read = rows(&connection, "INSERT", "t", "revision").unwrap();
        assert_eq!(read.put, "INSERT INTO t (revision, hash) VALUES (?1, ?2)");
        assert_eq!(read.rows[0], [Value::Integer(1), Value::Null]);
        assert_eq!(place(&read, "hash").unwrap(), 1);
        assert!(place(&read, "sum").is_err());
        read.put(&connection, 0..2).unwrap();
        assert_eq!(
            rows(&connection, "INSERT", "t", "revision")
                .unwrap()
                .rows
                .len(),
            4
        );
    }
}
