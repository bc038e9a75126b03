//! The legacy form of services: one JSON object, name to entry, with variants in CamelCase.
//!
//! What it cannot tell: a warning goes out as `Healthy`, since the check succeeded; an unknown health goes out as no
//! health check at all. A form that a newer program wrote ([`ExecutionInfo::Unknown`] and its like) is refused, so that
//! an export loses nothing in silence. Protocols are `Tcp`, `Udp`, `Http` and `Grpc`; any other name goes out as it is
//! and comes back in lower case.

use std::io::{self, Write};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::model::{
    Endpoint, ExecutionInfo, Health, HealthStatus, Location, ModelError, Protocol, ServiceEntry,
    ServiceState, SshConfig,
};
use crate::time::Timestamp;

/// A service in the legacy form.
///
/// ```
/// use registry_core::legacy::LegacyEntry;
/// use registry_core::model::ServiceEntry;
///
/// let text = r#"{"name": "api", "version": "1", "execution": {"ManagedProcess": {"pid": null, "command": "api"}},
///     "location": "Local", "endpoints": [], "depends_on": [], "state": "Running", "last_health_check": null}"#;
/// let entry = ServiceEntry::from(serde_json::from_str::<LegacyEntry>(text)?);
/// assert_eq!(entry.state.as_str(), "running");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyEntry {
    /// Equal to its key in the map.
    pub name: String,
    /// Free text.
    pub version: String,
    /// How it is executed.
    #[serde(default)]
    pub execution: LegacyExecution,
    /// Where it runs.
    #[serde(default)]
    pub location: LegacyLocation,
    /// Where it can be reached.
    #[serde(default)]
    pub endpoints: Vec<LegacyEndpoint>,
    /// Names of services it needs.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Run state.
    #[serde(default)]
    pub state: LegacyState,
    /// The last health report.
    #[serde(default)]
    pub last_health_check: Option<LegacyHealthCheck>,
}

/// How a service is executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LegacyExecution {
    /// A process.
    ManagedProcess {
        /// Its process id, while it runs.
        #[serde(default)]
        pid: Option<u32>,
        /// The command line.
        command: String,
    },
    /// A container.
    DockerContainer {
        /// Its id.
        container_id: String,
        /// Its image.
        image: String,
    },
    /// A systemd unit.
    SystemdService {
        /// The unit's name.
        unit_name: String,
    },
}

impl Default for LegacyExecution {
    fn default() -> Self {
        Self::ManagedProcess {
            pid: None,
            command: String::new(),
        }
    }
}

/// Where a service runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LegacyLocation {
    /// On the registry's own host.
    #[default]
    Local,
    /// On another host.
    Remote {
        /// Its name or address.
        host: String,
        /// How to reach it.
        ssh_config: SshConfig,
    },
}

/// One address of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyEndpoint {
    /// What it is for.
    pub name: String,
    /// IP address and port.
    pub address: SocketAddr,
    /// `Tcp`, `Udp`, `Http`, `Grpc` or another name.
    pub protocol: String,
}

/// Run state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of ServiceState")]
pub enum LegacyState {
    #[default]
    Registered,
    Starting,
    Running,
    Stopping,
    Stopped,
    Failed {
        reason: String,
    },
}

/// A health report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyHealthCheck {
    /// What was observed.
    pub status: LegacyHealth,
    /// When.
    pub checked_at: Timestamp,
    /// The check's own words.
    #[serde(default)]
    pub message: Option<String>,
}

/// What a health check observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LegacyHealth {
    /// The check succeeded.
    Healthy,
    /// The check failed.
    Unhealthy,
}

impl From<LegacyEntry> for ServiceEntry {
    fn from(legacy: LegacyEntry) -> Self {
        let LegacyEntry {
            name,
            version,
            execution,
            location,
            endpoints,
            depends_on,
            state,
            last_health_check,
        } = legacy;
        Self {
            name,
            version,
            execution: execution.into(),
            location: location.into(),
            endpoints: endpoints.into_iter().map(Endpoint::from).collect(),
            depends_on,
            state: state.into(),
            last_health_check: last_health_check.map(HealthStatus::from),
        }
    }
}

impl From<LegacyExecution> for ExecutionInfo {
    fn from(legacy: LegacyExecution) -> Self {
        match legacy {
            LegacyExecution::ManagedProcess { pid, command } => {
                Self::ManagedProcess { pid, command }
            }
            LegacyExecution::DockerContainer {
                container_id,
                image,
            } => Self::DockerContainer {
                container_id,
                image,
            },
            LegacyExecution::SystemdService { unit_name } => Self::SystemdService { unit_name },
        }
    }
}

impl From<LegacyLocation> for Location {
    fn from(legacy: LegacyLocation) -> Self {
        match legacy {
            LegacyLocation::Local => Self::Local,
            LegacyLocation::Remote { host, ssh_config } => Self::Remote { host, ssh_config },
        }
    }
}

impl From<LegacyEndpoint> for Endpoint {
    fn from(legacy: LegacyEndpoint) -> Self {
        Self {
            name: legacy.name,
            address: legacy.address,
            protocol: Protocol::new(legacy.protocol.to_ascii_lowercase()),
        }
    }
}

impl From<LegacyState> for ServiceState {
    fn from(legacy: LegacyState) -> Self {
        match legacy {
            LegacyState::Registered => Self::Registered,
            LegacyState::Starting => Self::Starting,
            LegacyState::Running => Self::Running,
            LegacyState::Stopping => Self::Stopping,
            LegacyState::Stopped => Self::Stopped,
            LegacyState::Failed { reason } => Self::Failed { reason },
        }
    }
}

impl From<LegacyHealthCheck> for HealthStatus {
    fn from(legacy: LegacyHealthCheck) -> Self {
        Self {
            status: match legacy.status {
                LegacyHealth::Healthy => Health::Passing,
                LegacyHealth::Unhealthy => Health::Critical,
            },
            checked_at: legacy.checked_at,
            message: legacy.message,
        }
    }
}

impl TryFrom<&ServiceEntry> for LegacyEntry {
    type Error = ModelError;

    /// Refuses the forms that this program does not know.
    fn try_from(entry: &ServiceEntry) -> Result<Self, ModelError> {
        let refused = |field: &str| {
            let expected = "a form that the legacy form knows";
            ModelError::new(field, expected, "one of a newer program").within(&entry.name)
        };
        Ok(Self {
            name: entry.name.clone(),
            version: entry.version.clone(),
            execution: execution(&entry.execution).ok_or_else(|| refused("execution"))?,
            location: location(&entry.location).ok_or_else(|| refused("location"))?,
            endpoints: entry.endpoints.iter().map(LegacyEndpoint::from).collect(),
            depends_on: entry.depends_on.clone(),
            state: state(&entry.state).ok_or_else(|| refused("state"))?,
            last_health_check: entry.last_health_check.as_ref().and_then(health_check),
        })
    }
}

fn execution(execution: &ExecutionInfo) -> Option<LegacyExecution> {
    Some(match execution.clone() {
        ExecutionInfo::ManagedProcess { pid, command } => {
            LegacyExecution::ManagedProcess { pid, command }
        }
        ExecutionInfo::DockerContainer {
            container_id,
            image,
        } => LegacyExecution::DockerContainer {
            container_id,
            image,
        },
        ExecutionInfo::SystemdService { unit_name } => {
            LegacyExecution::SystemdService { unit_name }
        }
        ExecutionInfo::Unknown => return None,
    })
}

fn location(location: &Location) -> Option<LegacyLocation> {
    match location.clone() {
        Location::Local => Some(LegacyLocation::Local),
        Location::Remote { host, ssh_config } => Some(LegacyLocation::Remote { host, ssh_config }),
        Location::Unknown => None,
    }
}

fn state(state: &ServiceState) -> Option<LegacyState> {
    Some(match state {
        ServiceState::Registered => LegacyState::Registered,
        ServiceState::Starting => LegacyState::Starting,
        ServiceState::Running => LegacyState::Running,
        ServiceState::Stopping => LegacyState::Stopping,
        ServiceState::Stopped => LegacyState::Stopped,
        ServiceState::Failed { reason } => LegacyState::Failed {
            reason: reason.clone(),
        },
        ServiceState::Unknown => return None,
    })
}

fn health_check(health: &HealthStatus) -> Option<LegacyHealthCheck> {
    let status = match health.status {
        Health::Passing | Health::Warning => LegacyHealth::Healthy,
        Health::Critical => LegacyHealth::Unhealthy,
        Health::Unknown => return None,
    };
    Some(LegacyHealthCheck {
        status,
        checked_at: health.checked_at,
        message: health.message.clone(),
    })
}

impl From<&Endpoint> for LegacyEndpoint {
    fn from(endpoint: &Endpoint) -> Self {
        let protocol = match endpoint.protocol.as_str() {
            "tcp" => "Tcp",
            "udp" => "Udp",
            "http" => "Http",
            "grpc" => "Grpc",
            other => other,
        };
        Self {
            name: endpoint.name.clone(),
            address: endpoint.address,
            protocol: protocol.to_owned(),
        }
    }
}

/// Writes entries as a legacy file: one object, indented by two, in the order given. Holds one entry at a time.
///
/// # Errors
/// Those of the writer, and `InvalidData` with a [`ModelError`] for an entry that the legacy form cannot tell.
pub fn write_legacy<'a>(
    mut writer: impl Write,
    entries: impl IntoIterator<Item = &'a ServiceEntry>,
) -> io::Result<()> {
    let invalid = |error: ModelError| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut separator = "{\n  ";
    for entry in entries {
        let legacy = LegacyEntry::try_from(entry).map_err(invalid)?;
        let name = serde_json::to_string(&entry.name)?;
        // JSON texts hold no raw line end, so every one here ends a line of the layout.
        let body = serde_json::to_string_pretty(&legacy)?.replace('\n', "\n  ");
        write!(writer, "{separator}{name}: {body}")?;
        separator = ",\n  ";
    }
    let is_empty = separator.starts_with('{');
    writer.write_all(if is_empty { b"{}\n" } else { b"\n}\n" })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn sample() -> Vec<ServiceEntry> {
        let mut api = ServiceEntry::new("api \"é\"", "latest");
        api.execution = ExecutionInfo::DockerContainer {
            container_id: String::new(),
            image: "api:latest".into(),
        };
        api.location = Location::Remote {
            host: "h1.example.net".into(),
            ssh_config: SshConfig {
                user: "ops".into(),
                port: 2222,
                identity_file: None,
            },
        };
        api.endpoints = ["tcp", "udp", "http", "grpc", "mqtt"]
            .map(|protocol| Endpoint {
                name: protocol.into(),
                address: "[::1]:80".parse().unwrap(),
                protocol: Protocol::new(protocol),
            })
            .into();
        api.state = ServiceState::Failed {
            reason: "oom\nkilled".into(),
        };
        api.last_health_check = Some(HealthStatus {
            status: Health::Critical,
            checked_at: "2025-11-01T12:00:55Z".parse().unwrap(),
            message: Some("refused".into()),
        });
        let mut worker = ServiceEntry::new("worker", "");
        worker.depends_on = vec![api.name.clone()];
        vec![api, worker]
    }

    #[test]
    fn a_written_file_reads_back() {
        let entries = sample();
        let mut bytes = Vec::new();
        write_legacy(&mut bytes, &entries).unwrap();
        let map: BTreeMap<String, LegacyEntry> = serde_json::from_slice(&bytes).unwrap();
        let found: Vec<ServiceEntry> = map.into_values().map(ServiceEntry::from).collect();
        assert_eq!(found, entries);
        let text = String::from_utf8(bytes).unwrap();
        for form in [
            "\"Grpc\"",
            "\"mqtt\"",
            "\"Unhealthy\"",
            "\"DockerContainer\"",
        ] {
            assert!(text.contains(form), "{form}");
        }
    }

    #[test]
    fn no_entries_are_an_empty_object() {
        let mut bytes = Vec::new();
        write_legacy(&mut bytes, []).unwrap();
        assert_eq!(bytes, b"{}\n");
    }

    #[test]
    fn forms_of_a_newer_program_are_refused() {
        let mut entry = ServiceEntry::new("api", "1");
        entry.state = ServiceState::Unknown;
        let error = LegacyEntry::try_from(&entry).unwrap_err();
        assert_eq!(error.field, "api.state");
    }
}
