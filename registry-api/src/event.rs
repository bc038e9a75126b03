//! What subscribers are told.

use std::sync::Arc;

use registry_core::engine::{Event, EventKind};
use registry_core::model::{
    Endpoint, HealthStatus, InstanceEntry, KeeperEntry, ServiceEntry, ServicePolicy, ServiceState,
};
use registry_core::{Image, Record, Revision, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::shown::{ShownInstance, ShownService};

/// One event of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSpec {
    /// Its name on the wire.
    pub name: &'static str,
    /// One line for the documentation.
    pub summary: &'static str,
}

const fn event(name: &'static str, summary: &'static str) -> EventSpec {
    EventSpec { name, summary }
}

/// Name of the event that carries a page of the snapshot.
pub(crate) const REGISTRY_LOADED: &str = "registry_loaded";
/// Name of the event that ends the subscription of a slow reader.
pub(crate) const LAGGED: &str = "lagged";
/// Name of the event that ends a subscription whose past is gone.
pub(crate) const COMPACTED: &str = "compacted";

/// Every event.
pub const EVENTS: &[EventSpec] = &[
    event(
        "service_registered",
        "an entry is new, or says something new of version, execution, location, dependencies",
    ),
    event("service_deregistered", "an entry is gone"),
    event("service_state_changed", "the run state is another"),
    event("endpoint_updated", "the endpoints are others"),
    event(
        "health_check_result",
        "the health or its message is another",
    ),
    event("instance_registered", "an instance began a lease"),
    event(
        "instance_updated",
        "what is said of an instance is another: its description, its lifecycle, the keeper of its lease",
    ),
    event("instance_deregistered", "an instance is off the list"),
    event(
        "instance_expired",
        "the lease of an instance ended without a deregistration",
    ),
    event(
        "instance_suspected",
        "the lease of an instance lapsed, and mass-expiry protection holds the instance back",
    ),
    event(
        "instance_restored",
        "an instance that was held back is heard of again",
    ),
    event(
        "instance_health_changed",
        "the health of an instance, or its message, is another",
    ),
    event(
        "instance_intent_changed",
        "what an operator wants of an instance is another",
    ),
    event(
        "instance_forgotten",
        "the record of a stopped instance is gone from the view; the log keeps it",
    ),
    event(
        "policy_changed",
        "the rules for the instances of a service are others",
    ),
    event(
        "keeper_changed",
        "the leases of a keeper are kept by another one",
    ),
    event(
        REGISTRY_LOADED,
        "a page of the snapshot that a subscription begins with",
    ),
    event(
        LAGGED,
        "the subscription ended because its reader was too slow; resume after the revision told",
    ),
    event(
        COMPACTED,
        "the subscription ended because the log no longer goes back that far; subscribe anew",
    ),
];

/// The data of an event: the fields above the gap always, those below where they belong to the event.
#[derive(Serialize)]
struct Happened<'a> {
    revision: Revision,
    time: Timestamp,
    service: &'a str,
    version: &'a str,

    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<&'a ServiceEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a ServiceState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a ServiceState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<&'a [Endpoint]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<&'a HealthStatus>,
}

#[derive(Serialize)]
pub(crate) struct Loaded {
    pub(crate) revision: Revision,
    pub(crate) services: Vec<ShownService>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) instances: Vec<ShownInstance>,
    /// Whether this was the last page: every event after it is of a later revision.
    pub(crate) complete: bool,
}

#[derive(Serialize)]
pub(crate) struct Lagged {
    pub(crate) revision: Revision,
    pub(crate) resume_after: Revision,
}

#[derive(Serialize)]
pub(crate) struct Compacted {
    pub(crate) revision: Revision,
    pub(crate) oldest: Revision,
}

/// Writes a value that always has a JSON form.
pub(crate) fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("the value has string keys and no failing parts")
}

/// The data of an event about something else than a service.
#[derive(Serialize)]
struct Changed<'a> {
    revision: Revision,
    time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<&'a str>,
    /// The instance since, or before where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a InstanceEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a ServicePolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keeper: Option<&'a KeeperEntry>,
}

/// The data of an event; none where there is nothing to tell.
pub(crate) fn event_data(event: &Event) -> Option<Box<RawValue>> {
    let shown = event.after.as_ref().or(event.before.as_ref())?;
    let changed = Changed {
        revision: event.revision,
        time: event.time,
        service: shown.key().service_name().map(|name| &**name),
        instance_id: event.instance.as_deref(),
        instance: None,
        policy: None,
        keeper: None,
    };
    match shown.record() {
        Record::Service(_) => service_event_data(event),
        Record::Instance(entry) => Some(raw(&Changed {
            instance: Some(entry),
            ..changed
        })),
        Record::Policy(_) => Some(raw(&Changed {
            policy: event.after.as_ref().and_then(|image| match image.record() {
                Record::Policy(policy) => Some(policy),
                _ => None,
            }),
            ..changed
        })),
        Record::Keeper(keeper) => Some(raw(&Changed {
            keeper: Some(keeper),
            ..changed
        })),
        _ => None,
    }
}

fn service_event_data(event: &Event) -> Option<Box<RawValue>> {
    let before = entry(event.before.as_ref());
    let after = entry(event.after.as_ref());
    let shown = after.or(before)?;
    let is = |kind| event.kind == kind;
    let state_changed = is(EventKind::ServiceStateChanged);
    let data = Happened {
        revision: event.revision,
        time: event.time,
        service: &shown.name,
        version: &shown.version,
        entry: is(EventKind::ServiceRegistered).then_some(shown),
        from: before.filter(|_| state_changed).map(|entry| &entry.state),
        to: after.filter(|_| state_changed).map(|entry| &entry.state),
        endpoints: is(EventKind::EndpointUpdated).then_some(&shown.endpoints),
        health: shown
            .last_health_check
            .as_ref()
            .filter(|_| is(EventKind::HealthCheckResult)),
    };
    Some(raw(&data))
}

fn entry(image: Option<&Arc<Image>>) -> Option<&ServiceEntry> {
    image.and_then(|image| image.as_service())
}
