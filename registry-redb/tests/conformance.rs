//! The redb backend keeps the contract.

use registry_redb::{RedbConfig, RedbStore};

fn main() {
    registry_conformance::run("redb", |folder| {
        RedbStore::open(RedbConfig::new(folder.join("registry.redb")))
    });
}
