//! Notices the commits of other processes while somebody waits for one.
//!
//! SQLite tells nobody of a foreign commit, so a thread asks `PRAGMA data_version`, which costs some 6 microseconds. It
//! asks often after a change and less often when nothing happens, and not at all while nobody waits. A watch on the
//! files would report our own commits as well, and on some systems opens them, which drops SQLite's locks.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use registry_core::{Result, StoreError};
use rusqlite::Connection;

use crate::error::Fault;
use crate::published::Published;
use crate::rows::HeadRow;
use crate::schema::{Sync, pragma};
use crate::{BACKEND, open};

/// The first question after a change.
const POLL_MIN: Duration = Duration::from_millis(2);
/// The longest pause between two questions, which bounds how late a foreign commit is noticed.
const POLL_MAX: Duration = Duration::from_millis(32);
const CACHE_BYTES: usize = 256 * 1024;

/// The thread, and how it is told what to do.
#[derive(Debug)]
pub(crate) struct Watch {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Orders {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: usize,
    is_over: bool,
}

/// Somebody waits while this lives.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<Orders>);

impl Watch {
    /// Starts the thread, with a connection of its own.
    pub(crate) fn start(path: &Path, published: Arc<Published>) -> Result<Self> {
        let connection = open::connect(path, Sync::Full, CACHE_BYTES)
            .map_err(|fault| fault.at(path, "watch the store"))?;
        let orders = Arc::<Orders>::default();
        let thread = {
            let orders = Arc::clone(&orders);
            std::thread::Builder::new()
                .name("registry-sqlite-watch".to_owned())
                .spawn(move || run(&connection, &orders, &published))
        };
        let thread = thread
            .map_err(|error| StoreError::io(BACKEND, "start to watch the store", path, error))?;
        Ok(Self {
            orders,
            thread: Some(thread),
        })
    }

    /// Says that somebody waits.
    pub(crate) fn wait(&self) -> Waiting {
        self.orders.state().waiting += 1;
        self.orders.changed.notify_all();
        Waiting(Arc::clone(&self.orders))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.orders.state().is_over = true;
        self.orders.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // Its panic was printed, and there is nothing left to do for it.
            let _ = thread.join();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

impl Orders {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one step, so a panic elsewhere does not matter.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pauses, without end where nobody waits. Answers whether to go on.
    fn pause(&self, span: Duration) -> bool {
        let state = self.state();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, span, |state| !state.is_over && state.waiting > 0)
            .unwrap_or_else(PoisonError::into_inner);
        let state = self
            .changed
            .wait_while(state, |state| !state.is_over && state.waiting == 0)
            .unwrap_or_else(PoisonError::into_inner);
        !state.is_over
    }
}

fn run(connection: &Connection, orders: &Orders, published: &Published) {
    let mut seen = None;
    let mut pause = Duration::ZERO;
    while orders.pause(pause) {
        pause = match look(connection, &mut seen, published) {
            Ok(true) => POLL_MIN,
            Ok(false) => (pause * 2).clamp(POLL_MIN, POLL_MAX),
            Err(fault) => {
                // Reads tell the same to who can act on it; the watch goes on in case it passes.
                tracing::debug!(problem = fault.problem(), "the watch cannot read the store");
                POLL_MAX
            }
        };
    }
}

/// Publishes the head where anybody committed. Answers whether somebody did.
fn look(
    connection: &Connection,
    seen: &mut Option<i64>,
    published: &Published,
) -> std::result::Result<bool, Fault> {
    let version: i64 = pragma(connection, "data_version")?;
    if *seen == Some(version) {
        return Ok(false);
    }
    let row = HeadRow::read(connection)?;
    if !row.is_restoring {
        published.offer(&row.head);
    }
    *seen = Some(version);
    Ok(true)
}
