//! An instance: one running copy of a service, with the lease that keeps it listed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::health::{Health, HealthStatus};
use super::text::{ModelError, check_count, check_present, check_text};
use crate::limits::{
    INSTANCE_WEIGHT_MAX, LEASE_TTL_MAX, LEASE_TTL_MIN, METADATA_ENTRIES_MAX,
    METADATA_VALUE_BYTES_MAX, NAME_BYTES_MAX, TAGS_MAX, VERSION_BYTES_MAX,
};
use crate::revision::Revision;
use crate::time::{Span, Timestamp};

/// Weight of an instance that names none.
const DEFAULT_WEIGHT: u32 = 100;
/// Lease of an instance that names none: three times the interval at which a client beats (S4-04).
const DEFAULT_LEASE_TTL: Span = Span::from_secs(90);

/// What somebody who runs an instance says of it.
///
/// ```
/// use registry_core::model::InstanceSpec;
/// use registry_core::{Revision, Timestamp};
///
/// let spec = InstanceSpec::new("ingester", "ingester-7", "10.0.0.7", 9100);
/// let entry = spec.start(1, Revision(1), Timestamp::default());
/// assert!(entry.validate().is_ok());
/// ```
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an instance: an object with service, address and port")]
pub struct InstanceSpec {
    /// The service, or role, that it is a copy of. There need be no service entry of that name.
    #[serde(default)]
    pub service: String,
    /// Unique within the service, and never the service's name. Empty asks for a new one (UUID v7).
    #[serde(default)]
    pub instance_id: String,
    /// Host name or IP address, without a port.
    #[cfg_attr(
        feature = "openapi",
        schemars(
            length(min = 1, max = 255),
            regex(pattern = r"^[^\s\x00-\x1f\x7f-\x9f/\[\]]+$")
        )
    )]
    pub address: String,
    /// Port, from 1.
    #[cfg_attr(feature = "openapi", schemars(range(min = 1)))]
    pub port: u16,
    /// Failure domain within the region; may be empty.
    #[serde(default)]
    pub zone: String,
    /// Region; may be empty.
    #[serde(default)]
    pub region: String,
    /// Share of the traffic, relative to its neighbours; 0 takes none where others take some.
    #[serde(default = "default_weight")]
    #[cfg_attr(feature = "openapi", schemars(range(max = INSTANCE_WEIGHT_MAX)))]
    pub weight: u32,
    /// Short marks to filter by.
    #[serde(default)]
    #[cfg_attr(
        feature = "openapi",
        schemars(length(max = TAGS_MAX), inner(length(min = 1, max = 255)))
    )]
    pub tags: Vec<String>,
    /// Whatever else there is to say.
    #[serde(default)]
    #[cfg_attr(
        feature = "openapi",
        schemars(extend("propertyNames" = { "minLength": 1, "maxLength": 255 }))
    )]
    pub metadata: BTreeMap<String, String>,
    /// Version of what runs; free text.
    #[serde(default)]
    pub version: String,
    /// How long it stays listed after a heartbeat.
    #[serde(default = "default_lease_ttl")]
    pub lease_ttl: Span,
}

fn default_weight() -> u32 {
    DEFAULT_WEIGHT
}

fn default_lease_ttl() -> Span {
    DEFAULT_LEASE_TTL
}

/// What an operator wants of an instance, whatever its health.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// It takes traffic.
    #[default]
    Enabled,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// It takes nothing.
    Disabled,
    /// An intent that a newer version of this program wrote. It can be read and never written.
    Unknown,
}

impl Intent {
    /// The name used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether a record takes part.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// It is known and waits for an operator to let it in.
    Pending,
    /// It takes part.
    #[default]
    Active,
    /// A phase that a newer version of this program wrote. It can be read and never written.
    Unknown,
}

impl Lifecycle {
    /// The name used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Unknown => "unknown",
        }
    }
}

/// One instance as the registry knows it. Its service and its id are its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceEntry {
    /// The service, or role, that it is a copy of.
    pub service: String,
    /// Unique within the service.
    pub instance_id: String,
    /// Host name or IP address.
    pub address: String,
    /// Port.
    pub port: u16,
    /// Failure domain within the region; may be empty.
    #[serde(default)]
    pub zone: String,
    /// Region; may be empty.
    #[serde(default)]
    pub region: String,
    /// Share of the traffic, relative to its neighbours.
    pub weight: u32,
    /// Short marks to filter by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whatever else there is to say.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Version of what runs; free text.
    #[serde(default)]
    pub version: String,
    /// How long it stays listed after a heartbeat.
    pub lease_ttl: Span,
    /// What an operator wants of it.
    #[serde(default)]
    pub intent: Intent,
    /// Whether it takes part.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// Which start of the instance this is, as the instance counts them: a higher one replaces a lower one.
    pub incarnation: u64,
    /// The commit that began this lease: higher than that of any lease before it in the whole registry.
    pub fencing_revision: Revision,
    /// The last health report of this incarnation, if there was one.
    #[serde(default)]
    pub last_health_check: Option<HealthStatus>,
    /// When this incarnation was registered.
    pub registered_at: Timestamp,
    /// Since when its lease has lapsed while mass-expiry protection holds it back.
    #[serde(default)]
    pub suspect_since: Option<Timestamp>,
    /// When its lease lapsed and was not held back.
    #[serde(default)]
    pub expired_at: Option<Timestamp>,
    /// When it was deregistered, or removed because it had expired or been critical for too long.
    #[serde(default)]
    pub stopped_at: Option<Timestamp>,
    /// Id of the keeper of its lease; empty in a store that one process has to itself.
    #[serde(default)]
    pub keeper: String,
}

impl InstanceSpec {
    /// An instance at an address, with a lease of 90 s and nothing else said.
    pub fn new(
        service: impl Into<String>,
        instance_id: impl Into<String>,
        address: impl Into<String>,
        port: u16,
    ) -> Self {
        Self {
            service: service.into(),
            instance_id: instance_id.into(),
            address: address.into(),
            port,
            zone: String::new(),
            region: String::new(),
            weight: DEFAULT_WEIGHT,
            tags: Vec::new(),
            metadata: BTreeMap::new(),
            version: String::new(),
            lease_ttl: DEFAULT_LEASE_TTL,
        }
    }

    /// The entry of an instance that is new, or was started anew.
    pub fn start(
        self,
        incarnation: u64,
        fencing_revision: Revision,
        registered_at: Timestamp,
    ) -> InstanceEntry {
        InstanceEntry {
            service: self.service,
            instance_id: self.instance_id,
            address: self.address,
            port: self.port,
            zone: self.zone,
            region: self.region,
            weight: self.weight,
            tags: self.tags,
            metadata: self.metadata,
            version: self.version,
            lease_ttl: self.lease_ttl,
            intent: Intent::Enabled,
            lifecycle: Lifecycle::Active,
            incarnation,
            fencing_revision,
            last_health_check: None,
            registered_at,
            suspect_since: None,
            expired_at: None,
            stopped_at: None,
            keeper: String::new(),
        }
    }

    /// The entry with this said of it instead; lease, intent and health stay.
    #[must_use]
    pub fn describe(self, known: &InstanceEntry) -> InstanceEntry {
        let described = self.start(
            known.incarnation,
            known.fencing_revision,
            known.registered_at,
        );
        InstanceEntry {
            intent: known.intent,
            lifecycle: known.lifecycle,
            last_health_check: known.last_health_check.clone(),
            suspect_since: known.suspect_since,
            expired_at: known.expired_at,
            stopped_at: known.stopped_at,
            keeper: known.keeper.clone(),
            ..described
        }
    }
}

impl InstanceEntry {
    /// What it says of itself.
    pub fn described(&self) -> InstanceSpec {
        InstanceSpec {
            service: self.service.clone(),
            instance_id: self.instance_id.clone(),
            address: self.address.clone(),
            port: self.port,
            zone: self.zone.clone(),
            region: self.region.clone(),
            weight: self.weight,
            tags: self.tags.clone(),
            metadata: self.metadata.clone(),
            version: self.version.clone(),
            lease_ttl: self.lease_ttl,
        }
    }

    /// Whether it was deregistered or removed.
    pub fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// Whether it has a lease that runs, or that protection holds.
    pub fn has_lease(&self) -> bool {
        self.expired_at.is_none() && self.stopped_at.is_none()
    }

    /// The health to act on: that of the last report, and critical without a lease.
    pub fn health(&self) -> Health {
        if !self.has_lease() {
            return Health::Critical;
        }
        self.last_health_check
            .as_ref()
            .map_or(Health::Unknown, |health| health.status)
    }

    /// Checks every rule of the model.
    ///
    /// # Errors
    /// [`ModelError`] with the path of the first field that breaks one.
    pub fn validate(&self) -> Result<(), ModelError> {
        check_present("service", &self.service, NAME_BYTES_MAX)?;
        check_present("instance_id", &self.instance_id, NAME_BYTES_MAX)?;
        if self.instance_id == self.service {
            let expected = "an id that is not the service's name";
            return Err(ModelError::new(
                "instance_id",
                expected,
                format!("{:?}", self.instance_id),
            ));
        }
        self.validate_address()?;
        check_text("zone", &self.zone, NAME_BYTES_MAX)?;
        check_text("region", &self.region, NAME_BYTES_MAX)?;
        check_text("version", &self.version, VERSION_BYTES_MAX)?;
        check_text("keeper", &self.keeper, NAME_BYTES_MAX)?;
        self.validate_details()?;
        self.validate_states()?;
        match &self.last_health_check {
            Some(health) => health
                .validate()
                .map_err(|error| error.within("last_health_check")),
            None => Ok(()),
        }
    }

    fn validate_address(&self) -> Result<(), ModelError> {
        check_present("address", &self.address, NAME_BYTES_MAX)?;
        let is_legal = |c: char| !c.is_control() && !c.is_whitespace() && !"/[]".contains(c);
        if !self.address.chars().all(is_legal) {
            return Err(ModelError::new(
                "address",
                "a host name or an IP address, without a port",
                format!("{:?}", self.address),
            ));
        }
        if self.port == 0 {
            return Err(ModelError::new("port", "1 to 65535", "0"));
        }
        Ok(())
    }

    fn validate_details(&self) -> Result<(), ModelError> {
        if self.weight > INSTANCE_WEIGHT_MAX {
            let expected = format!("0 to {INSTANCE_WEIGHT_MAX}");
            return Err(ModelError::new("weight", expected, self.weight.to_string()));
        }
        if !(LEASE_TTL_MIN..=LEASE_TTL_MAX).contains(&self.lease_ttl) {
            let expected = format!("{LEASE_TTL_MIN} to {LEASE_TTL_MAX}");
            return Err(ModelError::new(
                "lease_ttl",
                expected,
                self.lease_ttl.to_string(),
            ));
        }
        check_count("tags", self.tags.len(), TAGS_MAX)?;
        for (index, tag) in self.tags.iter().enumerate() {
            check_present(format_args!("tags[{index}]"), tag, NAME_BYTES_MAX)?;
        }
        check_count("metadata", self.metadata.len(), METADATA_ENTRIES_MAX)?;
        for (key, value) in &self.metadata {
            check_present("metadata", key, NAME_BYTES_MAX)?;
            check_text(
                format_args!("metadata.{key}"),
                value,
                METADATA_VALUE_BYTES_MAX,
            )?;
        }
        Ok(())
    }

    fn validate_states(&self) -> Result<(), ModelError> {
        if self.intent == Intent::Unknown {
            let expected = "enabled, draining or disabled";
            return Err(ModelError::new("intent", expected, "unknown"));
        }
        if self.lifecycle == Lifecycle::Unknown {
            return Err(ModelError::new("lifecycle", "pending or active", "unknown"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut InstanceEntry)) -> String {
        let spec = InstanceSpec::new("api", "api-1", "10.0.0.7", 80);
        let mut entry = spec.start(1, Revision(1), Timestamp::default());
        assert_eq!(entry.validate(), Ok(()));
        change(&mut entry);
        entry.validate().expect_err("the entry breaks a rule").field
    }

    #[test]
    fn broken_rules_are_told_by_field() {
        assert_eq!(refused(|e| e.service.clear()), "service");
        assert_eq!(refused(|e| e.instance_id.clear()), "instance_id");
        assert_eq!(refused(|e| e.instance_id = "api".into()), "instance_id");
        assert_eq!(refused(|e| e.address = "10.0.0.7 ".into()), "address");
        assert_eq!(refused(|e| e.address = "[::1]".into()), "address");
        assert_eq!(refused(|e| e.port = 0), "port");
        assert_eq!(refused(|e| e.weight = 10_001), "weight");
        assert_eq!(
            refused(|e| e.lease_ttl = Span::from_millis(999)),
            "lease_ttl"
        );
        assert_eq!(refused(|e| e.tags = vec![String::new()]), "tags[0]");
        assert_eq!(
            refused(|e| drop(e.metadata.insert("a".into(), "\0".into()))),
            "metadata.a"
        );
        assert_eq!(refused(|e| e.intent = Intent::Unknown), "intent");
    }

    #[test]
    fn spec_has_defaults_for_all_but_the_address() {
        let spec: InstanceSpec =
            serde_json::from_str(r#"{"service":"api","address":"::1","port":80}"#).unwrap();
        assert_eq!(spec, InstanceSpec::new("api", "", "::1", 80));
    }

    #[test]
    fn health_is_critical_without_a_lease() {
        let spec = InstanceSpec::new("api", "api-1", "10.0.0.7", 80);
        let mut entry = spec.start(1, Revision(1), Timestamp::default());
        assert_eq!(entry.health(), Health::Unknown);
        entry.suspect_since = Some(Timestamp::default());
        assert_eq!(entry.health(), Health::Unknown);
        entry.expired_at = Some(Timestamp::default());
        assert_eq!(entry.health(), Health::Critical);
    }
}
