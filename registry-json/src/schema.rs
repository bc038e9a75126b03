//! The files of a store.
//!
//! | file in `<path>.d` | lines |
//! |---|---|
//! | `facts.json` | `facts`: what the folder is, where the log begins, where it ended at the last clean close |
//! | `snapshot-<revision>.jsonl` | `header`, a `record` each, `footer` with the head |
//! | `log-<revision>.jsonl` | `header`, a `group` for each group of commits; named after its first revision |
//! | `notes.jsonl` | a `note` each, the last of a name wins |
//! | `projection.json` | `projection`: hashes of the file at the path that are ours |
//!
//! Every line is one JSON object with a checksum, see [`crate::line`]. All files but the last log segment and the notes
//! are replaced by renaming and never written in place. The last log segment has zeros behind its last line while it is
//! written, so that a sync writes no metadata of the file; a clean close cuts them off.
//!
//! Invariant: the newest snapshot is not before the anchor in the facts, and the log has every entry after that anchor.

use std::path::{Path, PathBuf};
use std::time::Duration;

use registry_core::Revision;

/// A segment larger than this is followed by a new one, in bytes.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// No new snapshot is written before the log since the last one has so many bytes.
pub(crate) const SNAPSHOT_LOG_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// No new snapshot is written before the log since the last one is so many times as large as that.
pub(crate) const SNAPSHOT_LOG_FACTOR: u64 = 2;
/// With more records than this, the projection follows a snapshot, as soon as a turn finds nothing new.
pub const PROJECTION_LIVE_RECORDS_MAX: u64 = 10_000;
/// Longest time for which commits that follow each other put it off: it costs more than the snapshot before it.
pub const PROJECTION_DELAY_MAX: Duration = Duration::from_secs(60);
/// The file of notes is written anew when it has so many bytes more than the notes need.
pub(crate) const NOTES_WASTE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Layout of every file.
pub(crate) const LAYOUT: u32 = 1;
pub(crate) const FACTS_FORMAT: &str = "harness.json";
pub(crate) const SNAPSHOT_FORMAT: &str = "harness.json.snapshot";
pub(crate) const LOG_FORMAT: &str = "harness.json.log";

/// The folder of a store.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".d");
    PathBuf::from(name)
}

pub(crate) fn facts_path(folder: &Path) -> PathBuf {
    folder.join("facts.json")
}

pub(crate) fn notes_path(folder: &Path) -> PathBuf {
    folder.join("notes.jsonl")
}

pub(crate) fn projection_path(folder: &Path) -> PathBuf {
    folder.join("projection.json")
}

pub(crate) fn snapshot_path(folder: &Path, revision: Revision) -> PathBuf {
    folder.join(format!("snapshot-{:020}.jsonl", revision.0))
}

pub(crate) fn segment_path(folder: &Path, first: Revision) -> PathBuf {
    folder.join(format!("log-{:020}.jsonl", first.0))
}

/// The revision in the name of a snapshot.
pub(crate) fn snapshot_revision(name: &str) -> Option<Revision> {
    numbered(name, "snapshot-")
}

/// The first revision of a segment, from its name.
pub(crate) fn segment_first(name: &str) -> Option<Revision> {
    numbered(name, "log-")
}

fn numbered(name: &str, prefix: &str) -> Option<Revision> {
    let number = name.strip_prefix(prefix)?.strip_suffix(".jsonl")?;
    let is_ours = number.len() == 20 && number.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| number.parse().ok()).flatten()
}
