//! The JSON backend keeps the contract.

use registry_json::{JsonConfig, JsonStore};

fn main() {
    registry_conformance::run("json", |folder| {
        JsonStore::open(JsonConfig::new(folder.join("registry.json")))
    });
}
