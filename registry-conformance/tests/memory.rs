//! The store in memory keeps the contract that it specifies.

fn main() {
    registry_conformance::run("memory", |_| Ok(registry_core::MemoryStore::new()));
}
