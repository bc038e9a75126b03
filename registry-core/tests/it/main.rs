//! The core as its users see it: stored bytes, JSON forms and the engine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod close;
mod codec;
mod commands;
mod fixture;
mod json;
mod leases;
mod plan;
mod queries;
mod retention;
mod running;
mod search;
mod vectors;
mod watch;
