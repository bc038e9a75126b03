//! What the contract costs on sled.

use registry_sled::{SledConfig, SledStore};

fn main() {
    registry_conformance::bench::run("sled", |folder| {
        SledStore::open(SledConfig::new(folder.join("registry.sled")))
    });
}
