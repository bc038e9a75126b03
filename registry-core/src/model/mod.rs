//! What the registry knows: values with validation and nothing else.

mod health;
mod name;
mod service;
mod text;

pub use health::{Health, HealthStatus};
pub use name::Name;
pub use service::{
    Endpoint, ExecutionInfo, Location, Protocol, ServiceEntry, ServiceState, SshConfig,
};
pub use text::ModelError;
pub(crate) use text::{check_count, check_text};
