//! The binary and the facade as a user has them: real files, real sockets, real signals.

mod audit;
mod chaos;
mod cli;
mod crash;
mod crowd;
mod daemon;
mod death;
mod discovery;
mod doctor;
mod exec;
mod facade;
mod files;
mod fixture;
mod hostile;
mod http;
mod instances;
mod javascript;
mod kinds;
mod migrate;
mod prometheus;
mod ready;
mod sharing;
#[cfg(feature = "tls")]
mod tls;
mod tour;
mod wait;
mod watch;
