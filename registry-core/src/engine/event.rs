//! Events: a pure function of a commit.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::filter::Filter;
use crate::key::Key;
use crate::log::{Change, Commit};
use crate::model::{InstanceEntry, ModelError, Name, ServiceEntry};
use crate::record::Image;
use crate::revision::Revision;
use crate::time::Timestamp;

/// What an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// The entry is new, or what it says of version, execution, location or dependencies is.
    ServiceRegistered,
    /// The entry is gone.
    ServiceDeregistered,
    /// The run state is another.
    ServiceStateChanged,
    /// The endpoints are others.
    EndpointUpdated,
    /// The health or its message is another.
    HealthCheckResult,
    /// An instance began a lease.
    InstanceRegistered,
    /// What is said of an instance is another: its description, its lifecycle, the keeper of its lease.
    InstanceUpdated,
    /// An instance is off the list.
    InstanceDeregistered,
    /// The lease of an instance ended without a deregistration.
    InstanceExpired,
    /// The lease of an instance lapsed, and mass-expiry protection holds the instance back.
    InstanceSuspected,
    /// An instance that was held back is heard of again.
    InstanceRestored,
    /// The health of an instance, or its message, is another.
    InstanceHealthChanged,
    /// What an operator wants of an instance is another.
    InstanceIntentChanged,
    /// The record of a stopped instance is gone from the view; the log keeps it.
    InstanceForgotten,
    /// The rules for the instances of a service are others.
    PolicyChanged,
    /// The leases of a keeper are kept by another one.
    KeeperChanged,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::ServiceRegistered,
        Self::ServiceDeregistered,
        Self::ServiceStateChanged,
        Self::EndpointUpdated,
        Self::HealthCheckResult,
        Self::InstanceRegistered,
        Self::InstanceUpdated,
        Self::InstanceDeregistered,
        Self::InstanceExpired,
        Self::InstanceSuspected,
        Self::InstanceRestored,
        Self::InstanceHealthChanged,
        Self::InstanceIntentChanged,
        Self::InstanceForgotten,
        Self::PolicyChanged,
        Self::KeeperChanged,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceRegistered => "service_registered",
            Self::ServiceDeregistered => "service_deregistered",
            Self::ServiceStateChanged => "service_state_changed",
            Self::EndpointUpdated => "endpoint_updated",
            Self::HealthCheckResult => "health_check_result",
            Self::InstanceRegistered => "instance_registered",
            Self::InstanceUpdated => "instance_updated",
            Self::InstanceDeregistered => "instance_deregistered",
            Self::InstanceExpired => "instance_expired",
            Self::InstanceSuspected => "instance_suspected",
            Self::InstanceRestored => "instance_restored",
            Self::InstanceHealthChanged => "instance_health_changed",
            Self::InstanceIntentChanged => "instance_intent_changed",
            Self::InstanceForgotten => "instance_forgotten",
            Self::PolicyChanged => "policy_changed",
            Self::KeeperChanged => "keeper_changed",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| {
                let known: Vec<_> = Self::ALL.into_iter().map(Self::as_str).collect();
                ModelError::new("event", known.join(", "), format!("{text:?}"))
            })
    }
}

/// One thing that one commit changed. All events of a commit have its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it tells.
    pub kind: EventKind,
    /// The commit.
    pub revision: Revision,
    /// When the commit was planned.
    pub time: Timestamp,
    /// The service; of a keeper its id.
    pub name: Name,
    /// The id of an instance.
    pub instance: Option<Name>,
    /// The record before.
    pub before: Option<Arc<Image>>,
    /// The record since.
    pub after: Option<Arc<Image>>,
}

impl Event {
    /// The events of a commit, in the order of its changes and then of [`EventKind`].
    pub fn of(commit: &Commit) -> impl Iterator<Item = Self> + '_ {
        commit.changes.iter().flat_map(move |change| {
            kinds(change).into_iter().map(move |kind| Self {
                kind,
                revision: commit.revision,
                time: commit.cause.time,
                name: change.key.name().clone(),
                instance: change.key.instance_id().cloned(),
                before: change.before.clone(),
                after: change.after.clone(),
            })
        })
    }

    /// Whether the record before or since fits the filter, so that one that leaves is told, too.
    pub fn matches(&self, filter: &Filter) -> bool {
        [&self.before, &self.after]
            .into_iter()
            .flatten()
            .any(|image| filter.matches_record(image.record()))
    }
}

/// What a change tells; at least one kind, so that no revision passes unseen.
fn kinds(change: &Change) -> Vec<EventKind> {
    match change.key {
        Key::Service(_) => service_kinds(change),
        Key::Instance { .. } => instance_kinds(change),
        Key::Policy(_) => vec![EventKind::PolicyChanged],
        Key::Keeper(_) => vec![EventKind::KeeperChanged],
    }
}

fn service_kinds(change: &Change) -> Vec<EventKind> {
    let before = change.before.as_deref().and_then(Image::as_service);
    let after = change.after.as_deref().and_then(Image::as_service);
    match (before, after) {
        (None, Some(_)) => vec![EventKind::ServiceRegistered],
        (Some(_), None) => vec![EventKind::ServiceDeregistered],
        (Some(before), Some(after)) => differences(before, after),
        (None, None) => Vec::new(),
    }
}

fn differences(before: &ServiceEntry, after: &ServiceEntry) -> Vec<EventKind> {
    let is_described_anew = before.version != after.version
        || before.execution != after.execution
        || before.location != after.location
        || before.depends_on != after.depends_on;
    where_true(&[
        (EventKind::ServiceRegistered, is_described_anew),
        (EventKind::ServiceStateChanged, before.state != after.state),
        (
            EventKind::EndpointUpdated,
            before.endpoints != after.endpoints,
        ),
        (
            EventKind::HealthCheckResult,
            before.last_health_check != after.last_health_check,
        ),
    ])
}

fn instance_kinds(change: &Change) -> Vec<EventKind> {
    let before = change.before.as_deref().and_then(Image::as_instance);
    let after = change.after.as_deref().and_then(Image::as_instance);
    match (before, after) {
        (None, Some(_)) => vec![EventKind::InstanceRegistered],
        (Some(_), None) => vec![EventKind::InstanceForgotten],
        (Some(before), Some(after)) => {
            let kinds = instance_differences(before, after);
            if kinds.is_empty() {
                vec![EventKind::InstanceUpdated]
            } else {
                kinds
            }
        }
        (None, None) => Vec::new(),
    }
}

/// The beginning or the end of a lease is one event, whatever else comes with it.
fn instance_differences(before: &InstanceEntry, after: &InstanceEntry) -> Vec<EventKind> {
    let began =
        |before: Option<Timestamp>, after: Option<Timestamp>| before != after && after.is_some();
    let turning_points = [
        (
            EventKind::InstanceRegistered,
            before.fencing_revision != after.fencing_revision,
        ),
        (
            EventKind::InstanceDeregistered,
            began(before.stopped_at, after.stopped_at),
        ),
        (
            EventKind::InstanceExpired,
            began(before.expired_at, after.expired_at),
        ),
        (
            EventKind::InstanceSuspected,
            began(before.suspect_since, after.suspect_since),
        ),
    ];
    if let Some((kind, _)) = turning_points.into_iter().find(|(_, turned)| *turned) {
        return vec![kind];
    }
    where_true(&[
        (
            EventKind::InstanceRestored,
            before.suspect_since != after.suspect_since,
        ),
        (
            EventKind::InstanceUpdated,
            before.described() != after.described() || before.lifecycle != after.lifecycle,
        ),
        (
            EventKind::InstanceHealthChanged,
            before.last_health_check != after.last_health_check,
        ),
        (
            EventKind::InstanceIntentChanged,
            before.intent != after.intent,
        ),
    ])
}

fn where_true(kinds: &[(EventKind, bool)]) -> Vec<EventKind> {
    let told = kinds.iter().filter(|(_, differs)| *differs);
    told.map(|(kind, _)| *kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Endpoint, Protocol, ServiceState};

    fn told(change: impl FnOnce(&mut ServiceEntry)) -> Vec<EventKind> {
        let before = ServiceEntry::new("api", "1");
        let mut after = before.clone();
        change(&mut after);
        differences(&before, &after)
    }

    #[test]
    fn each_difference_has_its_event() {
        assert_eq!(told(|_| {}), []);
        assert_eq!(
            told(|e| e.version = "2".into()),
            [EventKind::ServiceRegistered]
        );
        assert_eq!(
            told(|e| e.depends_on = vec!["db".into()]),
            [EventKind::ServiceRegistered]
        );
        assert_eq!(
            told(|e| e.state = ServiceState::Running),
            [EventKind::ServiceStateChanged]
        );
        let endpoint = Endpoint {
            name: "http".into(),
            address: "127.0.0.1:80".parse().unwrap(),
            protocol: Protocol::new("http"),
        };
        let both = told(|e| {
            e.endpoints = vec![endpoint];
            e.state = ServiceState::Starting;
        });
        assert_eq!(
            both,
            [EventKind::ServiceStateChanged, EventKind::EndpointUpdated]
        );
    }
}
