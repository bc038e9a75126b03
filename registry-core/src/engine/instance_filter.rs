//! Which instances a list, a choice or an explanation is about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::instance::Instance;
use crate::model::{Health, InstanceEntry, Intent, Lifecycle};

/// Lets an instance through that fits every field; an empty field fits all.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceFilter {
    /// It is a copy of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Its health is one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<Health>,
    /// It is in this zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// It is in this region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// It has all of these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// It has all of these metadata entries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What an operator wants of it is one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intent: Vec<Intent>,
    /// It is in one of these phases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lifecycle: Vec<Lifecycle>,
    /// Its version is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Also instances that were stopped, as long as the view has them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
}

impl InstanceFilter {
    /// Whether the instance fits.
    pub fn matches(&self, instance: &Instance) -> bool {
        let entry = instance.entry();
        (self.stopped || !entry.is_stopped()) && self.mismatch(entry).is_none()
    }

    /// The first field that the instance does not fit, with what it has there.
    pub(super) fn mismatch(&self, entry: &InstanceEntry) -> Option<(&'static str, String)> {
        let differs = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_some_and(|wanted| wanted != found)
        };
        let texts = [
            ("service", &self.service, &entry.service),
            ("zone", &self.zone, &entry.zone),
            ("region", &self.region, &entry.region),
            ("version", &self.version, &entry.version),
        ];
        for (field, wanted, found) in texts {
            if differs(wanted, found) {
                return Some((field, found.clone()));
            }
        }
        if !self.health.is_empty() && !self.health.contains(&entry.health()) {
            return Some(("health", entry.health().as_str().to_owned()));
        }
        if !self.intent.is_empty() && !self.intent.contains(&entry.intent) {
            return Some(("intent", entry.intent.as_str().to_owned()));
        }
        if !self.lifecycle.is_empty() && !self.lifecycle.contains(&entry.lifecycle) {
            return Some(("lifecycle", entry.lifecycle.as_str().to_owned()));
        }
        if let Some(tag) = self.tags.iter().find(|tag| !entry.tags.contains(tag)) {
            return Some(("tags", format!("no {tag:?}")));
        }
        let wrong = |(key, wanted): &(&String, &String)| entry.metadata.get(*key) != Some(*wanted);
        let (key, _) = self.metadata.iter().find(wrong)?;
        Some(("metadata", format!("{key} = {:?}", entry.metadata.get(key))))
    }
}
