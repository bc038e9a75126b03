//! What is particular to SQLite: the views, the modes of opening, the journal, salvage.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod layouts;
mod modes;
mod salvage;
mod views;

use std::path::Path;

use futures_lite::future::block_on;
use registry_core::model::{
    Endpoint, InstanceEntry, InstanceSpec, Location, Protocol, ServiceEntry, ServicePolicy,
    SshConfig,
};
use registry_core::{
    Cause, Image, Mutation, Record, RegistryStore as _, Revision, Timestamp, Transaction,
    TransactionId,
};
use registry_sqlite::{SqliteConfig, SqliteStore};

/// Time of every fixture, 2023-11-14T22:13:20Z.
const TIME: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(SqliteConfig::new(folder.join("registry.db"))).unwrap()
}

fn entry(name: &str) -> ServiceEntry {
    let mut entry = ServiceEntry::new(name, "1.0.0");
    entry.location = Location::Remote {
        host: "node-7".into(),
        ssh_config: SshConfig {
            user: "deploy".into(),
            port: 22,
            identity_file: None,
        },
    };
    for (name, port) in [("http", 80), ("metrics", 9090)] {
        entry.endpoints.push(Endpoint {
            name: name.into(),
            address: ([127, 0, 0, 1], port).into(),
            protocol: Protocol::new("http"),
        });
    }
    entry.depends_on = vec!["billing".into(), "nobody".into()];
    entry
}

fn change(mutations: Vec<Mutation>) -> Transaction {
    Transaction {
        id: TransactionId::fresh(),
        preconditions: Vec::new(),
        mutations,
        cause: Cause {
            actor: "ann".into(),
            action: "register_service".into(),
            reason: Some("a test".into()),
            time: TIME,
        }
        .into(),
    }
}

fn put(name: &str) -> Mutation {
    Mutation::Put(Image::new(Record::Service(entry(name))).unwrap())
}

/// An instance with every field that is a column of its own.
fn instance(service: &str, id: &str) -> InstanceEntry {
    let mut spec = InstanceSpec::new(service, id, "10.0.0.7", 8080);
    spec.zone = "a".into();
    spec.region = "eu".into();
    spec.version = "1.0.0".into();
    spec.start(7, Revision(1), TIME)
}

fn put_instance(service: &str, id: &str) -> Mutation {
    Mutation::Put(Image::new(Record::Instance(instance(service, id))).unwrap())
}

fn put_policy(service: &str) -> Mutation {
    let policy = ServicePolicy {
        service: service.into(),
        protection_percent: Some(30),
        ..ServicePolicy::default()
    };
    Mutation::Put(Image::new(Record::Policy(policy)).unwrap())
}

/// Commits one change of one service each, and answers the last revision.
fn commit(store: &SqliteStore, names: &[&str]) -> Revision {
    let group = names.iter().map(|name| change(vec![put(name)])).collect();
    let outcomes = block_on(store.commit(group)).unwrap();
    outcomes.last().unwrap().as_ref().unwrap().revision
}
