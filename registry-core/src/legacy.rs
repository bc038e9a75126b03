//! The form of the old service registry's file: a JSON map from name to entry, with CamelCase variants.
//!
//! Health is `Healthy` or `Unhealthy` there: passing and warning are written as the one, critical as the other, and an
//! unknown health is written as no report. Everything else goes there and back without a loss.

use std::io::{self, Write};
use std::net::SocketAddr;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer as _};

use crate::model::{
    Endpoint, ExecutionInfo, Health, HealthStatus, Location, ModelError, Protocol, ServiceEntry,
    ServiceState, SshConfig,
};
use crate::time::Timestamp;

/// An entry in the legacy form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an entry: an object with name, version, execution, location and state")]
pub struct LegacyEntry {
    /// Unique name, the same as its key in the map.
    pub name: String,
    version: String,
    execution: LegacyExecution,
    location: LegacyLocation,
    #[serde(default)]
    endpoints: Vec<LegacyEndpoint>,
    #[serde(default)]
    depends_on: Vec<String>,
    state: LegacyState,
    #[serde(default)]
    last_health_check: Option<LegacyHealthStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum LegacyExecution {
    ManagedProcess { pid: Option<u32>, command: String },
    DockerContainer { container_id: String, image: String },
    SystemdService { unit_name: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum LegacyLocation {
    Local,
    Remote {
        host: String,
        ssh_config: LegacySshConfig,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LegacySshConfig {
    user: String,
    port: u16,
    identity_file: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LegacyEndpoint {
    name: String,
    address: SocketAddr,
    protocol: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum LegacyState {
    Registered,
    Starting,
    Running,
    Stopping,
    Stopped,
    Failed { reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LegacyHealthStatus {
    status: LegacyHealth,
    checked_at: Timestamp,
    message: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum LegacyHealth {
    Healthy,
    Unhealthy,
}

/// Writes entries as a legacy file, one field a line, in the order they come.
///
/// # Errors
/// The writer's; `InvalidData` for an entry of a form that the legacy one does not have.
pub fn write_legacy<'a>(
    out: &mut dyn Write,
    entries: impl IntoIterator<Item = &'a ServiceEntry>,
) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::pretty(&mut *out);
    let mut map = serializer.serialize_map(None)?;
    for entry in entries {
        let legacy = LegacyEntry::try_from(entry)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        map.serialize_entry(&entry.name, &legacy)?;
    }
    map.end()?;
    out.write_all(b"\n")
}

impl TryFrom<&ServiceEntry> for LegacyEntry {
    type Error = ModelError;

    fn try_from(entry: &ServiceEntry) -> Result<Self, ModelError> {
        Ok(Self {
            name: entry.name.clone(),
            version: entry.version.clone(),
            execution: (&entry.execution).try_into()?,
            location: (&entry.location).try_into()?,
            endpoints: entry.endpoints.iter().map(LegacyEndpoint::from).collect(),
            depends_on: entry.depends_on.clone(),
            state: (&entry.state).try_into()?,
            last_health_check: entry.last_health_check.as_ref().and_then(legacy_health),
        })
    }
}

impl From<LegacyEntry> for ServiceEntry {
    fn from(legacy: LegacyEntry) -> Self {
        Self {
            name: legacy.name,
            version: legacy.version,
            execution: legacy.execution.into(),
            location: legacy.location.into(),
            endpoints: legacy.endpoints.into_iter().map(Endpoint::from).collect(),
            depends_on: legacy.depends_on,
            state: legacy.state.into(),
            last_health_check: legacy.last_health_check.map(HealthStatus::from),
        }
    }
}

fn no_legacy_form(field: &str) -> ModelError {
    ModelError::new(
        field,
        "a form that the legacy file has",
        "one of a newer program",
    )
}

impl TryFrom<&ExecutionInfo> for LegacyExecution {
    type Error = ModelError;

    fn try_from(execution: &ExecutionInfo) -> Result<Self, ModelError> {
        match execution.clone() {
            ExecutionInfo::ManagedProcess { pid, command } => {
                Ok(Self::ManagedProcess { pid, command })
            }
            ExecutionInfo::DockerContainer {
                container_id,
                image,
            } => Ok(Self::DockerContainer {
                container_id,
                image,
            }),
            ExecutionInfo::SystemdService { unit_name } => Ok(Self::SystemdService { unit_name }),
            ExecutionInfo::Unknown => Err(no_legacy_form("execution")),
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

impl TryFrom<&Location> for LegacyLocation {
    type Error = ModelError;

    fn try_from(location: &Location) -> Result<Self, ModelError> {
        match location.clone() {
            Location::Local => Ok(Self::Local),
            Location::Remote {
                host,
                ssh_config:
                    SshConfig {
                        user,
                        port,
                        identity_file,
                    },
            } => Ok(Self::Remote {
                host,
                ssh_config: LegacySshConfig {
                    user,
                    port,
                    identity_file,
                },
            }),
            Location::Unknown => Err(no_legacy_form("location")),
        }
    }
}

impl From<LegacyLocation> for Location {
    fn from(legacy: LegacyLocation) -> Self {
        match legacy {
            LegacyLocation::Local => Self::Local,
            LegacyLocation::Remote {
                host,
                ssh_config:
                    LegacySshConfig {
                        user,
                        port,
                        identity_file,
                    },
            } => Self::Remote {
                host,
                ssh_config: SshConfig {
                    user,
                    port,
                    identity_file,
                },
            },
        }
    }
}

const PROTOCOLS: [(&str, &str); 4] = [
    ("tcp", "Tcp"),
    ("udp", "Udp"),
    ("http", "Http"),
    ("grpc", "Grpc"),
];

impl From<&Endpoint> for LegacyEndpoint {
    fn from(endpoint: &Endpoint) -> Self {
        let name = endpoint.protocol.as_str();
        let legacy = PROTOCOLS
            .into_iter()
            .find(|(ours, _)| *ours == name)
            .map_or(name, |(_, legacy)| legacy);
        Self {
            name: endpoint.name.clone(),
            address: endpoint.address,
            protocol: legacy.to_owned(),
        }
    }
}

impl From<LegacyEndpoint> for Endpoint {
    fn from(legacy: LegacyEndpoint) -> Self {
        let protocol = Protocol::new(legacy.protocol.to_ascii_lowercase());
        Self {
            name: legacy.name,
            address: legacy.address,
            protocol,
        }
    }
}

impl TryFrom<&ServiceState> for LegacyState {
    type Error = ModelError;

    fn try_from(state: &ServiceState) -> Result<Self, ModelError> {
        match state {
            ServiceState::Registered => Ok(Self::Registered),
            ServiceState::Starting => Ok(Self::Starting),
            ServiceState::Running => Ok(Self::Running),
            ServiceState::Stopping => Ok(Self::Stopping),
            ServiceState::Stopped => Ok(Self::Stopped),
            ServiceState::Failed { reason } => Ok(Self::Failed {
                reason: reason.clone(),
            }),
            ServiceState::Unknown => Err(no_legacy_form("state")),
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

fn legacy_health(health: &HealthStatus) -> Option<LegacyHealthStatus> {
    let status = match health.status {
        Health::Passing | Health::Warning => LegacyHealth::Healthy,
        Health::Critical => LegacyHealth::Unhealthy,
        Health::Unknown => return None,
    };
    Some(LegacyHealthStatus {
        status,
        checked_at: health.checked_at,
        message: health.message.clone(),
    })
}

impl From<LegacyHealthStatus> for HealthStatus {
    fn from(legacy: LegacyHealthStatus) -> Self {
        let status = match legacy.status {
            LegacyHealth::Healthy => Health::Passing,
            LegacyHealth::Unhealthy => Health::Critical,
        };
        Self {
            status,
            checked_at: legacy.checked_at,
            message: legacy.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"{
  "api": {
    "name": "api",
    "version": "v1",
    "execution": {
      "ManagedProcess": {
        "pid": 7,
        "command": "api --port 80"
      }
    },
    "location": {
      "Remote": {
        "host": "h1",
        "ssh_config": {
          "user": "ops",
          "port": 2222,
          "identity_file": null
        }
      }
    },
    "endpoints": [
      {
        "name": "http",
        "address": "10.0.0.1:80",
        "protocol": "Http"
      }
    ],
    "depends_on": [],
    "state": {
      "Failed": {
        "reason": "oom"
      }
    },
    "last_health_check": {
      "status": "Unhealthy",
      "checked_at": "2025-11-01T12:00:55Z",
      "message": null
    }
  }
}
"#;

    #[test]
    fn legacy_text_goes_there_and_back() {
        let map: std::collections::BTreeMap<String, LegacyEntry> =
            serde_json::from_str(ENTRY).unwrap();
        let entries: Vec<ServiceEntry> = map.into_values().map(ServiceEntry::from).collect();
        assert_eq!(
            entries[0].last_health_check.as_ref().unwrap().status,
            Health::Critical
        );
        let mut text = Vec::new();
        write_legacy(&mut text, &entries).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), ENTRY);
    }

    #[test]
    fn no_entries_are_an_empty_map() {
        let mut text = Vec::new();
        write_legacy(&mut text, []).unwrap();
        assert_eq!(text, b"{}\n");
    }
}
