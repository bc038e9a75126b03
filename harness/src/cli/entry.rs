//! An entry as flags or as a file.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use harness::{Endpoint, ExecutionInfo, Location, Protocol, ServiceEntry, ServiceState, SshConfig};
use registry_api::parse_strict;

use super::exit::Usage;

/// Largest file with an entry, in bytes.
const ENTRY_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What `service register` registers.
#[derive(Debug, Args)]
pub(crate) struct EntryArgs {
    /// Unique name.
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// Free text, such as 1.4.2.
    #[arg(long, value_name = "TEXT", default_value = "")]
    version: String,
    /// An endpoint: NAME=ADDRESS/PROTOCOL, such as http=10.0.0.7:80/http; may be repeated.
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Vec<String>,
    /// Name of a service it needs; may be repeated.
    #[arg(long, value_name = "NAME")]
    depends_on: Vec<String>,
    /// Command line of a managed process.
    #[arg(long, value_name = "COMMAND", group = "execution")]
    command: Option<String>,
    /// Image of a container.
    #[arg(long, value_name = "IMAGE", group = "execution")]
    image: Option<String>,
    /// Name of a systemd unit.
    #[arg(long, value_name = "UNIT", group = "execution")]
    unit: Option<String>,
    /// Host it runs on, where that is not the registry's own: [USER@]HOST[:PORT].
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Run state: registered, starting, running, stopping, stopped or failed[:REASON].
    #[arg(long, value_name = "STATE", default_value = "registered")]
    state: String,
    /// The whole entry from a JSON or YAML file, or - for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "version", "endpoint", "depends_on", "execution", "host", "state"])]
    file: Option<PathBuf>,
}

impl EntryArgs {
    /// The entry.
    ///
    /// # Errors
    /// [`Usage`] with the flag or the field.
    pub(crate) fn entry(&self) -> Result<ServiceEntry> {
        if let Some(file) = &self.file {
            return read_entry(file);
        }
        let mut entry =
            ServiceEntry::new(self.name.clone().unwrap_or_default(), self.version.clone());
        entry.endpoints = self
            .endpoint
            .iter()
            .map(|text| endpoint(text))
            .collect::<Result<_>>()?;
        entry.depends_on.clone_from(&self.depends_on);
        entry.state = state(&self.state)?;
        if let Some(host) = &self.host {
            entry.location = location(host)?;
        }
        match (&self.command, &self.image, &self.unit) {
            (Some(command), ..) => {
                entry.execution = ExecutionInfo::ManagedProcess {
                    pid: None,
                    command: command.clone(),
                };
            }
            (_, Some(image), _) => {
                entry.execution = ExecutionInfo::DockerContainer {
                    container_id: String::new(),
                    image: image.clone(),
                };
            }
            (.., Some(unit)) => {
                entry.execution = ExecutionInfo::SystemdService {
                    unit_name: unit.clone(),
                }
            }
            _ => {}
        }
        Ok(entry)
    }
}

fn read_entry(file: &Path) -> Result<ServiceEntry> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin()
            .take(ENTRY_FILE_BYTES_MAX + 1)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| {
            file.take(ENTRY_FILE_BYTES_MAX + 1)
                .read_to_string(&mut text)
        })
    };
    read.with_context(|| format!("read {}", file.display()))?;
    if text.len() as u64 > ENTRY_FILE_BYTES_MAX {
        return Err(Usage(format!(
            "file: expected at most {ENTRY_FILE_BYTES_MAX} bytes"
        ))
        .into());
    }
    let json = if text.trim_start().starts_with('{') {
        text
    } else {
        let value: serde_json::Value =
            serde_saphyr::from_str(&text).map_err(|error| Usage(format!("file: {error}")))?;
        value.to_string()
    };
    parse_strict(&json).map_err(|error| Usage(format!("file: {error}")).into())
}

/// `NAME=ADDRESS/PROTOCOL`; the protocol is tcp where none is named.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint> {
    let bad = || {
        Usage(format!(
            "endpoint: expected NAME=ADDRESS/PROTOCOL such as http=10.0.0.7:80/http, found {text:?}"
        ))
    };
    let (name, rest) = text.split_once('=').ok_or_else(bad)?;
    let (address, protocol) = rest.split_once('/').unwrap_or((rest, "tcp"));
    let address: SocketAddr = address.parse().map_err(|_| bad())?;
    Ok(Endpoint {
        name: name.to_owned(),
        address,
        protocol: Protocol::new(protocol),
    })
}

/// The name of a state; that of a failure with its reason after a colon.
pub(crate) fn state(text: &str) -> Result<ServiceState> {
    let (name, reason) = text.split_once(':').unwrap_or((text, ""));
    Ok(match name {
        "registered" => ServiceState::Registered,
        "starting" => ServiceState::Starting,
        "running" => ServiceState::Running,
        "stopping" => ServiceState::Stopping,
        "stopped" => ServiceState::Stopped,
        "failed" => ServiceState::Failed {
            reason: reason.to_owned(),
        },
        _ => {
            let expected = "registered, starting, running, stopping, stopped or failed[:REASON]";
            return Err(Usage(format!("state: expected {expected}, found {text:?}")).into());
        }
    })
}

fn location(text: &str) -> Result<Location> {
    let (user, rest) = text.split_once('@').unwrap_or(("", text));
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => {
            let port = port.parse().map_err(|_| {
                Usage(format!(
                    "host: expected a port after the colon, found {port:?}"
                ))
            })?;
            (host, port)
        }
        None => (rest, 22),
    };
    let ssh_config = SshConfig {
        user: user.to_owned(),
        port,
        identity_file: None,
    };
    Ok(Location::Remote {
        host: host.to_owned(),
        ssh_config,
    })
}
