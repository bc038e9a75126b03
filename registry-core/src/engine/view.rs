//! The view: what readers see.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use imbl::OrdMap;

use super::by_name::{ByName, Found};
use super::census::Census;
use super::confirmed::Confirmed;
use super::dependents::Dependents;
use super::filter::Filter;
use super::instance::{Instance, Instances};
use crate::head::Tally;
use crate::key::{Key, Kind};
use crate::log::{Change, Commit};
use crate::model::{HealthStatus, KeeperEntry, Name, ServiceEntry, ServicePolicy};
use crate::record::{Record, Versioned};
use crate::revision::Revision;
use crate::time::Timestamp;

/// Adoptions that are followed: each adopter takes over what the adopted one had adopted, so that there is one at most.
const ADOPTIONS_MAX: usize = 8;

/// An immutable snapshot of the state at one revision. A clone shares everything and costs a few reference counts.
#[derive(Debug, Clone, Default)]
pub struct View {
    revision: Revision,
    services: OrdMap<Name, Arc<Service>>,
    /// The same services, as of the last view that was published.
    by_name: Arc<ByName>,
    /// The revision of that view.
    published: Revision,
    /// What became of services since.
    fresh: HashMap<Name, Option<Arc<Service>>, RandomState>,
    dependents: Dependents,
    /// Instances by service. A service without instances is not here.
    instances: OrdMap<Name, Instances>,
    instances_count: usize,
    census: Census,
    policies: OrdMap<Name, Versioned>,
    keepers: OrdMap<Name, Versioned>,
}

/// A service in the view.
#[derive(Debug)]
pub struct Service {
    record: Versioned,
    name: Name,
    confirmed: Confirmed,
}

impl Service {
    fn new(name: Name, record: Versioned, before: Option<&Self>) -> Self {
        Self {
            record,
            name,
            confirmed: Confirmed::since(before.map(|before| &before.confirmed)),
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
        self.confirmed
            .refresh(self.entry().last_health_check.as_ref())
    }

    /// What moves with each report that said what was known: while it does not, [`health`](Self::health) answers the same.
    pub fn confirmed_at(&self) -> Timestamp {
        self.confirmed.at()
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
        self.confirmed.note(checked_at);
    }
}

impl View {
    /// The last commit it reflects.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Number of records of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Service => self.services.len(),
            Kind::Instance => self.instances_count,
            Kind::Policy => self.policies.len(),
            Kind::Keeper => self.keepers.len(),
        }
    }

    /// Number of services.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there are no services.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The service of that name. Constant, and logarithmic for a service that a later view has another of.
    pub fn get(&self, name: &str) -> Option<Arc<Service>> {
        if let Some(fresh) = self.fresh.get(name) {
            return fresh.clone();
        }
        match self.by_name.find(name, self.published) {
            Found::Service(service) => Some(service),
            Found::Nothing => None,
            Found::Later => self.services.get(name).cloned(),
        }
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

    /// Names of the services that depend on `name`, in order. Linear in the services of the view the first time that it
    /// is asked after one of them changed what it depends on.
    pub fn dependents(&self, name: &str) -> &[Name] {
        self.dependents.of(name, self.services.values())
    }

    /// Number of instances, stopped ones included.
    pub fn instances_len(&self) -> usize {
        self.instances_count
    }

    /// The instances that have a lease, by sort. Counted already.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// The instance of a service with that id. Logarithmic, no allocation.
    pub fn instance(&self, service: &str, id: &str) -> Option<&Arc<Instance>> {
        self.instances.get(service)?.get(id)
    }

    /// The instances of a service in the byte order of their ids, stopped ones included.
    pub fn instances_of<'a>(
        &'a self,
        service: &str,
    ) -> impl Iterator<Item = &'a Arc<Instance>> + use<'a> {
        let instances = self.instances.get(service).into_iter();
        instances.flat_map(|instances| instances.after(None))
    }

    /// Instances in the byte order of service and id, those after one where one is given.
    pub fn instances_after<'a>(
        &'a self,
        after: Option<(&str, &str)>,
    ) -> impl Iterator<Item = &'a Arc<Instance>> + use<'a> {
        use std::ops::Bound::{Excluded, Unbounded};
        let same = after.and_then(|(service, id)| {
            let instances = self.instances.get(service)?;
            Some(instances.after(Some(id)))
        });
        let start = after.map_or(Unbounded, |(service, _)| Excluded(service));
        let others = self.instances.range::<_, str>((start, Unbounded));
        same.into_iter()
            .flatten()
            .chain(others.flat_map(|(_, instances)| instances.after(None)))
    }

    /// As [`instances_after`](Self::instances_after), of one service where one is named.
    pub(super) fn instances_from<'a>(
        &'a self,
        service: Option<&str>,
        after: Option<(&str, &str)>,
    ) -> Box<dyn Iterator<Item = &'a Arc<Instance>> + 'a> {
        let Some(service) = service else {
            return Box::new(self.instances_after(after));
        };
        let id = after.map(|(_, id)| id);
        match self.instances.get(service) {
            Some(instances) => Box::new(instances.after(id)),
            None => Box::new(std::iter::empty()),
        }
    }

    /// Names of the services that have instances, in order, with the number of instances that have a lease.
    pub fn services_with_instances(&self) -> impl Iterator<Item = (&Name, usize)> {
        let services = self.instances.iter();
        services.map(|(service, instances)| (service, instances.leased()))
    }

    /// Instances of a service that have a lease.
    pub fn leased(&self, service: &str) -> usize {
        self.instances.get(service).map_or(0, Instances::leased)
    }

    /// The rules for the instances of a service, where it has some of its own.
    pub fn policy(&self, service: &str) -> Option<&ServicePolicy> {
        match self.policies.get(service)?.image.record() {
            Record::Policy(policy) => Some(policy),
            _ => None,
        }
    }

    /// Policies of services in the byte order of their names, those after a name where one is given.
    pub fn policies_after<'a>(
        &'a self,
        after: Option<&str>,
    ) -> impl Iterator<Item = &'a ServicePolicy> + use<'a> {
        let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let policies = self
            .policies
            .range::<_, str>((start, std::ops::Bound::Unbounded));
        policies.filter_map(|(_, record)| match record.image.record() {
            Record::Policy(policy) => Some(policy),
            _ => None,
        })
    }

    /// A keeper of leases.
    pub(super) fn keeper(&self, id: &str) -> Option<&KeeperEntry> {
        match self.keepers.get(id)?.image.record() {
            Record::Keeper(keeper) => Some(keeper),
            _ => None,
        }
    }

    /// Every keeper, with the commit that last changed it, in the order of ids.
    pub(super) fn keepers(&self) -> impl Iterator<Item = (&KeeperEntry, Revision)> {
        self.keepers
            .values()
            .filter_map(|record| match record.image.record() {
                Record::Keeper(keeper) => Some((keeper, record.modified)),
                _ => None,
            })
    }

    /// Who keeps the leases that name a keeper: itself, or the last one that adopted them.
    pub(super) fn keeper_now<'a>(&'a self, id: &'a str) -> &'a str {
        let mut now = id;
        for _ in 0..ADOPTIONS_MAX {
            match self.keeper(now) {
                Some(keeper) if !keeper.adopted_by.is_empty() => now = &keeper.adopted_by,
                _ => break,
            }
        }
        now
    }

    /// The record at a key.
    pub(super) fn record(&self, key: &Key) -> Option<Versioned> {
        match key {
            Key::Service(name) => self.get(name).map(|service| service.record.clone()),
            Key::Instance { service, id } => {
                let instance = self.instance(service, id);
                instance.map(|instance| instance.record().clone())
            }
            Key::Policy(name) => self.policies.get(name).cloned(),
            Key::Keeper(id) => self.keepers.get(id).cloned(),
        }
    }

    /// Puts records that a store answered while the view is loaded.
    pub(super) fn load(&mut self, records: Vec<Versioned>) {
        for record in records {
            self.put(record);
        }
        self.index();
        // What was read is shown, of whatever revision it is.
        self.published = Revision(u64::MAX);
    }

    /// Makes room for the services of a load.
    pub(super) fn reserve(&self, services: usize) {
        self.by_name.reserve(services);
    }

    /// Moves to the revision at which the load is complete.
    pub(super) fn loaded_at(&mut self, revision: Revision) {
        self.revision = revision;
    }

    /// Makes what became of services known to all views. The next one that is published must be this one.
    pub(super) fn index(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        self.by_name.follow(fresh.into_iter(), self.revision);
        self.published = self.revision;
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
            let known = self.record(&change.key).map(|record| record.modified);
            if known.is_none_or(|known| known < commit.revision) {
                self.change(commit.revision, change);
            }
        }
        self.revision = commit.revision;
    }

    fn change(&mut self, revision: Revision, change: &Change) {
        match &change.after {
            Some(image) => {
                let before = self.record(&change.key);
                let created = before.map_or(revision, |before| before.created);
                self.put(Versioned {
                    image: Arc::clone(image),
                    created,
                    modified: revision,
                });
            }
            None => self.remove(&change.key),
        }
    }

    fn put(&mut self, record: Versioned) {
        if let Some(entry) = record.image.as_instance() {
            self.census.add(entry);
        }
        match record.key().clone() {
            Key::Service(name) => self.put_service(&name, record),
            Key::Instance { service, id } => {
                let before = self.instances.entry(service).or_default().put(&id, record);
                match before {
                    Some(before) => self.census.remove(before.entry()),
                    None => self.instances_count += 1,
                }
            }
            Key::Policy(name) => {
                self.policies.insert(name, record);
            }
            Key::Keeper(id) => {
                self.keepers.insert(id, record);
            }
        }
    }

    fn put_service(&mut self, name: &Name, record: Versioned) {
        let known = self.get(name);
        let service = Arc::new(Service::new(name.clone(), record, known.as_deref()));
        let depended = known.as_ref().map(|known| &known.entry().depends_on[..]);
        if depended.unwrap_or_default() != service.entry().depends_on {
            self.dependents.forget();
        }
        self.services.insert(name.clone(), Arc::clone(&service));
        self.fresh.insert(name.clone(), Some(service));
    }

    fn remove(&mut self, key: &Key) {
        match key {
            Key::Service(name) => self.remove_service(name),
            Key::Instance { service, id } => self.remove_instance(service, id),
            Key::Policy(name) => {
                self.policies.remove(name);
            }
            Key::Keeper(id) => {
                self.keepers.remove(id);
            }
        }
    }

    fn remove_instance(&mut self, service: &Name, id: &Name) {
        let Some(instances) = self.instances.get_mut(service) else {
            return;
        };
        let before = instances.remove(id);
        if instances.is_empty() {
            self.instances.remove(service);
        }
        if let Some(before) = before {
            self.instances_count -= 1;
            self.census.remove(before.entry());
        }
    }

    fn remove_service(&mut self, name: &Name) {
        let known = self.services.remove(name);
        if known.is_some_and(|service| !service.entry().depends_on.is_empty()) {
            self.dependents.forget();
        }
        self.fresh.insert(name.clone(), None);
    }

    /// What the records add up to. It hashes every one.
    pub(super) fn tally(&self) -> Tally {
        let services = self.services.values().map(|service| service.record());
        let instances = self.instances_after(None).map(|instance| instance.record());
        let others = self.policies.values().chain(self.keepers.values());
        let mut tally = Tally::default();
        for record in services.chain(instances).chain(others) {
            tally.add(record);
        }
        tally
    }
}
