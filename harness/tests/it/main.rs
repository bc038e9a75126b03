//! The binary and the facade as a user has them: real files, real sockets, real signals.

mod cli;
mod crash;
mod daemon;
mod facade;
mod files;
mod fixture;
mod hostile;
mod javascript;
mod migrate;
mod ready;
mod tour;
mod watch;
