//! An instance.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::health::HealthV1;
use crate::model::{HealthStatus, InstanceEntry, Intent, Lifecycle};
use crate::revision::Revision;
use crate::time::{Span, Timestamp};

#[derive(Serialize, Deserialize)]
pub(in crate::codec) struct InstanceV1<'a> {
    service: Cow<'a, str>,
    instance_id: Cow<'a, str>,
    address: Cow<'a, str>,
    port: u16,
    zone: Cow<'a, str>,
    region: Cow<'a, str>,
    weight: u32,
    tags: Cow<'a, [String]>,
    metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    version: Cow<'a, str>,
    lease_ttl_ms: u64,
    intent: u32,
    lifecycle: u32,
    incarnation: u64,
    fencing_revision: u64,
    last_health_check: Option<HealthV1<'a>>,
    registered_at_nanos: i64,
    suspect_since_nanos: Option<i64>,
    expired_at_nanos: Option<i64>,
    stopped_at_nanos: Option<i64>,
    keeper: Cow<'a, str>,
}

const ENABLED: u32 = 1;
const DRAINING: u32 = 2;
const DISABLED: u32 = 3;

const PENDING: u32 = 1;
const ACTIVE: u32 = 2;

impl<'a> From<&'a InstanceEntry> for InstanceV1<'a> {
    fn from(entry: &'a InstanceEntry) -> Self {
        let nanos = |time: Option<Timestamp>| time.map(Timestamp::as_nanos);
        Self {
            service: (&entry.service).into(),
            instance_id: (&entry.instance_id).into(),
            address: (&entry.address).into(),
            port: entry.port,
            zone: (&entry.zone).into(),
            region: (&entry.region).into(),
            weight: entry.weight,
            tags: (&entry.tags).into(),
            metadata: entry
                .metadata
                .iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            version: (&entry.version).into(),
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
            keeper: (&entry.keeper).into(),
        }
    }
}

impl From<InstanceV1<'_>> for InstanceEntry {
    fn from(stored: InstanceV1<'_>) -> Self {
        let time = |nanos: Option<i64>| nanos.map(Timestamp::from_nanos);
        Self {
            service: stored.service.into_owned(),
            instance_id: stored.instance_id.into_owned(),
            address: stored.address.into_owned(),
            port: stored.port,
            zone: stored.zone.into_owned(),
            region: stored.region.into_owned(),
            weight: stored.weight,
            tags: stored.tags.into_owned(),
            metadata: stored
                .metadata
                .into_iter()
                .map(|(key, value)| (key.into_owned(), value.into_owned()))
                .collect(),
            version: stored.version.into_owned(),
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
            keeper: stored.keeper.into_owned(),
        }
    }
}
