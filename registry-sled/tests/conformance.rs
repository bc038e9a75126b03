//! The sled backend keeps the contract.

use registry_sled::{SledConfig, SledStore};

fn main() {
    registry_conformance::run("sled", |folder| {
        SledStore::open(SledConfig::new(folder.join("registry.sled")))
    });
}
