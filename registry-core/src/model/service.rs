//! A service: what should run, how, where, and what it needs.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::health::HealthStatus;
use super::text::{ModelError, check_count, check_present, check_text};
use crate::limits::{
    DEPENDENCIES_MAX, ENDPOINTS_MAX, NAME_BYTES_MAX, PROTOCOL_BYTES_MAX, TEXT_BYTES_MAX,
    VERSION_BYTES_MAX,
};

/// One service as the registry knows it. Its name is its key.
///
/// ```
/// use registry_core::model::{ServiceEntry, ServiceState};
///
/// let entry = ServiceEntry::new("api", "1.0.0");
/// assert_eq!(entry.state, ServiceState::Registered);
/// assert!(entry.validate().is_ok());
/// ```
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "an entry: an object with name and version")]
pub struct ServiceEntry {
    /// Unique name.
    pub name: String,
    /// Free text, often but not always a semantic version.
    pub version: String,
    /// How it is executed.
    #[serde(default)]
    pub execution: ExecutionInfo,
    /// Where it runs.
    #[serde(default)]
    pub location: Location,
    /// Where it can be reached; names need not be unique.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// Names of services it needs. Cycles and unknown names are legal.
    #[serde(default)]
    #[cfg_attr(
        feature = "openapi",
        schemars(length(max = DEPENDENCIES_MAX), inner(length(min = 1, max = 255)))
    )]
    pub depends_on: Vec<String>,
    /// Run state.
    #[serde(default)]
    pub state: ServiceState,
    /// The last health report, if there was one.
    #[serde(default)]
    pub last_health_check: Option<HealthStatus>,
}

/// How a service is executed.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExecutionInfo {
    /// A process that something starts and watches.
    ManagedProcess {
        /// Its process id, while it runs.
        #[serde(default)]
        pid: Option<u32>,
        /// The command line; may be empty when it is not known.
        command: String,
    },
    /// A container.
    DockerContainer {
        /// Its id; empty before it was created.
        container_id: String,
        /// The image it is made from.
        image: String,
    },
    /// A systemd unit.
    SystemdService {
        /// The unit's name.
        unit_name: String,
    },
    /// A form that a newer version of this program wrote. It can be read and never written.
    Unknown,
}

impl Default for ExecutionInfo {
    fn default() -> Self {
        Self::ManagedProcess {
            pid: None,
            command: String::new(),
        }
    }
}

/// Where a service runs.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Location {
    /// On the registry's own host.
    #[default]
    Local,
    /// On another host.
    Remote {
        /// Its name or address.
        #[cfg_attr(feature = "openapi", schemars(length(min = 1, max = 255)))]
        host: String,
        /// How to reach it.
        ssh_config: SshConfig,
    },
    /// A form that a newer version of this program wrote. It can be read and never written.
    Unknown,
}

/// How to reach a host by SSH.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshConfig {
    /// The login name.
    pub user: String,
    /// The port.
    #[serde(default = "ssh_port")]
    pub port: u16,
    /// Path of the key file.
    #[serde(default)]
    pub identity_file: Option<String>,
}

const fn ssh_port() -> u16 {
    22
}

/// One address of a service.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// What it is for, such as `http` or `metrics`.
    #[cfg_attr(feature = "openapi", schemars(length(min = 1, max = 255)))]
    pub name: String,
    /// IP address and port.
    #[serde(serialize_with = "super::address::serialize")]
    #[cfg_attr(
        feature = "openapi",
        schemars(
            with = "String",
            regex(pattern = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$")
        )
    )]
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// The name of a protocol: `tcp`, `udp`, `http`, `grpc` or another short name.
///
/// 1 to 32 lower-case letters, digits, `+`, `-`, `.`, `_` or `/`.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Protocol(
    #[cfg_attr(
        feature = "openapi",
        schemars(regex(pattern = r"^[a-z0-9+\-._/]{1,32}$"))
    )]
    String,
);

impl Protocol {
    /// A protocol of that name. It is checked when the entry is.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn validate(&self) -> Result<(), ModelError> {
        check_present("protocol", &self.0, PROTOCOL_BYTES_MAX)?;
        let is_legal =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-._/".contains(c);
        if self.0.chars().all(is_legal) {
            return Ok(());
        }
        Err(ModelError::new(
            "protocol",
            "a short name in lower case such as tcp or grpc",
            format!("{:?}", self.0),
        ))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The run state of a service.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServiceState {
    /// Known, never started.
    #[default]
    Registered,
    /// On its way up.
    Starting,
    /// Up.
    Running,
    /// On its way down.
    Stopping,
    /// Down as intended.
    Stopped,
    /// Down against intention.
    Failed {
        /// Why.
        reason: String,
    },
    /// A state that a newer version of this program wrote. It can be read and never written.
    Unknown,
}

impl ServiceState {
    /// The state's name on the wire, without the reason of a failure.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed { .. } => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// Checks what the type does not.
    ///
    /// # Errors
    /// [`ModelError`] for a reason that is too long, and for [`ServiceState::Unknown`].
    pub fn validate(&self) -> Result<(), ModelError> {
        match self {
            Self::Failed { reason } => check_text("state.failed.reason", reason, TEXT_BYTES_MAX),
            Self::Unknown => Err(ModelError::new(
                "state",
                "registered, starting, running, stopping, stopped or failed",
                "unknown",
            )),
            _ => Ok(()),
        }
    }
}

impl ServiceEntry {
    /// A registered service without endpoints or dependencies, run as a managed process on this host.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            execution: ExecutionInfo::default(),
            location: Location::default(),
            endpoints: Vec::new(),
            depends_on: Vec::new(),
            state: ServiceState::default(),
            last_health_check: None,
        }
    }

    /// Checks every rule of the model.
    ///
    /// # Errors
    /// [`ModelError`] with the path of the first field that breaks one.
    pub fn validate(&self) -> Result<(), ModelError> {
        check_present("name", &self.name, NAME_BYTES_MAX)?;
        check_text("version", &self.version, VERSION_BYTES_MAX)?;
        self.execution.validate()?;
        self.location.validate()?;
        validate_endpoints(&self.endpoints)?;
        check_count("depends_on", self.depends_on.len(), DEPENDENCIES_MAX)?;
        for (index, name) in self.depends_on.iter().enumerate() {
            check_present(format_args!("depends_on[{index}]"), name, NAME_BYTES_MAX)?;
        }
        self.state.validate()?;
        match &self.last_health_check {
            Some(health) => health
                .validate()
                .map_err(|error| error.within("last_health_check")),
            None => Ok(()),
        }
    }
}

fn validate_endpoints(endpoints: &[Endpoint]) -> Result<(), ModelError> {
    check_count("endpoints", endpoints.len(), ENDPOINTS_MAX)?;
    for (index, endpoint) in endpoints.iter().enumerate() {
        check_present("name", &endpoint.name, NAME_BYTES_MAX)
            .and_then(|()| endpoint.protocol.validate())
            .map_err(|error| error.within(&format!("endpoints[{index}]")))?;
    }
    Ok(())
}

impl ExecutionInfo {
    fn validate(&self) -> Result<(), ModelError> {
        let check = |field, text| {
            let field = format_args!("execution.{field}");
            check_text(field, text, TEXT_BYTES_MAX)
        };
        match self {
            Self::ManagedProcess { command, .. } => check("managed_process.command", command),
            Self::DockerContainer {
                container_id,
                image,
            } => {
                check("docker_container.container_id", container_id)?;
                check("docker_container.image", image)
            }
            Self::SystemdService { unit_name } => check("systemd_service.unit_name", unit_name),
            Self::Unknown => {
                let expected = "managed_process, docker_container or systemd_service";
                Err(ModelError::new("execution", expected, "unknown"))
            }
        }
    }
}

impl Location {
    fn validate(&self) -> Result<(), ModelError> {
        match self {
            Self::Local => Ok(()),
            Self::Remote { host, ssh_config } => {
                check_present("location.remote.host", host, NAME_BYTES_MAX)?;
                check_text(
                    "location.remote.ssh_config.user",
                    &ssh_config.user,
                    NAME_BYTES_MAX,
                )?;
                match &ssh_config.identity_file {
                    Some(path) => check_text(
                        "location.remote.ssh_config.identity_file",
                        path,
                        TEXT_BYTES_MAX,
                    ),
                    None => Ok(()),
                }
            }
            Self::Unknown => Err(ModelError::new("location", "local or remote", "unknown")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut ServiceEntry)) -> String {
        let mut entry = ServiceEntry::new("api", "1.0.0");
        entry.endpoints.push(Endpoint {
            name: "http".into(),
            address: "127.0.0.1:80".parse().unwrap(),
            protocol: Protocol::new("http"),
        });
        change(&mut entry);
        entry.validate().expect_err("the entry breaks a rule").field
    }

    #[test]
    fn broken_rules_are_told_by_field() {
        assert_eq!(refused(|e| e.name.clear()), "name");
        assert_eq!(refused(|e| e.name = "a\0b".into()), "name");
        assert_eq!(refused(|e| e.name = "é".repeat(128)), "name");
        assert_eq!(
            refused(|e| e.endpoints[0].name.clear()),
            "endpoints[0].name"
        );
        assert_eq!(
            refused(|e| e.endpoints[0].protocol = Protocol::new("No Such")),
            "endpoints[0].protocol"
        );
        assert_eq!(
            refused(|e| e.depends_on = vec!["a".into(), String::new()]),
            "depends_on[1]"
        );
        assert_eq!(
            refused(|e| e.state = ServiceState::Failed {
                reason: "\0".into()
            }),
            "state.failed.reason"
        );
        assert_eq!(
            refused(|e| e.execution = ExecutionInfo::Unknown),
            "execution"
        );
    }

    #[test]
    fn wire_form_is_snake_case_and_externally_tagged() {
        let mut entry = ServiceEntry::new("api", "1.0.0");
        entry.execution = ExecutionInfo::SystemdService {
            unit_name: "api.service".into(),
        };
        entry.state = ServiceState::Failed {
            reason: "oom".into(),
        };
        let json = serde_json::to_value(&entry).unwrap();
        assert_eq!(
            json["execution"]["systemd_service"]["unit_name"],
            "api.service"
        );
        assert_eq!(json["location"], "local");
        assert_eq!(json["state"]["failed"]["reason"], "oom");
        assert_eq!(serde_json::from_value::<ServiceEntry>(json).unwrap(), entry);
    }
}
