//! Parameters of the actions on instances.

use std::borrow::Cow;

use registry_core::Revision;
use registry_core::engine::{InstanceFilter, Strategy};
use registry_core::model::{Health, InstanceSpec, Intent, Lifecycle, ServicePolicy};
use serde::Deserialize;

use super::{WriteContext, write_params};

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
pub(crate) struct ListInstances {
    #[serde(default)]
    pub(crate) filter: InstanceFilter,
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
pub(crate) struct GetInstance {
    pub(crate) service: String,
    pub(crate) instance_id: String,
    #[serde(default)]
    pub(crate) stale: bool,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
pub(crate) struct ResolveService {
    pub(crate) service: String,
    #[serde(default)]
    pub(crate) filter: InstanceFilter,
    #[serde(default)]
    pub(crate) strategy: Strategy,
    /// The caller's zone.
    #[serde(default)]
    pub(crate) zone: String,
    /// The caller's region.
    #[serde(default)]
    pub(crate) region: String,
    #[serde(default)]
    pub(crate) limit: Option<usize>,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
pub(crate) struct ExplainInstances {
    pub(crate) service: String,
    #[serde(default)]
    pub(crate) instance_id: Option<String>,
    #[serde(default)]
    pub(crate) filter: InstanceFilter,
}

/// The life that a lease is bound to.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bind {
    /// The process at the other end of the connection.
    Process,
    /// The connection.
    Connection,
}

write_params!(RegisterInstance {
    instance: InstanceSpec,
    #[serde(default)]
    incarnation: Option<u64>,
    #[serde(default)]
    bind: Option<Bind>,
});
write_params!(DeregisterInstance {
    service: String,
    instance_id: String,
    #[serde(default)]
    incarnation: Option<u64>,
});
write_params!(SetInstanceIntent {
    service: String,
    instance_id: String,
    intent: Intent,
});
write_params!(SetInstanceLifecycle {
    service: String,
    instance_id: String,
    lifecycle: Lifecycle,
});
write_params!(ReportInstanceHealth {
    service: String,
    instance_id: String,
    status: Health,
    #[serde(default)]
    message: Option<String>,
});
write_params!(SetServicePolicy {
    service: String,
    policy: ServicePolicy,
});

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
pub(crate) struct Beat {
    pub(crate) service: String,
    pub(crate) instance_id: String,
    #[serde(default)]
    pub(crate) incarnation: Option<u64>,
    /// The registration, for a policy that registers unknown instances.
    #[serde(default)]
    pub(crate) instance: Option<InstanceSpec>,
}

/// A batch of heartbeats, read without a copy of their names.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Beats<'a> {
    #[serde(borrow)]
    pub(crate) heartbeats: Vec<BeatInBatch<'a>>,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BeatInBatch<'a> {
    #[serde(borrow)]
    pub(crate) service: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) instance_id: Cow<'a, str>,
    #[serde(default)]
    pub(crate) incarnation: Option<u64>,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
pub(crate) struct ServiceOnly {
    pub(crate) service: String,
}

#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Deserialize)]
pub(crate) struct ReleaseProtection {
    pub(crate) service: String,
    #[serde(default)]
    pub(crate) reason: Option<String>,
}
