//! Services and instances as they are answered: the fields of [`ServiceInfo`] and [`InstanceInfo`], written from the
//! view without a copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use registry_core::engine::{Instance, Service};
use registry_core::model::{
    Endpoint, ExecutionInfo, Health, HealthStatus, Intent, Lifecycle, Location, ServiceState,
};
use registry_core::{Revision, Span, Timestamp};
use serde::{Serialize, Serializer};

use crate::event::raw;

#[cfg(feature = "openapi")]
use crate::answer::{InstanceInfo, ServiceInfo};

/// A service of the view, written as a [`ServiceInfo`](crate::ServiceInfo).
#[derive(Debug, Clone)]
pub struct ShownService(Arc<Service>);

impl From<&Arc<Service>> for ShownService {
    fn from(service: &Arc<Service>) -> Self {
        Self(Arc::clone(service))
    }
}

#[derive(Serialize)]
struct ServiceFields<'a> {
    name: &'a str,
    version: &'a str,
    execution: &'a ExecutionInfo,
    location: &'a Location,
    endpoints: &'a [Endpoint],
    depends_on: &'a [String],
    state: &'a ServiceState,
    last_health_check: Option<HealthStatus>,
    revision: Revision,
    created_revision: Revision,
}

impl Serialize for ShownService {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let service = &*self.0;
        let entry = service.entry();
        let fields = ServiceFields {
            name: &entry.name,
            version: &entry.version,
            execution: &entry.execution,
            location: &entry.location,
            endpoints: &entry.endpoints,
            depends_on: &entry.depends_on,
            state: &entry.state,
            last_health_check: service.health(),
            revision: service.modified(),
            created_revision: service.created(),
        };
        fields.serialize(serializer)
    }
}

/// An instance of the view, written as an [`InstanceInfo`](crate::InstanceInfo).
#[derive(Debug, Clone)]
pub struct ShownInstance(Arc<Instance>);

impl From<&Arc<Instance>> for ShownInstance {
    fn from(instance: &Arc<Instance>) -> Self {
        Self(Arc::clone(instance))
    }
}

#[derive(Serialize)]
struct InstanceFields<'a> {
    service: &'a str,
    instance_id: &'a str,
    address: &'a str,
    port: u16,
    zone: &'a str,
    region: &'a str,
    weight: u32,
    tags: &'a [String],
    metadata: &'a BTreeMap<String, String>,
    version: &'a str,
    lease_ttl: Span,
    intent: Intent,
    lifecycle: Lifecycle,
    incarnation: u64,
    fencing_revision: Revision,
    health: Health,
    last_health_check: Option<HealthStatus>,
    suspect: bool,
    registered_at: Timestamp,
    suspect_since: Option<Timestamp>,
    expired_at: Option<Timestamp>,
    stopped_at: Option<Timestamp>,
    revision: Revision,
    created_revision: Revision,
}

/// What each heartbeat moves comes last, so that the text before it can be kept.
#[derive(Serialize)]
struct InstanceNow<'a> {
    #[serde(flatten)]
    fields: InstanceFields<'a>,
    last_seen: Timestamp,
}

impl<'a> InstanceFields<'a> {
    fn of(instance: &'a Instance) -> Self {
        let entry = instance.entry();
        Self {
            service: &entry.service,
            instance_id: &entry.instance_id,
            address: &entry.address,
            port: entry.port,
            zone: &entry.zone,
            region: &entry.region,
            weight: entry.weight,
            tags: &entry.tags,
            metadata: &entry.metadata,
            version: &entry.version,
            lease_ttl: entry.lease_ttl,
            intent: entry.intent,
            lifecycle: entry.lifecycle,
            incarnation: entry.incarnation,
            fencing_revision: entry.fencing_revision,
            health: entry.health(),
            last_health_check: instance.last_health_check(),
            suspect: entry.suspect_since.is_some(),
            registered_at: entry.registered_at,
            suspect_since: entry.suspect_since,
            expired_at: entry.expired_at,
            stopped_at: entry.stopped_at,
            revision: instance.modified(),
            created_revision: instance.created(),
        }
    }
}

impl Serialize for ShownInstance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let now = InstanceNow {
            fields: InstanceFields::of(&self.0),
            last_seen: self.0.last_seen(),
        };
        now.serialize(serializer)
    }
}

impl ShownInstance {
    /// Its text up to the value of the last field, which is followed by the end of the object alone.
    pub(crate) fn up_to_last_seen(&self) -> String {
        let fields = raw(&InstanceFields::of(&self.0));
        let open = fields.get().strip_suffix('}');
        let open = open.expect("an object ends so");
        format!(r#"{open},"last_seen":"#)
    }
}

/// They have the schemas of what they are written as.
#[cfg(feature = "openapi")]
macro_rules! schema_of {
    ($shown:ty, $info:ty) => {
        impl schemars::JsonSchema for $shown {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <$info>::schema_name()
            }

            fn schema_id() -> std::borrow::Cow<'static, str> {
                <$info>::schema_id()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <$info>::json_schema(generator)
            }
        }
    };
}

#[cfg(feature = "openapi")]
schema_of!(ShownService, ServiceInfo);
#[cfg(feature = "openapi")]
schema_of!(ShownInstance, InstanceInfo);

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use futures_lite::future::{block_on, zip};
    use registry_core::engine::{Context, EngineConfig, Registry};
    use registry_core::model::{InstanceSpec, ServiceEntry};
    use registry_core::{MemoryStore, SystemClock};
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::answer::{InstanceInfo, ServiceInfo};
    use crate::strict::parse_strict;

    /// Reads what is shown as what clients read it, and has it written again.
    fn assert_is_written_as<T: Serialize + DeserializeOwned + Debug>(shown: &impl Serialize) {
        let text = serde_json::to_string(shown).unwrap();
        let info: T = parse_strict(&text).unwrap();
        assert_eq!(serde_json::to_string(&info).unwrap(), text);
    }

    #[test]
    fn what_is_shown_is_what_clients_read() {
        let done = block_on(async {
            let store = Arc::new(MemoryStore::new());
            let clock = Arc::new(SystemClock::new());
            let (registry, driver) = Registry::open(store, EngineConfig::default(), clock).await?;
            let work = async {
                registry.register(ServiceEntry::new("api", "1")).await?;
                let health = registry.report_health("api", Health::Warning, Some("slow".into()));
                let service = health.await?.service.unwrap();
                assert_is_written_as::<ServiceInfo>(&ShownService::from(&service));
                let spec = InstanceSpec::new("api", "one", "10.0.0.7", 80);
                let began = registry.register_instance(spec, None, Context::default());
                let instance = began.await?.instance.unwrap();
                assert_is_written_as::<InstanceInfo>(&ShownInstance::from(&instance));
                registry.close().await
            };
            let (done, ended) = zip(work, driver.run()).await;
            done.and(ended)
        });
        done.unwrap();
    }
}
