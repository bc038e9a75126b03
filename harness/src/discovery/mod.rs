//! Registers what runs, and keeps it listed: in the process of the registry, or over one connection to a daemon.
//!
//! Nothing is spawned: [`Registered::start_heartbeat`] answers a future, which the caller runs on the executor, or the
//! thread, of its choice.
//!
//! ```
//! use futures_lite::future;
//! use harness::Registry;
//! use harness::core::model::InstanceSpec;
//! use harness::discovery::{self, ServiceBootstrap, role};
//!
//! # future::block_on(async {
//! let registry = Registry::new();
//! let writer = InstanceSpec::new(role::WRITER, "writer-1", "10.0.0.7", 9100);
//! let registered = ServiceBootstrap::new(&registry, writer).register().await?;
//!
//! let heartbeat = registered.start_heartbeat();
//! let work = async {
//!     // A caller with an executor spawns the heartbeat instead.
//!     let writers = discovery::list(&registry, role::WRITER).await?;
//!     assert_eq!(writers[0].instance_id, "writer-1");
//!     registered.deregister("the work is done").await
//! };
//! future::zip(heartbeat, work).await.1?;
//!
//! assert!(discovery::list(&registry, role::WRITER).await?.is_empty());
//! # Ok::<(), harness::client::ClientError>(())
//! # })?;
//! # Ok::<(), harness::client::ClientError>(())
//! ```
//!
//! With the feature `client` the registry may be a daemon elsewhere: `Site::daemon("ws://10.0.0.1:9402/ws", None)?` in the
//! place of `&registry`.

mod bootstrap;
mod heartbeat;
mod registered;
pub mod role;
mod site;
mod state;

use registry_api::InstanceInfo;
use registry_core::model::InstanceSpec;
use serde_json::json;

pub use bootstrap::ServiceBootstrap;
pub use registered::Registered;
pub use site::Site;
pub use state::LeaseState;

use crate::client::ClientError;

/// Registers an instance under a role, whatever service it names.
///
/// # Errors
/// As [`ServiceBootstrap::register`].
pub async fn register_service(
    registry: impl Into<Site>,
    role: &str,
    instance: InstanceSpec,
) -> Result<Registered, ClientError> {
    let instance = InstanceSpec {
        service: role.to_owned(),
        ..instance
    };
    ServiceBootstrap::new(registry, instance).register().await
}

/// As [`register_service`], as a [writer](role::WRITER).
///
/// # Errors
/// As [`ServiceBootstrap::register`].
pub async fn register_ingester(
    registry: impl Into<Site>,
    instance: InstanceSpec,
) -> Result<Registered, ClientError> {
    register_service(registry, role::WRITER, instance).await
}

/// The instances of a role that are listed, in the order of ids. One connection a call, where the registry is a daemon.
///
/// # Errors
/// [`ClientError`].
pub async fn list(registry: impl Into<Site>, role: &str) -> Result<Vec<InstanceInfo>, ClientError> {
    let mut link = site::Link::new(registry.into());
    let mut params = json!({ "filter": { "service": role } });
    let mut instances: Vec<InstanceInfo> = Vec::new();
    loop {
        let mut page = link.call("list_instances", &params).await?;
        instances.extend(site::read::<Vec<_>>(page["instances"].take())?);
        if page["next_cursor"].is_null() {
            return Ok(instances);
        }
        params["cursor"] = page["next_cursor"].take();
    }
}

/// As [`list`], of [writers](role::WRITER).
///
/// # Errors
/// As [`list`].
pub async fn list_ingesters(registry: impl Into<Site>) -> Result<Vec<InstanceInfo>, ClientError> {
    list(registry, role::WRITER).await
}

/// Renews the lease of an instance once. One connection a call, where the registry is a daemon.
///
/// # Errors
/// `NoLease` where it must register.
pub async fn heartbeat(
    registry: impl Into<Site>,
    role: &str,
    instance_id: &str,
) -> Result<(), ClientError> {
    let mut link = site::Link::new(registry.into());
    let params = json!({ "service": role, "instance_id": instance_id });
    link.call("heartbeat", &params).await.map(drop)
}
