//! Parameters of the actions. Unknown fields are refused.

mod instances;

pub(crate) use self::instances::*;
use registry_core::engine::{Direction, Filter, ServicePatch};
use registry_core::model::{Endpoint, Health, ServiceEntry, ServiceState};
use registry_core::{Revision, Timestamp};
use serde::Deserialize;

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
pub(crate) struct ListServices {
    #[serde(default)]
    pub(crate) filter: Filter,
    #[serde(default)]
    pub(crate) cursor: Option<String>,
    #[serde(default)]
    pub(crate) limit: Option<usize>,
    /// Answer from the snapshot at hand, which another process may have overtaken.
    #[serde(default)]
    pub(crate) stale: bool,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
pub(crate) struct GetService {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) stale: bool,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
pub(crate) struct ServiceHistory {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) after: Option<Revision>,
    #[serde(default)]
    pub(crate) limit: Option<usize>,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
pub(crate) struct ListLog {
    /// Begin after this revision; none begins with the oldest entry.
    #[serde(default)]
    pub(crate) after: Option<Revision>,
    #[serde(default)]
    pub(crate) limit: Option<usize>,
    #[serde(default)]
    pub(crate) actor: Option<String>,
    #[serde(default)]
    pub(crate) service: Option<String>,
    #[serde(default)]
    pub(crate) action: Option<String>,
    #[serde(default)]
    pub(crate) since: Option<Timestamp>,
    #[serde(default)]
    pub(crate) until: Option<Timestamp>,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
pub(crate) struct ServiceDependencies {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) direction: Direction,
    /// Steps to follow; none follows all.
    #[serde(default)]
    pub(crate) distance_max: Option<u32>,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
pub(crate) struct SnapshotParams {
    #[serde(default)]
    pub(crate) cursor: Option<String>,
    #[serde(default)]
    pub(crate) limit: Option<usize>,
}

/// What every write may say beside its own.
#[derive(Debug, Default)]
pub(crate) struct WriteContext {
    pub(crate) reason: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

macro_rules! write_params {
    ($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? }) => {
        #[derive(Debug, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
        pub(crate) struct $name {
            $($(#[$attribute])* pub(crate) $field: $type,)*
            /// The revision that the record must be at; 0 is absent.
            #[serde(default)]
            pub(crate) expect_revision: Option<Revision>,
            #[serde(default)]
            reason: Option<String>,
            #[serde(default)]
            idempotency_key: Option<String>,
        }

        impl $name {
            pub(crate) fn take_context(&mut self) -> WriteContext {
                WriteContext { reason: self.reason.take(), idempotency_key: self.idempotency_key.take() }
            }
        }
    };
}

pub(crate) use write_params;

write_params!(RegisterService {
    service: ServiceEntry,
});
write_params!(UpdateService {
    name: String,
    changes: ServicePatch,
});
write_params!(DeregisterService { name: String });
write_params!(SetServiceState {
    name: String,
    state: ServiceState,
});
write_params!(ReportHealth {
    name: String,
    status: Health,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    checked_at: Option<Timestamp>,
});
write_params!(ReplaceEndpoints {
    name: String,
    endpoints: Vec<Endpoint>,
});

/// Parameters of `subscribe`.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Default, Deserialize)]
pub struct SubscribeParams {
    /// Names of the events to send; none sends all.
    #[serde(default)]
    pub events: Option<Vec<String>>,
    /// Which services.
    #[serde(default)]
    pub filter: Filter,
    /// Resume after this revision instead of beginning with a snapshot.
    #[serde(default)]
    pub resume_after: Option<Revision>,
}

/// Parameters of `unsubscribe`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct UnsubscribeParams {
    /// The subscription to end; none ends all of the connection.
    #[serde(default)]
    pub subscription: Option<String>,
}

/// No parameters.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
pub(crate) struct Nothing {}
