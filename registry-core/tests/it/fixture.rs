//! Values for the tests.

use std::sync::Arc;

use registry_core::model::{
    Endpoint, ExecutionInfo, Health, HealthStatus, Location, Protocol, ServiceEntry, ServiceState,
    SshConfig,
};
use registry_core::{
    Cause, Change, Commit, Hash, Image, Key, LogEntry, Record, Revision, Timestamp, TransactionId,
    Versioned,
};

/// Time of every fixture.
pub(crate) const TIME: Timestamp = Timestamp::from_nanos(1_760_000_000_123_456_789);

/// The key of a service.
pub(crate) fn key(name: &str) -> Key {
    Key::service(name).unwrap()
}

/// The image of a legal entry.
pub(crate) fn image(entry: ServiceEntry) -> Arc<Image> {
    Image::new(Record::Service(entry)).unwrap()
}

/// The entry as a stored record of some revisions.
pub(crate) fn record(entry: ServiceEntry) -> Versioned {
    Versioned {
        image: image(entry),
        created: Revision(3),
        modified: Revision(258),
    }
}

fn endpoint(name: &str, address: &str, protocol: &str) -> Endpoint {
    Endpoint {
        name: name.to_owned(),
        address: address.parse().unwrap(),
        protocol: Protocol::new(protocol),
    }
}

fn remote(identity_file: Option<&str>) -> Location {
    Location::Remote {
        host: "node-1.example.org".to_owned(),
        ssh_config: SshConfig {
            user: "deploy".to_owned(),
            port: 2222,
            identity_file: identity_file.map(str::to_owned),
        },
    }
}

fn health(status: Health, message: Option<&str>) -> HealthStatus {
    HealthStatus {
        status,
        checked_at: TIME,
        message: message.map(str::to_owned),
    }
}

/// Entries that together have every form of every field, by name.
pub(crate) fn entries() -> Vec<ServiceEntry> {
    let managed = |pid, command: &str| ExecutionInfo::ManagedProcess {
        pid,
        command: command.to_owned(),
    };
    let minimal = ServiceEntry::new("minimal", "");
    let process = ServiceEntry {
        execution: managed(Some(4711), "/usr/bin/api --port 80"),
        state: ServiceState::Starting,
        last_health_check: Some(health(Health::Passing, None)),
        ..ServiceEntry::new("process", "1.0.0")
    };
    let container = ServiceEntry {
        execution: ExecutionInfo::DockerContainer {
            container_id: "7c9e6679f4b1".to_owned(),
            image: "registry.example.org/api:1".to_owned(),
        },
        location: remote(Some("/etc/keys/deploy")),
        endpoints: vec![
            endpoint("http", "10.0.0.7:80", "http"),
            endpoint("metrics", "[2001:db8::1]:9090", "tcp"),
        ],
        depends_on: vec!["process".to_owned(), "größe/変更".to_owned()],
        state: ServiceState::Running,
        last_health_check: Some(health(Health::Warning, Some("slow: 312 ms"))),
        ..ServiceEntry::new("container", "1.0.0")
    };
    let unit = ServiceEntry {
        execution: ExecutionInfo::SystemdService {
            unit_name: "api.service".to_owned(),
        },
        location: remote(None),
        state: ServiceState::Stopping,
        last_health_check: Some(health(Health::Critical, Some(""))),
        ..ServiceEntry::new("unit", "2.0.0-rc.1+build.7")
    };
    let stopped = ServiceEntry {
        state: ServiceState::Stopped,
        last_health_check: Some(health(Health::Unknown, None)),
        ..ServiceEntry::new("größe/変更:%41", "v1")
    };
    let failed = ServiceEntry {
        state: ServiceState::Failed {
            reason: "out of memory".to_owned(),
        },
        ..ServiceEntry::new("failed", "1")
    };
    vec![minimal, process, container, unit, stopped, failed]
}

/// Three commits: a creation, a change and a deletion.
pub(crate) fn log() -> Vec<Arc<LogEntry>> {
    let (before, since) = (
        image(ServiceEntry::new("api", "1")),
        image(ServiceEntry::new("api", "2")),
    );
    let steps = [
        ("register_service", None, Some(&before)),
        ("update_service", Some(&before), Some(&since)),
        ("deregister_service", Some(&since), None),
    ];
    let mut previous = Hash::default();
    let mut log = Vec::new();
    for ((action, before, after), number) in steps.into_iter().zip(1..) {
        let commit = Commit {
            revision: Revision(number),
            id: TransactionId([u8::try_from(number).unwrap(); 16]),
            cause: Cause {
                actor: "local".to_owned(),
                action: action.to_owned(),
                reason: (number == 2).then(|| "planned".to_owned()),
                time: TIME,
            },
            changes: vec![Change {
                key: key("api"),
                before: before.cloned(),
                after: after.cloned(),
            }],
        };
        let entry = LogEntry::chain(previous, commit);
        previous = entry.hash;
        log.push(Arc::new(entry));
    }
    log
}
