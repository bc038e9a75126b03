//! Values for the cases.

use std::sync::Arc;

use registry_core::model::{
    Endpoint, ExecutionInfo, Health, HealthStatus, InstanceEntry, InstanceSpec, Location, Protocol,
    ServiceEntry, ServicePolicy, ServiceState, SshConfig,
};
use registry_core::{
    Cause, ErrorKind, Image, Key, Mutation, Precondition, Record, Result, Revision, Span,
    Timestamp, Transaction, TransactionId,
};

use crate::case::Failure;
use crate::handle::Handle;

/// The key of a service.
pub(crate) fn key(name: &str) -> Key {
    Key::service(name).expect("the name of a fixture is legal")
}

/// A service as they are in use: some 400 bytes, every field filled.
pub(crate) fn entry(name: &str, version: &str) -> ServiceEntry {
    let endpoint = |name: &str, port: u16, protocol: &str| Endpoint {
        name: name.to_owned(),
        address: ([10, 20, 30, 40], port).into(),
        protocol: Protocol::new(protocol),
    };
    ServiceEntry {
        name: name.to_owned(),
        version: version.to_owned(),
        execution: ExecutionInfo::DockerContainer {
            container_id: "7c9e6679f4b1".repeat(4),
            image: format!("containers.example.org/platform/workers:{version}"),
        },
        location: Location::Remote {
            host: "node-17.rack-4.eu-central.example.org".to_owned(),
            ssh_config: SshConfig {
                user: "deploy".to_owned(),
                port: 22,
                identity_file: Some("/etc/harness/keys/deploy".to_owned()),
            },
        },
        endpoints: vec![
            endpoint("http", 8080, "http"),
            endpoint("metrics", 9090, "http"),
            endpoint("rpc", 7070, "grpc"),
        ],
        depends_on: ["billing-ledger", "identity-provider", "message-broker"]
            .map(str::to_owned)
            .to_vec(),
        state: ServiceState::Running,
        last_health_check: Some(HealthStatus {
            status: Health::Passing,
            checked_at: Timestamp::from_nanos(1_760_000_000_000_000_000),
            message: Some("200 in 3 ms, 14 of 64 connections in use".to_owned()),
        }),
    }
}

/// The image of [`entry`].
pub(crate) fn image(name: &str, version: &str) -> Arc<Image> {
    image_of(entry(name, version))
}

/// The image of a legal entry.
pub(crate) fn image_of(entry: ServiceEntry) -> Arc<Image> {
    Image::new(Record::Service(entry)).expect("the entry of a fixture is legal")
}

/// An instance as they are in use, every field filled.
pub(crate) fn instance(service: &str, id: &str, version: &str) -> InstanceEntry {
    let time = Timestamp::from_nanos(1_760_000_000_000_000_000);
    let spec = InstanceSpec {
        zone: "eu-central-1a".to_owned(),
        region: "eu-central".to_owned(),
        tags: vec!["canary".to_owned(), "größe".to_owned()],
        metadata: [("rack".to_owned(), "17/4".to_owned())].into(),
        version: version.to_owned(),
        ..InstanceSpec::new(service, id, "node-17.eu-central.example.org", 9100)
    };
    InstanceEntry {
        last_health_check: entry(service, version).last_health_check,
        suspect_since: Some(time),
        keeper: "keeper-1".to_owned(),
        ..spec.start(u64::MAX, Revision(7), time)
    }
}

/// A record for a key of any kind; another version is another record.
pub(crate) fn image_at(key: &Key, version: &str) -> Arc<Image> {
    let record = match key {
        Key::Instance { service, id } => Record::Instance(instance(service, id, version)),
        Key::Policy(service) => Record::Policy(ServicePolicy {
            service: service.to_string(),
            remove_expired_after: Some(Span::from_secs(sum(version))),
            ..ServicePolicy::default()
        }),
        Key::Keeper(id) => {
            let keeper = serde_json::json!({
                "id": id, "adopted_by": version, "started_at": "2026-01-01T00:00:00Z",
            });
            Record::Keeper(serde_json::from_value(keeper).expect("the fixture is a keeper"))
        }
        service => Record::Service(entry(service.name(), version)),
    };
    Image::new(record).expect("the record of a fixture is legal")
}

fn sum(version: &str) -> u64 {
    version.bytes().map(u64::from).sum()
}

/// The key of an instance.
pub(crate) fn instance_key(service: &str, id: &str) -> Key {
    Key::instance(service, id).expect("the names of a fixture are legal")
}

/// The key of a policy.
pub(crate) fn policy_key(service: &str) -> Key {
    Key::policy(service).expect("the name of a fixture is legal")
}

/// The key of a keeper.
pub(crate) fn keeper_key(id: &str) -> Key {
    Key::keeper(id).expect("the name of a fixture is legal")
}

/// A transaction that puts one record of any kind.
pub(crate) fn put_at(key: &Key, version: &str) -> Transaction {
    transaction(vec![Mutation::Put(image_at(key, version))])
}

/// The largest entry that the model accepts.
pub(crate) fn largest_entry(name: &str) -> ServiceEntry {
    use registry_core::limits::{
        DEPENDENCIES_MAX, ENDPOINTS_MAX, NAME_BYTES_MAX, PROTOCOL_BYTES_MAX, TEXT_BYTES_MAX,
        VERSION_BYTES_MAX,
    };
    let text = "t".repeat(TEXT_BYTES_MAX);
    let endpoint = Endpoint {
        name: "e".repeat(NAME_BYTES_MAX),
        address: ([0xffff; 8], u16::MAX).into(),
        protocol: Protocol::new("p".repeat(PROTOCOL_BYTES_MAX)),
    };
    ServiceEntry {
        version: "v".repeat(VERSION_BYTES_MAX),
        execution: ExecutionInfo::DockerContainer {
            container_id: text.clone(),
            image: text.clone(),
        },
        endpoints: vec![endpoint; ENDPOINTS_MAX],
        depends_on: vec!["d".repeat(NAME_BYTES_MAX); DEPENDENCIES_MAX],
        state: ServiceState::Failed { reason: text },
        ..entry(name, "1")
    }
}

/// A transaction with a fresh id.
pub(crate) fn transaction(mutations: Vec<Mutation>) -> Transaction {
    Transaction {
        id: TransactionId::fresh(),
        preconditions: Vec::new(),
        mutations,
        cause: cause("change").into(),
    }
}

/// A cause of that action.
pub(crate) fn cause(action: &str) -> Cause {
    Cause {
        actor: "conformance".to_owned(),
        action: action.to_owned().into(),
        reason: Some("because “quoted”, 変更".to_owned()),
        time: Timestamp::from_nanos(1_760_000_000_123_456_789),
    }
}

/// A transaction that puts one service.
pub(crate) fn put(name: &str, version: &str) -> Transaction {
    transaction(vec![put_of(name, version)])
}

/// A transaction that deletes one service.
pub(crate) fn delete(name: &str) -> Transaction {
    transaction(vec![delete_of(name)])
}

/// The mutation that puts a service.
pub(crate) fn put_of(name: &str, version: &str) -> Mutation {
    Mutation::Put(image(name, version))
}

/// The mutation that deletes a service.
pub(crate) fn delete_of(name: &str) -> Mutation {
    Mutation::Delete(key(name))
}

/// The transaction with preconditions.
pub(crate) fn when(
    mut transaction: Transaction,
    preconditions: impl IntoIterator<Item = Precondition>,
) -> Transaction {
    transaction.preconditions.extend(preconditions);
    transaction
}

/// The transaction with an id of its own number, so that two histories can be the same.
pub(crate) fn numbered(mut transaction: Transaction, number: u64) -> Transaction {
    transaction.id = TransactionId::from_idempotency_key("conformance", &number.to_string());
    transaction
}

/// Commits one of everything: creations, changes, deletions, several mutations at once, groups. The same each time.
pub(crate) fn fill(store: &Handle) -> Result<Revision, Failure> {
    let mut number = 0;
    let mut next = |transaction| {
        number += 1;
        numbered(transaction, number)
    };
    let names: Vec<String> = (0..24).map(|index| format!("service-{index:02}")).collect();
    let others = others();
    // The others first, so that a cut of the log meets them.
    let mut created: Vec<_> = others
        .iter()
        .map(|key| next(put_at(key, "1.0.0")))
        .collect();
    created.extend(names.iter().map(|name| next(put(name, "1.0.0"))));
    for outcome in store.commit(created)? {
        outcome?;
    }
    for name in names.iter().step_by(3) {
        store.apply(next(put(name, "1.1.0")))?;
    }
    for key in others.iter().step_by(2) {
        store.apply(next(put_at(key, "1.1.0")))?;
    }
    for name in names.iter().skip(1).step_by(5) {
        store.apply(next(delete(name)))?;
    }
    let several = vec![
        put_of("service-01", "2.0.0"),
        put_of("Service-01", "2.0.0"),
        delete_of("service-02"),
        put_of("größe/変更:%41", "2.0.0"),
        Mutation::Delete(others[1].clone()),
        Mutation::Put(image_at(&instance_key("service-01", "new"), "2.0.0")),
    ];
    store.apply(next(transaction(several)))?;
    store.revision().map_err(Into::into)
}

/// Keys of the other kinds, some with the names of services.
fn others() -> Vec<Key> {
    vec![
        instance_key("service-01", "a"),
        instance_key("service-01", "b"),
        instance_key("service-01", "a/b"),
        instance_key("service-01\u{1}", "a"),
        instance_key("größe/変更:%41", "é"),
        policy_key("service-01"),
        keeper_key("service-01"),
    ]
}

/// Fails unless the answer is an error of that kind.
pub(crate) fn expect_kind<T: std::fmt::Debug>(
    answer: Result<T>,
    what: &str,
    is_kind: impl Fn(&ErrorKind) -> bool,
) -> Result<(), Failure> {
    match answer {
        Err(error) if is_kind(error.kind()) => Ok(()),
        other => Err(Failure::new(format!("expected {what}, found {other:?}"))),
    }
}

/// Fails unless the answer is the refusal of that limit.
pub(crate) fn expect_limit<T: std::fmt::Debug>(
    answer: Result<T>,
    name: &str,
) -> Result<(), Failure> {
    expect_kind(
        answer,
        name,
        |kind| matches!(kind, ErrorKind::LimitExceeded { limit, .. } if *limit == name),
    )
}

/// Fails unless the answer is `Invalid`.
pub(crate) fn expect_invalid<T: std::fmt::Debug>(answer: Result<T>) -> Result<(), Failure> {
    expect_kind(answer, "Invalid", |kind| *kind == ErrorKind::Invalid)
}
