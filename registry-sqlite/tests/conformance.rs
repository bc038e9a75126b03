//! The SQLite backend keeps the contract.

use registry_sqlite::{SqliteConfig, SqliteStore};

fn main() {
    registry_conformance::run("sqlite", |folder| {
        SqliteStore::open(SqliteConfig::new(folder.join("registry.db")))
    });
}
