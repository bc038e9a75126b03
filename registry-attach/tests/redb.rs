//! The whole suite over a store of the redb backend that another opener owns.

mod attached;

use registry_redb::{RedbConfig, RedbStore};

fn main() {
    registry_conformance::run("redb-attached", |folder| {
        attached::open("redb", &folder.join("registry.redb"), |path, mode| {
            RedbStore::open(RedbConfig {
                mode,
                ..RedbConfig::new(path)
            })
        })
    });
}
