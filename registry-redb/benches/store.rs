//! What the contract costs on redb.

use registry_redb::{RedbConfig, RedbStore};

fn main() {
    registry_conformance::bench::run("redb", |folder| {
        RedbStore::open(RedbConfig::new(folder.join("registry.redb")))
    });
}
