//! The HTTP face over real sockets.

mod client;
mod parity;
mod services;
mod watch;
