//! Schemas of what the actions take and answer.

use schemars::{Schema, SchemaGenerator};

use crate::answer::{
    Beaten, EndpointList, ExplanationList, History, InstanceInfo, InstanceList, LogList,
    PolicyInfo, Pong, RegistryInfo, Released, ServiceInfo, ServiceList, Written,
};
use crate::error::ErrorInfo;
use crate::params;
use crate::snapshot::{SnapshotPage, StateRecord};

/// Schemas of one action.
#[derive(Debug)]
pub struct ActionSchemas {
    /// Its parameters.
    pub params: Schema,
    /// Its answer.
    pub answer: Schema,
}

/// The schemas of an action; none where it takes and answers nothing of its own. `inputs` reads and `outputs` writes.
pub fn action_schemas(
    action: &str,
    inputs: &mut SchemaGenerator,
    outputs: &mut SchemaGenerator,
) -> Option<ActionSchemas> {
    macro_rules! of {
        ($params:ty => $answer:ty) => {
            ActionSchemas {
                params: inputs.subschema_for::<$params>(),
                answer: outputs.subschema_for::<$answer>(),
            }
        };
    }
    Some(match action {
        "list_services" => of!(params::ListServices => ServiceList),
        "get_service" => of!(params::GetService => ServiceInfo),
        "list_endpoints" => of!(params::ListServices => EndpointList),
        "service_history" => of!(params::ServiceHistory => History),
        "list_log" => of!(params::ListLog => LogList),
        "service_dependencies" => {
            of!(params::ServiceDependencies => registry_core::engine::Dependencies)
        }
        "registry_info" => of!(params::Nothing => RegistryInfo),
        "snapshot" => of!(params::SnapshotParams => SnapshotPage),
        "register_service" => of!(params::RegisterService => Written),
        "update_service" => of!(params::UpdateService => Written),
        "deregister_service" => of!(params::DeregisterService => Written),
        "set_service_state" => of!(params::SetServiceState => Written),
        "report_health" => of!(params::ReportHealth => Written),
        "replace_endpoints" => of!(params::ReplaceEndpoints => Written),
        "list_instances" => of!(params::ListInstances => InstanceList),
        "get_instance" => of!(params::GetInstance => InstanceInfo),
        "resolve_service" => of!(params::ResolveService => InstanceList),
        "explain_instances" => of!(params::ExplainInstances => ExplanationList),
        "get_service_policy" => of!(params::ServiceOnly => PolicyInfo),
        "register_instance" => of!(params::RegisterInstance => Written),
        "deregister_instance" => of!(params::DeregisterInstance => Written),
        "heartbeat" => of!(params::Beat => Written),
        "heartbeats" => of!(params::Beats<'_> => Beaten),
        "report_instance_health" => of!(params::ReportInstanceHealth => Written),
        "set_instance_intent" => of!(params::SetInstanceIntent => Written),
        "set_instance_lifecycle" => of!(params::SetInstanceLifecycle => Written),
        "set_service_policy" => of!(params::SetServicePolicy => Written),
        "release_protection" => of!(params::ReleaseProtection => Released),
        "subscribe" => of!(params::SubscribeParams => StateRecord),
        "ping" => of!(params::Nothing => Pong),
        _ => return None,
    })
}

/// The schema of an error.
pub fn error_schema(outputs: &mut SchemaGenerator) -> Schema {
    outputs.subschema_for::<ErrorInfo>()
}
