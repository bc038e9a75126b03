//! A service registry in your process.
//!
//! ```
//! use harness::{Registry, ServiceEntry};
//!
//! # futures_lite::future::block_on(async {
//! let registry = Registry::new();
//! registry.register(ServiceEntry::new("api", "1.0.0")).await?;
//! assert_eq!(registry.list().await?.len(), 1);
//! # Ok::<(), harness::Error>(())
//! # })?;
//! # Ok::<(), harness::Error>(())
//! ```
//!
//! [`Registry`] runs its driver on one named thread of its own. An application that has an executor can run it there
//! instead: open a store with [`backends::open`] and give it to [`engine::Registry::open`](registry_core::engine).

pub mod backends;
pub mod client;
pub mod discovery;
/// For the binary, and for rigs that feed it with configuration.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod settings;
pub mod store;

mod facade;

pub use facade::{Error, Registry};
pub use registry_api as api;
pub use registry_core as core;
pub use registry_core::model::{
    Endpoint, ExecutionInfo, Health, HealthStatus, Location, Protocol, ServiceEntry, ServiceState,
    SshConfig,
};
#[cfg(feature = "ws")]
pub use registry_ws::{ConnectionHandler, WsConfig, WsListener, WsServer};
