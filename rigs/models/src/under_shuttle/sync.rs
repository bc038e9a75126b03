//! Shuttle's locks in place of the engine's.

#[path = "../event.rs"]
mod event;

pub(crate) use shuttle::sync::atomic::{AtomicU64, Ordering};
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, mpsc};
pub(crate) use shuttle::thread;

pub(crate) use event::{Event, listener};
