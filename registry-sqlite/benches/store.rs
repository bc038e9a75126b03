//! The benches that every backend runs.

use registry_sqlite::{SqliteConfig, SqliteStore};

fn main() {
    registry_conformance::bench::run("sqlite", |folder| {
        SqliteStore::open(SqliteConfig::new(folder.join("registry.db")))
    });
}
