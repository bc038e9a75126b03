//! The WebSocket face over real sockets, on smol and on tokio.

mod abuse;
mod client;
mod flow;
mod limits;
mod runtimes;
