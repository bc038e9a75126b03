//! What the registry is asked to do, and what it answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::instance::Instance;
use super::view::{Service, View};
use crate::key::Key;
use crate::model::{
    Endpoint, ExecutionInfo, HealthStatus, InstanceSpec, Intent, KeeperEntry, Lifecycle, Location,
    ModelError, ServiceEntry, ServicePolicy, ServiceState,
};
use crate::record::{Image, Record};
use crate::revision::Revision;
use crate::time::Timestamp;
use crate::transaction::{Cause, TransactionId};

/// One change that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Puts an entry under its name, new or not. See [`register`](Self::register).
    Register {
        /// The record of the entry: it is checked, written and hashed by whoever asks, and not by the driver.
        image: Arc<Image>,
        /// What must be there before.
        expect: Expect,
    },
    /// Changes some fields of an entry.
    Update {
        /// The service.
        name: String,
        /// The fields to change.
        patch: ServicePatch,
        /// What must be there before.
        expect: Expect,
    },
    /// Removes an entry.
    Deregister {
        /// The service.
        name: String,
        /// What must be there before.
        expect: Expect,
    },
    /// Sets the run state.
    SetState {
        /// The service.
        name: String,
        /// The new state.
        state: ServiceState,
        /// What must be there before.
        expect: Expect,
    },
    /// Tells what a health check observed.
    ReportHealth {
        /// The service.
        name: String,
        /// The observation.
        health: HealthStatus,
        /// What must be there before.
        expect: Expect,
    },
    /// Replaces all endpoints.
    ReplaceEndpoints {
        /// The service.
        name: String,
        /// The new list.
        endpoints: Vec<Endpoint>,
        /// What must be there before.
        expect: Expect,
    },
    /// Changes an instance.
    Instance(InstanceAction),
    /// Sets the rules for the instances of a service; one that says nothing is deleted.
    SetPolicy {
        /// The rules.
        policy: ServicePolicy,
        /// What must be there before.
        expect: Expect,
    },
    /// Says who keeps the leases of a keeper.
    PutKeeper {
        /// The keeper.
        keeper: KeeperEntry,
        /// What must be there before.
        expect: Expect,
    },
    /// Deletes a keeper that no lease names any more.
    ForgetKeeper {
        /// Its id.
        id: String,
        /// What must be there before.
        expect: Expect,
    },
}

impl Action {
    /// Puts an entry under its name, new or not.
    ///
    /// # Errors
    /// [`ModelError`] where the entry breaks a rule of the model.
    pub fn register(entry: ServiceEntry, expect: Expect) -> Result<Self, ModelError> {
        let image = Image::new(Record::Service(entry))?;
        Ok(Self::Register { image, expect })
    }

    /// Its name in the log and on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Register { .. } => "register_service",
            Self::Update { .. } => "update_service",
            Self::Deregister { .. } => "deregister_service",
            Self::SetState { .. } => "set_service_state",
            Self::ReportHealth { .. } => "report_health",
            Self::ReplaceEndpoints { .. } => "replace_endpoints",
            Self::Instance(action) => action.change.as_str(),
            Self::SetPolicy { .. } => "set_service_policy",
            Self::PutKeeper { .. } => "adopt_leases",
            Self::ForgetKeeper { .. } => "forget_keeper",
        }
    }

    /// The record it is about.
    ///
    /// # Errors
    /// [`ModelError`] where a name in it is not legal.
    pub fn key(&self) -> Result<Key, ModelError> {
        match self {
            Self::Register { image, .. } => Ok(image.key().clone()),
            Self::Update { name, .. }
            | Self::Deregister { name, .. }
            | Self::SetState { name, .. }
            | Self::ReportHealth { name, .. }
            | Self::ReplaceEndpoints { name, .. } => Key::service(name),
            Self::Instance(InstanceAction {
                service,
                instance_id,
                ..
            }) => Key::instance(service, instance_id),
            Self::SetPolicy { policy, .. } => Key::policy(&policy.service),
            Self::PutKeeper { keeper, .. } => Key::keeper(&keeper.id),
            Self::ForgetKeeper { id, .. } => Key::keeper(id),
        }
    }
}

/// One change of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceAction {
    /// The service.
    pub service: String,
    /// The instance's id.
    pub instance_id: String,
    /// What to change.
    pub change: InstanceChange,
    /// What must be there before.
    pub expect: Expect,
}

/// What to change of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstanceChange {
    /// Lists it and begins its lease; the same incarnation again describes it anew and renews the lease.
    Register {
        /// What it says of itself; its service and id are those of the action.
        spec: Box<InstanceSpec>,
        /// Which start of the instance this is; none is the one that is known, and the next one after a stop.
        incarnation: Option<u64>,
    },
    /// Renews its lease.
    Beat {
        /// Which start of the instance beats; none is the one that is known.
        incarnation: Option<u64>,
        /// What it says of itself, for a policy that registers unknown instances.
        spec: Option<Box<InstanceSpec>>,
    },
    /// Takes it off the list.
    Deregister {
        /// Which start of the instance ends; none is the one that is known.
        incarnation: Option<u64>,
    },
    /// Sets what an operator wants of it.
    SetIntent(Intent),
    /// Lets it in, or back out.
    SetLifecycle(Lifecycle),
    /// Tells what a health check observed.
    ReportHealth(HealthStatus),
    /// Holds it back although its lease lapsed.
    Suspect {
        /// The lease.
        fencing_revision: Revision,
    },
    /// Ends its lease if it is held back.
    Release {
        /// The lease.
        fencing_revision: Revision,
    },
    /// Ends its lease.
    Expire {
        /// The lease.
        fencing_revision: Revision,
    },
    /// Takes it off the list because it was expired or critical for too long.
    Remove {
        /// The lease that it had.
        fencing_revision: Revision,
    },
    /// Deletes the record of a stopped instance; the log keeps it.
    Forget {
        /// The lease that it had.
        fencing_revision: Revision,
    },
}

impl InstanceChange {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Register { .. } => "register_instance",
            Self::Beat { .. } => "heartbeat",
            Self::Deregister { .. } => "deregister_instance",
            Self::SetIntent(_) => "set_instance_intent",
            Self::SetLifecycle(_) => "set_instance_lifecycle",
            Self::ReportHealth(_) => "report_instance_health",
            Self::Suspect { .. } => "suspect_instance",
            Self::Release { .. } => "release_protection",
            Self::Expire { .. } => "expire_instance",
            Self::Remove { .. } => "remove_instance",
            Self::Forget { .. } => "forget_instance",
        }
    }
}

/// What must be there for an action to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expect {
    /// Whatever the action itself needs.
    #[default]
    Any,
    /// No record of that name.
    Absent,
    /// The record, last modified at that revision; 0 means no record of that name.
    At(Revision),
}

/// Fields of an entry to change; a field that is none stays as it is.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServicePatch {
    /// New version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// New execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<ExecutionInfo>,
    /// New location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// New endpoints, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<Endpoint>>,
    /// New dependencies, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<Vec<String>>,
    /// New run state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ServiceState>,
}

impl ServicePatch {
    pub(super) fn apply(self, entry: &mut ServiceEntry) {
        let Self {
            version,
            execution,
            location,
            endpoints,
            depends_on,
            state,
        } = self;
        set(&mut entry.version, version);
        set(&mut entry.execution, execution);
        set(&mut entry.location, location);
        set(&mut entry.endpoints, endpoints);
        set(&mut entry.depends_on, depends_on);
        set(&mut entry.state, state);
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// Who asks, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Who asks; goes into the log.
    pub actor: String,
    /// The asker's own words; go into the log.
    pub reason: Option<String>,
    /// The asker's name for this one change: sent again, it is answered and not applied again.
    pub idempotency_key: Option<String>,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            actor: "local".to_owned(),
            reason: None,
            idempotency_key: None,
        }
    }
}

/// An action with everything that its plan may not find out by itself: who, when, under which id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What to do.
    pub action: Action,
    /// Who asks, what, why and when: as it goes into the log.
    pub cause: Arc<Cause>,
    /// The id of its transaction.
    pub id: TransactionId,
    /// Whether the asker chose the id, so that it may be in the log already.
    pub is_named: bool,
    /// Who keeps the leases that it begins; empty in a store that one process has to itself.
    pub keeper: Arc<str>,
}

impl Command {
    /// A command that is asked for at that time.
    pub fn new(action: Action, context: Context, time: Timestamp) -> Self {
        let Context {
            actor,
            reason,
            idempotency_key,
        } = context;
        let id = match &idempotency_key {
            Some(key) => TransactionId::from_idempotency_key(&actor, key),
            None => TransactionId::fresh(),
        };
        let cause = Cause {
            actor,
            action: action.as_str().into(),
            reason,
            time,
        };
        Self {
            action,
            cause: Arc::new(cause),
            id,
            is_named: idempotency_key.is_some(),
            keeper: Arc::default(),
        }
    }
}

/// The answer to a command that was taken.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The commit, or the view's revision where nothing had to change.
    pub revision: Revision,
    /// Whether something was committed by this command, now or the first time it was sent.
    pub is_changed: bool,
    /// The service after it; none where it is gone, or where the command was about something else.
    pub service: Option<Arc<Service>>,
    /// The instance after it; none where it is gone, or where the command was about something else.
    pub instance: Option<Arc<Instance>>,
}

impl Reply {
    pub(super) fn of(view: &View, key: &Key, revision: Revision, is_changed: bool) -> Self {
        let service = match key {
            Key::Service(name) => view.get(name),
            _ => None,
        };
        let instance = match key {
            Key::Instance { service, id } => view.instance(service, id).cloned(),
            _ => None,
        };
        Self {
            revision,
            is_changed,
            service,
            instance,
        }
    }
}
