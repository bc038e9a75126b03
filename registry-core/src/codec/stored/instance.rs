//! An instance.

use serde::{Deserialize, Serialize};

use super::health::HealthV1;
use crate::model::{HealthStatus, InstanceEntry, Intent, Lifecycle};
use crate::revision::Revision;
use crate::time::{Span, Timestamp};

#[derive(Serialize, Deserialize)]
pub(in crate::codec) struct InstanceV1 {
    service: String,
    instance_id: String,
    address: String,
    port: u16,
    zone: String,
    region: String,
    weight: u32,
    tags: Vec<String>,
    metadata: Vec<(String, String)>,
    version: String,
    lease_ttl_ms: u64,
    intent: u32,
    lifecycle: u32,
    incarnation: u64,
    fencing_revision: u64,
    last_health_check: Option<HealthV1>,
    registered_at_nanos: i64,
    suspect_since_nanos: Option<i64>,
    expired_at_nanos: Option<i64>,
    stopped_at_nanos: Option<i64>,
    keeper: String,
}

const ENABLED: u32 = 1;
const DRAINING: u32 = 2;
const DISABLED: u32 = 3;

const PENDING: u32 = 1;
const ACTIVE: u32 = 2;

impl From<&InstanceEntry> for InstanceV1 {
    fn from(entry: &InstanceEntry) -> Self {
        let nanos = |time: Option<Timestamp>| time.map(Timestamp::as_nanos);
        Self {
            service: entry.service.clone(),
            instance_id: entry.instance_id.clone(),
            address: entry.address.clone(),
            port: entry.port,
            zone: entry.zone.clone(),
            region: entry.region.clone(),
            weight: entry.weight,
            tags: entry.tags.clone(),
            metadata: entry.metadata.clone().into_iter().collect(),
            version: entry.version.clone(),
            lease_ttl_ms: entry.lease_ttl.as_millis(),
            intent: match entry.intent {
                Intent::Enabled => ENABLED,
                Intent::Draining => DRAINING,
                Intent::Disabled => DISABLED,
                Intent::Unknown => 0,
            },
            lifecycle: match entry.lifecycle {
                Lifecycle::Pending => PENDING,
                Lifecycle::Active => ACTIVE,
                Lifecycle::Unknown => 0,
            },
            incarnation: entry.incarnation,
            fencing_revision: entry.fencing_revision.0,
            last_health_check: entry.last_health_check.as_ref().map(HealthV1::from),
            registered_at_nanos: entry.registered_at.as_nanos(),
            suspect_since_nanos: nanos(entry.suspect_since),
            expired_at_nanos: nanos(entry.expired_at),
            stopped_at_nanos: nanos(entry.stopped_at),
            keeper: entry.keeper.clone(),
        }
    }
}

impl From<InstanceV1> for InstanceEntry {
    fn from(stored: InstanceV1) -> Self {
        let time = |nanos: Option<i64>| nanos.map(Timestamp::from_nanos);
        Self {
            service: stored.service,
            instance_id: stored.instance_id,
            address: stored.address,
            port: stored.port,
            zone: stored.zone,
            region: stored.region,
            weight: stored.weight,
            tags: stored.tags,
            metadata: stored.metadata.into_iter().collect(),
            version: stored.version,
            lease_ttl: Span::from_millis(stored.lease_ttl_ms),
            intent: match stored.intent {
                ENABLED => Intent::Enabled,
                DRAINING => Intent::Draining,
                DISABLED => Intent::Disabled,
                _ => Intent::Unknown,
            },
            lifecycle: match stored.lifecycle {
                PENDING => Lifecycle::Pending,
                ACTIVE => Lifecycle::Active,
                _ => Lifecycle::Unknown,
            },
            incarnation: stored.incarnation,
            fencing_revision: Revision(stored.fencing_revision),
            last_health_check: stored.last_health_check.map(HealthStatus::from),
            registered_at: Timestamp::from_nanos(stored.registered_at_nanos),
            suspect_since: time(stored.suspect_since_nanos),
            expired_at: time(stored.expired_at_nanos),
            stopped_at: time(stored.stopped_at_nanos),
            keeper: stored.keeper,
        }
    }
}
