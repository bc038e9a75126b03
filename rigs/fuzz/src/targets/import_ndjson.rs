//! An export with log, records and seal, imported.
//!
//! What is imported has every record and every entry of the file, is a clean store on disk, and comes back from its own
//! export. Each input is tried as it is and with its hashes, its chain and its seal put right.

use std::fs;
use std::path::Path;

use futures_lite::future::block_on;
use harness::Error;
use harness::backends::{Backend, OpenOptions};
use harness::store::{Imported, Location, export_ndjson, import_ndjson};
use registry_core::portable::{PortableEntry, PortableRecord};
use registry_core::{Anchor, ErrorKind, Head, LogEntry};
use serde_json::Value;
use tempfile::TempDir;

use super::portable::{DICTIONARY, rehash_entry};
use crate::forge::read_record;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "import_ndjson",
    run,
    dictionary: DICTIONARY,
    engine: None,
};

fn run(input: &[u8]) {
    check(input);
    check(&reforge(input));
}

fn check(export: &[u8]) {
    let folder = TempDir::new().expect("the system has room for a folder");
    let target = Location {
        backend: Backend::Json,
        path: folder.path().join("registry.json"),
    };
    let imported = match import(export, &target, true) {
        Ok(imported) => imported,
        Err(error) => return check_refusal(&error),
    };
    let (entries, records) = count_lines(export);
    let head = &imported.head;
    assert_eq!(head.tally.counts.total(), records, "records were left out");
    let span = head.revision().0 - head.compacted.revision.0;
    assert_eq!(span, entries, "entries were left out");
    check_on_disk(export, &target, head);
    check_own_export(&target, folder.path(), head);
}

fn import(export: &[u8], target: &Location, is_dry_run: bool) -> Result<Imported, Error> {
    block_on(import_ndjson(export, target, is_dry_run, &mut |_, _| ()))
}

fn check_refusal(error: &Error) {
    match error {
        Error::Export(error) => assert!(error.line > 0 && !error.problem.is_empty(), "{error}"),
        Error::Store(error) => {
            let is_told = matches!(
                error.kind(),
                ErrorKind::Invalid
                    | ErrorKind::Corrupted
                    | ErrorKind::SchemaTooNew { .. }
                    | ErrorKind::LimitExceeded { .. }
            );
            assert!(is_told, "{error}");
        }
        other => panic!("neither of the export nor of the store: {other}"),
    }
}

/// Log entries and records in an export.
fn count_lines(export: &[u8]) -> (u64, u64) {
    let (mut entries, mut records) = (0, 0);
    for line in export.split(|byte| *byte == b'\n') {
        let line: Value = serde_json::from_slice(line).unwrap_or_default();
        entries += u64::from(line.get("entry").is_some());
        records += u64::from(line.get("record").is_some());
    }
    (entries, records)
}

fn check_on_disk(export: &[u8], target: &Location, head: &Head) {
    let imported =
        import(export, target, false).expect("what can be imported in memory can be on disk");
    assert_eq!(imported.head, *head);
    let store = target.open(&OpenOptions::default());
    let store = store.expect("what was imported opens");
    let report = block_on(store.verify()).expect("what was imported can be read");
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.head, *head);
    block_on(store.close()).expect("it closes");
}

fn check_own_export(source: &Location, folder: &Path, head: &Head) {
    let file = folder.join("export.ndjson");
    let store = source.open(&OpenOptions::read_only());
    let store = store.expect("what was imported opens");
    match block_on(export_ndjson(&*store, &file, &mut |_, _| ())) {
        Ok(_) => {}
        // Records of a newer program cannot be exported by this one.
        Err(Error::Store(error)) if matches!(error.kind(), ErrorKind::SchemaTooNew { .. }) => {
            return;
        }
        Err(error) => panic!("what was imported cannot be exported: {error}"),
    }
    let export = fs::read(&file).expect("the export is there");
    let again = Location {
        path: folder.join("again.json"),
        ..source.clone()
    };
    let again = import(&export, &again, true).expect("an export can be imported");
    assert_eq!(again.head, *head);
}

/// Puts right what protects an export against accidents, line by line.
fn reforge(export: &[u8]) -> Vec<u8> {
    let mut head = Head::default();
    let lines = export.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    let mut forged = Vec::with_capacity(export.len());
    for line in lines {
        let line = reforge_line(line, &mut head).unwrap_or_else(|| line.to_vec());
        forged.extend(line);
        forged.push(b'\n');
    }
    forged
}

fn reforge_line(line: &[u8], head: &mut Head) -> Option<Vec<u8>> {
    let mut line: Value = serde_json::from_slice(line).ok()?;
    if let Some(header) = line.get("harness_export") {
        let anchor: Anchor = serde_json::from_value(header.get("anchor")?.clone()).ok()?;
        (head.last, head.compacted) = (anchor, anchor);
    } else if let Some(entry) = line.get_mut("entry") {
        rehash_entry(entry);
        let read: PortableEntry = serde_json::from_value(entry.clone()).ok()?;
        let LogEntry { commit, .. } = LogEntry::try_from(read).ok()?;
        let chained = LogEntry::chain(head.last.hash, commit);
        head.last = Anchor {
            revision: chained.commit.revision,
            hash: chained.hash,
        };
        *entry = serde_json::to_value(PortableEntry::from(&chained)).ok()?;
    } else if let Some(record) = line.get_mut("record") {
        let read: PortableRecord = serde_json::from_value(record.clone()).ok()?;
        let read = read_record(read).ok()?;
        head.tally.add(&read);
        *record = serde_json::to_value(PortableRecord::from(&read)).ok()?;
    } else if let Some(seal) = line.get_mut("seal") {
        seal["head"] = serde_json::to_value(&*head).ok()?;
    }
    serde_json::to_vec(&line).ok()
}
