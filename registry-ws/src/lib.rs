//! The WebSocket face: every action and every event, on any runtime.
//!
//! The library spawns nothing: a [`WsServer`] yields [`ConnectionHandler`]s, and the application runs each of them on
//! the executor of its choice.
//!
//! ```no_run
//! # async fn example(registry: registry_core::engine::Registry) -> std::io::Result<()> {
//! use registry_ws::{WsConfig, WsServer};
//!
//! let server = WsServer::new(registry_api::Api::new(registry), WsConfig::default());
//! server.serve("127.0.0.1:9402", |handler| {
//!     // smol::spawn(handler.handle()).detach(), tokio::spawn(handler.handle()), ...
//!     drop(handler);
//! }).await
//! # }
//! ```

mod arrival;
mod config;
mod connection;
mod handshake;
mod server;
mod session;
mod socket;
mod subscriptions;

pub use config::WsConfig;
pub use connection::ConnectionHandler;
pub use handshake::{Admission, RequestHead, Turned};
pub use server::{Place, WsListener, WsServer};
pub use socket::{ConnectionEnd, Socket};
