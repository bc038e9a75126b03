//! Which table has the records of a kind, and which the log entries of a key.

use registry_core::{Key, Kind, Versioned};
use rusqlite::{Connection, Row, params_from_iter};

use crate::error::Fault;
use crate::rows::{InstanceRow, RecordRow, ServiceRow, StateRow};

/// A table of the state. The rows of a kind stand in the order of keys: SQLite compares texts by their bytes.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Columns that tell one row from another, in the order of rows.
    pub(crate) key: &'static [&'static str],
    columns: &'static str,
    /// Finds a key by its [`parts`].
    at: &'static str,
    /// Finds what comes after a key in its kind.
    after: &'static str,
    read: fn(&Row<'_>) -> Result<Read, Fault>,
    put: fn(&Connection, &Versioned) -> Result<(), Fault>,
}

/// A row that was read, and whether its columns are those of its record.
pub(crate) struct Read {
    pub(crate) record: Versioned,
    pub(crate) is_faithful: bool,
}

const SERVICES: Table = Table {
    name: "services",
    key: &["name"],
    columns: ServiceRow::COLUMNS,
    at: "name = ?1",
    after: "name > ?1",
    read: read::<ServiceRow>,
    put: put::<ServiceRow>,
};

const INSTANCES: Table = Table {
    name: "instances",
    key: &["service", "instance_id"],
    columns: InstanceRow::COLUMNS,
    at: "service = ?1 AND instance_id = ?2",
    after: "(service, instance_id) > (?1, ?2)",
    read: read::<InstanceRow>,
    put: put::<InstanceRow>,
};

const RECORDS: Table = Table {
    name: "records",
    key: &["kind", "name"],
    columns: RecordRow::COLUMNS,
    at: "kind = ?1 AND name = ?2",
    after: "kind = ?1 AND name > ?2",
    read: read::<RecordRow>,
    put: put::<RecordRow>,
};

fn read<R: StateRow>(row: &Row<'_>) -> Result<Read, Fault> {
    let row = R::read(row)?;
    let record = row.record()?;
    Ok(Read {
        // What a newer program takes from its records may differ.
        is_faithful: !record.image.schema().is_known() || R::of(&record)? == row,
        record,
    })
}

fn put<R: StateRow>(connection: &Connection, record: &Versioned) -> Result<(), Fault> {
    R::of(record)?.put(connection)
}

/// What identifies a row.
fn parts(key: &Key) -> Vec<&str> {
    match key.instance_id() {
        Some(id) => vec![key.name(), id],
        None if key.kind() == Kind::Service => vec![key.name()],
        None => vec![key.kind().as_str(), key.name()],
    }
}

impl Table {
    /// Every table of the state.
    pub(crate) const ALL: [Self; 3] = [SERVICES, INSTANCES, RECORDS];

    /// The table of a kind.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Service => SERVICES,
            Kind::Instance => INSTANCES,
            _ => RECORDS,
        }
    }

    /// The statement that reads rows, with the rest of it.
    pub(crate) fn select(&self, rest: &str) -> String {
        format!("SELECT {} FROM {} {rest}", self.columns, self.name)
    }

    /// The end of a statement that reads all of it in the order of keys, in which kinds stand by their numbers.
    pub(crate) fn order(&self) -> String {
        let number = |kind: Kind| format!("WHEN '{kind}' THEN {}", kind as u8);
        let kinds: Vec<_> = Kind::ALL.into_iter().map(number).collect();
        let column = |name: &&str| match *name {
            "kind" => format!("CASE kind {} END", kinds.join(" ")),
            name => name.to_owned(),
        };
        let columns: Vec<_> = self.key.iter().map(column).collect();
        format!("ORDER BY {}", columns.join(", "))
    }

    /// Reads the columns of [`Table::select`], with every check.
    pub(crate) fn read(&self, row: &Row<'_>) -> Result<Read, Fault> {
        (self.read)(row)
    }

    /// The record at a key.
    pub(crate) fn get(
        &self,
        connection: &Connection,
        key: &Key,
    ) -> Result<Option<Versioned>, Fault> {
        let sql = self.select(&format!("WHERE {}", self.at));
        let mut select = connection.prepare_cached(&sql)?;
        let mut rows = select.query(params_from_iter(parts(key)))?;
        let row = rows.next()?.map(|row| self.read(row)).transpose()?;
        Ok(row.map(|row| row.record))
    }

    /// Hands the records of a kind after a key out, in order, until `take` has enough.
    pub(crate) fn after(
        &self,
        connection: &Connection,
        kind: Kind,
        after: Option<&Key>,
        mut take: impl FnMut(Versioned) -> bool,
    ) -> Result<(), Fault> {
        let sql = self.select(&format!(
            "WHERE {} ORDER BY {}",
            self.after,
            self.key.join(", ")
        ));
        let mut select = connection.prepare_cached(&sql)?;
        // No name is empty, so the empty text stands before the first.
        let first = match kind {
            Kind::Service => vec![""],
            Kind::Instance => vec!["", ""],
            other => vec![other.as_str(), ""],
        };
        let mut rows = select.query(params_from_iter(after.map_or(first, parts)))?;
        while let Some(row) = rows.next()? {
            if !take(self.read(row)?.record) {
                break;
            }
        }
        Ok(())
    }

    /// Puts a record where no other or an older one is.
    pub(crate) fn put(&self, connection: &Connection, record: &Versioned) -> Result<(), Fault> {
        (self.put)(connection, record)
    }

    /// Removes the record at a key.
    pub(crate) fn delete(&self, connection: &Connection, key: &Key) -> Result<(), Fault> {
        let sql = format!("DELETE FROM {} WHERE {}", self.name, self.at);
        let mut delete = connection.prepare_cached(&sql)?;
        delete.execute(params_from_iter(parts(key)))?;
        Ok(())
    }
}

/// A table that says which commits changed a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogKeys {
    pub(crate) name: &'static str,
    columns: &'static str,
    at: &'static str,
}

const LOG_KEYS: LogKeys = LogKeys {
    name: "log_keys",
    columns: "kind, name, revision",
    at: "kind = ?1 AND name = ?2",
};

const LOG_INSTANCES: LogKeys = LogKeys {
    name: "log_instances",
    columns: "service, instance_id, revision",
    at: "service = ?1 AND instance_id = ?2",
};

/// The first two columns for a key.
fn log_parts(key: &Key) -> [&str; 2] {
    match key.instance_id() {
        Some(id) => [key.name(), id],
        None => [key.kind().as_str(), key.name()],
    }
}

impl LogKeys {
    /// Both tables.
    pub(crate) const ALL: [Self; 2] = [LOG_KEYS, LOG_INSTANCES];

    /// The table of a kind.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Instance => LOG_INSTANCES,
            _ => LOG_KEYS,
        }
    }

    /// Adds a commit of a key.
    pub(crate) fn insert(
        self,
        connection: &Connection,
        key: &Key,
        revision: i64,
    ) -> Result<(), Fault> {
        let sql = format!(
            "INSERT INTO {} ({}) VALUES (?1, ?2, ?3)",
            self.name, self.columns
        );
        let [first, second] = log_parts(key);
        connection
            .prepare_cached(&sql)?
            .execute((first, second, revision))?;
        Ok(())
    }

    /// Removes a commit of a key.
    pub(crate) fn delete(
        self,
        connection: &Connection,
        key: &Key,
        revision: i64,
    ) -> Result<(), Fault> {
        let sql = format!(
            "DELETE FROM {} WHERE {} AND revision = ?3",
            self.name, self.at
        );
        let [first, second] = log_parts(key);
        connection
            .prepare_cached(&sql)?
            .execute((first, second, revision))?;
        Ok(())
    }

    /// Whether it has a commit of a key.
    pub(crate) fn has(
        self,
        connection: &Connection,
        key: &Key,
        revision: i64,
    ) -> Result<bool, Fault> {
        let sql = format!(
            "SELECT 1 FROM {} WHERE {} AND revision = ?3",
            self.name, self.at
        );
        let [first, second] = log_parts(key);
        let mut select = connection.prepare_cached(&sql)?;
        Ok(select.exists((first, second, revision))?)
    }

    /// Hands the commits of a key after a revision out, in order, until `take` has enough.
    pub(crate) fn after(
        self,
        connection: &Connection,
        key: &Key,
        after: i64,
        mut take: impl FnMut(i64) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let sql = format!(
            "SELECT revision FROM {} WHERE {} AND revision > ?3 ORDER BY revision",
            self.name, self.at
        );
        let [first, second] = log_parts(key);
        let mut select = connection.prepare_cached(&sql)?;
        let mut rows = select.query((first, second, after))?;
        while let Some(row) = rows.next()? {
            if !take(row.get(0)?)? {
                break;
            }
        }
        Ok(())
    }
}
