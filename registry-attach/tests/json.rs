//! The whole suite over a store of the json backend that another opener owns.

mod attached;

use registry_json::{JsonConfig, JsonStore};

fn main() {
    registry_conformance::run("json-attached", |folder| {
        attached::open("json", &folder.join("registry.json"), |path, mode| {
            JsonStore::open(JsonConfig {
                mode,
                ..JsonConfig::new(path)
            })
        })
    });
}
