//! Loom's locks in place of the engine's.

#[path = "../event.rs"]
mod event;

pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, mpsc};
pub(crate) use loom::thread;

pub(crate) use event::{Event, listener};
