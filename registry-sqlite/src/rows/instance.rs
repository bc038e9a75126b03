//! Rows of `instances`.

use registry_core::model::InstanceEntry;
use registry_core::{Key, Kind, Timestamp, Versioned};
use rusqlite::{Connection, Row, params};

use super::stamp::Stamp;
use super::{StateRow, Sum, number};
use crate::error::Fault;

/// A row of `instances`. Times are text as in JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InstanceRow {
    service: String,
    instance_id: String,
    address: String,
    port: i64,
    zone: String,
    region: String,
    weight: i64,
    version: String,
    intent: String,
    lifecycle: String,
    health: Option<String>,
    lease_ttl_ms: i64,
    incarnation: i64,
    fencing_revision: i64,
    keeper: String,
    times: Times,
    stamp: Stamp,
}

/// When what became of it.
#[derive(Debug, PartialEq, Eq)]
struct Times {
    registered: String,
    checked: Option<String>,
    suspect_since: Option<String>,
    expired: Option<String>,
    stopped: Option<String>,
}

impl Times {
    fn of(entry: &InstanceEntry) -> Self {
        let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let health = entry.last_health_check.as_ref();
        Self {
            registered: entry.registered_at.to_string(),
            checked: text(health.map(|health| health.checked_at)),
            suspect_since: text(entry.suspect_since),
            expired: text(entry.expired_at),
            stopped: text(entry.stopped_at),
        }
    }

    fn read(row: &Row<'_>, first: usize) -> Result<Self, Fault> {
        Ok(Self {
            registered: row.get(first)?,
            checked: row.get(first + 1)?,
            suspect_since: row.get(first + 2)?,
            expired: row.get(first + 3)?,
            stopped: row.get(first + 4)?,
        })
    }

    fn add_to(&self, sum: Sum) -> Sum {
        sum.bytes(self.registered.as_bytes())
            .maybe(self.checked.as_deref())
            .maybe(self.suspect_since.as_deref())
            .maybe(self.expired.as_deref())
            .maybe(self.stopped.as_deref())
    }
}

impl StateRow for InstanceRow {
    const COLUMNS: &str = "service, instance_id, address, port, zone, region, weight, version, \
        intent, lifecycle, health, lease_ttl_ms, incarnation, fencing_revision, keeper, \
        registered_at, checked_at, suspect_since, expired_at, stopped_at, created_revision, \
        modified_revision, schema, hash, record, checksum";

    fn of(record: &Versioned) -> Result<Self, Fault> {
        let entry = record.image.as_instance();
        let entry = entry.ok_or_else(|| Fault::misplaced(record.key(), "instances"))?;
        let health = entry.last_health_check.as_ref();
        Ok(Self {
            service: entry.service.clone(),
            instance_id: entry.instance_id.clone(),
            address: entry.address.clone(),
            port: entry.port.into(),
            zone: entry.zone.clone(),
            region: entry.region.clone(),
            weight: entry.weight.into(),
            version: entry.version.clone(),
            intent: entry.intent.as_str().to_owned(),
            lifecycle: entry.lifecycle.as_str().to_owned(),
            health: health.map(|health| health.status.as_str().to_owned()),
            lease_ttl_ms: number(entry.lease_ttl.as_millis()),
            incarnation: number(entry.incarnation),
            fencing_revision: number(entry.fencing_revision.0),
            keeper: entry.keeper.clone(),
            times: Times::of(entry),
            stamp: Stamp::of(record)?,
        })
    }

    fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let found = Self {
            service: row.get(0)?,
            instance_id: row.get(1)?,
            address: row.get(2)?,
            port: row.get(3)?,
            zone: row.get(4)?,
            region: row.get(5)?,
            weight: row.get(6)?,
            version: row.get(7)?,
            intent: row.get(8)?,
            lifecycle: row.get(9)?,
            health: row.get(10)?,
            lease_ttl_ms: row.get(11)?,
            incarnation: row.get(12)?,
            fencing_revision: row.get(13)?,
            keeper: row.get(14)?,
            times: Times::read(row, 15)?,
            stamp: Stamp::read(row, 20)?,
        };
        found.sum().check(|| found.place(), row.get(25)?)?;
        Ok(found)
    }

    fn record(&self) -> Result<Versioned, Fault> {
        let is_here = |key: &Key| {
            let id = key
                .instance_id()
                .is_some_and(|id| id.as_str() == self.instance_id);
            id && key.name().as_str() == self.service
        };
        self.stamp.record(Kind::Instance, self.place(), is_here)
    }

    fn put(&self, connection: &Connection) -> Result<(), Fault> {
        let sql = format!(
            "REPLACE INTO instances ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, \
            ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26)",
            Self::COLUMNS
        );
        connection.prepare_cached(&sql)?.execute(params![
            self.service,
            self.instance_id,
            self.address,
            self.port,
            self.zone,
            self.region,
            self.weight,
            self.version,
            self.intent,
            self.lifecycle,
            self.health,
            self.lease_ttl_ms,
            self.incarnation,
            self.fencing_revision,
            self.keeper,
            self.times.registered,
            self.times.checked,
            self.times.suspect_since,
            self.times.expired,
            self.times.stopped,
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
        format!("instance {:?} {:?}", self.service, self.instance_id)
    }
}

impl InstanceRow {
    fn sum(&self) -> Sum {
        let sum = Sum::new("instances")
            .texts([&self.service, &self.instance_id, &self.address])
            .texts([&self.zone, &self.region, &self.version])
            .texts([&self.intent, &self.lifecycle, &self.keeper])
            .maybe(self.health.as_deref())
            .number(self.port)
            .number(self.weight)
            .number(self.lease_ttl_ms)
            .number(self.incarnation)
            .number(self.fencing_revision);
        self.stamp.add_to(self.times.add_to(sum))
    }
}
