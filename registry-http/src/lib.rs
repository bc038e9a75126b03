//! The HTTP face: every action of the table over REST, and the WebSocket face on the same port.
//!
//! The library spawns nothing: [`HttpServer::handle`] is one connection from its first byte to its end, and the
//! application runs it on tokio.

mod answer;
mod config;
mod connection;
mod discovery;
mod duration;
mod entry;
mod listen;
mod metric;
mod metrics;
mod openapi;
mod ops;
mod rate;
mod request;
mod router;
mod server;
mod shape;
mod snapshot;
mod stalling;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod watch;

pub use config::HttpConfig;
pub use connection::ConnectionEnd;
pub use listen::{BindAddress, Listener, StdStream, Stream};
pub use metric::{METRICS, MetricForm, MetricSpec};
pub use ops::OPERATIONAL;
pub use server::HttpServer;
pub use tls::{Tls, TlsError};
