//! The one command layer that every face of the registry calls.
//!
//! [`ACTIONS`] lists what can be asked, [`Api::call`] answers it, [`Subscription`] tells what changes, and [`ErrorCode`]
//! is the one table of errors. No face knows the engine, and nothing here knows a transport.

mod action;
mod answer;
mod api;
mod auth;
mod bind;
mod error;
mod event;
mod message;
#[cfg(feature = "openapi")]
mod openapi;
mod pages;
mod params;
mod peer;
mod places;
mod renderings;
mod shown;
mod snapshot;
mod strict;
mod subscription;
mod told;

pub use action::{ACTIONS, ActionSpec, Effect, PROMETHEUS_TARGETS, Route};
pub use answer::{
    ChangeInfo, EndpointInfo, HistoryEntry, InstanceInfo, LogEntryInfo, RegistryInfo, ServiceInfo,
};
pub use api::{Answer, Api, Subject};
pub use auth::{Access, Authenticator, Caller, Token};
pub use bind::{Bindings, Connection};
pub use error::{ErrorCode, ErrorInfo};
pub use event::{EVENTS, EventSpec};
pub use message::{EventMessage, Request, Response, parse_request};
#[cfg(feature = "openapi")]
pub use openapi::{ActionSchemas, action_schemas, error_schema};
pub use params::{SubscribeParams, UnsubscribeParams};
pub use peer::Peer;
pub use shown::{ShownInstance, ShownService};
pub use snapshot::{Lines, Snapshot, StateRecord};
pub use strict::parse_strict;
pub use subscription::Subscription;
pub use told::SharedJson;
