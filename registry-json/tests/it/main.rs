//! What only the JSON backend promises: its files, its projection, its torn tails.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that goes wrong"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use registry_core::model::ServiceEntry;
use registry_core::{
    Cause, Clock as _, Durability, ErrorKind, Image, Mutation, Record, RegistryStore as _,
    Revision, SystemClock, Timestamp, Transaction, TransactionId,
};
use registry_json::{JsonConfig, JsonStore, PROJECTION_DELAY_MAX, PROJECTION_LIVE_RECORDS_MAX};

fn put(name: &str, version: &str) -> Transaction {
    let record = Record::Service(ServiceEntry::new(name, version));
    Transaction {
        id: TransactionId::fresh(),
        preconditions: Vec::new(),
        mutations: vec![Mutation::Put(Image::new(record).unwrap())],
        cause: Cause {
            actor: "test".into(),
            action: "put".into(),
            reason: None,
            time: Timestamp::default(),
        }
        .into(),
    }
}

fn open(path: &Path) -> JsonStore {
    JsonStore::open(JsonConfig::new(path)).unwrap()
}

/// Commits as many groups of one.
fn fill(store: &JsonStore, groups: u64) {
    for number in 0..groups {
        block_on(store.commit(vec![put(&format!("service-{number}"), "1")])).unwrap();
    }
}

/// Commits groups of large services until something has happened, and answers how many commits that took. That it never
/// happens ends the test.
fn fill_until(store: &JsonStore, has_happened: impl Fn() -> bool) -> u64 {
    let large = "x".repeat(200);
    let mut commits = 0;
    while !has_happened() {
        assert!(commits < 100_000, "it has not happened");
        let group = (0..50).map(|number| {
            let name = format!("service-{number}");
            put(&name, &format!("{commits}-{large}"))
        });
        commits += block_on(store.commit(group.collect())).unwrap().len() as u64;
    }
    commits
}

fn revision(store: &JsonStore) -> Revision {
    block_on(store.head()).unwrap().revision()
}

/// A store that was not closed, as its files lie after a crash.
fn crashed(folder: &Path, groups: u64) -> PathBuf {
    let path = folder.join("registry.json");
    let store = open(&path);
    fill(&store, groups);
    drop(store);
    path
}

fn last_segment(path: &Path) -> PathBuf {
    let mut segments: Vec<PathBuf> = fs::read_dir(path.with_extension("json.d"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("log-")
        })
        .collect();
    segments.sort();
    segments.pop().unwrap()
}

/// A segment that was written when the process ended: its lines, and the zeros behind them.
fn lines_and_room(segment: &Path) -> (Vec<u8>, Vec<u8>) {
    let mut lines = fs::read(segment).unwrap();
    let end = lines.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let room = lines.split_off(end);
    assert!(!room.is_empty() && room.iter().all(|byte| *byte == 0));
    (lines, room)
}

#[test]
fn room_for_more_lines_is_behind_those_of_a_store_in_use_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = crashed(folder.path(), 2);
    let segment = last_segment(&path);
    let (lines, _) = lines_and_room(&segment);
    let store = open(&path);
    assert_eq!(fs::read(&segment).unwrap(), lines);
    fill(&store, 3);
    let (lines, _) = lines_and_room(&segment);
    block_on(store.close()).unwrap();
    assert_eq!(fs::read(&segment).unwrap(), lines);
}

#[test]
fn salvage_loses_nothing_to_the_room_for_more_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = crashed(folder.path(), 2);
    lines_and_room(&last_segment(&path));
    let salvage = registry_json::salvage(&path).unwrap();
    assert!(salvage.losses.is_empty());
    assert_eq!(salvage.entries.len(), 2);
}

#[test]
fn a_segment_that_is_full_ends_with_its_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.json");
    let store = open(&path);
    let first = last_segment(&path);
    // A segment takes some 8 MiB.
    let commits = fill_until(&store, || last_segment(&path) != first);
    assert_eq!(fs::read(&first).unwrap().last(), Some(&b'\n'));
    lines_and_room(&last_segment(&path));
    drop(store);
    // A snapshot that is being written keeps the store open until it is done.
    let store = loop {
        match JsonStore::open(JsonConfig::new(&path)) {
            Err(error) if matches!(error.kind(), ErrorKind::Locked(_)) => thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    assert_eq!(revision(&store), Revision(commits));
    assert!(block_on(store.verify()).unwrap().is_clean());
}

#[test]
fn torn_tail_is_cut_off_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = crashed(folder.path(), 5);
    let segment = last_segment(&path);
    let (whole, room) = lines_and_room(&segment);
    let line = whole
        .split_inclusive(|byte| *byte == b'\n')
        .next_back()
        .unwrap();
    let good = whole.len() - line.len();
    let ends = [good + 1, good + line.len() / 2, whole.len() - 1];
    for (end, room) in ends.iter().flat_map(|end| [(*end, &[][..]), (*end, &room)]) {
        fs::write(&segment, [&whole[..end], room].concat()).unwrap();
        let store = open(&path);
        assert_eq!(
            revision(&store),
            Revision(4),
            "{end} of {} bytes",
            whole.len()
        );
        assert!(block_on(store.verify()).unwrap().is_clean());
        drop(store);
        assert_eq!(fs::metadata(&segment).unwrap().len(), good as u64);
    }
}

#[test]
fn damage_of_a_whole_line_is_no_torn_tail() {
    let folder = tempfile::tempdir().unwrap();
    let path = crashed(folder.path(), 5);
    let segment = last_segment(&path);
    let (whole, room) = lines_and_room(&segment);
    let offsets = [whole.len() - 1, whole.len() - 40, whole.len() / 2];
    for (offset, room) in offsets.iter().flat_map(|it| [(*it, &[][..]), (*it, &room)]) {
        let mut damaged = whole.clone();
        damaged[offset] ^= 1;
        damaged.extend(room);
        fs::write(&segment, &damaged).unwrap();
        let error = JsonStore::open(JsonConfig::new(&path)).unwrap_err();
        assert_eq!(
            *error.kind(),
            ErrorKind::Corrupted,
            "offset {offset}: {error}"
        );
        assert_eq!(fs::read(&segment).unwrap(), damaged);
    }
}

#[test]
fn cut_end_of_a_closed_store_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.json");
    let store = open(&path);
    fill(&store, 5);
    block_on(store.close()).unwrap();
    let segment = last_segment(&path);
    let whole = fs::read(&segment).unwrap();
    fs::write(&segment, &whole[..whole.len() - 10]).unwrap();
    let error = JsonStore::open(JsonConfig::new(&path)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Corrupted, "{error}");
}

#[test]
fn snapshot_is_kept_until_what_replaces_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = crashed(folder.path(), 2);
    let snapshots = path.with_extension("json.d");
    let first = snapshots.join("snapshot-00000000000000000000.jsonl");
    let newer = snapshots.join("snapshot-00000000000000000001.jsonl");
    let content = fs::read(&first).unwrap();
    fs::write(&newer, b"damaged").unwrap();
    let error = JsonStore::open(JsonConfig::new(&path)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Corrupted, "{error}");
    assert_eq!(fs::read(&first).unwrap(), content);
    fs::remove_file(newer).unwrap();
    assert_eq!(revision(&open(&path)), Revision(2));
}

#[test]
fn snapshot_of_another_store_is_found() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [one, other] = folders.each_ref().map(|folder| {
        let path = folder.path().join("registry.json");
        let store = open(&path);
        fill(&store, 3);
        // A compaction writes a snapshot first.
        block_on(store.compact(Revision(2))).unwrap();
        block_on(store.close()).unwrap();
        path
    });
    let name = snapshots(&one).pop().unwrap();
    let [of_one, of_other] = [&one, &other].map(|path| path.with_extension("json.d").join(&name));
    fs::copy(of_other, of_one).unwrap();
    let error = JsonStore::open(JsonConfig::new(&one)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Corrupted, "{error}");
    assert!(
        error.to_string().contains("as the snapshot does"),
        "{error}"
    );
}

/// Names of the snapshots in a store's folder, in order.
fn snapshots(path: &Path) -> Vec<String> {
    let files = fs::read_dir(path.with_extension("json.d")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    // One that is being written has a longer name.
    let finished = "snapshot-00000000000000000000.jsonl".len();
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with("snapshot-") && name.len() == finished)
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn snapshot_is_written_while_others_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.json");
    let store = open(&path);
    let first = snapshots(&path);
    // One is due after some 4 MiB of log.
    let commits = fill_until(&store, || snapshots(&path) != first);
    fill(&store, 1);
    let expected = block_on(store.head()).unwrap();
    assert_eq!(expected.revision(), Revision(commits + 1));
    assert!(block_on(store.verify()).unwrap().is_clean());
    // It writes no snapshot, and waits for one that is being written: the new one and the log behind it stay.
    block_on(store.close()).unwrap();
    let store = open(&path);
    assert_eq!(block_on(store.head()).unwrap(), expected);
    assert_eq!(snapshots(&path).len(), 1);
    block_on(store.compact(Revision(commits))).unwrap();
    assert!(block_on(store.verify()).unwrap().is_clean());
}

#[test]
fn compaction_interrupted_within_a_group_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.json");
    let store = open(&path);
    let group = ["a", "b", "c"].map(|name| put(name, "1"));
    block_on(store.commit(group.to_vec())).unwrap();
    let whole = last_segment(&path);
    let lines = fs::read(&whole).unwrap();
    block_on(store.compact(Revision(2))).unwrap();
    let expected = block_on(store.head()).unwrap();
    drop(store);
    // The facts are those after the compaction, the log is that before it.
    fs::remove_file(last_segment(&path)).unwrap();
    fs::write(&whole, lines).unwrap();
    let store = open(&path);
    assert_eq!(block_on(store.head()).unwrap(), expected);
    let report = block_on(store.verify()).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.entries, 1);
    fill(&store, 1);
    block_on(store.compact(Revision(4))).unwrap();
    assert!(block_on(store.verify()).unwrap().is_clean());
}

#[test]
fn projection_has_the_legacy_form_after_close() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.json");
    let store = open(&path);
    fill(&store, 2);
    block_on(store.close()).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"service-1\": {"), "{text}");
    assert!(text.contains("\"state\": \"Registered\""), "{text}");
    assert!(open(&path).warnings().is_empty());
}

#[test]
fn projection_of_a_large_state_follows_when_commits_pause() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.json");
    let store = open(&path);
    for first in (0..=PROJECTION_LIVE_RECORDS_MAX).step_by(1000) {
        let numbers = first..(first + 1000).min(PROJECTION_LIVE_RECORDS_MAX + 1);
        let group = numbers.map(|number| put(&format!("many-{number}"), "1"));
        block_on(store.commit(group.collect())).unwrap();
    }
    let before = snapshots(&path);
    fill_until(&store, || snapshots(&path) > before);
    let last = format!("\"many-{PROJECTION_LIVE_RECORDS_MAX}\": {{");
    let clock = SystemClock::new();
    while !fs::read_to_string(&path).is_ok_and(|text| text.contains(&last)) {
        // Half of what commits that never pause may put it off for.
        assert!(
            clock.monotonic() < PROJECTION_DELAY_MAX / 2,
            "it is not written"
        );
        thread::yield_now();
    }
    block_on(store.close()).unwrap();
}

#[test]
fn projection_that_cannot_be_written_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.json");
    let store = open(&path);
    fill(&store, 1);
    // It is written now and then while the store is open.
    while fs::create_dir(&path).is_err() {
        drop(fs::remove_file(&path));
    }
    block_on(store.close()).unwrap();
    assert!(path.is_dir());
    assert!(!folder.path().join("registry.json.new").exists());
}

#[test]
fn edit_by_hand_is_told_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.json");
    let store = open(&path);
    fill(&store, 2);
    block_on(store.close()).unwrap();
    let written = fs::read_to_string(&path).unwrap();
    let edited = written.replace("Registered", "Running");
    fs::write(&path, &edited).unwrap();

    let store = open(&path);
    let warnings = store.warnings();
    assert!(
        warnings[0].contains("harness registry import"),
        "{warnings:?}"
    );
    block_on(store.commit(vec![put("another", "1")])).unwrap();
    block_on(store.close()).unwrap();
    let kept: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains(".edited-"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(kept, [edited]);
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("another") && !text.contains("Running"),
        "{text}"
    );
    assert!(open(&path).warnings().is_empty());
}

#[test]
fn legacy_file_is_never_converted_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.json");
    fs::write(&path, "{}\n").unwrap();
    let error = JsonStore::open(JsonConfig::new(&path)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid);
    assert!(
        error.to_string().contains("harness registry migrate"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n");
    assert!(!folder.path().join("registry.json.d").exists());
}

#[test]
fn interval_reads_what_is_not_written_yet_and_close_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.json");
    let config = JsonConfig {
        durability: Durability::Interval(Duration::from_secs(3600)),
        ..JsonConfig::new(&path)
    };
    let store = JsonStore::open(config).unwrap();
    fill(&store, 3);
    block_on(store.compact(Revision(1))).unwrap();
    fill(&store, 3);
    assert!(block_on(store.verify()).unwrap().is_clean());
    block_on(store.close()).unwrap();
    let store = open(&path);
    assert_eq!(revision(&store), Revision(6));
    assert!(block_on(store.verify()).unwrap().is_clean());
}
