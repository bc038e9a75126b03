//! Instances in the view.

use std::sync::Arc;

use imbl::OrdMap;

use super::confirmed::Confirmed;
use super::lease::Lease;
use crate::model::{Health, HealthStatus, InstanceEntry, Name};
use crate::record::Versioned;
use crate::revision::Revision;
use crate::time::Timestamp;

/// An instance in the view.
#[derive(Debug)]
pub struct Instance {
    record: Versioned,
    service: Name,
    id: Name,
    /// Shared by every version of the record that has the same lease.
    lease: Option<Arc<Lease>>,
    confirmed: Confirmed,
}

impl Instance {
    fn new(record: Versioned, before: Option<&Self>) -> Self {
        let key = record.key();
        let (service, id) = (
            key.name().clone(),
            key.instance_id()
                .expect("the key of an instance has two parts")
                .clone(),
        );
        let entry = entry_of(&record);
        let lease = entry.has_lease().then(|| {
            let known = before.and_then(|before| before.lease.as_ref());
            match known.filter(|lease| lease.fencing_revision() == entry.fencing_revision) {
                Some(lease) => Arc::clone(lease),
                None => Arc::new(Lease::new(service.clone(), id.clone(), entry)),
            }
        });
        Self {
            record,
            service,
            id,
            lease,
            confirmed: Confirmed::since(before.map(|before| &before.confirmed)),
        }
    }

    /// The service that it is a copy of.
    pub fn service(&self) -> &Name {
        &self.service
    }

    /// Its id.
    pub fn id(&self) -> &Name {
        &self.id
    }

    /// The entry as it is stored.
    pub fn entry(&self) -> &InstanceEntry {
        entry_of(&self.record)
    }

    /// The health to act on.
    pub fn health(&self) -> Health {
        self.entry().health()
    }

    /// The last health report, with the time of the last one that said the same.
    pub fn last_health_check(&self) -> Option<HealthStatus> {
        self.confirmed
            .refresh(self.entry().last_health_check.as_ref())
    }

    /// What moves with each report that said what was known: while it does not, the last health report stays the same.
    pub fn confirmed_at(&self) -> Timestamp {
        self.confirmed.at()
    }

    /// When it was last heard of: its last heartbeat as far as this process knows, else its registration. Exact to a
    /// tick of the driver while it runs here, and to [`last_seen_interval`](super::LeaseConfig) after a restart.
    pub fn last_seen(&self) -> Timestamp {
        let entry = self.entry();
        let seen = self.lease.as_ref().map(|lease| lease.last_seen());
        seen.unwrap_or(entry.registered_at).max(entry.registered_at)
    }

    /// The commit that created its record.
    pub fn created(&self) -> Revision {
        self.record.created
    }

    /// The commit that last changed it.
    pub fn modified(&self) -> Revision {
        self.record.modified
    }

    /// The record as the store has it.
    pub fn record(&self) -> &Versioned {
        &self.record
    }

    pub(super) fn lease(&self) -> Option<&Arc<Lease>> {
        self.lease.as_ref()
    }

    /// Notes a health report that changed nothing.
    pub(super) fn confirm(&self, checked_at: Timestamp) {
        self.confirmed.note(checked_at);
    }
}

fn entry_of(record: &Versioned) -> &InstanceEntry {
    let entry = record.image.as_instance();
    entry.expect("the record of an instance is one")
}

/// The instances of one service, in the byte order of their ids.
#[derive(Debug, Clone, Default)]
pub(super) struct Instances {
    by_id: OrdMap<Name, Arc<Instance>>,
    leased: usize,
}

impl Instances {
    pub(super) fn get(&self, id: &str) -> Option<&Arc<Instance>> {
        self.by_id.get(id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Instances that have a lease.
    pub(super) fn leased(&self) -> usize {
        self.leased
    }

    pub(super) fn after<'a>(
        &'a self,
        id: Option<&str>,
    ) -> impl Iterator<Item = &'a Arc<Instance>> + use<'a> {
        let start = match id {
            Some(id) => std::ops::Bound::Excluded(id),
            None => std::ops::Bound::Unbounded,
        };
        self.by_id
            .range::<_, str>((start, std::ops::Bound::Unbounded))
            .map(|(_, instance)| instance)
    }

    /// Puts a record, and answers the one that was there.
    pub(super) fn put(&mut self, id: &Name, record: Versioned) -> Option<Arc<Instance>> {
        let known = self.by_id.get(id.as_str()).map(|known| &**known);
        let instance = Instance::new(record, known);
        self.leased += usize::from(instance.lease.is_some());
        let before = self.by_id.insert(id.clone(), Arc::new(instance));
        self.discount(before.as_deref());
        before
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Arc<Instance>> {
        let before = self.by_id.remove(id);
        self.discount(before.as_deref());
        before
    }

    fn discount(&mut self, before: Option<&Instance>) {
        self.leased -= usize::from(before.is_some_and(|before| before.lease.is_some()));
    }
}
