//! Rows of `services`.

use registry_core::model::{ExecutionInfo, Location, ServiceEntry};
use registry_core::{Key, Kind, Versioned};
use rusqlite::{Connection, Row, params};

use super::stamp::Stamp;
use super::{StateRow, Sum};
use crate::error::Fault;

/// A row of `services`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServiceRow {
    name: String,
    version: String,
    state: String,
    health: Option<String>,
    host: Option<String>,
    execution: String,
    stamp: Stamp,
}

impl StateRow for ServiceRow {
    const COLUMNS: &str = "name, version, state, health, host, execution, created_revision, \
        modified_revision, schema, hash, record, checksum";

    fn of(record: &Versioned) -> Result<Self, Fault> {
        let entry = record.image.as_service();
        let entry = entry.ok_or_else(|| Fault::misplaced(record.key(), "services"))?;
        let health = entry.last_health_check.as_ref();
        Ok(Self {
            name: entry.name.clone(),
            version: entry.version.clone(),
            state: entry.state.as_str().to_owned(),
            health: health.map(|health| health.status.as_str().to_owned()),
            host: host(entry),
            execution: execution(entry).to_owned(),
            stamp: Stamp::of(record)?,
        })
    }

    fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let found = Self {
            name: row.get(0)?,
            version: row.get(1)?,
            state: row.get(2)?,
            health: row.get(3)?,
            host: row.get(4)?,
            execution: row.get(5)?,
            stamp: Stamp::read(row, 6)?,
        };
        found.sum().check(|| found.place(), row.get(11)?)?;
        Ok(found)
    }

    fn record(&self) -> Result<Versioned, Fault> {
        let is_here = |key: &Key| key.name().as_str() == self.name;
        self.stamp.record(Kind::Service, self.place(), is_here)
    }

    fn put(&self, connection: &Connection) -> Result<(), Fault> {
        let sql = format!(
            "REPLACE INTO services ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            Self::COLUMNS
        );
        connection.prepare_cached(&sql)?.execute(params![
            self.name,
            self.version,
            self.state,
            self.health,
            self.host,
            self.execution,
            self.stamp.created,
            self.stamp.modified,
            self.stamp.schema,
            self.stamp.hash,
            self.stamp.record,
            self.sum().finish(),
        ])?;
        Ok(())
    }

    fn place(&self) -> String {
        format!("service {:?}", self.name)
    }
}

impl ServiceRow {
    fn sum(&self) -> Sum {
        let sum = Sum::new("services")
            .texts([&self.name, &self.version, &self.state, &self.execution])
            .maybe(self.health.as_deref())
            .maybe(self.host.as_deref());
        self.stamp.add_to(sum)
    }
}

/// The host that a service runs on; none for the registry's own.
fn host(entry: &ServiceEntry) -> Option<String> {
    match &entry.location {
        Location::Remote { host, .. } => Some(host.clone()),
        _ => None,
    }
}

fn execution(entry: &ServiceEntry) -> &'static str {
    match &entry.execution {
        ExecutionInfo::ManagedProcess { .. } => "managed_process",
        ExecutionInfo::DockerContainer { .. } => "docker_container",
        ExecutionInfo::SystemdService { .. } => "systemd_service",
        _ => "unknown",
    }
}
