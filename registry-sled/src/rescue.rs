//! Calls of sled that may never return after an error of the disk, called so that ours do.
//!
//! A write that fails on one of sled's threads sets an error and does not wake who waits for that write
//! (`Log::exit_reservation` in its `logger.rs`). Any later flush sees the error and wakes everybody.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::trees::Trees;

/// A flush that takes so long may be waiting for what never comes. Doubles with each look: a disk may just be slow.
const PROBE_WAIT: Duration = Duration::from_secs(1);
const PROBE_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long the end of sled is waited for.
const RELEASE_WAIT: Duration = Duration::from_secs(10);

/// Flushes sled's buffers to its file. Ends once sled has an error.
pub(crate) fn flush(database: &sled::Db) -> sled::Result<()> {
    let flushed = start(database)?;
    let mut wait = PROBE_WAIT;
    loop {
        match flushed.recv_timeout(wait) {
            Ok(flushed) => return flushed,
            Err(RecvTimeoutError::Timeout) => {
                // Its answer is that of the first one.
                drop(start(database)?);
                wait = (wait * 2).min(PROBE_WAIT_MAX);
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(sled::Error::ReportableBug("the flush panicked".to_owned()));
            }
        }
    }
}

fn start(database: &sled::Db) -> sled::Result<Receiver<sled::Result<()>>> {
    let (sender, flushed) = mpsc::channel();
    let database = database.clone();
    let name = thread::Builder::new().name("registry-sled-flush".to_owned());
    name.spawn(move || {
        // Nobody listens to a flush that was only to wake another.
        let _ = sender.send(database.flush().map(drop));
    })?;
    Ok(flushed)
}

/// Handles of sled that end without the caller where sled does not come to an end. Every other handle must be dropped
/// before.
#[derive(Debug)]
pub(crate) struct Release(Option<(sled::Db, Trees)>);

impl Release {
    /// Keeps handles until it is dropped.
    pub(crate) fn of(database: &sled::Db, trees: &Trees) -> Self {
        Self(Some((database.clone(), trees.clone())))
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        let handles = self.0.take();
        let (sender, released) = mpsc::channel();
        let name = thread::Builder::new().name("registry-sled-release".to_owned());
        let releasing = name.spawn(move || {
            drop(handles);
            let _ = sender.send(());
        });
        if releasing.is_ok()
            && released.recv_timeout(RELEASE_WAIT) == Err(RecvTimeoutError::Timeout)
        {
            tracing::error!(
                "sled does not end after an error; its file stays locked by this process"
            );
        }
    }
}
