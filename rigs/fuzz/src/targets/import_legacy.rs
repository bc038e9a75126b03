//! A file of the old service registry, imported.
//!
//! A file that is read says the same once it is written in that form again, and all of it can be registered.

use std::fs;
use std::path::Path;

use futures_lite::future::block_on;
use harness::backends::Backend;
use harness::store::{LegacyFile, Location, import_legacy};
use registry_core::legacy::write_legacy;
use tempfile::TempDir;

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "import_legacy",
    run,
    dictionary: &[
        "\"name\":\"a\"",
        "\"ManagedProcess\":{\"pid\":1,\"command\":\"c\"}",
        "\"DockerContainer\":",
        "\"SystemdService\":{\"unit_name\":\"u\"}",
        "\"Local\"",
        "\"Remote\":{\"host\":\"h\",\"ssh_config\":",
        "{\"Failed\":{\"reason\":\"r\"}}",
        "\"protocol\":\"HTTP\"",
        "\"last_health_check\":null",
        "\"depends_on\":[\"a\"]",
        "\"2025-11-01T12:00:55Z\"",
        "\\u0000",
        "\\ud800",
        "[[[[[[[[",
    ],
    engine: None,
};

fn run(input: &[u8]) {
    let folder = TempDir::new().expect("the system has room for a file");
    let path = folder.path().join("registry.json");
    let Some(file) = read(&path, input) else {
        return;
    };
    let mut written = Vec::new();
    write_legacy(&mut written, &file.entries).expect("what has a legacy form goes back to it");
    let again = read(&path, &written).expect("what is written can be read");
    assert_eq!(again.entries, file.entries);
    let target = Location {
        backend: Backend::Memory,
        path: folder.path().join("memory"),
    };
    let imported = block_on(import_legacy(&path, &target, false, &mut |_, _| ()));
    let imported = imported.expect("a file that can be read can be imported");
    assert_eq!(imported.changed, file.entries.len() as u64);
    assert_eq!(imported.head.tally.counts.total(), imported.changed);
}

fn read(path: &Path, content: &[u8]) -> Option<LegacyFile> {
    fs::write(path, content).expect("the system has room for a file");
    match LegacyFile::read(path) {
        Ok(file) => Some(file),
        Err(error) => {
            assert!(!error.problem.is_empty(), "a refusal says why");
            None
        }
    }
}
