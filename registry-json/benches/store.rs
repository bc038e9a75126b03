//! What the contract costs on JSON files.

use registry_json::{JsonConfig, JsonStore};

fn main() {
    registry_conformance::bench::run("json", |folder| {
        JsonStore::open(JsonConfig::new(folder.join("registry.json")))
    });
}
