//! The core as its users see it: stored bytes, JSON forms and the engine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod codec;
mod fixture;
mod json;
mod vectors;
