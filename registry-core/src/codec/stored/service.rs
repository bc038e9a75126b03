//! A service.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::health::HealthV1;
use crate::model::{
    AddressText, Endpoint, ExecutionInfo, HealthStatus, Location, ModelError, Protocol,
    ServiceEntry, ServiceState, SshConfig,
};

#[derive(Serialize, Deserialize)]
pub(in crate::codec) struct ServiceV1<'a> {
    name: Cow<'a, str>,
    version: Cow<'a, str>,
    execution: ExecutionV1<'a>,
    location: LocationV1<'a>,
    endpoints: Vec<EndpointV1<'a>>,
    depends_on: Cow<'a, [String]>,
    state: StateV1<'a>,
    last_health_check: Option<HealthV1<'a>>,
}

const MANAGED_PROCESS: u32 = 1;
const DOCKER_CONTAINER: u32 = 2;
const SYSTEMD_SERVICE: u32 = 3;

/// `first` and `second` are command; container id and image; unit name.
#[derive(Serialize, Deserialize)]
struct ExecutionV1<'a> {
    form: u32,
    pid: Option<u32>,
    first: Cow<'a, str>,
    second: Cow<'a, str>,
}

const LOCAL: u32 = 1;
const REMOTE: u32 = 2;

#[derive(Serialize, Deserialize)]
struct LocationV1<'a> {
    form: u32,
    remote: Option<RemoteV1<'a>>,
}

#[derive(Serialize, Deserialize)]
struct RemoteV1<'a> {
    host: Cow<'a, str>,
    user: Cow<'a, str>,
    port: u16,
    identity_file: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
struct EndpointV1<'a> {
    name: Cow<'a, str>,
    address: AddressV1<'a>,
    protocol: Cow<'a, str>,
}

/// A text that is made where it is written.
enum AddressV1<'a> {
    Made(AddressText),
    Read(Cow<'a, str>),
}

impl AddressV1<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Made(text) => text.as_str(),
            Self::Read(text) => text,
        }
    }
}

impl Serialize for AddressV1<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AddressV1<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Deserialize::deserialize(deserializer).map(Self::Read)
    }
}

const REGISTERED: u32 = 1;
const STARTING: u32 = 2;
const RUNNING: u32 = 3;
const STOPPING: u32 = 4;
const STOPPED: u32 = 5;
const FAILED: u32 = 6;

#[derive(Serialize, Deserialize)]
struct StateV1<'a> {
    form: u32,
    reason: Cow<'a, str>,
}

impl<'a> From<&'a ServiceEntry> for ServiceV1<'a> {
    fn from(entry: &'a ServiceEntry) -> Self {
        Self {
            name: (&entry.name).into(),
            version: (&entry.version).into(),
            execution: (&entry.execution).into(),
            location: (&entry.location).into(),
            endpoints: entry.endpoints.iter().map(EndpointV1::from).collect(),
            depends_on: (&entry.depends_on).into(),
            state: (&entry.state).into(),
            last_health_check: entry.last_health_check.as_ref().map(HealthV1::from),
        }
    }
}

impl TryFrom<ServiceV1<'_>> for ServiceEntry {
    type Error = ModelError;

    fn try_from(stored: ServiceV1<'_>) -> Result<Self, ModelError> {
        Ok(Self {
            name: stored.name.into_owned(),
            version: stored.version.into_owned(),
            execution: stored.execution.into(),
            location: stored.location.into(),
            endpoints: stored
                .endpoints
                .into_iter()
                .map(Endpoint::try_from)
                .collect::<Result<_, _>>()?,
            depends_on: stored.depends_on.into_owned(),
            state: stored.state.into(),
            last_health_check: stored.last_health_check.map(HealthStatus::from),
        })
    }
}

impl<'a> From<&'a ExecutionInfo> for ExecutionV1<'a> {
    fn from(execution: &'a ExecutionInfo) -> Self {
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
            first: first.into(),
            second: second.into(),
        }
    }
}

impl From<ExecutionV1<'_>> for ExecutionInfo {
    fn from(stored: ExecutionV1<'_>) -> Self {
        match stored.form {
            MANAGED_PROCESS => Self::ManagedProcess {
                pid: stored.pid,
                command: stored.first.into_owned(),
            },
            DOCKER_CONTAINER => Self::DockerContainer {
                container_id: stored.first.into_owned(),
                image: stored.second.into_owned(),
            },
            SYSTEMD_SERVICE => Self::SystemdService {
                unit_name: stored.first.into_owned(),
            },
            _ => Self::Unknown,
        }
    }
}

impl<'a> From<&'a Location> for LocationV1<'a> {
    fn from(location: &'a Location) -> Self {
        match location {
            Location::Local => Self {
                form: LOCAL,
                remote: None,
            },
            Location::Remote { host, ssh_config } => {
                let remote = RemoteV1 {
                    host: host.into(),
                    user: (&ssh_config.user).into(),
                    port: ssh_config.port,
                    identity_file: ssh_config.identity_file.as_ref().map(Cow::from),
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

impl From<LocationV1<'_>> for Location {
    fn from(stored: LocationV1<'_>) -> Self {
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
                host: host.into_owned(),
                ssh_config: SshConfig {
                    user: user.into_owned(),
                    port,
                    identity_file: identity_file.map(Cow::into_owned),
                },
            },
            _ => Self::Unknown,
        }
    }
}

impl<'a> From<&'a Endpoint> for EndpointV1<'a> {
    fn from(endpoint: &'a Endpoint) -> Self {
        Self {
            name: (&endpoint.name).into(),
            address: AddressV1::Made(AddressText::of(endpoint.address)),
            protocol: endpoint.protocol.as_str().into(),
        }
    }
}

impl TryFrom<EndpointV1<'_>> for Endpoint {
    type Error = ModelError;

    fn try_from(stored: EndpointV1<'_>) -> Result<Self, ModelError> {
        let text = stored.address.as_str();
        let address = text.parse().map_err(|_| {
            let expected = "an IP address and a port";
            ModelError::new("endpoints.address", expected, format!("{text:?}"))
        })?;
        Ok(Self {
            name: stored.name.into_owned(),
            address,
            protocol: Protocol::new(stored.protocol),
        })
    }
}

impl<'a> From<&'a ServiceState> for StateV1<'a> {
    fn from(state: &'a ServiceState) -> Self {
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
            reason: reason.into(),
        }
    }
}

impl From<StateV1<'_>> for ServiceState {
    fn from(stored: StateV1<'_>) -> Self {
        match stored.form {
            REGISTERED => Self::Registered,
            STARTING => Self::Starting,
            RUNNING => Self::Running,
            STOPPING => Self::Stopping,
            STOPPED => Self::Stopped,
            FAILED => Self::Failed {
                reason: stored.reason.into_owned(),
            },
            _ => Self::Unknown,
        }
    }
}
