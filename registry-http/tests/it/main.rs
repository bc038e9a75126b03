//! The HTTP face over real sockets.

mod client;
mod deploy;
mod instances;
mod limits;
mod ops;
mod parity;
mod services;
mod transport;
mod watch;
