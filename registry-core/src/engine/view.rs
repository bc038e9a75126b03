//! The view: what readers see.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use imbl::{OrdMap, OrdSet};

use super::filter::Filter;
use crate::head::{Anchor, Tally};
use crate::log::{Change, Commit};
use crate::model::{HealthStatus, Name, ServiceEntry};
use crate::record::{Image, Versioned};
use crate::revision::Revision;
use crate::time::Timestamp;

/// An immutable snapshot of the state at one revision. A clone shares everything and costs a few reference counts.
#[derive(Debug, Clone, Default)]
pub struct View {
    revision: Revision,
    services: OrdMap<Name, Arc<Service>>,
    /// For each name, the services that depend on it. Names without a service are here, too.
    dependents: OrdMap<Name, OrdSet<Name>>,
    tally: Tally,
}

/// A service in the view.
#[derive(Debug)]
pub struct Service {
    record: Versioned,
    name: Name,
    /// When the last report was made that changed nothing; nanoseconds, `i64::MIN` for never. Not stored.
    confirmed_at: AtomicI64,
}

impl Service {
    fn new(name: Name, record: Versioned) -> Self {
        Self {
            record,
            name,
            confirmed_at: AtomicI64::new(i64::MIN),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The entry as it is stored.
    pub fn entry(&self) -> &ServiceEntry {
        let entry = self.record.image.as_service();
        entry.expect("the record of a service is one")
    }

    /// The last health report, with the time of the last one that said the same.
    pub fn health(&self) -> Option<HealthStatus> {
        let mut health = self.entry().last_health_check.clone()?;
        let confirmed = Timestamp::from_nanos(self.confirmed_at.load(Ordering::Relaxed));
        health.checked_at = health.checked_at.max(confirmed);
        Some(health)
    }

    /// The commit that created it.
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

    /// Notes a report that changed nothing.
    pub(super) fn confirm(&self, checked_at: Timestamp) {
        self.confirmed_at
            .fetch_max(checked_at.as_nanos(), Ordering::Relaxed);
    }
}

impl View {
    /// The last commit it reflects.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What its records add up to.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Number of services.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there are no services.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The service of that name. Logarithmic, no allocation.
    pub fn get(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.get(name)
    }

    /// Services in the byte order of their names, those after a name where one is given.
    pub fn services_after<'a>(
        &'a self,
        after: Option<&str>,
    ) -> impl Iterator<Item = &'a Arc<Service>> + use<'a> {
        let start = match after {
            Some(name) => std::ops::Bound::Excluded(name),
            None => std::ops::Bound::Unbounded,
        };
        self.services
            .range::<_, str>((start, std::ops::Bound::Unbounded))
            .map(|(_, service)| service)
    }

    /// Services that a filter lets through, in the byte order of their names.
    pub fn list<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = &'a Arc<Service>> {
        self.services_after(None)
            .filter(|service| filter.matches(service.entry()))
    }

    /// Names of the services that depend on `name`, in order.
    pub fn dependents(&self, name: &str) -> impl Iterator<Item = &Name> {
        self.dependents.get(name).into_iter().flatten()
    }

    /// Puts a record that a store answered while the view is loaded.
    pub(super) fn load(&mut self, record: Versioned) {
        self.put(record);
    }

    /// Moves to the revision at which the load is complete.
    pub(super) fn loaded_at(&mut self, revision: Revision) {
        self.revision = revision;
    }

    /// Applies the next commit.
    pub(super) fn apply(&mut self, commit: &Commit) {
        debug_assert!(
            commit.revision > self.revision,
            "commits are applied in order, once"
        );
        for change in &commit.changes {
            self.change(commit.revision, change);
        }
        self.revision = commit.revision;
    }

    /// Applies a commit to records that may be newer than the view's revision, as they are during a load.
    pub(super) fn catch_up(&mut self, commit: &Commit) {
        for change in &commit.changes {
            let known = self
                .services
                .get(change.key.name().as_str())
                .map(|service| service.modified());
            if known.is_none_or(|known| known < commit.revision) {
                self.change(commit.revision, change);
            }
        }
        self.revision = commit.revision;
    }

    fn change(&mut self, revision: Revision, change: &Change) {
        match &change.after {
            Some(image) => {
                let before = self.services.get(change.key.name().as_str());
                let created = before.map_or(revision, |service| service.created());
                self.put(Versioned {
                    image: Arc::clone(image),
                    created,
                    modified: revision,
                });
            }
            None => self.remove(change.key.name()),
        }
    }

    fn put(&mut self, record: Versioned) {
        let name = record.key().name().clone();
        self.tally.add(&record);
        let service = Arc::new(Service::new(name.clone(), record));
        let before = self.services.insert(name.clone(), Arc::clone(&service));
        if let Some(before) = &before {
            self.tally.remove(&before.record);
            service.confirmed_at.store(
                before.confirmed_at.load(Ordering::Relaxed),
                Ordering::Relaxed,
            );
        }
        let old = before
            .as_deref()
            .map_or(&[][..], |service| &service.entry().depends_on);
        let new = &service.entry().depends_on;
        if old != new {
            self.unlink(&name, old);
            self.link(&name, new);
        }
    }

    fn remove(&mut self, name: &Name) {
        if let Some(service) = self.services.remove(name) {
            self.tally.remove(&service.record);
            self.unlink(name, &service.entry().depends_on);
        }
    }

    fn link(&mut self, name: &Name, depends_on: &[String]) {
        for needed in depends_on {
            // The model checked it when the record was made.
            let Ok(needed) = Name::new(needed) else {
                continue;
            };
            self.dependents
                .entry(needed)
                .or_default()
                .insert(name.clone());
        }
    }

    fn unlink(&mut self, name: &Name, depends_on: &[String]) {
        for needed in depends_on {
            let Some(names) = self.dependents.get_mut(needed.as_str()) else {
                continue;
            };
            names.remove(name);
            if names.is_empty() {
                self.dependents.remove(needed.as_str());
            }
        }
    }

    /// The change that putting or deleting would be, as of this view.
    pub(super) fn change_to(&self, name: &Name, after: Option<Arc<Image>>) -> Change {
        let before = self
            .services
            .get(name.as_str())
            .map(|service| Arc::clone(&service.record.image));
        Change {
            key: crate::Key::Service(name.clone()),
            before,
            after,
        }
    }

    /// Checks that the view adds up to what the store says.
    pub(super) fn compare(&self, last: Anchor, tally: &Tally) -> Result<(), String> {
        if self.revision != last.revision {
            return Err(format!(
                "expected revision {}, found {}",
                last.revision, self.revision
            ));
        }
        self.tally.compare(tally)
    }
}
