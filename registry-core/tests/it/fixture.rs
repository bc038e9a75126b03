//! Values for the tests.

use std::sync::Arc;

use registry_core::model::{
    Endpoint, ExecutionInfo, Health, HealthStatus, InstanceEntry, InstanceSpec, Intent, Lifecycle,
    Location, Protocol, ServiceEntry, ServicePolicy, ServiceState, SshConfig, UnknownHeartbeat,
};
use registry_core::{
    Cause, Change, Commit, Hash, Image, Key, LogEntry, Record, Revision, Span, Timestamp,
    TransactionId, Versioned,
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

/// Instances that together have every form of every field, by the name of their vectors.
pub(crate) fn instances() -> Vec<(&'static str, InstanceEntry)> {
    let minimal = InstanceSpec::new("api", "api-1", "10.0.0.7", 80);
    let minimal = minimal.start(0, Revision(1), TIME);
    let full = InstanceSpec {
        zone: "eu-central-1a".to_owned(),
        region: "eu-central".to_owned(),
        weight: 10_000,
        tags: vec!["canary".to_owned(), "größe".to_owned()],
        metadata: [("rack", "17/4"), ("変更", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        version: "1.2.3".to_owned(),
        lease_ttl: Span::from_millis(1500),
        ..InstanceSpec::new("größe/変更:%41", "0190-ü", "2001:db8::1", u16::MAX)
    };
    let full = InstanceEntry {
        intent: Intent::Draining,
        lifecycle: Lifecycle::Pending,
        last_health_check: Some(health(Health::Warning, Some("slow: 312 ms"))),
        suspect_since: Some(TIME),
        keeper: "keeper-1".to_owned(),
        ..full.start(u64::MAX, Revision(258), TIME)
    };
    let gone = InstanceEntry {
        intent: Intent::Disabled,
        last_health_check: Some(health(Health::Critical, None)),
        expired_at: Some(TIME),
        stopped_at: Some(TIME),
        ..InstanceSpec::new("api", "api-2", "node-1.example.org", 1).start(7, Revision(3), TIME)
    };
    vec![("minimal", minimal), ("full", full), ("gone", gone)]
}

/// Policies that together have every form of every field, by the name of their vectors.
pub(crate) fn policies() -> Vec<(&'static str, ServicePolicy)> {
    let minimal = ServicePolicy {
        service: "api".to_owned(),
        ..ServicePolicy::default()
    };
    let full = ServicePolicy {
        service: "größe/変更:%41".to_owned(),
        unknown_heartbeat: Some(UnknownHeartbeat::Pending),
        protection_percent: Some(30),
        protection_window: Some(Span::from_secs(60)),
        protection_hold: Some(Span::from_secs(300)),
        remove_expired_after: Some(Span::from_millis(0)),
        remove_critical_after: Some(Span::from_secs(3600)),
        forget_stopped_after: Some(Span::from_secs(24 * 60 * 60)),
    };
    vec![("minimal", minimal), ("full", full)]
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
                action: action.to_owned().into(),
                reason: (number == 2).then(|| "planned".to_owned()),
                time: TIME,
            }
            .into(),
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
