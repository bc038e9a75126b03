//! A service.

use serde::{Deserialize, Serialize};

use super::health::HealthV1;
use crate::model::{
    Endpoint, ExecutionInfo, HealthStatus, Location, ModelError, Protocol, ServiceEntry,
    ServiceState, SshConfig,
};

#[derive(Serialize, Deserialize)]
pub(in crate::codec) struct ServiceV1 {
    name: String,
    version: String,
    execution: ExecutionV1,
    location: LocationV1,
    endpoints: Vec<EndpointV1>,
    depends_on: Vec<String>,
    state: StateV1,
    last_health_check: Option<HealthV1>,
}

const MANAGED_PROCESS: u32 = 1;
const DOCKER_CONTAINER: u32 = 2;
const SYSTEMD_SERVICE: u32 = 3;

/// `first` and `second` are command; container id and image; unit name.
#[derive(Serialize, Deserialize)]
struct ExecutionV1 {
    form: u32,
    pid: Option<u32>,
    first: String,
    second: String,
}

const LOCAL: u32 = 1;
const REMOTE: u32 = 2;

#[derive(Serialize, Deserialize)]
struct LocationV1 {
    form: u32,
    remote: Option<RemoteV1>,
}

#[derive(Serialize, Deserialize)]
struct RemoteV1 {
    host: String,
    user: String,
    port: u16,
    identity_file: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct EndpointV1 {
    name: String,
    address: String,
    protocol: String,
}

const REGISTERED: u32 = 1;
const STARTING: u32 = 2;
const RUNNING: u32 = 3;
const STOPPING: u32 = 4;
const STOPPED: u32 = 5;
const FAILED: u32 = 6;

#[derive(Serialize, Deserialize)]
struct StateV1 {
    form: u32,
    reason: String,
}

impl From<&ServiceEntry> for ServiceV1 {
    fn from(entry: &ServiceEntry) -> Self {
        Self {
            name: entry.name.clone(),
            version: entry.version.clone(),
            execution: (&entry.execution).into(),
            location: (&entry.location).into(),
            endpoints: entry.endpoints.iter().map(EndpointV1::from).collect(),
            depends_on: entry.depends_on.clone(),
            state: (&entry.state).into(),
            last_health_check: entry.last_health_check.as_ref().map(HealthV1::from),
        }
    }
}

impl TryFrom<ServiceV1> for ServiceEntry {
    type Error = ModelError;

    fn try_from(stored: ServiceV1) -> Result<Self, ModelError> {
        Ok(Self {
            name: stored.name,
            version: stored.version,
            execution: stored.execution.into(),
            location: stored.location.into(),
            endpoints: stored
                .endpoints
                .into_iter()
                .map(Endpoint::try_from)
                .collect::<Result<_, _>>()?,
            depends_on: stored.depends_on,
            state: stored.state.into(),
            last_health_check: stored.last_health_check.map(HealthStatus::from),
        })
    }
}

impl From<&ExecutionInfo> for ExecutionV1 {
    fn from(execution: &ExecutionInfo) -> Self {
        let (form, pid, first, second) = match execution {
            ExecutionInfo::ManagedProcess { pid, command } => {
                (MANAGED_PROCESS, *pid, command.as_str(), "")
            }
            ExecutionInfo::DockerContainer {
                container_id,
                image,
            } => (
                DOCKER_CONTAINER,
                None,
                container_id.as_str(),
                image.as_str(),
            ),
            ExecutionInfo::SystemdService { unit_name } => {
                (SYSTEMD_SERVICE, None, unit_name.as_str(), "")
            }
            ExecutionInfo::Unknown => (0, None, "", ""),
        };
        Self {
            form,
            pid,
            first: first.to_owned(),
            second: second.to_owned(),
        }
    }
}

impl From<ExecutionV1> for ExecutionInfo {
    fn from(stored: ExecutionV1) -> Self {
        match stored.form {
            MANAGED_PROCESS => Self::ManagedProcess {
                pid: stored.pid,
                command: stored.first,
            },
            DOCKER_CONTAINER => Self::DockerContainer {
                container_id: stored.first,
                image: stored.second,
            },
            SYSTEMD_SERVICE => Self::SystemdService {
                unit_name: stored.first,
            },
            _ => Self::Unknown,
        }
    }
}

impl From<&Location> for LocationV1 {
    fn from(location: &Location) -> Self {
        match location {
            Location::Local => Self {
                form: LOCAL,
                remote: None,
            },
            Location::Remote { host, ssh_config } => {
                let remote = RemoteV1 {
                    host: host.clone(),
                    user: ssh_config.user.clone(),
                    port: ssh_config.port,
                    identity_file: ssh_config.identity_file.clone(),
                };
                Self {
                    form: REMOTE,
                    remote: Some(remote),
                }
            }
            Location::Unknown => Self {
                form: 0,
                remote: None,
            },
        }
    }
}

impl From<LocationV1> for Location {
    fn from(stored: LocationV1) -> Self {
        match (stored.form, stored.remote) {
            (LOCAL, _) => Self::Local,
            (
                REMOTE,
                Some(RemoteV1 {
                    host,
                    user,
                    port,
                    identity_file,
                }),
            ) => Self::Remote {
                host,
                ssh_config: SshConfig {
                    user,
                    port,
                    identity_file,
                },
            },
            _ => Self::Unknown,
        }
    }
}

impl From<&Endpoint> for EndpointV1 {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            name: endpoint.name.clone(),
            address: endpoint.address.to_string(),
            protocol: endpoint.protocol.as_str().to_owned(),
        }
    }
}

impl TryFrom<EndpointV1> for Endpoint {
    type Error = ModelError;

    fn try_from(stored: EndpointV1) -> Result<Self, ModelError> {
        let address = stored.address.parse().map_err(|_| {
            ModelError::new(
                "endpoints.address",
                "an IP address and a port",
                format!("{:?}", stored.address),
            )
        })?;
        Ok(Self {
            name: stored.name,
            address,
            protocol: Protocol::new(stored.protocol),
        })
    }
}

impl From<&ServiceState> for StateV1 {
    fn from(state: &ServiceState) -> Self {
        let (form, reason) = match state {
            ServiceState::Registered => (REGISTERED, ""),
            ServiceState::Starting => (STARTING, ""),
            ServiceState::Running => (RUNNING, ""),
            ServiceState::Stopping => (STOPPING, ""),
            ServiceState::Stopped => (STOPPED, ""),
            ServiceState::Failed { reason } => (FAILED, reason.as_str()),
            ServiceState::Unknown => (0, ""),
        };
        Self {
            form,
            reason: reason.to_owned(),
        }
    }
}

impl From<StateV1> for ServiceState {
    fn from(stored: StateV1) -> Self {
        match stored.form {
            REGISTERED => Self::Registered,
            STARTING => Self::Starting,
            RUNNING => Self::Running,
            STOPPING => Self::Stopping,
            STOPPED => Self::Stopped,
            FAILED => Self::Failed {
                reason: stored.reason,
            },
            _ => Self::Unknown,
        }
    }
}
