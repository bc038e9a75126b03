//! The store in memory: what the contract costs without a disk.

fn main() {
    registry_conformance::bench::run("memory", |_| Ok(registry_core::MemoryStore::new()));
}
