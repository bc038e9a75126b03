//! How a lease stands, as its holder knows it.

use std::sync::{Arc, Mutex, MutexGuard};

use event_listener::Event;
use registry_api::InstanceInfo;

/// How a lease stands, as its holder knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseState {
    /// The last call renewed it, or registered the instance again.
    Held,
    /// The last calls failed, and another attempt follows. The lease runs on until it lapses.
    Retrying {
        /// Calls that failed since the last success.
        attempts: u32,
        /// Why the last one did.
        problem: String,
    },
    /// It is another's, or an operator ended it: there is nothing to keep any more.
    Lost {
        /// What became of it.
        reason: String,
    },
    /// Its holder let go of it.
    Ended,
}

impl LeaseState {
    /// Whether no attempt follows.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Ended)
    }
}

/// The state of a lease, where its holder and its keeper look at it.
#[derive(Debug, Clone)]
pub(super) struct Watched(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    known: Mutex<(LeaseState, InstanceInfo)>,
    changed: Event,
}

impl Watched {
    pub(super) fn new(instance: InstanceInfo) -> Self {
        Self(Arc::new(Shared {
            known: Mutex::new((LeaseState::Held, instance)),
            changed: Event::new(),
        }))
    }

    fn known(&self) -> MutexGuard<'_, (LeaseState, InstanceInfo)> {
        let known = self.0.known.lock();
        known.expect("nothing panics while it holds the state")
    }

    pub(super) fn state(&self) -> LeaseState {
        self.known().0.clone()
    }

    pub(super) fn instance(&self) -> InstanceInfo {
        self.known().1.clone()
    }

    pub(super) fn set(&self, state: LeaseState) {
        let mut known = self.known();
        // What has ended does not begin again.
        if !known.0.is_final() {
            known.0 = state;
        }
        drop(known);
        self.0.changed.notify(usize::MAX);
    }

    pub(super) fn set_instance(&self, instance: InstanceInfo) {
        self.known().1 = instance;
    }

    /// Waits for another state.
    pub(super) async fn changed(&self, from: &LeaseState) -> LeaseState {
        loop {
            let changed = self.0.changed.listen();
            let state = self.state();
            if state != *from {
                return state;
            }
            changed.await;
        }
    }
}
