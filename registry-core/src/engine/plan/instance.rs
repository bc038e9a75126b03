//! Plans of what is asked of an instance.

use super::{Plan, check, check_schema, put};
use crate::engine::command::{Command, InstanceAction, InstanceChange};
use crate::engine::error::RegistryError;
use crate::engine::view::View;
use crate::key::Key;
use crate::model::{
    HealthStatus, InstanceEntry, InstanceSpec, Intent, Lifecycle, UnknownHeartbeat,
};
use crate::record::{Image, Record, Versioned};
use crate::revision::Revision;

/// An instance that a command is about, and all that its plan looks at.
struct Subject<'a> {
    view: &'a View,
    command: &'a Command,
    action: &'a InstanceAction,
    key: Key,
    found: Option<&'a Versioned>,
}

pub(super) fn plan(
    view: &View,
    command: &Command,
    action: &InstanceAction,
) -> Result<Plan, RegistryError> {
    let key = command.action.key()?;
    let found = view.record(&key);
    let found = found.as_ref();
    check(&key, found, action.expect)?;
    let subject = Subject {
        view,
        command,
        action,
        key,
        found,
    };
    match &action.change {
        InstanceChange::Register { spec, incarnation } => subject.register(spec, *incarnation),
        InstanceChange::Beat { incarnation, spec } => subject.beat(*incarnation, spec.as_deref()),
        InstanceChange::Deregister { incarnation } => subject.deregister(*incarnation),
        InstanceChange::SetIntent(intent) => subject.change(|entry| entry.intent = *intent),
        InstanceChange::SetLifecycle(lifecycle) => {
            subject.change(|entry| entry.lifecycle = *lifecycle)
        }
        InstanceChange::ReportHealth(health) => subject.report_health(health),
        InstanceChange::Suspect { fencing_revision } => subject.suspect(*fencing_revision),
        InstanceChange::Release { fencing_revision } => {
            subject.expire(*fencing_revision, |entry| entry.suspect_since.is_some())
        }
        InstanceChange::Expire { fencing_revision } => subject.expire(*fencing_revision, |_| true),
        InstanceChange::Remove { fencing_revision } => subject.remove(*fencing_revision),
        InstanceChange::Forget { fencing_revision } => subject.forget(*fencing_revision),
    }
}

impl Subject<'_> {
    fn known(&self) -> Option<&InstanceEntry> {
        self.found.and_then(|record| record.image.as_instance())
    }

    fn existing(&self) -> Result<&InstanceEntry, RegistryError> {
        self.known().ok_or_else(|| RegistryError::UnknownInstance {
            service: self.action.service.clone(),
            instance_id: self.action.instance_id.clone(),
        })
    }

    fn register(
        &self,
        spec: &InstanceSpec,
        incarnation: Option<u64>,
    ) -> Result<Plan, RegistryError> {
        let Some(known) = self.known() else {
            return self.start(
                spec,
                incarnation.unwrap_or(1),
                Intent::Enabled,
                Lifecycle::Active,
            );
        };
        // A stopped instance is back only as a later start of itself: a late copy of an old registration is not.
        let next = if known.is_stopped() {
            known.incarnation.saturating_add(1)
        } else {
            known.incarnation
        };
        let given = incarnation.unwrap_or(next);
        if given < next {
            return Err(self.stale_incarnation(given, known));
        }
        if known.has_lease() && given == known.incarnation {
            return self.renew(known, self.named(spec).describe(known));
        }
        let intent = if known.is_stopped() {
            Intent::Enabled
        } else {
            known.intent
        };
        self.start(spec, given, intent, known.lifecycle)
    }

    fn beat(
        &self,
        incarnation: Option<u64>,
        spec: Option<&InstanceSpec>,
    ) -> Result<Plan, RegistryError> {
        let known = self.known();
        if let Some(known) = known {
            let given = incarnation.unwrap_or(known.incarnation);
            if given < known.incarnation {
                return Err(self.stale_incarnation(given, known));
            }
            if given == known.incarnation {
                if known.is_stopped() {
                    return Err(self.no_lease("it was deregistered"));
                }
                if known.has_lease() {
                    return self.renew(known, known.clone());
                }
            }
        }
        let policy = self.view.policy(&self.action.service);
        let policy = policy.and_then(|policy| policy.unknown_heartbeat);
        let lifecycle = match policy.unwrap_or_default() {
            UnknownHeartbeat::Refuse => {
                let reason = match known {
                    None => "it never registered",
                    Some(known) if known.has_lease() => "this incarnation never registered",
                    Some(_) => "it expired",
                };
                return Err(self.no_lease(reason));
            }
            UnknownHeartbeat::Pending => Lifecycle::Pending,
            UnknownHeartbeat::Active => Lifecycle::Active,
        };
        let Some(spec) = spec else {
            return Err(self.no_lease("the heartbeat carries no registration"));
        };
        let known_incarnation = known.map_or(1, |known| known.incarnation);
        let intent = known.map_or(Intent::Enabled, |known| known.intent);
        // What an operator has let in stays in.
        let lifecycle = known.map_or(lifecycle, |known| known.lifecycle);
        self.start(
            spec,
            incarnation.unwrap_or(known_incarnation),
            intent,
            lifecycle,
        )
    }

    /// Renews a lease; a suspect one is trusted again, and one that was kept elsewhere is kept here.
    fn renew(&self, known: &InstanceEntry, said: InstanceEntry) -> Result<Plan, RegistryError> {
        let entry = InstanceEntry {
            suspect_since: None,
            keeper: self.keeper_of(known),
            ..said
        };
        match put(&self.key, self.found, Record::Instance(entry))? {
            Plan::Unchanged(key) => Ok(Plan::Renewed(key)),
            plan => Ok(plan),
        }
    }

    /// Whether the lease is kept by the process that the command came to.
    fn is_kept_here(&self, known: &InstanceEntry) -> bool {
        let keeper = &*self.command.keeper;
        keeper.is_empty() || self.view.keeper_now(&known.keeper) == keeper
    }

    /// The keeper to name: the one that is named where it is this process, so that an adopted lease stays as it is.
    fn keeper_of(&self, known: &InstanceEntry) -> String {
        if self.is_kept_here(known) {
            known.keeper.clone()
        } else {
            self.command.keeper.to_string()
        }
    }

    /// Begins a lease.
    fn start(
        &self,
        spec: &InstanceSpec,
        incarnation: u64,
        intent: Intent,
        lifecycle: Lifecycle,
    ) -> Result<Plan, RegistryError> {
        if let Some(found) = self.found {
            check_schema(&self.key, found)?;
        }
        let fencing_revision = self.view.revision().next();
        let started =
            self.named(spec)
                .start(incarnation, fencing_revision, self.command.cause.time);
        let entry = InstanceEntry {
            intent,
            lifecycle,
            keeper: self.command.keeper.to_string(),
            ..started
        };
        Ok(Plan::PutNext(Image::new(Record::Instance(entry))?))
    }

    /// What was said, under the name that the command is about.
    fn named(&self, spec: &InstanceSpec) -> InstanceSpec {
        InstanceSpec {
            service: self.action.service.clone(),
            instance_id: self.action.instance_id.clone(),
            ..spec.clone()
        }
    }

    fn deregister(&self, incarnation: Option<u64>) -> Result<Plan, RegistryError> {
        let known = self.existing()?;
        if let Some(given) = incarnation.filter(|given| *given < known.incarnation) {
            return Err(self.stale_incarnation(given, known));
        }
        if known.is_stopped() {
            return Ok(Plan::Unchanged(self.key.clone()));
        }
        // A stop that names a later start than the known one is a tombstone for that one, too.
        let incarnation = incarnation.unwrap_or(known.incarnation);
        self.change(|entry| {
            entry.incarnation = incarnation;
            entry.suspect_since = None;
            entry.stopped_at = Some(self.command.cause.time);
        })
    }

    fn report_health(&self, health: &HealthStatus) -> Result<Plan, RegistryError> {
        let known = self.existing()?;
        if known.is_stopped() {
            return Err(self.no_lease("it was deregistered"));
        }
        let last = known.last_health_check.as_ref();
        if last.is_some_and(|last| last.says_the_same_as(health)) {
            return Ok(Plan::Confirmed(self.key.clone(), health.checked_at));
        }
        self.change(|entry| entry.last_health_check = Some(health.clone()))
    }

    fn suspect(&self, fencing_revision: Revision) -> Result<Plan, RegistryError> {
        let keeps = |entry: &InstanceEntry| entry.has_lease() && entry.suspect_since.is_none();
        self.change_where(fencing_revision, keeps, |entry| {
            entry.suspect_since = Some(self.command.cause.time);
        })
    }

    fn expire(
        &self,
        fencing_revision: Revision,
        applies: impl FnOnce(&InstanceEntry) -> bool,
    ) -> Result<Plan, RegistryError> {
        let applies = |entry: &InstanceEntry| entry.has_lease() && applies(entry);
        self.change_where(fencing_revision, applies, |entry| {
            entry.suspect_since = None;
            entry.expired_at = Some(self.command.cause.time);
        })
    }

    fn remove(&self, fencing_revision: Revision) -> Result<Plan, RegistryError> {
        let is_listed = |entry: &InstanceEntry| !entry.is_stopped();
        self.change_where(fencing_revision, is_listed, |entry| {
            entry.suspect_since = None;
            entry.stopped_at = Some(self.command.cause.time);
        })
    }

    fn forget(&self, fencing_revision: Revision) -> Result<Plan, RegistryError> {
        let found = self.found.zip(self.known());
        match found {
            Some((record, known))
                if known.is_stopped() && known.fencing_revision == fencing_revision =>
            {
                check_schema(&self.key, record)?;
                Ok(Plan::Delete(self.key.clone()))
            }
            _ => Ok(Plan::Unchanged(self.key.clone())),
        }
    }

    /// Changes the instance where it still has the lease that was looked at, kept here.
    fn change_where(
        &self,
        fencing_revision: Revision,
        applies: impl FnOnce(&InstanceEntry) -> bool,
        edit: impl FnOnce(&mut InstanceEntry),
    ) -> Result<Plan, RegistryError> {
        let is_meant = self.known().is_some_and(|known| {
            known.fencing_revision == fencing_revision && self.is_kept_here(known) && applies(known)
        });
        if is_meant {
            self.change(edit)
        } else {
            Ok(Plan::Unchanged(self.key.clone()))
        }
    }

    fn change(&self, edit: impl FnOnce(&mut InstanceEntry)) -> Result<Plan, RegistryError> {
        let mut entry = self.existing()?.clone();
        edit(&mut entry);
        put(&self.key, self.found, Record::Instance(entry))
    }

    fn no_lease(&self, reason: &'static str) -> RegistryError {
        RegistryError::NoLease {
            service: self.action.service.clone(),
            instance_id: self.action.instance_id.clone(),
            reason,
        }
    }

    fn stale_incarnation(&self, given: u64, known: &InstanceEntry) -> RegistryError {
        RegistryError::StaleIncarnation {
            service: self.action.service.clone(),
            instance_id: self.action.instance_id.clone(),
            given,
            found: known.incarnation,
        }
    }
}
