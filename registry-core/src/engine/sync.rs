//! The locks and wake-ups of the parts of the engine that `rigs/models` runs under a checker, which puts its own in
//! their place.

pub(super) use std::sync::{Mutex, MutexGuard};

pub(super) use event_listener::{Event, listener};
