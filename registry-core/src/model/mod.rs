//! What the registry knows: values with validation and nothing else.

mod address;
mod health;
mod instance;
mod keeper;
mod name;
mod policy;
mod service;
mod text;

pub(crate) use address::AddressText;
pub use health::{Health, HealthStatus};
pub use instance::{InstanceEntry, InstanceSpec, Intent, Lifecycle};
pub use keeper::KeeperEntry;
pub use name::Name;
pub use policy::{ServicePolicy, UnknownHeartbeat};
pub use service::{
    Endpoint, ExecutionInfo, Location, Protocol, ServiceEntry, ServiceState, SshConfig,
};
pub use text::ModelError;
pub(crate) use text::{check_count, check_present, check_text};
