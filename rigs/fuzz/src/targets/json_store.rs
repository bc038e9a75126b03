//! A file of a store of the JSON backend: a line with its name, then its content, in the place of the file of that name.
//!
//! Opening is refused with a kind that says why and changes no file, or the store is clean and goes on. Each input is
//! tried as it is and with the checksums of its lines put right; what a forger made may be found by `verify` alone.

use std::path::{Path, PathBuf};
use std::str;
use std::sync::LazyLock;

use futures_lite::future::block_on;
use registry_core::limits::{CHANGES_PAGE_MAX, RANGE_PAGE_MAX};
use registry_core::model::{ServiceEntry, ServiceState};
use registry_core::{
    Cause, ChangesRequest, ErrorKind, Image, Kind, Mutation, Note, OpenMode, RangeRequest, Record,
    RegistryStore as _, Revision, StoreError, Timestamp, Transaction, TransactionId,
};
use registry_json::{JsonConfig, JsonStore};
use tempfile::TempDir;

use super::portable::DICTIONARY;
use crate::files::{Files, read_files, write_files};
use crate::forge::reseal_lines;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "json_store",
    run,
    dictionary: DICTIONARY,
    engine: None,
};

/// The file of the projection; the store is the folder beside it.
const PROJECTION: &str = "registry.json";
const FOLDER: &str = "registry.json.d";

fn run(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    let Some((name, content)) = end.and_then(|end| input.split_at_checked(end + 1)) else {
        return;
    };
    let Some(place) = str::from_utf8(name).ok().and_then(place_of) else {
        return;
    };
    check(&place, content, false);
    check(&place, &reseal_lines(content), true);
}

/// Where the file of a name lies: in the store's folder, or the projection beside it.
fn place_of(name: &str) -> Option<PathBuf> {
    let name = name.trim_end();
    let is_plain = !name.is_empty() && name.len() <= 64 && !name.contains(['/', '\0']);
    let folder = if name == PROJECTION { "" } else { FOLDER };
    (is_plain && name != "." && name != "..").then(|| Path::new(folder).join(name))
}

fn check(place: &Path, content: &[u8], is_forged: bool) {
    let folder = TempDir::new().expect("the system has room for a folder");
    let mut files = template().clone();
    files.insert(place.to_path_buf(), content.to_vec());
    write_files(folder.path(), &files);
    let path = folder.path().join(PROJECTION);
    match open(&path) {
        Err(error) => {
            check_kind(&error);
            assert!(error.path().is_some(), "{error:?}");
            assert!(
                read_files(folder.path()) == files,
                "a refusal changed a file: {error}"
            );
        }
        Ok(store) => {
            let is_clean = check_answers(&store);
            // Notes are told to be damaged when they are asked for.
            let is_told = block_on(store.notes()).is_err();
            assert!(is_clean || is_told || is_forged, "damage was not found");
            if is_clean {
                check_goes_on(store, &path);
            }
        }
    }
}

fn open(path: &Path) -> Result<JsonStore, StoreError> {
    JsonStore::open(JsonConfig {
        mode: OpenMode::Open,
        ..JsonConfig::new(path)
    })
}

fn check_kind(error: &StoreError) {
    let is_told = matches!(
        error.kind(),
        ErrorKind::Corrupted | ErrorKind::Invalid | ErrorKind::SchemaTooNew { .. }
    );
    assert!(is_told, "{error:?}");
}

/// Asks everything, and answers whether the store is clean.
fn check_answers(store: &JsonStore) -> bool {
    for kind in Kind::ALL {
        let page = block_on(store.range(RangeRequest {
            kind,
            after: None,
            limit: RANGE_PAGE_MAX,
        }));
        page.map_or_else(|error| check_kind(&error), drop);
    }
    let compacted = block_on(store.head()).map(|head| head.compacted.revision);
    let changes = block_on(store.changes(ChangesRequest {
        after: compacted.expect("a store that opened has a head"),
        key: None,
        limit: CHANGES_PAGE_MAX,
    }));
    changes.map_or_else(|error| check_kind(&error), drop);
    block_on(store.notes()).map_or_else(|error| check_kind(&error), drop);
    match block_on(store.verify()) {
        Ok(report) => report.is_clean(),
        Err(error) => {
            check_kind(&error);
            false
        }
    }
}

/// Checks that a clean store takes a commit and opens with it.
fn check_goes_on(store: JsonStore, path: &Path) {
    let before = block_on(store.head()).expect("it is open").revision();
    if before == Revision(u64::MAX) {
        return;
    }
    let outcomes = block_on(store.commit(vec![put(9, "later", ServiceState::Registered)]));
    let outcomes = outcomes.expect("a clean store takes a commit");
    let is_applied = outcomes[0].is_ok();
    block_on(store.close()).expect("a clean store closes");
    drop(store);
    let store = open(path).expect("a store that was closed opens");
    let after = block_on(store.head()).expect("it is open").revision();
    assert!(
        !is_applied || after == before.next(),
        "{before} became {after}"
    );
    let report = block_on(store.verify()).expect("it can be read");
    assert!(report.is_clean(), "{report:?}");
}

/// The files of a small store that was compacted, written to and closed. They are the same in every run.
fn template() -> &'static Files {
    static TEMPLATE: LazyLock<Files> = LazyLock::new(|| {
        let folder = TempDir::new().expect("the system has room for a folder");
        let path = folder.path().join(PROJECTION);
        let store = JsonStore::open(JsonConfig::new(&path)).expect("an empty folder takes a store");
        let commit = |number, name, state| {
            let committed = block_on(store.commit(vec![put(number, name, state)]));
            committed.expect("a fresh store takes commits");
        };
        commit(1, "api", ServiceState::Registered);
        commit(2, "worker", ServiceState::Running);
        commit(3, "api", ServiceState::Running);
        block_on(store.compact(Revision(2))).expect("there is something to compact");
        commit(4, "worker", ServiceState::Stopped);
        let note = Note {
            name: "last_seen".to_owned(),
            content: b"api-1".to_vec(),
        };
        block_on(store.note(note)).expect("a fresh store takes notes");
        block_on(store.close()).expect("a fresh store closes");
        drop(store);
        read_files(folder.path())
    });
    &TEMPLATE
}

fn put(number: u8, name: &str, state: ServiceState) -> Transaction {
    let entry = ServiceEntry {
        state,
        ..ServiceEntry::new(name, "1.0.0")
    };
    Transaction {
        id: TransactionId([number; 16]),
        preconditions: Vec::new(),
        mutations: vec![Mutation::Put(
            Image::new(Record::Service(entry)).expect("the model takes the entry"),
        )],
        cause: Cause {
            actor: "fuzz".to_owned(),
            action: "register_service".into(),
            reason: None,
            time: Timestamp::from_nanos(1_767_323_045_000_000_000),
        }
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::expect_case;

    #[test]
    fn corpus_has_every_file_of_the_template() {
        for (place, content) in template() {
            let name = place.file_name().unwrap().to_str().unwrap();
            let input = [name.as_bytes(), b"\n", content].concat();
            expect_case(TARGET.name, name, &input);
        }
    }
}
