//! Events: a pure function of a commit.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::filter::Filter;
use crate::log::{Change, Commit};
use crate::model::{ModelError, Name, ServiceEntry};
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
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::ServiceRegistered,
        Self::ServiceDeregistered,
        Self::ServiceStateChanged,
        Self::EndpointUpdated,
        Self::HealthCheckResult,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceRegistered => "service_registered",
            Self::ServiceDeregistered => "service_deregistered",
            Self::ServiceStateChanged => "service_state_changed",
            Self::EndpointUpdated => "endpoint_updated",
            Self::HealthCheckResult => "health_check_result",
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
    /// The service.
    pub name: Name,
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
                before: change.before.clone(),
                after: change.after.clone(),
            })
        })
    }

    /// Whether the entry before or since fits the filter, so that one that leaves is told, too.
    pub fn matches(&self, filter: &Filter) -> bool {
        [&self.before, &self.after]
            .into_iter()
            .flatten()
            .filter_map(|image| image.as_service())
            .any(|entry| filter.matches(entry))
    }
}

fn kinds(change: &Change) -> Vec<EventKind> {
    let entry = |image: &Option<Arc<Image>>| image.as_deref().and_then(Image::as_service).cloned();
    match (entry(&change.before), entry(&change.after)) {
        (None, Some(_)) => vec![EventKind::ServiceRegistered],
        (Some(_), None) => vec![EventKind::ServiceDeregistered],
        (Some(before), Some(after)) => differences(&before, &after),
        (None, None) => Vec::new(),
    }
}

fn differences(before: &ServiceEntry, after: &ServiceEntry) -> Vec<EventKind> {
    let is_described_anew = before.version != after.version
        || before.execution != after.execution
        || before.location != after.location
        || before.depends_on != after.depends_on;
    let differs = [
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
    ];
    differs
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(kind, _)| kind)
        .collect()
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
