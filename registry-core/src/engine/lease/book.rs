//! What the driver knows of leases: when to look at which, and what to do about those that lapsed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::clock::LeaseClock;
use super::deadlines::{Deadlines, InstanceTimer, Phase, Timer};
use super::keepers::Keepers;
use super::last_seen::LastSeen;
use super::protection::Protection;
use super::{Lease, LeaseConfig, LeasePolicy, Renewal};
use crate::clock::Clock;
use crate::engine::command::{Action, Expect, InstanceAction, InstanceChange};
use crate::engine::instance::Instance;
use crate::engine::stats::{Counters, count};
use crate::engine::view::View;
use crate::error::StoreError;
use crate::key::Key;
use crate::log::Commit;
use crate::model::{Health, Name};
use crate::store::{Note, RegistryStore};
use crate::time::Timestamp;

/// Timers that one tick looks at, a fraction of a second's work; the rest is looked at by the next.
const SWEEP_TIMERS_MAX: usize = 200_000;
/// Pause before something that could not be committed is tried again, in milliseconds.
const RETRY_MS: u64 = 1000;

/// The leases of one registry. Only the driver has it.
#[derive(Debug)]
pub(in crate::engine) struct LeaseBook {
    config: LeaseConfig,
    clock: Arc<LeaseClock>,
    counters: Arc<Counters>,
    deadlines: Deadlines,
    protection: Protection,
    last_seen: LastSeen,
    /// In a store that several processes write: who keeps which leases.
    keepers: Option<Keepers>,
    /// Timers whose actions were handed out and may fail.
    unsettled: Vec<Timer>,
}

impl LeaseBook {
    /// A book for a store that this process has to itself, or shares.
    pub(in crate::engine) fn new(
        config: LeaseConfig,
        clock: Arc<LeaseClock>,
        counters: Arc<Counters>,
        is_shared: bool,
    ) -> Self {
        let keepers = is_shared.then(|| Keepers::new(&config));
        let keeper = keepers
            .as_ref()
            .map_or_else(String::new, |it| it.own_id().to_string());
        Self {
            last_seen: LastSeen::new(&config, &keeper),
            config,
            clock,
            counters,
            deadlines: Deadlines::default(),
            protection: Protection::default(),
            keepers,
            unsettled: Vec::new(),
        }
    }

    /// Begins every lease of a view that was just loaded, each with its full TTL.
    pub(in crate::engine) fn load(&mut self, view: &View, notes: &[Note]) {
        let seen = self.last_seen.read(notes);
        if let Some(keepers) = &mut self.keepers {
            keepers.meet(notes);
        }
        for instance in view.instances_after(None) {
            if let Some(lease) = instance.lease()
                && let Some(nanos) = seen.get(&lease.fencing_revision())
            {
                lease.seen.fetch_max(*nanos, Ordering::Relaxed);
            }
            self.arm(view, instance, Since::Recorded);
        }
    }

    /// The keeper that begins leases here; empty in a store that this process has to itself.
    pub(in crate::engine) fn keeper(&self) -> Arc<str> {
        self.keepers
            .as_ref()
            .map_or_else(|| Arc::from(""), Keepers::own_id)
    }

    /// Whether there is anything to look at now and then.
    pub(in crate::engine) fn is_idle(&self) -> bool {
        self.deadlines.is_empty() && self.keepers.as_ref().is_none_or(Keepers::is_idle)
    }

    /// Takes note of commits before the view that holds them is published.
    pub(in crate::engine) fn observe<'a>(
        &mut self,
        view: &View,
        commits: impl Iterator<Item = &'a Commit>,
        clock: &dyn Clock,
    ) {
        if self.is_idle() {
            self.clock.resume(clock);
        }
        let changes = commits.flat_map(|commit| &commit.changes);
        for change in changes {
            match &change.key {
                Key::Service(_) => {}
                Key::Instance { service, id } => {
                    if let Some(instance) = view.instance(service, id) {
                        self.arm(view, instance, Since::Now);
                    }
                }
                Key::Policy(service) => {
                    for instance in view.instances_of(service) {
                        self.arm(view, instance, Since::Recorded);
                    }
                }
                Key::Keeper(_) => self.rearm_all(view),
            }
        }
    }

    /// Leases moved from one keeper to another.
    fn rearm_all(&mut self, view: &View) {
        if let Some(keepers) = &mut self.keepers {
            keepers.follow(view);
        }
        for instance in view.instances_after(None) {
            self.arm(view, instance, Since::Recorded);
        }
    }

    /// Sets what there is to look at of an instance.
    fn arm(&mut self, view: &View, instance: &Arc<Instance>, since: Since) {
        let entry = instance.entry();
        if let Some(keepers) = &mut self.keepers {
            let is_ours = keepers.is_ours(view, &entry.keeper);
            if !is_ours {
                if let Some(lease) = instance.lease() {
                    lease.is_kept.store(false, Ordering::Release);
                }
                return;
            }
        }
        let policy = self.policy(view, instance.service());
        if let Some(lease) = instance.lease() {
            let was_kept = lease.is_kept.swap(true, Ordering::AcqRel);
            match entry.suspect_since {
                Some(mark) => self.watch(instance, Phase::Suspect, mark, Since::Now, &policy),
                None => self.keep(lease, entry.lease_ttl.as_millis(), was_kept),
            }
            if let Some(mark) = critical_since(instance) {
                self.watch(instance, Phase::Critical, mark, since, &policy);
            }
        } else if let Some(mark) = entry.stopped_at {
            self.watch(instance, Phase::Stopped, mark, since, &policy);
        } else if let Some(mark) = entry.expired_at {
            self.watch(instance, Phase::Expired, mark, since, &policy);
        }
    }

    /// Keeps a lease: begins one that is new here or trusted again, and looks at it sooner where its TTL was shortened.
    fn keep(&mut self, lease: &Arc<Lease>, ttl_ms: u64, was_kept: bool) {
        lease.ttl_ms.store(ttl_ms, Ordering::Relaxed);
        if !was_kept || lease.deadline().is_none() {
            lease.begin(&self.clock);
            lease.due.store(u64::MAX, Ordering::Relaxed);
        }
        if let Some(deadline) = lease.deadline()
            && deadline < lease.due.load(Ordering::Relaxed)
        {
            self.look_at(lease, deadline);
        }
    }

    fn look_at(&mut self, lease: &Arc<Lease>, deadline: u64) {
        lease.due.store(deadline, Ordering::Relaxed);
        self.deadlines
            .set(deadline, Timer::Lease(Arc::clone(lease)));
    }

    /// Looks at an instance when its state has lasted for long enough.
    fn watch(
        &mut self,
        instance: &Instance,
        phase: Phase,
        mark: Timestamp,
        since: Since,
        policy: &LeasePolicy,
    ) {
        let Some(span_ms) = phase.lasts_ms(policy) else {
            return;
        };
        let now_ms = self.clock.now_ms();
        let past = match since {
            Since::Now => 0,
            Since::Recorded => self.clock.wall().saturating_since(mark).as_millis(),
        };
        let past_ms = u64::try_from(past).unwrap_or(u64::MAX).min(span_ms);
        let timer = InstanceTimer {
            service: instance.service().clone(),
            id: instance.id().clone(),
            phase,
            mark,
        };
        let due = now_ms.saturating_add(span_ms - past_ms);
        self.deadlines.set(due, Timer::Instance(Box::new(timer)));
    }

    fn policy(&self, view: &View, service: &str) -> LeasePolicy {
        self.config.policy.with(view.policy(service))
    }

    /// Moves the clock of the leases on, without looking at any.
    pub(in crate::engine) fn tick(&self, clock: &dyn Clock) {
        self.clock.tick(clock);
    }

    /// What is to be done about leases and instances that are due. [`settle`](Self::settle) must follow when it was
    /// tried.
    pub(in crate::engine) fn sweep(&mut self, view: &View) -> Vec<Action> {
        let now_ms = self.clock.now_ms();
        let mut actions = Vec::new();
        let mut lapsed: BTreeMap<Name, Vec<Arc<Lease>>> = BTreeMap::new();
        for timer in self.deadlines.take_due(now_ms, SWEEP_TIMERS_MAX) {
            match timer {
                Timer::Lease(lease) => {
                    if self.has_lapsed(view, &lease, now_ms) {
                        lapsed
                            .entry(lease.service().clone())
                            .or_default()
                            .push(lease);
                    }
                }
                Timer::Instance(timer) => actions.extend(self.end_phase(view, timer)),
            }
        }
        for (service, leases) in lapsed {
            actions.extend(self.end_leases(view, &service, leases, now_ms));
        }
        self.protection.tidy(now_ms);
        actions
    }

    /// Marks a lease that is due as lapsed, or looks at it again later.
    fn has_lapsed(&mut self, view: &View, lease: &Arc<Lease>, now_ms: u64) -> bool {
        // It was scheduled anew meanwhile, and that look is to come.
        if lease.due.load(Ordering::Relaxed) > now_ms {
            return false;
        }
        if lease.lapse(&self.clock) {
            // One that is kept elsewhere, or was replaced, ends here without a word.
            let current = view.instance(lease.service(), lease.id());
            return current.is_some_and(|instance| is_lease_of(instance, lease))
                && lease.is_kept.load(Ordering::Acquire);
        }
        if let Some(deadline) = lease.deadline() {
            self.look_at(lease, deadline);
        }
        false
    }

    fn end_leases(
        &mut self,
        view: &View,
        service: &Name,
        lapsed: Vec<Arc<Lease>>,
        now_ms: u64,
    ) -> Vec<Action> {
        let policy = self.policy(view, service);
        let leased = view.leased(service);
        let lets = self
            .protection
            .lets_expire(service, lapsed.len(), leased, now_ms, &policy);
        if !lets {
            let (held, percent) = (lapsed.len(), policy.protection_percent);
            tracing::warn!(%service, held, leased, percent, "more leases lapsed than may expire: held back");
        }
        let actions = lapsed.iter().map(|lease| {
            let fencing_revision = lease.fencing_revision();
            let change = if lets {
                InstanceChange::Expire { fencing_revision }
            } else {
                InstanceChange::Suspect { fencing_revision }
            };
            action(service, lease.id(), change)
        });
        let actions = actions.collect();
        self.unsettled.extend(lapsed.into_iter().map(Timer::Lease));
        actions
    }

    /// What is to be done about an instance whose state has lasted for long enough, where it still is in that state.
    fn end_phase(&mut self, view: &View, timer: Box<InstanceTimer>) -> Option<Action> {
        let instance = view.instance(&timer.service, &timer.id)?;
        if !timer.phase.is_of(instance, timer.mark) {
            return None;
        }
        let fencing_revision = instance.entry().fencing_revision;
        let change = match timer.phase {
            Phase::Suspect => InstanceChange::Expire { fencing_revision },
            Phase::Expired | Phase::Critical => InstanceChange::Remove { fencing_revision },
            Phase::Stopped => InstanceChange::Forget { fencing_revision },
        };
        let action = action(&timer.service, &timer.id, change);
        self.unsettled.push(Timer::Instance(timer));
        Some(action)
    }

    /// Looks again at what could not be committed: a lease begins anew with its full TTL, as after a restart.
    pub(in crate::engine) fn settle(&mut self, view: &View) {
        let retry_at = self.clock.now_ms() + RETRY_MS;
        for timer in std::mem::take(&mut self.unsettled) {
            match timer {
                Timer::Lease(lease) => self.settle_lease(view, &lease),
                Timer::Instance(timer) => {
                    let instance = view.instance(&timer.service, &timer.id);
                    if instance.is_some_and(|it| timer.phase.is_of(it, timer.mark)) {
                        self.deadlines.set(retry_at, Timer::Instance(timer));
                    } else if timer.phase == Phase::Suspect {
                        count(&self.counters.leases_expired);
                    }
                }
            }
        }
    }

    fn settle_lease(&mut self, view: &View, lease: &Arc<Lease>) {
        let current = view.instance(lease.service(), lease.id());
        match current.filter(|instance| is_lease_of(instance, lease)) {
            None => count(&self.counters.leases_expired),
            Some(held) if held.entry().suspect_since.is_some() => {
                count(&self.counters.leases_suspected);
            }
            Some(instance) => self.keep(lease, instance.entry().lease_ttl.as_millis(), true),
        }
    }

    /// Writes what is due of the notes of leases, and answers what is to be done about keepers that are gone.
    pub(in crate::engine) async fn write_notes(
        &mut self,
        view: &View,
        store: &dyn RegistryStore,
    ) -> Result<Vec<Action>, StoreError> {
        let now_ms = self.clock.now_ms();
        for note in self.last_seen.due(view, now_ms) {
            store.note(note).await?;
        }
        let Some(keepers) = &mut self.keepers else {
            return Ok(Vec::new());
        };
        if !keepers.is_due(now_ms) {
            return Ok(Vec::new());
        }
        if let Some(note) = keepers.beat(now_ms) {
            store.note(note).await?;
        }
        if !keepers.has_others() {
            return Ok(Vec::new());
        }
        let mut actions = Vec::new();
        for id in keepers.silent(&store.notes().await?, now_ms) {
            actions.extend(keepers.adopt(view, &id));
            store.note(Keepers::deleted(&id)).await?;
        }
        let adopted = actions.len() as u64;
        self.counters
            .keepers_adopted
            .fetch_add(adopted, Ordering::Relaxed);
        Ok(actions)
    }

    /// Takes back what said that this process keeps leases, before the store is closed.
    pub(in crate::engine) async fn end(&self, store: &dyn RegistryStore) -> Result<(), StoreError> {
        match self.keepers.as_ref().and_then(Keepers::end) {
            Some(note) => store.note(note).await,
            None => Ok(()),
        }
    }

    /// Renews a lease that a command came for; one that was marked as lapsed is begun anew, before anything was done
    /// about it.
    pub(in crate::engine) fn renew(&mut self, instance: &Instance) {
        if let Some(lease) = instance.lease()
            && lease.renew(&self.clock) == Renewal::Undecided
            && lease.is_kept.load(Ordering::Acquire)
        {
            self.keep(lease, instance.entry().lease_ttl.as_millis(), true);
        }
    }
}

/// Whether what was to be done about a lease is still to be done: a command may have renewed it meanwhile.
pub(in crate::engine) fn is_still_due(view: &View, action: &Action) -> bool {
    let Action::Instance(action) = action else {
        return true;
    };
    match action.change {
        InstanceChange::Expire { .. } | InstanceChange::Suspect { .. } => view
            .instance(&action.service, &action.instance_id)
            .and_then(|instance| instance.lease())
            .is_some_and(|lease| lease.deadline().is_none()),
        _ => true,
    }
}

/// Since when the state of an instance is counted.
#[derive(Clone, Copy)]
enum Since {
    /// It began with the commit that is looked at.
    Now,
    /// It began when its record says, by the wall clock.
    Recorded,
}

impl Phase {
    fn lasts_ms(self, policy: &LeasePolicy) -> Option<u64> {
        let span = match self {
            Self::Suspect => policy.protection_hold,
            Self::Expired => policy.remove_expired_after,
            Self::Critical => policy.remove_critical_after?,
            Self::Stopped => policy.forget_stopped_after,
        };
        Some(span.as_millis())
    }

    /// Whether an instance is in this state since then.
    fn is_of(self, instance: &Instance, mark: Timestamp) -> bool {
        let entry = instance.entry();
        let since = match self {
            // Whatever ends a lease ends this, too.
            Self::Suspect => entry.suspect_since,
            Self::Expired if !entry.is_stopped() => entry.expired_at,
            Self::Critical if entry.has_lease() => critical_since(instance),
            Self::Stopped => entry.stopped_at,
            _ => None,
        };
        since == Some(mark)
    }
}

/// When the first of the reports came that say that it is critical.
fn critical_since(instance: &Instance) -> Option<Timestamp> {
    let health = instance.entry().last_health_check.as_ref()?;
    (health.status == Health::Critical).then_some(health.checked_at)
}

fn is_lease_of(instance: &Instance, lease: &Arc<Lease>) -> bool {
    instance
        .lease()
        .is_some_and(|found| Arc::ptr_eq(found, lease))
}

fn action(service: &Name, id: &Name, change: InstanceChange) -> Action {
    Action::Instance(InstanceAction {
        service: service.to_string(),
        instance_id: id.to_string(),
        change,
        expect: Expect::Any,
    })
}
