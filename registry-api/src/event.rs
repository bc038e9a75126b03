//! What subscribers are told.

use std::sync::Arc;

use registry_core::engine::{Event, EventKind};
use registry_core::model::{Endpoint, HealthStatus, ServiceEntry, ServiceState};
use registry_core::{Image, Revision, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::answer::ServiceInfo;

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
    pub(crate) services: Vec<ServiceInfo>,
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

/// The data of an event; none where the record is not a service's.
pub(crate) fn event_data(event: &Event) -> Option<Box<RawValue>> {
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
