//! Talking to a daemon.
//!
//! [`Connection`] is one WebSocket, on any runtime, over TCP or a Unix socket. It needs the feature `client`; the rest is
//! always there.

mod address;
mod backoff;
#[cfg(feature = "client")]
mod connection;
mod error;

pub use address::Address;
pub use backoff::Backoff;
#[cfg(feature = "client")]
pub use connection::{Answered, Connection};
pub use error::ClientError;
