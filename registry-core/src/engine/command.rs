//! What the registry is asked to do, and what it answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::view::Service;
use crate::model::{Endpoint, ExecutionInfo, HealthStatus, Location, ServiceEntry, ServiceState};
use crate::revision::Revision;
use crate::time::Timestamp;
use crate::transaction::{Cause, TransactionId};

/// One change that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Puts an entry under its name, new or not.
    Register {
        /// The whole entry.
        entry: ServiceEntry,
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
}

impl Action {
    /// Its name in the log and on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Register { .. } => "register_service",
            Self::Update { .. } => "update_service",
            Self::Deregister { .. } => "deregister_service",
            Self::SetState { .. } => "set_service_state",
            Self::ReportHealth { .. } => "report_health",
            Self::ReplaceEndpoints { .. } => "replace_endpoints",
        }
    }

    /// The service it is about.
    pub fn service(&self) -> &str {
        match self {
            Self::Register { entry, .. } => &entry.name,
            Self::Update { name, .. }
            | Self::Deregister { name, .. }
            | Self::SetState { name, .. }
            | Self::ReportHealth { name, .. }
            | Self::ReplaceEndpoints { name, .. } => name,
        }
    }
}

/// What must be there for an action to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expect {
    /// Whatever the action itself needs.
    #[default]
    Any,
    /// No service of that name.
    Absent,
    /// The service, last modified at that revision; 0 means no service of that name.
    At(Revision),
}

/// Fields of an entry to change; a field that is none stays as it is.
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
    /// Who asks, and why.
    pub context: Context,
    /// When it was asked.
    pub time: Timestamp,
    /// The id of its transaction.
    pub id: TransactionId,
}

impl Command {
    pub(super) fn cause(&self) -> Cause {
        Cause {
            actor: self.context.actor.clone(),
            action: self.action.as_str().to_owned(),
            reason: self.context.reason.clone(),
            time: self.time,
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
    /// The service after it; none where it is gone.
    pub service: Option<Arc<Service>>,
}
