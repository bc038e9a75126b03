//! Which services a list or a watch is about.

use serde::{Deserialize, Serialize};

use crate::model::{Health, ServiceEntry};
use crate::record::Record;

/// Lets a service through that fits every field; an empty field fits all.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Filter {
    /// The service has one of these names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The name begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The run state is one of these: `registered`, `starting`, `running`, `stopping`, `stopped`, `failed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<String>,
    /// The last report is one of these; a service without a report is `unknown`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<Health>,
    /// The version is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// One of the endpoints speaks this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// It depends on this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<String>,
}

impl Filter {
    /// Whether a record fits. An instance or a policy fits by the name of its service, an instance also by its health;
    /// what the filter asks of services alone fits none of them.
    pub fn matches_record(&self, record: &Record) -> bool {
        match record {
            Record::Service(entry) => self.matches(entry),
            Record::Instance(entry) => {
                self.matches_name(&entry.service)
                    && (self.health.is_empty() || self.health.contains(&entry.health()))
                    && !self.asks_of_services()
            }
            Record::Policy(policy) => {
                self.matches_name(&policy.service)
                    && self.health.is_empty()
                    && !self.asks_of_services()
            }
            Record::Keeper(_) => *self == Self::default(),
        }
    }

    fn asks_of_services(&self) -> bool {
        !self.states.is_empty()
            || self.version.is_some()
            || self.protocol.is_some()
            || self.depends_on.is_some()
    }

    fn matches_name(&self, name: &str) -> bool {
        (self.names.is_empty() || self.names.iter().any(|known| known == name))
            && self
                .prefix
                .as_ref()
                .is_none_or(|prefix| name.starts_with(prefix))
    }

    /// Whether the entry fits.
    pub fn matches(&self, entry: &ServiceEntry) -> bool {
        let health = entry
            .last_health_check
            .as_ref()
            .map_or(Health::Unknown, |health| health.status);
        self.matches_name(&entry.name)
            && (self.states.is_empty()
                || self
                    .states
                    .iter()
                    .any(|state| state == entry.state.as_str()))
            && (self.health.is_empty() || self.health.contains(&health))
            && self
                .version
                .as_ref()
                .is_none_or(|version| entry.version == *version)
            && self
                .protocol
                .as_ref()
                .is_none_or(|protocol| speaks(entry, protocol))
            && self
                .depends_on
                .as_ref()
                .is_none_or(|name| entry.depends_on.contains(name))
    }
}

fn speaks(entry: &ServiceEntry, protocol: &str) -> bool {
    entry
        .endpoints
        .iter()
        .any(|endpoint| endpoint.protocol.as_str() == protocol)
}
