//! What the actions answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use registry_core::engine::{Explanation, LeasePolicy, Service, Stats};
use registry_core::model::{
    Endpoint, ExecutionInfo, Health, HealthStatus, Intent, Lifecycle, Location, ServiceEntry,
    ServicePolicy, ServiceState,
};
use registry_core::{
    Capabilities, Counts, Durability, Head, Image, Key, LogEntry, Revision, Span, Timestamp,
    TransactionId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ErrorInfo;
use crate::shown::{ShownInstance, ShownService};

/// A service with its revisions.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// Unique name.
    pub name: String,
    /// Free text.
    pub version: String,
    /// How it is executed.
    pub execution: ExecutionInfo,
    /// Where it runs.
    pub location: Location,
    /// Where it can be reached.
    pub endpoints: Vec<Endpoint>,
    /// Names of services it needs.
    pub depends_on: Vec<String>,
    /// Run state.
    pub state: ServiceState,
    /// The last health report, with the time of the last one that said the same.
    pub last_health_check: Option<HealthStatus>,
    /// The commit that last changed it.
    pub revision: Revision,
    /// The commit that created it.
    pub created_revision: Revision,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct ServiceList {
    pub(crate) services: Vec<ShownService>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

/// An instance with its revisions, and what is known of it beyond its record.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceInfo {
    /// The service, or role, that it is a copy of.
    pub service: String,
    /// Unique within the service.
    pub instance_id: String,
    /// Host name or IP address.
    pub address: String,
    /// Port.
    pub port: u16,
    /// Failure domain within the region; may be empty.
    pub zone: String,
    /// Region; may be empty.
    pub region: String,
    /// Share of the traffic, relative to its neighbours.
    pub weight: u32,
    /// Short marks to filter by.
    pub tags: Vec<String>,
    /// Whatever else there is to say.
    pub metadata: BTreeMap<String, String>,
    /// Version of what runs.
    pub version: String,
    /// How long it stays listed after a heartbeat.
    pub lease_ttl: Span,
    /// What an operator wants of it.
    pub intent: Intent,
    /// Whether it takes part.
    pub lifecycle: Lifecycle,
    /// Which start of the instance this is.
    pub incarnation: u64,
    /// The commit that began this lease.
    pub fencing_revision: Revision,
    /// The health to act on: that of the last report, and critical without a lease.
    pub health: Health,
    /// The last health report, with the time of the last one that said the same.
    pub last_health_check: Option<HealthStatus>,
    /// Whether its lease lapsed while mass-expiry protection holds it back.
    pub suspect: bool,
    /// When this incarnation was registered.
    pub registered_at: Timestamp,
    /// Since when it is held back.
    pub suspect_since: Option<Timestamp>,
    /// When its lease ended without a deregistration.
    pub expired_at: Option<Timestamp>,
    /// When it was taken off the list.
    pub stopped_at: Option<Timestamp>,
    /// The commit that last changed it.
    pub revision: Revision,
    /// The commit that created its record.
    pub created_revision: Revision,
    /// When it was last heard of.
    pub last_seen: Timestamp,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct InstanceList {
    pub(crate) instances: Vec<ShownInstance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct ExplanationList {
    pub(crate) service: String,
    /// The rules in force.
    pub(crate) policy: LeasePolicy,
    pub(crate) instances: Vec<Explanation>,
}

/// The rules for the instances of a service.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct PolicyInfo {
    pub(crate) service: String,
    /// What the service has of its own.
    pub(crate) own: ServicePolicy,
    /// What is in force.
    pub(crate) effective: LeasePolicy,
}

/// What became of a batch of heartbeats.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Beaten {
    pub(crate) renewed: usize,
    pub(crate) refused: Vec<RefusedBeat>,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct RefusedBeat {
    /// Its place in the batch, from 0.
    pub(crate) index: usize,
    pub(crate) error: ErrorInfo,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Released {
    /// Instances whose leases were ended.
    pub(crate) released: u64,
}

/// One address of a service, with what a caller needs to choose.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointInfo {
    /// The service.
    pub service: String,
    /// What it is for.
    pub name: String,
    /// IP address and port.
    pub address: std::net::SocketAddr,
    /// What is spoken there.
    pub protocol: String,
    /// Run state of the service.
    pub state: ServiceState,
    /// Last observed health of the service.
    pub health: Health,
}

impl EndpointInfo {
    pub(crate) fn of(service: &Arc<Service>) -> impl Iterator<Item = Self> {
        let entry = service.entry();
        let health = entry
            .last_health_check
            .as_ref()
            .map_or(Health::Unknown, |health| health.status);
        entry.endpoints.iter().map(move |endpoint| Self {
            service: entry.name.clone(),
            name: endpoint.name.clone(),
            address: endpoint.address,
            protocol: endpoint.protocol.to_string(),
            state: entry.state.clone(),
            health,
        })
    }
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct EndpointList {
    pub(crate) endpoints: Vec<EndpointInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

/// What one commit did to one service.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The commit.
    pub revision: Revision,
    /// When it was planned.
    pub time: Timestamp,
    /// Who asked.
    pub actor: String,
    /// What was asked.
    pub action: String,
    /// The asker's own words.
    pub reason: Option<String>,
    /// Id of the transaction.
    pub transaction: TransactionId,
    /// The entry before; none where it was created.
    pub before: Option<ServiceEntry>,
    /// The entry since; none where it was removed.
    pub after: Option<ServiceEntry>,
}

impl HistoryEntry {
    pub(crate) fn of(entry: &LogEntry, name: &str) -> Self {
        let commit = &entry.commit;
        let change = commit
            .changes
            .iter()
            .find(|change| change.key.name().as_str() == name);
        let service =
            |image: Option<&Arc<Image>>| image.and_then(|image| image.as_service()).cloned();
        Self {
            revision: commit.revision,
            time: commit.cause.time,
            actor: commit.cause.actor.clone(),
            action: commit.cause.action.to_string(),
            reason: commit.cause.reason.clone(),
            transaction: commit.id,
            before: service(change.and_then(|change| change.before.as_ref())),
            after: service(change.and_then(|change| change.after.as_ref())),
        }
    }
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct History {
    pub(crate) entries: Vec<HistoryEntry>,
    /// Ask again after this revision; none where everything was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_after: Option<Revision>,
}

/// One commit: who did what, when and why, and what it changed.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntryInfo {
    /// The commit.
    pub revision: Revision,
    /// When it was planned.
    pub time: Timestamp,
    /// Who asked.
    pub actor: String,
    /// What was asked.
    pub action: String,
    /// The asker's own words.
    pub reason: Option<String>,
    /// Id of the transaction.
    pub transaction: TransactionId,
    /// What changed, in the order in which it was applied.
    pub changes: Vec<ChangeInfo>,
}

/// What one commit did to one record.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeInfo {
    /// Its kind and name.
    #[cfg_attr(feature = "openapi", schemars(with = "serde_json::Map<String, Value>"))]
    pub key: Key,
    /// The record before; none where it was created.
    pub before: Option<Value>,
    /// The record since; none where it was removed.
    pub after: Option<Value>,
}

impl LogEntryInfo {
    pub(crate) fn of(entry: &LogEntry) -> Self {
        let commit = &entry.commit;
        let changes = commit.changes.iter().map(|change| ChangeInfo {
            key: change.key.clone(),
            before: change.before.as_deref().map(untagged),
            after: change.after.as_deref().map(untagged),
        });
        Self {
            revision: commit.revision,
            time: commit.cause.time,
            actor: commit.cause.actor.clone(),
            action: commit.cause.action.to_string(),
            reason: commit.cause.reason.clone(),
            transaction: commit.id,
            changes: changes.collect(),
        }
    }
}

/// The record without its kind, which the key has.
fn untagged(image: &Image) -> Value {
    let tagged = serde_json::to_value(image.record()).expect("the model has string keys only");
    match tagged {
        Value::Object(fields) => fields.into_values().next().unwrap_or_default(),
        other => other,
    }
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct LogList {
    pub(crate) entries: Vec<LogEntryInfo>,
    /// Every entry up to here was looked at.
    pub(crate) through: Revision,
    /// Ask again after this revision; none where that was the whole log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_after: Option<Revision>,
}

/// What a registry is and holds.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegistryInfo {
    /// Name of the backend.
    pub backend: &'static str,
    /// The durability in force.
    #[cfg_attr(feature = "openapi", schemars(with = "Value"))]
    pub durability: Durability,
    /// What the store can do.
    #[cfg_attr(feature = "openapi", schemars(with = "serde_json::Map<String, Value>"))]
    pub capabilities: Capabilities,
    /// The last commit.
    pub revision: Revision,
    /// Head, chain and digest of the store.
    #[cfg_attr(feature = "openapi", schemars(with = "serde_json::Map<String, Value>"))]
    pub head: Head,
    /// Records by kind.
    #[cfg_attr(feature = "openapi", schemars(with = "serde_json::Map<String, Value>"))]
    pub records: Counts,
    /// What the engine counted since it was opened.
    pub stats: Stats,
}

/// The answer to a write.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    /// The commit, or the revision at which everything was as asked for already.
    pub(crate) revision: Revision,
    pub(crate) changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<ShownService>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<ShownInstance>,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Pong {
    pub(crate) time: Timestamp,
    pub(crate) revision: Revision,
}
