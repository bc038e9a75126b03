//! The owner's seat: the store, the socket at which it is served, and who is attached.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use registry_core::{RegistryStore, Result};

use crate::flag::Flag;
use crate::socket::Listener;
use crate::wire::{Peer, Sharing};

/// A store that is owned here.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) store: Arc<dyn RegistryStore>,
    pub(crate) owner: Peer,
    /// None where the store is not served: it is only read, or there is no place for a socket.
    pub(crate) listener: Option<Listener>,
    /// Raised when a newer version asked for the store.
    pub(crate) yielding: Flag,
    attached: Mutex<BTreeMap<u64, Peer>>,
    next_number: AtomicU64,
}

impl Seat {
    pub(crate) fn new(
        store: Arc<dyn RegistryStore>,
        owner: Peer,
        listener: Option<Listener>,
    ) -> Self {
        Self {
            store,
            owner,
            listener,
            yielding: Flag::default(),
            attached: Mutex::default(),
            next_number: AtomicU64::new(0),
        }
    }

    /// Notes that somebody attached, until the answer is dropped.
    pub(crate) fn admit(&self, peer: Peer) -> Admission<'_> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        self.attached().insert(number, peer);
        Admission { seat: self, number }
    }

    pub(crate) fn sharing(&self) -> Sharing {
        Sharing {
            owner: self.owner.clone(),
            socket: self
                .listener
                .as_ref()
                .map(Listener::path)
                .map(Path::to_path_buf),
            attached: self.attached().values().cloned().collect(),
        }
    }

    /// Closes the store, which frees its lock. The socket goes first, while the lock is held.
    pub(crate) async fn leave(&self) -> Result<()> {
        if let Some(listener) = &self.listener {
            listener.remove();
        }
        self.store.close().await
    }

    fn attached(&self) -> MutexGuard<'_, BTreeMap<u64, Peer>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who is attached.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    seat: &'a Seat,
    number: u64,
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.seat.attached().remove(&self.number);
    }
}
