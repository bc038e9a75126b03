//! The whole suite over a store of the sled backend that another opener owns.

mod attached;

use registry_sled::{SledConfig, SledStore};

fn main() {
    registry_conformance::run("sled-attached", |folder| {
        attached::open("sled", &folder.join("registry.sled"), |path, mode| {
            SledStore::open(SledConfig {
                mode,
                ..SledConfig::new(path)
            })
        })
    });
}
