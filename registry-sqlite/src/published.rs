//! The published head of a store that others write, too.

use std::sync::{Mutex, PoisonError};

use registry_core::Head;
use registry_core::commit::Tip;

use crate::BACKEND;

/// The tip, moved forward by whoever reads a newer head: a commit of ours, a read, the watch.
///
/// Invariant: it never goes back, whichever of them comes first.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) tip: Tip,
    order: Mutex<()>,
}

impl Published {
    pub(crate) fn new(head: Head) -> Self {
        Self {
            tip: Tip::new(BACKEND, head),
            order: Mutex::new(()),
        }
    }

    /// Publishes a durable head, unless a newer one is published already.
    pub(crate) fn offer(&self, head: &Head) {
        // Nothing is half-changed behind this lock, so a panic elsewhere does not matter.
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |head: &Head| (head.last.revision, head.compacted.revision);
        if place(head) > place(&self.tip.head()) {
            self.tip.publish(head.clone());
        }
    }
}
