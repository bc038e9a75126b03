//! What the actions answer.

use std::sync::Arc;

use registry_core::engine::{Service, Stats};
use registry_core::model::{
    Endpoint, ExecutionInfo, Health, HealthStatus, Location, ServiceEntry, ServiceState,
};
use registry_core::{
    Capabilities, Counts, Durability, Head, Image, Key, LogEntry, Revision, Timestamp,
    TransactionId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

impl From<&Service> for ServiceInfo {
    fn from(service: &Service) -> Self {
        let entry = service.entry().clone();
        Self {
            last_health_check: service.health(),
            revision: service.modified(),
            created_revision: service.created(),
            name: entry.name,
            version: entry.version,
            execution: entry.execution,
            location: entry.location,
            endpoints: entry.endpoints,
            depends_on: entry.depends_on,
            state: entry.state,
        }
    }
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct ServiceList {
    pub(crate) services: Vec<ServiceInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
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
            action: commit.cause.action.clone(),
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
            action: commit.cause.action.clone(),
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
    pub(crate) service: Option<ServiceInfo>,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Pong {
    pub(crate) time: Timestamp,
    pub(crate) revision: Revision,
}
